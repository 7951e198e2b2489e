#!/bin/sh
# Sets a host up with Docker's own options alone: a network's source addresses are its options
# host_ipv4 and host_ipv6, and its ports are published on its public addresses. The operator's part
# is done as well as possible: the addresses are added, those of IPv6 with `preferred_lft 0`, so
# that the host itself does not use them, and containers get DNS servers, so that name queries come
# from the network (docs/engine.md).
#
#   docker.sh NETWORK4 NETWORK6 [NAME PUBLIC SUBNET LB WHOAMI PUBLIC6 SUBNET6 LB6 WHOAMI6]…
#
# NETWORK4 and NETWORK6 are "yes" if that family is set up; "-" is a missing value.
# shellcheck disable=SC2034 # containers.sh, which is run with it, reads them
set -u
four=$1 six=$2
shift 2
dns="--dns 198.51.100.53 --dns 2001:db8:ffff::53"

network() { # network NAME PUBLIC SUBNET PUBLIC6 SUBNET6
    name=$1 public=$2 subnet=$3 public6=$4 subnet6=$5
    publish=
    set -- -o "com.docker.network.bridge.name=$name"
    if [ "$four" = yes ]; then
        ip address add "$public/32" dev wan0
        publish="-p $public:80:80 -p $public:443:443"
        set -- "$@" --subnet "$subnet" -o "com.docker.network.host_ipv4=$public"
    else
        set -- "$@" --ipv4=false
    fi
    if [ "$six" = yes ]; then
        # nodad, as no program can listen on a tentative address.
        ip address add "$public6/128" dev wan0 preferred_lft 0 nodad
        publish="$publish -p [$public6]:80:80 -p [$public6]:443:443"
        set -- "$@" --ipv6 --subnet "$subnet6" -o "com.docker.network.host_ipv6=$public6"
    fi
    docker network create "$@" "$name" >/dev/null
}

while [ $# -ge 9 ]; do
    network "$1" "$2" "$3" "$6" "$7"
    containers "$1" "$4" "$5" "$8" "$9"
    shift 9
done
