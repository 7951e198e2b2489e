# --- loading a generation --------------------------------------------------------------------------

has_rules() { grep -q '^:' "$1/$2.rules"; } # has_rules GENERATION|FOLDER FAMILY
has_guard() { [ -s "$1/guard.nft" ]; } # has_guard GENERATION

check() { # check GENERATION: fails if it cannot be loaded on this host; changes nothing
    ! has_guard "$1" || need nft nftables
    for family in ipv4 ipv6; do
        iptables_of "$family"
        has_rules "$1" "$family" && ! beside_others "$1" "$family" || continue
        need "$tool-save" iptables
        need "$tool-restore" iptables
    done
    while read -r _ _ _ _ device _; do
        [ -e "/sys/class/net/$device" ] || fail 10 "there is no interface $device here"
    done <"$1/addresses"
    while read -r kind key _; do
        [ -n "$(host_now "$kind" "$key")" ] || fail 10 "there is no $kind $key here"
    done <"$1/host"
    while read -r bridge; do
        [ ! -e "/sys/class/net/$bridge" ] || fail 18 "the bridge $bridge still exists"
    done <"$1/absent"
}

subnets() { # subnets GENERATION: `subnet LINK SUBNET` for each that a rule asks for
    links=$(sed -n 's/.* -s @\([^ ]*\) .*/\1/p' "$1/ipv4.rules") || return 1
    [ -z "$links" ] || printf '%s\n' "$links" | subnets_of_links
}

subnets_of_links() { # the same, of the links on its input
    sort -u | while read -r link; do
        subnet=$(ip -4 route show dev "$link" proto kernel scope link 2>/dev/null | head -n 1)
        subnet=${subnet%% *}
        # While the link does not exist: a subnet that matches no packet.
        echo "subnet $link ${subnet:-0.0.0.0/32}"
    done
}

escaped_links() { # the lines of `subnets`, with each link as a pattern of sed
    sed -e ':again' -e 's/^\(subnet [^ ]*[^\\ ]\)\.\([^ ]* \)/\1\\.\2/' -e 't again'
}

leftovers() { # leftovers TABLE FAMILY: the lines that remove the jumps and the unwanted chains
    # There, chains come before rules. But a jump must be removed before its chain: so hold these.
    sed -n "/^\*$1\$/,/^COMMIT/!d
        $wanted
        s/^-A \(.* -j WANBOUND-\)/-D \1/p
        s/^:\(WANBOUND-[^ ]*\) .*/-F \1/
        /^-F /H
        /^COMMIT/{ x; s/^\n//; /./p; s/-F /-X /g; /./p; }" "$work/$2.saved"
}

compose() { # compose GENERATION FAMILY: $work/FAMILY.restore, or nothing where there is nothing to do
    : >"$work/$2.restore"
    [ "$2" = ipv6 ] || : >"$work/subnets"
    read_rules "$2" "$work/$2.saved" && hook=$(hook "$1" "$2") && echo "$hook" >"$work/$2.hook" || return 1
    rules=$1/$2.rules
    if [ "$hook" = none ]; then
        # Load only the lines that remove the old rules.
        rules=$work/$2.rules
        sed '/^[:-]/d' "$1/$2.rules" >"$rules" || return 1
    fi
    wanted=$(sed -n 's/^\(:[^ ]* \).*/\/^\1\/d/p' "$rules") || return 1
    [ -n "$wanted" ] || grep -q WANBOUND- "$work/$2.saved" || return 0
    for table in nat filter; do
        leftovers "$table" "$2" >"$work/$2.$table" || return 1
    done
    echo "s/^-I @hook /-I $hook /" >"$work/$2.edits" || return 1
    if [ "$2" = ipv4 ]; then
        subnets "$1" >"$work/subnets" || return 1
        [ ! -s "$work/subnets" ] ||
            escaped_links <"$work/subnets" | sed 's|subnet \(.*\) \(.*\)|s# -s @\1 # -s \2 #|' \
                >>"$work/$2.edits" || return 1
    fi
    sed -e "/^# jumps nat\$/r $work/$2.nat" -e "/^# jumps filter\$/r $work/$2.filter" \
        -f "$work/$2.edits" "$rules" >"$work/$2.restore"
}

restore() { # restore GENERATION [--test]: the rules of both families, at the same time
    restore_family "$1" ipv4 ${2:+"$2"} &
    ipv4_job=$! refused=0
    restore_family "$1" ipv6 ${2:+"$2"} || refused=1
    wait "$ipv4_job" || refused=1
    return "$refused"
}

restore_family() { # restore_family GENERATION FAMILY [--test]
    compose "$1" "$2" || return 1
    [ -s "$work/$2.restore" ] || return 0
    iptables_of "$2"
    "$tool-restore" --noflush -w 10 ${3:+"$3"} <"$work/$2.restore"
}

load_guard() { # load_guard GENERATION: loads it, as a copy if there is a table already
    [ ! -e "$run/copy" ] || drop_copy || return 1
    has_guard "$1" || return 0
    tables=$(nft list tables inet) || return 1
    case "$tables$newline" in
    # While the kernel replaces a table, packets may find neither the old rules nor the new ones:
    # interval maps are filled in the last step of the transaction. A copy filters meanwhile. Until
    # the new iptables rules are loaded, the old table sets the marks that the old rules accept.
    *" inet wanbound$newline"*)
        : >"$run/copy" && sed 's/^\(.*table inet wanbound\)/\1-copy/' "$1/guard.nft" | nft -f -
        ;;
    *) nft -f "$1/guard.nft" ;;
    esac
}

