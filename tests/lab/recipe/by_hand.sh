#!/bin/sh
# Sets a host up manually from the first recipe. Corrects only those of its mistakes with which
# nothing would work: the bridge's own name in the rules, private subnets without host bits, the
# host's SSH and loopback let in, replies let through in both families, hairpin. No docker-ipv6nat:
# the IPv6 rules are manual, too.
#
#   by_hand.sh WEB_IPV4 WEB_IPV6 MAIL_IPV4 MAIL_IPV6
#
# `web` is defined as wanbound defines a network, by an operator who plans to migrate; `mail` has
# the recipe's own definition: bound to its public address, and with an option that Docker never
# had.

set -eu
web4=$1 web6=$2 mail4=$3 mail6=$4

networks() {
    docker network create web --driver bridge --ipv6 \
        --subnet 172.16.0.0/24 --gateway 172.16.0.1 --subnet fd16:10::/64 --gateway fd16:10::1 \
        -o com.docker.network.bridge.name=web \
        -o com.docker.network.bridge.enable_ip_masquerade=false \
        -o com.docker.network.container_iface_prefix=vweb \
        -o com.docker.network.bridge.host_binding_ipv4=172.16.0.1 \
        -o com.docker.network.bridge.host_binding_ipv6=fd16:10::1 >/dev/null
    docker network create mail --ipv6 --subnet 172.20.0.0/24 --subnet fd20:10::/96 \
        -o com.docker.network.bridge.name=mail \
        -o com.docker.network.bridge.enable_ip_masquerade=false \
        -o com.docker.network.bridge.host_binding_ipv4="$mail4" \
        -o com.docker.network.bridge.host_binding_ipv6="$mail6" \
        -o com.docker.network.container_interface_prefix=vmail >/dev/null
}

rules() { # rules NETWORK SUBNET4 LB4 PUBLIC4 SUBNET6 LB6 PUBLIC6
    iptables -t nat -A POSTROUTING -s "$2" ! -o "$1" -j SNAT --to-source "$4"
    iptables -t nat -A POSTROUTING -s "$2" -o "$1" -m conntrack --ctstate DNAT -j SNAT --to-source "$4"
    iptables -t nat -A PREROUTING -d "$4" -p tcp -j DNAT --to-destination "$3"
    iptables -I DOCKER-USER -d "$3" -p tcp -j ACCEPT
    ip6tables -t nat -A POSTROUTING -s "$5" ! -o "$1" -j SNAT --to-source "$7"
    ip6tables -t nat -A POSTROUTING -s "$5" -o "$1" -m conntrack --ctstate DNAT -j SNAT --to-source "$7"
    ip6tables -t nat -A PREROUTING -d "$7" -p tcp -j DNAT --to-destination "$6"
    # First, like DOCKER-USER: Docker 28 drops packets to ports that are not published.
    ip6tables -I FORWARD -s "$5" -j ACCEPT
    ip6tables -I FORWARD -d "$6" -p tcp -j ACCEPT
}

input() {
    for tool in iptables ip6tables; do
        $tool -A INPUT -i lo -j ACCEPT
        $tool -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
        $tool -A INPUT -p tcp --dport 22 -j ACCEPT
    done
    iptables -A INPUT -p icmp -j ACCEPT
    ip6tables -A INPUT -p ipv6-icmp -j ACCEPT
    iptables -P INPUT DROP
    ip6tables -P INPUT DROP
    ip6tables -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
    ip6tables -P FORWARD DROP
    sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
}

containers() { # containers NETWORK LB4 LB6
    docker run -d --restart unless-stopped --name "$1_lb" --network "$1" --ip "$2" --ip6 "$3" \
        -p 80:80 -v /var/run/docker.sock:/var/run/docker.sock --label lb.net="$1" \
        traefik:v3.7 --entrypoints.web.address=:80 --providers.docker \
        --providers.docker.constraints="Label(\`lb.net\`,\`$1\`)" --providers.docker.network="$1" \
        --global.checknewversion=false --global.sendanonymoususage=false >/dev/null
    docker run -d --restart unless-stopped --name "whoami-$1" --network "$1" \
        --label lb.net="$1" \
        --label "traefik.http.routers.whoami-$1.rule=Host(\`whoami.$1.example.com\`)" \
        --label "traefik.http.routers.whoami-$1.entrypoints=web" \
        --label "traefik.http.services.whoami-$1.loadbalancer.server.port=80" \
        -e ECHO_IPV4=http://198.51.100.1/ -e "ECHO_IPV6=http://[2001:db8:ffff::1]/" \
        wanbound/whoami:1 >/dev/null
}

for address in "$web4/32" "$web6/128" "$mail4/32" "$mail6/128"; do
    ip address add "$address" dev wan0
done
networks
input
rules web 172.16.0.0/24 172.16.0.254 "$web4" fd16:10::/64 fd16:10::fffe "$web6"
rules mail 172.20.0.0/24 172.20.0.254 "$mail4" fd20:10::/96 fd20:10::fffe "$mail6"
containers web 172.16.0.254 fd16:10::fffe
containers mail 172.20.0.254 fd20:10::fffe
# iptables-persistent, where it is installed, loads these at the next boot.
mkdir -p /etc/iptables
iptables-save >/etc/iptables/rules.v4
ip6tables-save >/etc/iptables/rules.v6
