# --- the host itself: links, default routes, kernel parameters -------------------------------------

host_plan() { # host_plan FOLDER: what /etc/wanbound/_host.rules wants, what is, what was before us
    final=$etc/_host.rules
    [ ! -e "$1/next/_host.rules" ] || final=$1/next/_host.rules
    ! removes_host "$1" || final=/dev/null
    [ -e "$final" ] || final=/dev/null
    was=$etc/_host.was
    [ -e "$was" ] || was=/dev/null
    [ "$final$was" != /dev/null/dev/null ] || return 0
    # Before forwarding is turned on: with it goes the default route of router advertisements, unless
    # accept_ra is 2 by then (networking/ip-sysctl, accept_ra).
    awk '
        $1 == "sysctl" && $2 ~ /accept_ra$/ { print; next }
        $1 == "sysctl" { parameters = parameters $0 "\n"; next }
        $1 == "link" || $1 == "route" { others = others $0 "\n" }
        END { printf "%s%s", others, parameters }' "$final" >"$1/host.want" || return 1
    awk '
        $1 == "sysctl" || $1 == "link" || $1 == "route" { if (!seen[$1 " " $2]++) print $1, $2 }' \
        "$1/host.want" "$was" >"$1/host.keys" || return 1
    while read -r kind key; do
        host_now "$kind" "$key" || return 1
    done <"$1/host.keys" >"$1/host.now"
    # What was there before we first touched it stays on record until it is given back.
    awk -v back="$1/host.back" '
        FILENAME == ARGV[1] { wanted[$1 " " $2]; next }
        FILENAME == ARGV[2] {
            if (($1 " " $2) in wanted) { print; known[$1 " " $2] } else print >back
            next
        }
        ($1 " " $2) in wanted && !(($1 " " $2) in known)' \
        "$1/host.want" "$was" "$1/host.now" >"$1/host.was"
}

removes_host() { # removes_host FOLDER: whether the bundle removes the host's own fragment
    [ -s "$1/removed" ] || return 1
    while read -r gone; do
        [ "$gone" != _host ] || return 0
    done <"$1/removed"
    return 1
}

host_now() { # host_now KIND KEY: how it is at this moment, as a line of _host.was
    case $1 in
    sysctl)
        parameter "$2" || return 1
        [ -e "$parameter" ] || return 0
        # Not `read`: byte by byte, as it does it, a parameter has one.
        value=$(cat "$parameter") && echo "sysctl $2 $value"
        ;;
    link)
        [ ! -e "/sys/class/net/$2" ] || {
            read -r flags <"/sys/class/net/$2/flags"
            # IFF_UP (netdevice(7)).
            [ $((flags & 1)) = 1 ] && echo "link $2 up" || echo "link $2 down"
        }
        ;;
    route)
        # Not known is not none: what is none here will be deleted one day.
        routes=$(default_routes "$2") || return 1
        echo "${routes:-none}" | while read -r value; do
            echo "route $2 $value" || exit 1
        done
        ;;
    esac
}

newline='
'

default_routes() { # default_routes FAMILY: one a line, as `ip route add` takes them
    shown=$(ip "-${1#ipv}" route show default) || return 1
    [ -z "$shown" ] || echo "$shown" | sed 's/ linkdown\b//; s/ dead\b//; s/\(expires [0-9]*\)sec/\1/; s/ *$//'
}

parameter() { # parameter KEY: sets $parameter to its file; dots and slashes as in sysctl(8)
    parameter=/proc/sys/$(echo "$1" | tr ./ /.)
}

host_check() { # host_check FOLDER: fails when the host lacks what _host.rules names
    [ -s "$1/host.want" ] || return 0
    while read -r kind key value; do
        case $kind in
        sysctl)
            parameter "$key"
            [ -e "$parameter" ] || fail 10 "this kernel has no parameter $key"
            ;;
        link) [ -e "/sys/class/net/$key" ] || fail 10 "there is no interface $key here" ;;
        esac
    done <"$1/host.want"
}

host_links() { # host_links FOLDER: up before anything needs them
    [ -s "$1/host.want" ] || return 0
    while read -r kind device how; do
        [ "$kind" != link ] || [ "$(host_now link "$device")" = "link $device $how" ] ||
            ip link set dev "$device" "$how" || return 1
    done <"$1/host.want"
}

host_load() { # host_load FOLDER: parameters and routes that are not as they should be
    [ -e "$1/host.want" ] || return 0
    while read -r kind key value; do
        case $kind in
        sysctl)
            [ "$(host_now sysctl "$key")" = "sysctl $key $value" ] || set_parameter "$key" "$value" ||
                return 1
            ;;
        route)
            best=$(default_routes "$key") || return 1
            case "${best%%"$newline"*} " in
            "$value "*) ;;
            *) add_route "$key" "$value" || return 1 ;;
            esac
            ;;
        esac
    done <"$1/host.want"
    [ ! -s "$1/host.back" ] || give_back "$1/host.back"
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

give_back() { # give_back FILE: links, parameters and routes as a file in the manner of _host.was says
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
        had=$newline named=
        while read -r kind key value; do
            [ "$kind $key" = "route $family" ] || continue
            named=yes
            [ "$value" = none ] || had=$had$value$newline
        done <"$1"
        [ -z "$named" ] || give_back_routes "$family" || back=1
    done
    return "$back"
}

give_back_routes() { # give_back_routes FAMILY: its default routes are those in $had, a line each
    now=$newline$(default_routes "$1")$newline || return 1
    echo "$had" | while read -r route; do
        case $now in *"$newline$route$newline"*) continue ;; esac
        # shellcheck disable=SC2086 # words of a route
        [ -z "$route" ] || ip "-${1#ipv}" route replace $route || exit 1
    done || return 1
    now=$(default_routes "$1") || return 1
    echo "$now" | while read -r route; do
        case $had in *"$newline$route$newline"*) continue ;; esac
        # shellcheck disable=SC2086 # words of a route
        [ -z "$route" ] || ip "-${1#ipv}" route del $route || exit 1
    done
}
