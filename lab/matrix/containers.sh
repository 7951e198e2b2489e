# shellcheck shell=sh disable=SC2154 # the variables of the script behind it
# The containers of one network, for every setup by shell script.
#
#   containers NAME LB WHOAMI LB6 WHOAMI6
#
# $four and $six are "yes" if that family is set up, $publish and $dns have further options. Traefik
# is the version that supports every engine's API, without TLS: the checks use HTTP.
containers() {
    name=$1 lb=$2 whoami=$3 lb6=$4 whoami6=$5
    set --
    [ "$four" != yes ] || set -- --ip "$lb"
    [ "$six" != yes ] || set -- "$@" --ip6 "$lb6"
    # shellcheck disable=SC2086  # words without blanks
    docker run -d --name "${name}_lb" --net "$name" "$@" $publish $dns \
        -v /var/run/docker.sock:/var/run/docker.sock -v "${name}_letsencrypt:/letsencrypt:rw" \
        --label "lb.net=$name" \
        traefik:v3.7 --entrypoints.web.address=:80 --providers.docker \
        --providers.docker.constraints="Label(\`lb.net\`,\`$name\`)" \
        --providers.docker.network="$name" --entryPoints.web.forwardedHeaders.trustedIPs=172.20.0.1/24 \
        --global.checknewversion=false --global.sendanonymoususage=false >/dev/null
    set --
    [ "$four" != yes ] || set -- --ip "$whoami"
    [ "$six" != yes ] || set -- "$@" --ip6 "$whoami6"
    # shellcheck disable=SC2086
    docker run -d --name "whoami-$name" --network "$name" "$@" $dns --label "lb.net=$name" \
        --label "traefik.http.routers.whoami-$name.rule=Host(\`whoami.$name.example.com\`)" \
        --label "traefik.http.routers.whoami-$name.entrypoints=web" \
        --label "traefik.http.services.whoami-$name.loadbalancer.server.port=80" \
        -e ECHO_IPV4=http://198.51.100.1/ -e "ECHO_IPV6=http://[2001:db8:ffff::1]/" \
        wanbound/whoami:1 >/dev/null
}
