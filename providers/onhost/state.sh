# --- state ---------------------------------------------------------------------------------------

state() { # state: everything that is in force, in sections that providers/live.py reads
    [ -d "$run" ] || mkdir -p -m 0700 "$run" || fail 15 "cannot write to $run"
    state_work=$(mktemp -d "$run/run.$$.XXXXXX") || fail 15 "cannot write to $run"
    trap 'rm -rf "$state_work"' EXIT
    # Beside the rest and not under the lock: Docker may take long, and repairs must not wait for it.
    docker_state >"$state_work/docker" 2>/dev/null &
    docker_job=$!
    take_lock
    tell_undone
    for family in ipv4 ipv6; do
        iptables_of "$family"
        if command -v "$tool-save" >/dev/null 2>&1; then
            for name in nat filter; do
                echo "== $family $name"
                "$tool-save" -t "$name" || fail 10 "$tool-save does not work here"
            done
        fi
    done
    need ip iproute2
    echo '== addresses'
    ip -o addr show
    echo '== routes'
    ip -4 route show default | sed 's/^/ipv4 /'
    ip -6 route show default 2>/dev/null | sed 's/^/ipv6 /'
    echo '== links'
    links_state
    echo '== sysctls'
    sysctls_state
    echo '== guard'
    if command -v nft >/dev/null 2>&1; then
        nft -s list table inet wanbound 2>/dev/null
    fi
    for file in "$etc"/*.rules; do
        [ ! -e "$file" ] || { echo "== fragment ${file##*/}" && awk 1 "$file"; }
    done
    exec 9>&-
    echo '== units'
    units_state
    echo '== docker'
    wait "$docker_job"
    cat "$state_work/docker"
    echo '== end'
}

links_state() { # NAME up|down of each link
    for link in /sys/class/net/*/flags; do
        name=${link%/flags}
        # A container may end between the listing and this line.
        read -r flags 2>/dev/null <"$link" || continue
        # IFF_UP (netdevice(7)).
        [ $((flags & 1)) = 0 ] && echo "${name##*/} down" || echo "${name##*/} up"
    done
}

sysctls_state() { # KEY = VALUE of each kernel parameter that the host's own fragment names
    [ -e "$etc/_host.rules" ] || return 0
    while read -r kind key _; do
        [ "$kind" = sysctl ] || continue
        parameter "$key"
        [ ! -e "$parameter" ] || echo "$key = $(cat "$parameter")"
    done <"$etc/_host.rules"
}

units_state() { # what became of each unit and of the script since they were written
    if [ -r "$self" ]; then
        digest=$(sha256sum <"$self")
        echo "script ${digest%% *}"
    else
        echo 'script missing'
    fi
    [ -d "$units" ] || { echo 'no systemd' && return; }
    for link in $enabled; do
        unit=${link#*/}
        case $unit in
        wanbound.service) text=$(boot_unit) ;;
        wanbound-docker.service) text=$(docker_unit) ;;
        *) text=$(watch_unit) ;;
        esac
        how=disabled
        [ ! -e "$units/$link" ] || how=enabled
        [ -e "$units/$unit" ] || how=missing
        as=edited
        [ "$(cat "$units/$unit" 2>/dev/null)" != "$text" ] || as=written
        [ "$unit" != wanbound-watch.service ] || as="$as $(watcher_state)"
        echo "$unit $how $as"
    done
}

watcher_state() { # active, also when it is just being started anew, or inactive
    [ -d /run/systemd/system ] || { echo inactive && return; }
    case $(systemctl show --value -p ActiveState -p Job wanbound-watch.service | tr '\n' ' ') in
    'active '* | *[1-9]*) echo active ;;
    *) echo inactive ;;
    esac
}

docker_state() { # NAME ID LABEL CONTAINERS of each bridge network, or `no docker`
    command -v docker >/dev/null 2>&1 || { echo 'no docker' && return; }
    networks=$(timeout 10 docker network ls -q --no-trunc --filter driver=bridge) ||
        { echo 'no docker' && return; }
    [ -n "$networks" ] || return 0
    # One that is removed meanwhile makes this fail, and the others are printed all the same.
    # shellcheck disable=SC2086 # one word for each
    timeout 10 docker network inspect -f '{{.Name}} {{.Id}} {{with index .Labels "wanbound"}}{{.}}{{else}}-{{end}} {{range $id, $it := .Containers}}{{$it.Name}},{{else}}-{{end}}' $networks |
        sed '/^$/d; s/,$//'
}
