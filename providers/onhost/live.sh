# --- what is in force ------------------------------------------------------------------------------
#
# Prints all that is ours as the kernel shows it, always in the same form. After a load the print is
# kept in $run/loaded (the kernel's state lives as long as /run); later prints are compared with it.
# So nothing depends on how a version of iptables or nft spells a rule.

parts='guard host ipv4 ipv6'

iptables_of() { # iptables_of FAMILY: sets $tool to the stem of the family's commands
    tool=iptables
    [ "$1" = ipv4 ] || tool=ip6tables
}

is_legacy() { iptables -V 2>/dev/null | grep -q legacy; } # whether its rules are not those of nft

read_rules() { # read_rules FAMILY FILE: iptables-save of it; empty where that is not installed
    iptables_of "$1"
    : >"$2" || return 1
    command -v "$tool-save" >/dev/null 2>&1 || return 0
    # Through the shell, which reports an incomplete write; these programs do not.
    saved=$("$tool-save" 2>/dev/null) && printf '%s\n' "$saved" >"$2"
}

beside_others() { # beside_others GENERATION FAMILY: whether it is in nftables, except one accept
    read -r first <"$1/$2.rules" && [ "$first" = '# beside others' ]
}

hook() { # hook GENERATION FAMILY: the chain of $work/FAMILY.saved for the jump to WANBOUND-FORWARD
    # docker-ipv6nat may put Docker's isolation before DOCKER-USER: an accept there would be too late.
    case $(grep -m 1 -E '^-A FORWARD -j DOCKER-(USER|ISOLATION)' "$work/$2.saved") in
    *-USER) echo DOCKER-USER ;;
    *)
        # If iptables lets everything pass, no accept is needed there.
        if beside_others "$1" "$2" &&
            ! grep -v WANBOUND- "$work/$2.saved" | grep -q -e '^:FORWARD DROP' -e '^-A FORWARD '; then
            echo none
        else
            echo FORWARD
        fi
        ;;
    esac
}

print_rules() { # print_rules GENERATION FAMILY: what is ours in $work/FAMILY.saved
    awk -v hook="$(hook "$1" "$2")" '
        function ours(line) {
            # Not a table without any: Docker makes `raw` with its first network, and that is no difference.
            if (table != shown) print "*" table
            shown = table
            print line
        }
        /^\*/ { table = substr($0, 2) }
        /^:WANBOUND-/ { ours($1) }
        $1 != "-A" { next }
        $2 ~ /^WANBOUND-/ { ours($0) }
        / -j WANBOUND-/ && (table == "nat" || table == "filter") { jumps[table, ++count[table]] = substr($0, 4) }
        {
            last[table ":" $2] = table " " substr($0, 4)
            if (!((table ":" $2) in first)) first[table ":" $2] = last[table ":" $2]
        }
        END {
            print "hook " hook
            for (one = 1; one <= count["nat"]; one++) print "jump nat " jumps["nat", one]
            for (one = 1; one <= count["filter"]; one++) print "jump filter " jumps["filter", one]
            # Whether they are in their place. Rules of other programs after ours may change.
            places = split("nat:PREROUTING nat:OUTPUT nat:POSTROUTING filter:FORWARD filter:DOCKER-USER", place)
            for (one = 1; one <= places; one++) if (first[place[one]] ~ / -j WANBOUND-/) print "first " first[place[one]]
            if (last["filter:INPUT"] ~ / -j WANBOUND-/) print "last " last["filter:INPUT"]
        }' "$work/$2.saved"
}

print_guard() { # print_guard GENERATION: the table; elements of a map have no order: a line for each
    command -v nft >/dev/null 2>&1 || return 0
    if ! listed=$(nft -s list table inet wanbound 2>/dev/null); then
        # A failure does not prove that the table is missing: there may be another reason. If no
        # guard is wanted, the kernel may not support nft.
        tables=$(nft list tables inet 2>"$work/refused") || {
            ! has_guard "$1" || { cat "$work/refused" >&2 && return 1; }
            return 0
        }
        case "$tables$newline" in *" inet wanbound$newline"*) return 1 ;; esac
        return 0
    fi
    : >"$work/elements" && printf '%s\n' "$listed" | awk -v elements="$work/elements" '
        /^\tmap / { map = $2; next }
        map == "" { print; next }
        /^\t[}]/ { map = ""; next }
        {
            if (at = index($0, "elements = { ")) $0 = substr($0, at + 13)
            pairs = split($0, pair, /, /)
            for (one = 1; one <= pairs; one++) {
                sub(/^[\t ]*/, "", pair[one])
                sub(/( [}]|,)$/, "", pair[one])
                if (pair[one] ~ / : / && pair[one] !~ / : verdict$/) print "element", map, pair[one] >elements
            }
        }' && sort "$work/elements"
}

print_host() { # print_host GENERATION: its addresses wherever they are, its links and routes
    # An address that another machine has (dadfailed) is reported; a load does not repair it.
    read_addresses || return 1
    # The extra line: for busybox, an empty file of patterns matches everything.
    {
        sed 's/^addr replace \([^/]*:[^/]*\/\).*/ inet6 \1/
            s/^addr replace \([^/]*\/\).*/ inet \1/' "$1/addresses" && echo '#'
    } >"$work/ours" || return 1
    grep -F -f "$work/ours" "$work/shown" |
        sed 's/^[0-9]*: //; s/\\.*//; s/ \(tentative\|dadfailed\|optimistic\|noprefixroute\|nodad\|dynamic\)\b//g; s/ brd [^ ]*//; s/  */ /g; s/ $//' |
        sort
    sed '/^sysctl /d' "$1/host" | while read -r kind key value; do
        now=$(host_now "$kind" "$key") || exit 1
        now=${now%%"$newline"*}
        # The origin of a route and its metric do not matter.
        case "$now " in "$kind $key $value "*) now="$kind $key $value" ;; esac
        [ -z "$now" ] || echo "$now"
    done
}

print_live() { # print_live GENERATION FOLDER: a file for each of $parts
    mkdir -p "$2" || return 1
    # In parallel with the rest: with many networks each of them takes long.
    for family in ipv4 ipv6; do
        read_rules "$family" "$work/$family.saved" &&
            print_rules "$1" "$family" >"$2/$family" || exit 1
    done &
    rules_job=$! unread=0
    print_guard "$1" >"$2/guard" && print_host "$1" >"$2/host" || unread=1
    wait "$rules_job" && [ "$unread" = 0 ] && subnets "$1" >>"$2/ipv4"
}
