#!/bin/sh
# Installs the programs that the unit tests need besides Python, where they are missing. An sshd that
# is installed is neither started nor enabled. Without root it only reports what is missing.
set -eu

PATH=$PATH:/usr/sbin:/usr/local/sbin:/sbin
programs='busybox:busybox-static dash:dash shellcheck:shellcheck ssh-keygen:openssh-client sshd:openssh-server'
# As root, the tests also run the host's script in network namespaces.
[ "$(id -u)" != 0 ] ||
    programs="$programs conntrack:conntrack ip:iproute2 iptables:iptables nft:nftables unshare:util-linux"

missing() { # the packages of the programs that are not here
    for each in $programs; do
        command -v "${each%:*}" >/dev/null || printf ' %s' "${each#*:}"
    done
}

packages=$(missing)
[ -n "$packages" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "the tests need these Debian packages, or the same programs (sshd need not run):$packages" >&2
    exit 1
fi

log=${TMPDIR:-/tmp}/wanbound-test-tools.log
policy=/usr/sbin/policy-rc.d
echo "· installing$packages, without services …"
# invoke-rc.d asks this program before it starts a service; an existing one is kept.
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 0755 "$policy"
fi
# shellcheck disable=SC2086 # one word for each package
{ apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages; } \
    >"$log" 2>&1 || true
case $packages in
*openssh-server*) systemctl disable ssh.service ssh.socket >>"$log" 2>&1 || true ;;
esac
if [ -n "$(missing)" ]; then
    tail -n 20 "$log" >&2
    echo "installing$(missing) failed; all of its output is in $log" >&2
    exit 1
fi
echo "✓ installing$packages"
