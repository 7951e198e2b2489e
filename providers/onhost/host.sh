# --- the host itself: links, default routes, kernel parameters -------------------------------------
#
# What was there before us is kept in a generation, a line each, and given back when it is not wanted
# any more: `sysctl KEY VALUE`, `link DEV up|down`, `route FAMILY ROUTE|none`.

host_keys() { # host_keys FILE…: KIND KEY of what generations or records name
    sed -n 's/^\([^ ]*\) = .*/sysctl \1/p' "$1/sysctls"
    sed 's/^\([^ ]*\) .*/link \1/' "$1/links"
    sed 's/^\([^ ]*\) .*/route \1/' "$1/routes"
}

host_now() { # host_now KIND KEY: how it is at this moment
    case $1 in
    sysctl)
        parameter "$2"
        [ -e "$parameter" ] || return 0
        # `read` reads one byte at a time, and a parameter returns its value to the first read only.
        value=$(cat "$parameter") && echo "sysctl $2 $value"
        ;;
    link)
        flags=
        # IFF_UP (netdevice(7)).
        read -r flags 2>/dev/null <"/sys/class/net/$2/flags" || return 0
        [ $((flags & 1)) = 1 ] && echo "link $2 up" || echo "link $2 down"
        ;;
    route)
        # Not known is not none: what is none here will be deleted one day.
        routes=$(default_routes "$2") || return 1
        echo "${routes:-none}" | sed "s/^/route $2 /"
        ;;
    esac
}

default_routes() { # default_routes FAMILY: one a line, the best first, as `ip route add` takes them
    shown=$(ip -o "-${1#ipv}" route show default) || return 1
    # A route with several next hops has them behind backslashes.
    [ -z "$shown" ] || printf '%s\n' "$shown" | tr "$tab\\\\" '  ' |
        sed 's/ linkdown\b//g; s/ dead\b//g; s/\(expires [0-9]*\)sec/\1/; s/  */ /g; s/ *$//'
}

parameter() { # parameter KEY: sets $parameter to its file; dots and slashes as in sysctl(8)
    parameter=/proc/sys/$(echo "$1" | tr ./ /.)
}

record_host() { # record_host NEW OLD: what is there now, and what was there before we touched it
    host_keys "$1" | sort -u >"$work/keys.new"
    cut -d' ' -f1,2 "$2/was" | sort -u >"$work/keys.old"
    sort -u "$work/keys.new" "$work/keys.old" | while read -r kind key; do
        host_now "$kind" "$key" || return 1
    done >"$1/before" || return 1
    sed 's/$/ /' "$work/keys.new" >"$work/wanted"
    sed 's/$/ /' "$work/keys.old" >"$work/known"
    grep -F -f "$work/wanted" "$2/was" >"$1/was"
    grep -F -f "$work/wanted" "$1/before" | grep -vF -f "$work/known" >>"$1/was"
    grep -vF -f "$work/wanted" "$2/was" >"$1/back"
    return 0
}

host_links() { # host_links GENERATION: up before anything needs them
    while read -r device how; do
        [ "$(host_now link "$device")" = "link $device $how" ] || ip link set dev "$device" "$how" || return 1
    done <"$1/links"
}

host_load() { # host_load GENERATION: parameters and routes that are not as they should be
    while read -r key _ value; do
        [ "$(host_now sysctl "$key")" = "sysctl $key $value" ] || set_parameter "$key" "$value" || return 1
    done <"$1/sysctls"
    while read -r family line; do
        best=$(default_routes "$family") || return 1
        case "${best%%"$newline"*} " in
        "$line "*) ;;
        *) add_route "$family" "$line" || return 1 ;;
        esac
    done <"$1/routes"
}

set_parameter() { # set_parameter KEY VALUE
    parameter "$1" && echo "$2" >"$parameter"
}

add_route() { # add_route FAMILY LINE: better than any other, which stays where it is
    metric=
    # 0 is the best in IPv4 and what `ip` takes unasked; in IPv6 it stands for 1024.
    [ "$1" = ipv4 ] || metric="metric 1"
    # shellcheck disable=SC2086 # words of a route
    refused=$(ip "-${1#ipv}" route replace $2 proto static $metric 2>&1) && return
    case $refused in
    *'invalid gateway'* | *unreachable* | *'No route to host'*)
        # A gateway outside all subnets of the link, as hosters have them.
        # shellcheck disable=SC2086 # words of a route
        ip "-${1#ipv}" route replace $2 proto static $metric onlink
        ;;
    *)
        echo "$refused" >&2
        return 1
        ;;
    esac
}

give_back() { # give_back FILE: links, parameters and routes as a record says
    back=0
    while read -r kind key value; do
        case $kind in
        link)
            [ ! -e "/sys/class/net/$key" ] || [ "$(host_now link "$key")" = "link $key $value" ] ||
                ip link set dev "$key" "$value" || back=1
            ;;
        sysctl)
            [ "$(host_now sysctl "$key")" = "sysctl $key $value" ] || set_parameter "$key" "$value" ||
                back=1
            ;;
        esac
    done <"$1"
    for family in ipv4 ipv6; do
        ! grep -q "^route $family " "$1" || give_back_routes "$family" "$1" || back=1
    done
    return "$back"
}

give_back_routes() { # give_back_routes FAMILY FILE: its default routes are those of the record
    sed -n "s/^route $1 //p" "$2" | grep -vx none >"$work/had"
    default_routes "$1" >"$work/have" || return 1
    grep -vxF -f "$work/have" "$work/had" | while read -r route; do
        # shellcheck disable=SC2086 # words of a route
        ip "-${1#ipv}" route replace $route || exit 1
    done || return 1
    default_routes "$1" >"$work/have" || return 1
    grep -vxF -f "$work/had" "$work/have" | while read -r route; do
        # shellcheck disable=SC2086 # words of a route
        ip "-${1#ipv}" route del $route || exit 1
    done
}
