"""Every acceptance check on every engine, beside the first recipe and Docker alone: `make matrix`.

sites.py has the setups of the hosts, recipe.sh sets a host up exactly as in the recipe, docker.sh
with Docker's own options, containers.sh has the containers of both. rows.py counts the results of
the checks, __main__.py runs everything on a separate lab and prints one table.
"""
