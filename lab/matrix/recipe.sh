#!/bin/sh
# Sets a host up from the first recipe, line by line as it is written there, without docker-ipv6nat
# (which cannot be downloaded here). Without these four differences there would be nothing to check:
#   - subnets and addresses are the arguments: 172.10.0.1/24 is public space, has host bits, and
#     Docker 28 refuses it;
#   - rules name the bridge `web` where the recipe has `am-web`, which no host has;
#   - the management link is let in: the recipe's INPUT DROP rejects every login;
#   - Traefik is another version, see containers.sh.
# Commands are not checked for errors: an operator who follows the recipe goes on, too.
#
#   recipe.sh NETWORK4 NETWORK6 [NAME PUBLIC SUBNET LB WHOAMI PUBLIC6 SUBNET6 LB6 WHOAMI6]…
#
# NETWORK4 and NETWORK6 are "yes" if that family is set up; "-" is a missing value.
# shellcheck disable=SC2034 # containers.sh, which is run with it, reads them
set -u
four=$1 six=$2
shift 2
publish="-p 80:80 -p 443:443" dns=

networks() { # networks NAME PUBLIC SUBNET PUBLIC6 SUBNET6
    set -- "$1" "$2" "$3" "$4" "$5"
    name=$1 public=$2 subnet=$3 public6=$4 subnet6=$5
    set -- -o "com.docker.network.bridge.enable_ip_masquerade=false" \
        -o "com.docker.network.bridge.name=$name" \
        -o "com.docker.network.container_interface_prefix=v$name"
    [ "$four" != yes ] ||
        set -- "$@" --subnet "$subnet" -o "com.docker.network.bridge.host_binding_ipv4=$public"
    [ "$six" != yes ] || set -- "$@" --ipv6 --subnet "$subnet6" \
        -o "com.docker.network.bridge.host_binding_ipv6=$public6"
    docker network create "$@" "$name" >/dev/null
}

for tool in iptables ip6tables; do
    $tool -I INPUT -i host0 -j ACCEPT
    $tool -A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT
    $tool -P INPUT DROP
done
iptables -A INPUT -p icmp -j ACCEPT
ip6tables -A INPUT -p ipv6-icmp -j ACCEPT
[ "$six" != yes ] || ip6tables -P FORWARD DROP

while [ $# -ge 9 ]; do
    name=$1
    networks "$1" "$2" "$3" "$6" "$7"
    if [ "$four" = yes ]; then
        ip address add "$2/32" dev wan0
        iptables -t nat -A POSTROUTING -s "$3" ! -o "$1" -j SNAT --to-source "$2"
        iptables -t nat -A PREROUTING -d "$2" -p tcp -j DNAT --to-destination "$4"
    fi
    if [ "$six" = yes ]; then
        ip address add "$6/128" dev wan0
        ip6tables -A FORWARD -s "$7" -j ACCEPT
        ip6tables -t nat -A POSTROUTING -s "$7" ! -o "$1" -j SNAT --to-source "$6"
        ip6tables -t nat -A PREROUTING -d "$6" -p tcp -j DNAT --to-destination "$8"
    fi
    containers "$1" "$4" "$5" "$8" "$9"
    shift 9
done
