#!/bin/sh
# Writes requirements.txt and requirements-dev.txt from pyproject.toml: every package with its
# hashes, no index address. Needs `uv` on PATH. Add --upgrade to take newer versions.
set -eu
cd "$(dirname -- "$0")/.."
for extra in '' dev; do
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
        --no-emit-index-url ${extra:+--extra "$extra"} "$@" pyproject.toml \
        -o "requirements${extra:+-$extra}.txt"
done
