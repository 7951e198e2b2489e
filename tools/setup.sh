#!/bin/sh
# Makes .venv with exactly the packages of requirements-dev.txt; fast if it has them already. Prints
# each step; a failed step names the log with its output.
set -eu

cd "$(dirname -- "$0")/.."
log=${TMPDIR:-/tmp}/wanbound-setup-$(id -u).log
stamp=.venv/.requirements
wanted=$(sha256sum requirements-dev.txt | cut -d' ' -f1)

step() { # step WHAT COMMAND…
    what=$1
    shift
    printf '· %s …\n' "$what"
    if ! "$@" >>"$log" 2>&1; then
        tail -n 20 "$log" >&2
        printf '✗ %s failed; all of its output is in %s\n' "$what" "$log" >&2
        exit 1
    fi
    printf '✓ %s\n' "$what"
}

[ "$(cat "$stamp" 2>/dev/null || true)" != "$wanted" ] || exit 0

: >"$log"
python=${PYTHON:-python3}
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "Python's venv is missing: install python3 and python3-venv (3.11 or later), then run again" >&2
        exit 1
    fi
    step 'installing python3-venv' sh -c 'apt-get update && apt-get install -y --no-install-recommends python3 python3-venv'
fi
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "wanbound needs Python 3.11 or later; $python is $("$python" --version). Set PYTHON to a later one." >&2
    exit 1
}
step 'making .venv' "$python" -m venv --clear .venv
step 'installing the pinned Python packages' .venv/bin/pip install --disable-pip-version-check \
    --require-hashes -r requirements-dev.txt
echo "$wanted" >"$stamp"
