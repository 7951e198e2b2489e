"""The lab: real hosts and a small internet on one machine. See README.md beside this file."""
