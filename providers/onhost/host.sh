# --- the host itself: links, kernel parameters, default routes -------------------------------------
#
# One line each, as in ID/host: `link DEV up|down`, `sysctl KEY VALUE`, `route FAMILY ROUTE|none`. A
# generation records the settings before wanbound. They are restored when a line is not wanted.

parameter() { # parameter KEY: its file; dots and slashes as in sysctl(8)
    echo "/proc/sys/$(echo "$1" | tr ./ /.)"
}

host_now() { # host_now KIND KEY: its present state; nothing where it does not exist
    case $1 in
    sysctl)
        # `read` reads one byte at a time, and a parameter returns its value to the first read only.
        value=$(cat "$(parameter "$2")" 2>/dev/null) && echo "sysctl $2 $value"
        ;;
    link)
        flags=
        # IFF_UP (netdevice(7)).
        if read -r flags 2>/dev/null <"/sys/class/net/$2/flags"; then
            case $((flags & 1)) in 1) echo "link $2 up" ;; *) echo "link $2 down" ;; esac
        fi
        ;;
    route)
        # "Unknown" must not become "none": a route recorded as none is deleted later.
        routes=$(default_routes "$2") || return 1
        echo "${routes:-none}" | sed "s/^/route $2 /"
        ;;
    esac
    return 0
}

default_routes() { # default_routes FAMILY: one a line, the best first, as `ip route add` takes them
    shown=$(ip -o "-${1#ipv}" route show default) || return 1
    # A route for some sources only is not the host's default route. Several next hops follow backslashes.
    # The time until a route expires differs in each reading, and must not make two routes of one.
    [ -z "$shown" ] || printf '%s\n' "$shown" | tr "$tab\\\\" '  ' |
        sed '/^default from /d; s/ linkdown\b//g; s/ dead\b//g; s/ expires [0-9]*sec//; s/  */ /g; s/ *$//'
}

set_host() { # set_host FILE: sets its links and parameters that exist and differ
    sed '/^route /d' "$1" | while read -r kind key value; do
        case $(host_now "$kind" "$key") in '' | "$kind $key $value") continue ;; esac
        case $kind in
        link) ip link set dev "$key" "$value" ;;
        *) echo "$value" >"$(parameter "$key")" ;;
        esac || exit 1
    done
}

set_routes() { # set_routes FILE: its routes are better than any other; the others stay
    sed -n 's/^route //p' "$1" | while read -r family route; do
        best=$(default_routes "$family") || exit 1
        case "${best%%"$newline"*} " in "$route "*) continue ;; esac
        metric=
        # In IPv4, 0 is the best metric and the default of `ip`; in IPv6, 0 means 1024.
        [ "$family" = ipv4 ] || metric='metric 1'
        change_route replace "$family" "$route proto static $metric" 2>"$work/refused" && continue
        # The gateway is outside all subnets of the link, as with some hosters.
        if ! grep -q -e 'invalid gateway' -e unreachable -e 'No route to host' "$work/refused"; then
            cat "$work/refused" >&2
            exit 1
        fi
        change_route replace "$family" "$route proto static $metric onlink" || exit 1
    done
}

change_route() { # change_route replace|del FAMILY ROUTE
    # shellcheck disable=SC2086 # words of a route
    ip "-${2#ipv}" route "$1" $3
}

give_back() { # give_back FILE: restores links, parameters and routes from a record
    set_host "$1" || return 1
    for family in ipv4 ipv6; do
        grep -q "^route $family " "$1" || continue
        { sed -n "s/^route $family //p" "$1" | matching -vx none && echo '#'; } >"$work/had" &&
            { default_routes "$family" && echo '#'; } >"$work/have" &&
            matching -vxF -f "$work/have" "$work/had" >"$work/missing" &&
            each_route replace "$family" "$work/missing" && default_routes "$family" >"$work/have" &&
            matching -vxF -f "$work/had" "$work/have" >"$work/extra" &&
            each_route del "$family" "$work/extra" || return 1
    done
}

each_route() { # each_route replace|del FAMILY FILE
    while read -r route; do
        change_route "$1" "$2" "$route" || return 1
    done <"$3"
}
