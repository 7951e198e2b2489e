# --- what Docker says ----------------------------------------------------------------------------

docker_ask() { # docker_ask WORD...: prints Docker's answer; status 1: it has no such network
    # Its warnings go to stderr, and must not be part of the answer.
    {
        said=$(timeout 60 docker "$@" 2>&1 >&3 3>&-) && return 0
    } 3>&1
    case $said in
    # Up to 20.10, and from 23.0 on.
    *'No such network'* | *'network '*' not found'*) return 1 ;;
    '') said='no answer within 60 s' ;;
    esac
    fail 24 "Docker does not answer: $(printf '%s\n' "$said" | tail -n 2 | cut -c 1-300)"
}

docker_facts() { # prints one of these, and nothing else:
    #   docker absent              neither dockerd nor docker is installed
    #   docker stopped             no dockerd runs; asking its socket would start it. What it has
    #                              left in nftables says: docker (stopped) nftables, and a list
    #   docker VERSION BACKEND     BACKEND is iptables or nftables; and in a second line a JSON list
    #                              with what `docker network inspect` says of every bridge network
    main=$(docker_main)
    if [ -z "$main" ]; then
        fact='docker stopped'
        command -v dockerd >/dev/null || command -v docker >/dev/null || fact='docker absent'
        # Where nft fails, this says nothing; a change is refused there, because the guard is.
        tables=$(nft list tables ip 2>/dev/null)
        [ "$fact" != 'docker absent' ] || tables=
        case $tables in
        *'table ip docker-bridges'*) printf '%s\n' 'docker (stopped) nftables' '[]' ;;
        *) echo "$fact" ;;
        esac
        return 0
    fi
    need docker docker.io
    if [ -n "$(find "$run/engine" -newer "$docker_pid" 2>/dev/null)" ]; then
        cat "$run/engine" || fail 15 "cannot read $run/engine"
    else
        docker_version
    fi
    docker_networks
}

docker_version() { # asked once for each start of Docker
    info=$(docker_ask info --format '{{json .}}') || exit
    version=$(printf '%s\n' "$info" | sed -n 's/.*"ServerVersion":"\([^" ]*\)".*/\1/p')
    # Up to 20.10 the client exits with 0 when the engine does not answer.
    said=$(printf '%s\n' "$info" | sed 's/.*"ServerErrors"://' | cut -c 1-300)
    [ -n "$version" ] || fail 24 "Docker does not answer: $said"
    backend=iptables
    case $info in *'"FirewallBackend":{"Driver":"nftables'*) backend=nftables ;; esac
    echo "docker $version $backend"
    # Docker may have been restarted during the call. The name is one that `take_lock` removes.
    if [ "$(docker_main)" = "$main" ] && [ -d "$run" ]; then
        known=$run/run.$$.engine
        echo "docker $version $backend" >"$known" && mv "$known" "$run/engine"
    fi || fail 15 "cannot write to $run"
}

docker_networks() {
    for attempt in 1 2 3; do
        ids=$(docker_ask network ls -q --no-trunc --filter driver=bridge) || exit
        [ -n "$ids" ] || { echo '[]' && return 0; }
        # shellcheck disable=SC2086 # one word for each
        networks=$(docker_ask network inspect $ids) && break
        # One of them was removed in between.
        [ $? = 1 ] || exit 24
        [ "$attempt" != 3 ] || fail 24 "Docker does not answer: its networks keep changing"
    done
    printf '%s\n' "$networks" | tr -d '\n'
    echo
}

docker_containers() { # docker_containers [drift]: a JSON list for each running container, with its name,
    # its label wanbound, and its compose project and service; with drift its default routes after it
    [ -n "$main" ] || return 0
    ids=$(docker_ask ps -q --no-trunc) || exit
    [ -n "$ids" ] || return 0
    format='{{json .Name}},{{json (index .Config.Labels "wanbound")}}'
    for key in project service; do
        format="$format,{{json (index .Config.Labels \"com.docker.compose.$key\")}}"
    done
    # One that has ended in between is left out; Docker says so on stderr, and by status 1.
    # shellcheck disable=SC2086 # one word for each
    timeout 60 docker inspect --type container --format "{{.State.Pid}} [$format]" $ids \
        >"$work/inspected" 2>/dev/null || [ $? = 1 ] ||
        fail 24 "Docker does not answer: no answer within 60 s"
    while read -r pid container; do
        printf '%s\n' "$container"
        families='4 6'
        [ "${1-}" = drift ] || families=
        for family in $families; do
            nsenter --net="/proc/$pid/ns/net" ip -"$family" -o route show default </dev/null 2>/dev/null |
                sed "s/^/ipv$family /"
        done
    done <"$work/inspected"
}
