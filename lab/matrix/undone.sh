#!/bin/sh
# Removes everything that recipe.sh or docker.sh has made: undone.sh ADDRESS/LEN…
docker ps -aq | xargs -r docker rm -f >/dev/null
docker network ls -q --filter type=custom | xargs -r docker network rm >/dev/null
docker volume rm web_letsencrypt mail_letsencrypt >/dev/null 2>&1
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
# Docker writes its own rules again. systemd refuses its fourth start within a minute otherwise.
systemctl reset-failed docker.service
systemctl restart docker.service
