"""Every acceptance check on every engine, beside the first recipe as it is written: `make matrix`.

sites.py says what stands on the hosts, recipe.sh sets a host up by hand, rows.py counts what came
of the checks, __main__.py runs it all on a lab of its own and prints one table.
"""