replace_guard() { # replace_guard GENERATION: the old table, while the copy filters beside it
    [ ! -e "$run/copy" ] || { nft -f "$1/guard.nft" && drop_copy; }
}

drop_copy() { # the copy of the guard, also that of an interrupted load
    nft 'add table inet wanbound-copy; delete table inet wanbound-copy' && rm -f "$run/copy"
}

test_load() { # test_load GENERATION
    ! has_guard "$1" || nft -c -f "$1/guard.nft" &
    guard_job=$! refused=0
    restore "$1" --test || refused=1
    wait "$guard_job" || fail 11 "nft refuses the guard"
    [ "$refused" = 0 ] || fail 11 "iptables-restore refuses the rules"
}

renamed_bridges() { # renamed_bridges GENERATION: NAME BRIDGE of those that had another name in this boot
    [ -e "$run/bridges" ] || return 0
    while read -r bridge index; do
        if [ -e "/sys/class/net/$bridge" ] || ! grep -qxF "$bridge" "$1/bridges"; then continue; fi
        # Not its status: an interface that goes meanwhile is an error for grep.
        name=$(grep -lxs "$index" /sys/class/net/*/ifindex)
        [ -n "$name" ] || continue
        name=${name%/ifindex}
        echo "${name##*/} $bridge"
    done <"$run/bridges"
}

rename_bridges() { # rename_bridges GENERATION: back to the name under which we knew them
    renamed_bridges "$1" | while read -r name bridge; do
        say "the bridge $bridge was renamed to $name; renaming it to $bridge"
        # From Linux 6.2 on a link may be renamed while it is up.
        ip link set dev "$name" name "$bridge" 2>/dev/null ||
            # One program, so a kill of this script does not leave it down.
            printf 'link set dev %s\n' "$name down" "$name name $bridge" "$bridge up" | ip -batch - ||
            ip link set dev "$name" up
    done
}

know_bridges() { # know_bridges GENERATION: records BRIDGE INDEX of each, also if it has another name now
    { sed 's/.*/& &/' "$1/bridges" && renamed_bridges "$1"; } | while read -r name bridge; do
        index=
        read -r index 2>/dev/null <"/sys/class/net/$name/ifindex" || continue
        echo "$bridge $index"
    done >"$work/bridges" && mv "$work/bridges" "$run/bridges"
}

read_addresses() { ip -o addr show >"$work/shown"; } # those of this host, for the functions below

live_addresses() { # live_addresses [FLAG]: those read, as what removes it: addr del ADDRESS/LENGTH dev DEV
    sed -n "${1:+/ $1 /}s/^[0-9]*: \([^ ]*\) *inet6\{0,1\} \([^ ]*\) .*/addr del \2 dev \1/p" "$work/shown"
}

live_scopes() { # those of IPv4, each as a line of a generation
    sed -n 's/^[0-9]*: \([^ ]*\) *inet \([^ ]*\) .*\(scope [^ ]*\) .*/addr replace \2 dev \1 \3/p' "$work/shown"
}

wanted_addresses() { # wanted_addresses FILE…: those of generations, in the same form
    sed 's/^addr replace \([^ ]* dev [^ ]*\).*/addr del \1/' "$@"
}

asked() { # asked FILE: the addresses of a generation, in the form in which the kernel's are compared
    sed 's/ nodad$//' "$1"
}

with_scope() { # turns what removes an address into the beginning of a generation's line with a scope
    sed 's/^addr del \(.*\)/addr replace \1 scope /'
}

