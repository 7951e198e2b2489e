"""How fast wanbound is, as ratios: `make bench`, or `python -m bench --help`."""
