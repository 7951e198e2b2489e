# --- what is in force ------------------------------------------------------------------------------
#
# All that is ours as the kernel prints it, in a form that repeats itself. After a load it is kept in
# $run/loaded (the kernel's state lives as long as /run); later the same print is compared with it. So
# nothing depends on how a version of iptables or nft spells a rule.

parts='guard host ipv4 ipv6'

read_rules() { # read_rules FAMILY FILE: iptables-save of it; empty where that is not installed
    iptables_of "$1"
    : >"$2" || return 1
    command -v "$tool-save" >/dev/null 2>&1 || return 0
    # By way of the shell: where not all of it can be written that says so, and they do not.
    saved=$("$tool-save" 2>/dev/null) && printf '%s\n' "$saved" >"$2"
}

hooks() { # hooks FILE: of iptables-save, what the places of our jumps depend on
    grep -E '^[*]|^-A (PREROUTING|OUTPUT|POSTROUTING|FORWARD|DOCKER-USER|INPUT) ' "$1" | {
        table='' seen='' isolated='' last='' hook=FORWARD
        while read -r word chain rule; do
            if [ "$word" != -A ]; then
                table=${word#?}
                continue
            fi
            case "$table $chain $rule" in
            'filter FORWARD -j DOCKER-ISOLATION'*) isolated=yes ;;
            # docker-ipv6nat may put its isolation before it: an accept there comes too late then.
            'filter FORWARD -j DOCKER-USER') [ -n "$isolated" ] || hook=DOCKER-USER ;;
            'filter INPUT '*) last=$rule ;;
            esac
            case $seen in
            *" $table $chain "*) ;;
            *)
                seen="$seen $table $chain "
                echo "first $table $chain $rule"
                ;;
            esac
            case $rule in '-j WANBOUND-'*) echo "jump $table $chain $rule" ;; esac
        done
        echo "last filter INPUT $last"
        echo "hook $hook"
    }
}

print_rules() { # print_rules FILE: of iptables-save, what is ours
    sed -n '/^\*/p; /^:WANBOUND-/s/ .*//p; /^-A WANBOUND-/p' "$1"
    hooks "$1" | while read -r line; do
        case $line in
        'jump '* | 'hook '*) echo "$line" ;;
        # Other people's rules may change as they like behind ours.
        'first '*' -j WANBOUND-'* | 'last '*' -j WANBOUND-'*) echo "$line" ;;
        esac
    done
}

print_guard() { # the table of the guard; the elements of a map have no order: each gets a line
    command -v nft >/dev/null 2>&1 || return 0
    listed=$(nft -s list table inet wanbound 2>/dev/null) || return 0
    printf '%s\n' "$listed" | sed "/^${tab}map /,/^$tab}/d"
    printf '%s\n' "$listed" | sed -n "/^${tab}map /,/^$tab}/p" | sed 's/, /,\
/g' | sed -n "
        /^${tab}map /{ s/^${tab}map \([^ ]*\) .*/\1/; h; d; }
        s/^.*elements = { //
        / : /!d
        s/^[$tab ]*//; s/ }\$//; s/,\$//
        / : verdict\$/d
        G
        s/^\(.*\)\n\(.*\)/element \2 \1/p" | sort
}

print_host() { # print_host GENERATION: its addresses wherever they are, its links and routes
    sed -n 's/^[^ ]* [^ ]* \([^/]*\)\/.*/ \1\//p' "$1/addresses" >"$work/ours" || return 1
    ip -o addr show >"$work/all" || return 1
    grep -F -f "$work/ours" "$work/all" |
        sed 's/^[0-9]*: //; s/\\.*//; s/ \(tentative\|optimistic\|noprefixroute\|nodad\|dynamic\)\b//g; s/ brd [^ ]*//; s/  */ /g; s/ $//' |
        sort
    while read -r device _; do
        flags=0
        read -r flags 2>/dev/null <"/sys/class/net/$device/flags"
        # IFF_UP (netdevice(7)).
        [ $((flags & 1)) = 0 ] && echo "$device down" || echo "$device up"
    done <"$1/links"
    while read -r family line; do
        routes=$(default_routes "$family") || return 1
        case "${routes%%"$newline"*} " in
        # Who set it, and its metric, are of no interest.
        "$line "*) echo "$family $line" ;;
        *) echo "$family ${routes%%"$newline"*}" ;;
        esac
    done <"$1/routes"
}

print_live() { # print_live GENERATION FOLDER: a file for each of $parts
    mkdir -p "$2" || return 1
    for family in ipv4 ipv6; do
        { read_rules "$family" "$work/$family.saved" && print_rules "$work/$family.saved" >"$2/$family"; } &
        eval "${family}_job=$!"
    done
    print_guard >"$2/guard" && print_host "$1" >"$2/host" || return 1
    # shellcheck disable=SC2154 # set by the eval above
    wait "$ipv4_job" && wait "$ipv6_job" && subnets "$1" >>"$2/ipv4"
}
