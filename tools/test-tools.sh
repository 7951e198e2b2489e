#!/bin/sh
# Installs the unit tests' needs that are no Python packages: an sshd, whose service is neither
# started nor enabled, and ssh-keygen. Fast if both exist; without root it only reports what is
# missing.
set -eu

PATH=$PATH:/usr/sbin:/usr/local/sbin
if command -v sshd >/dev/null && command -v ssh-keygen >/dev/null; then
    exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo 'the tests need an sshd (its service need not run): install openssh-server and openssh-client' >&2
    exit 1
fi

log=${TMPDIR:-/tmp}/wanbound-test-tools.log
policy=/usr/sbin/policy-rc.d
echo '· installing openssh-server, without its service …'
# invoke-rc.d asks this program before it starts a service; an existing one is kept.
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 0755 "$policy"
fi
if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    openssh-server openssh-client && systemctl disable ssh.service ssh.socket; } >"$log" 2>&1; then
    command -v sshd >/dev/null || {
        tail -n 20 "$log" >&2
        echo "installing openssh-server failed; all of its output is in $log" >&2
        exit 1
    }
fi
echo '✓ installing openssh-server'
