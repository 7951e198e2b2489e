# --- status ----------------------------------------------------------------------------------------
#
# The state of this host, for people and for providers/host/status.py. It takes no lock: it answers
# while a change is being made, too.

status() {
    work_folder
    status_generation
    echo '== rolled back'
    cat "$var/undone" 2>/dev/null
    echo '== watcher'
    if [ -d /run/systemd/system ]; then
        systemctl is-active wanbound-watch.service 2>/dev/null
    else
        echo 'no systemd'
    fi
    echo '== owned table'
    owned_table
    echo '== repairs'
    cat "$run/repairs" 2>/dev/null
    echo '== duplicates'
    sed -n 's/^addr del \([^/]*\).* dev \(.*\)/\1 \2/p' "$run/duplicates" 2>/dev/null
    status_counters 1
    echo '== containers'
    status_containers
    echo '== end'
}

status_generation() { # what is loaded, and a change that is not confirmed
    echo '== generation'
    for name in current confirmed; do echo "$name $(generation "$name")"; done
    [ ! -e "$etc/current/owner" ] || echo "owner $(cat "$etc/current/owner")"
    # Without the folder, nothing was loaded since the boot.
    if [ -e "$run/loaded" ]; then
        echo "loaded $(moment "$run/loaded")"
        compare_loaded || differs=', unreadable'
        [ -z "$differs" ] || echo "differs ${differs#, }"
    fi
    [ ! -L "$etc/current" ] || echo "changed $(moment "$etc/current")"
    echo '== pending'
    if ! read_armed; then
        :
    elif [ "$armed_boot" != "$(boot)" ]; then
        echo "$armed_token $phase before the host was rebooted, so it is rolled back next"
    else
        echo "$armed_token $phase $((deadline - $(uptime))) s until it rolls back"
    fi
}

status_counters() { # status_counters LEAST: by network; drops of at least so many packets
    echo '== networks'
    sort -u "$etc/current/bridges" 2>/dev/null | while read -r bridge; do status_bridge "$bridge"; done
    echo '== drops'
    status_drops "$1"
}

moment() { date -u -d "@$(stat -c %Y "$1")" +%Y-%m-%dT%H:%M:%SZ; } # a symbolic link's own

status_bridge() { # BRIDGE out PACKETS BYTES in PACKETS BYTES as ADDRESS…
    here=/sys/class/net/$1/statistics
    [ -d "$here" ] || { echo "$1 missing" && return; }
    line="$1 out $(cat "$here/rx_packets") $(cat "$here/rx_bytes")"
    line="$line in $(cat "$here/tx_packets") $(cat "$here/tx_bytes") as"
    for subnet in "@$1" $({ ip -4 route show dev "$1" proto kernel; ip -6 route show dev "$1" proto kernel; } |
        sed 's/ .*//'); do
        line=$line$(awk -v subnet="$subnet" '$1 == "from" && $2 == subnet { printf " %s", $3 }' "$etc/current/flows")
    done
    echo "$line"
}

status_drops() { # CHAIN PACKETS BYTES RULE: of the guard, what has dropped $1 packets since the load
    [ -e "$etc/current" ] && has_guard "$etc/current" || return 0
    nft list table inet wanbound >"$work/guard" || { echo unreadable && return; }
    awk -v least="$1" '
        $1 == "chain" { chain = $2 }
        match($0, /counter packets [0-9]+ bytes [0-9]+ /) {
            split(substr($0, RSTART, RLENGTH), counter, " ")
            if (counter[3] < least + 0) next
            rule = substr($0, 1, RSTART - 1) "counter " substr($0, RSTART + RLENGTH)
            gsub(/^[ \t]+/, "", rule)
            print chain, counter[3], counter[5], rule
        }' "$work/guard"
}

status_containers() { # BRIDGE NAME ADDRESSES|none ipv4|ipv6 LINK…: by which link its default routes go
    [ -n "$(docker_main)" ] && command -v docker >/dev/null || { echo 'docker stopped' && return; }
    ids=$(timeout 30 docker network ls -q --filter driver=bridge) &&
        running=$(timeout 30 docker ps -q) || { echo 'docker silent' && return; }
    inspect "$work/networks" "$ids" network inspect -f '{{.Id}} {{index .Options "com.docker.network.bridge.name"}}' &&
        inspect "$work/containers" "$running" inspect -f '{{.State.Pid}} {{.Name}}{{range .NetworkSettings.Networks}} {{.NetworkID}},{{.IPAddress}},{{.GlobalIPv6Address}}{{end}}' ||
        { echo 'docker silent' && return; }
    sed 's/^\(.\{12\}\)\([^ ]*\) *\(<no value>\)\{0,1\}$/\1\2 br-\1/' "$work/networks" >"$work/bridges"
    ip -o addr show | sed 's/^[0-9]*: \([^ ]*\) *inet6\{0,1\} \([^/ ]*\).*/\2 \1/' >"$work/gateways"
    while read -r process name attached; do
        status_container "$process" "${name#/}" "$attached"
    done <"$work/containers"
}

inspect() { # inspect FILE IDS WORD…: Docker's answer about them; fails without an answer in time
    file=$1 ids=$2
    shift 2
    : >"$file"
    [ -n "$ids" ] || return 0
    # shellcheck disable=SC2086 # one word for each
    timeout 30 docker "$@" $ids >"$file" && return
    # Docker also fails if one of them was removed meanwhile, and then prints the others.
    [ $? != 124 ] && [ -s "$file" ]
}

status_container() { # status_container PROCESS NAME ATTACHED
    routes=
    for one in $3; do
        bridge=$(sed -n "s/^${one%%,*} //p" "$work/bridges")
        grep -qxF "${bridge:-none}" "$etc/current/bridges" 2>/dev/null || continue
        [ -n "$routes" ] || routes=$(default_links "$1")
        inside=${one#*,}
        inside=${inside#,}
        inside=${inside%,}
        echo "$bridge $2 ${inside:-none}$routes"
    done
}

default_links() { # default_links PROCESS: ` ipv4 LINK` and ` ipv6 LINK`, those of this host
    for family in 4 6; do
        via=$(nsenter -t "$1" -n ip "-$family" route show default 2>/dev/null |
            sed -n '1s/.* via \([^ ]*\) .*/\1/p')
        [ -n "$via" ] || continue
        link=$(sed -n "s/^$via //p" "$work/gateways" | head -n 1)
        printf ' ipv%s %s' "$family" "${link:-$via}"
    done
}
