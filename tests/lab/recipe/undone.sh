#!/bin/sh
# Removes everything that by_hand.sh made, also what has been taken over since.
#
#   undone.sh ADDRESS…

docker ps -aq | xargs -r docker rm -f >/dev/null
docker network rm web mail >/dev/null 2>&1
for tool in iptables ip6tables; do
    $tool -P INPUT ACCEPT
    $tool -P FORWARD ACCEPT
    for table in nat filter; do
        $tool -t "$table" -F
        $tool -t "$table" -X
    done
done
for address in "$@"; do
    ip address del "$address" dev wan0 2>/dev/null
done
rm -rf /etc/iptables
# Docker writes its own rules again. systemd refuses its fourth start within a minute otherwise.
systemctl reset-failed docker.service
systemctl restart docker.service
