#!/bin/sh
# What an operator's run does on a host. It is sent with each call, and is not installed.
#
#   facts [drift]            print what is on this host; with `drift`, also what was loaded and what
#                            is in force
#   doctor WAN               print what may prevent a change
#   status                   print networks, counters, repairs, and a change that is pending
#   change FOLDER TOKEN SECONDS EXPECTED
#                            load FOLDER/new if EXPECTED is the current generation, and undo it
#                            unless, over a new SSH connection and within SECONDS, comes
#   confirm TOKEN FOLDER LEFT
#                            LEFT is what is confirmed then: TOKEN, or `none` after a destroy
#
# providers/onhost/README.md has the exit codes. On 10, 11, 14, 15, 16, 18, 19 and 24 nothing has
# changed.

@onhost/parts.sh@
@call/docker.sh@
@call/change.sh@
@call/classic.sh@
@call/facts.sh@
@call/doctor.sh@

command=$1
case $command in
doctor | facts | status | change | confirm) ;;
*) exit 64 ;;
esac
shift
run_folder
"$command" "$@"