to_scope() { # to_scope FILE: for `ip -batch`, what gives addresses that are in $work/live the scope in FILE
    live_scopes >"$work/scopes" && asked "$1" >"$work/asked" &&
        { with_scope <"$work/live" && echo '#'; } >"$work/here" || return 1
    grep -F -f "$work/here" "$work/asked" | grep -vxF -f "$work/scopes" | while read -r _ _ address _ device scope; do
        # `ip addr replace` keeps the scope. With a second prefix the address is never gone, and
        # routes that have it as `src` stay.
        echo "addr replace ${address%/32}/31 dev $device $scope noprefixroute"
        echo "addr del $address dev $device"
        echo "addr add $address dev $device $scope"
        echo "addr del ${address%/32}/31 dev $device"
    done
}

addresses() { # addresses GENERATION: adds them, or moves them to their place
    # For busybox, an empty file of patterns matches everything: so each file gets an extra line.
    read_addresses && live_addresses >"$work/live" &&
        { wanted_addresses "$1/addresses" && echo '#'; } >"$work/right" || return 1
    # The same address on another interface, or with another prefix.
    sed 's/^addr del\( [^/]*\/\).*/\1/' "$work/right" >"$work/ours" || return 1
    grep -F -f "$work/ours" "$work/live" | matching -vxF -f "$work/right" >"$work/batch" || return 1
    # An address that another machine had: the kernel checks it again when it is added again.
    live_addresses dadfailed | matching -xF -f "$work/right" >>"$work/batch" &&
        to_scope "$1/addresses" >>"$work/batch" && cat "$1/addresses" >>"$work/batch" && ip -batch "$work/batch"
}

end_addresses() { # removes those of other generations
    wanted_addresses "$etc"/*/addresses | sort -u | grep -vxF -f "$work/right" |
        matching -xF -f "$work/live" >"$work/batch" && ip -batch "$work/batch"
}

load() { # load GENERATION [guarded]: into the kernel; `guarded`: its guard is in force already
    rename_bridges "$1"
    true >"$work/ended" || return 1
    # No retry if the kernel refuses something. Rules that were flushed meanwhile are loaded again.
    for guarded in "${2:-}" '' ''; do
        # The guard first; lines that are no longer wanted are removed last.
        [ -n "$guarded" ] || load_guard "$1" || return 1
        set_host "$1/host" && addresses "$1" && set_routes "$1/host" &&
            restore "$1" && replace_guard "$1" && end_addresses && end_flows "$1" || return 1
        has_guard "$1" || nft delete table inet wanbound 2>/dev/null
        remember "$1" && know_bridges "$1" && return
    done
    return 1
}

remember() { # remember GENERATION: records what is in force as loaded, if it is just the generation
    rm -rf "$work/next"
    print_live "$1" "$work/next" || return 1
    # Another program may have changed the rules since the load. Its change must not be recorded.
    for family in ipv4 ipv6; do
        read -r hook <"$work/$family.hook" && rules=$1/$family.rules || return 1
        [ "$hook" != none ] || rules=$work/$family.rules
        as_printed "$hook" "$rules" "$work/next/$family" || return 1
    done
    # Likewise a bridge whose subnet has changed since the rules were composed.
    [ ! -s "$work/subnets" ] || grep '^subnet ' "$work/next/ipv4" | cmp -s - "$work/subnets" || return 1
    [ "$(grep -c "^$tab$tab" "$1/guard.nft")" = \
        "$(grep -c "^\($tab$tab\|element \)" "$work/next/guard")" ] || return 1
    { sed '/^sysctl /d' "$1/host" && asked "$1/addresses"; } | sort >"$work/asked" &&
        sed 's/^\([^ ]*\) inet6 \([^ ]*\) scope .* deprecated\b.*/addr replace \2 dev \1 preferred_lft 0/
            s/^\([^ ]*\) inet \([^ ]*\) \(scope [^ ]*\) .*/addr replace \2 dev \1 \3/' \
            "$work/next/host" | sort | cmp -s - "$work/asked" || return 1
    rm -rf "$run/loaded" && mv "$work/next" "$run/loaded"
}

as_printed() { # as_printed HOOK RULES PRINT: whether the kernel prints as many chains, rules and jumps
    awk -v hook="hook $1" '
        FNR == NR && /^(-[AI] |:)/ { rules++ }
        FNR == NR && /^-.* -j WANBOUND-/ { jumps++ }
        FNR == NR { next }
        /^(-A |:|first |last )/ { rules-- }
        /^jump / { jumps-- }
        $0 == hook { hooked = 1 }
        END { exit rules || jumps || !hooked }' "$2" "$3"
}
