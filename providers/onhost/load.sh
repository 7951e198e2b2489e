# --- loading a generation --------------------------------------------------------------------------

has_rules() { grep -q '^:' "$1/$2.rules"; } # has_rules GENERATION FAMILY
has_guard() { grep -q chain "$1/guard.nft"; } # has_guard GENERATION

check() { # check GENERATION: fails, with nothing touched, when it cannot be loaded on this host
    ! has_guard "$1" || need nft nftables
    for family in ipv4 ipv6; do
        iptables_of "$family"
        has_rules "$1" "$family" || continue
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
    sed -n 's/.* -s @\([^ ]*\) .*/\1/p' "$1/ipv4.rules" | sort -u | while read -r link; do
        subnet=$(ip -4 route show dev "$link" proto kernel scope link 2>/dev/null | head -n 1)
        subnet=${subnet%% *}
        # While there is no such link: one that no packet has.
        echo "subnet $link ${subnet:-0.0.0.0/32}"
    done
}

leftovers() { # leftovers TABLE FAMILY: what removes the jumps, and the chains that are not wanted
    # Chains come before rules there, but a jump to a chain has to go before it: so these are held.
    sed -n "/^\*$1\$/,/^COMMIT/!d
        $wanted
        s/^-A \(.* -j WANBOUND-\)/-D \1/p
        s/^:\(WANBOUND-[^ ]*\) .*/-F \1/
        /^-F /H
        /^COMMIT/{ x; s/^\n//; /./p; s/-F /-X /g; /./p; }" "$work/$2.saved"
}

compose() { # compose GENERATION FAMILY: $work/FAMILY.restore, or nothing where there is nothing to do
    rm -f "$work/$2.restore"
    read_rules "$2" "$work/$2.saved" || return 1
    has_rules "$1" "$2" || grep -q WANBOUND- "$work/$2.saved" || return 0
    wanted=$(sed -n 's/^\(:[^ ]* \).*/\/^\1\/d/p' "$1/$2.rules") || return 1
    for table in nat filter; do
        leftovers "$table" "$2" >"$work/$2.$table" || return 1
    done
    echo "s/^-I @hook /-I $(hook "$work/$2.saved") /" >"$work/$2.edits" || return 1
    subnets "$1" >"$work/$2.subnets" || return 1
    sed 's|subnet \(.*\) \(.*\)|s# -s @\1 # -s \2 #|' "$work/$2.subnets" >>"$work/$2.edits" || return 1
    sed -e "/^# jumps nat\$/r $work/$2.nat" -e "/^# jumps filter\$/r $work/$2.filter" \
        -f "$work/$2.edits" "$1/$2.rules" >"$work/$2.restore"
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
    [ -e "$work/$2.restore" ] || return 0
    iptables_of "$2"
    "$tool-restore" --noflush -w 10 ${3:+"$3"} <"$work/$2.restore"
}

load_guard() { # load_guard GENERATION: the whole table
    [ ! -e "$run/copy" ] || drop_copy || return 1
    has_guard "$1" || return 0
    # While the kernel replaces a table, packets may find neither the old rules nor the new ones:
    # maps of intervals are filled in the last step of the transaction. A copy filters meanwhile.
    : >"$run/copy" && sed 's/^\(.*table inet wanbound\)/\1-copy/' "$1/guard.nft" | nft -f - &&
        nft -f "$1/guard.nft" && drop_copy
}

drop_copy() { # the copy of the guard that stood for it, also that of a load that was cut short
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
        if [ -e "/sys/class/net/$bridge" ] || ! grep -qx "$bridge" "$1/bridges"; then continue; fi
        name=$(grep -lx "$index" /sys/class/net/*/ifindex) || continue
        name=${name%/ifindex}
        echo "${name##*/} $bridge"
    done <"$run/bridges"
}

rename_bridges() { # rename_bridges GENERATION: back to the name under which we knew them
    renamed_bridges "$1" | while read -r name bridge; do
        say "the bridge $bridge is called $name now; naming it $bridge again"
        # From Linux 6.2 on a link may be renamed while it is up.
        ip link set dev "$name" name "$bridge" 2>/dev/null || {
            ip link set dev "$name" down
            ip link set dev "$name" name "$bridge"
            ip link set dev "$bridge" up
        }
    done
}

know_bridges() { # know_bridges GENERATION: NAME INDEX of each bridge that is there
    while read -r bridge; do
        index=
        read -r index 2>/dev/null <"/sys/class/net/$bridge/ifindex" || continue
        echo "$bridge $index"
    done <"$1/bridges" >"$run/bridges"
}

live_addresses() { # those of this host, each as what removes it: addr del ADDRESS/LENGTH dev DEV
    ip -o addr show | sed -n 's/^[0-9]*: \([^ ]*\) *inet6\{0,1\} \([^ ]*\) .*/addr del \2 dev \1/p'
}

wanted_addresses() { # wanted_addresses FILE…: those of generations, in the same form
    cat "$@" | sed 's/^addr replace \([^ ]* dev [^ ]*\).*/addr del \1/'
}

addresses() { # addresses GENERATION: adds them, or moves them to their place
    # busybox takes an empty file of patterns for one that matches everything: a line more in each.
    live_addresses >"$work/live" && { wanted_addresses "$1/addresses" && echo '#'; } >"$work/right" ||
        return 1
    # The same address elsewhere, or with another prefix.
    sed 's/^addr del\( [^/]*\/\).*/\1/' "$work/right" >"$work/ours" || return 1
    grep -F -f "$work/ours" "$work/live" | grep -vxF -f "$work/right" >"$work/batch"
    cat "$1/addresses" >>"$work/batch" && ip -batch "$work/batch"
}

end_addresses() { # end_addresses MOVED: removes those of other generations, and ends what used them
    wanted_addresses "$etc"/*/addresses | sort -u | grep -vxF -f "$work/right" |
        grep -xF -f "$work/live" >"$work/batch"
    ip -batch "$work/batch" || return 1
    { sed 's/^addr del \([^/]*\).*/\1/' "$work/batch" && cat "$1"; } | sort -u >"$work/ended"
    [ -s "$work/ended" ] || return 0
    # NAT is decided once per connection: the old translations of these addresses, and only those, end.
    if ! command -v conntrack >/dev/null 2>&1; then
        note "conntrack is not installed here (Debian package conntrack): connections that were" \
            "open keep their old address, and the guard stops them, until they end by themselves"
        return 0
    fi
    sed 's/.*/dst=&/' "$work/ended" >"$work/patterns"
    { conntrack -L -f ipv4 && conntrack -L -f ipv6; } 2>/dev/null | tr ' ' '\n' |
        grep -xF -f "$work/patterns" | sort -u | while IFS='=' read -r _ address; do
        case $address in *:*) family=ipv6 ;; *) family=ipv4 ;; esac
        # It exits with 1 when the last such connection has just ended by itself.
        conntrack -D -f "$family" --orig-dst "$address" >/dev/null 2>&1
        conntrack -D -f "$family" --reply-dst "$address" >/dev/null 2>&1
    done
    return 0
}

load() { # load GENERATION MOVED [guarded]: brings the kernel to it, where its guard is already or not
    rename_bridges "$1"
    # What the kernel refused it would refuse again; what was flushed meanwhile is loaded again.
    for guarded in "${3:-}" '' ''; do
        # The guard first; what is no longer wanted goes last.
        [ -n "$guarded" ] || load_guard "$1" || return 1
        set_host "$1/host" && addresses "$1" && set_routes "$1/host" &&
            restore "$1" && end_addresses "$2" || return 1
        has_guard "$1" || nft delete table inet wanbound 2>/dev/null
        remember "$1" && know_bridges "$1" && return
    done
    return 1
}

remember() { # remember GENERATION: keeps what is in force as what was loaded, if it is just that
    rm -rf "$work/next"
    print_live "$1" "$work/next" || return 1
    # Another program may have changed it since the load. That must not count as what was loaded.
    for family in ipv4 ipv6; do
        as_many '^\(-[AI] \|:\)' "$1/$family.rules" '^\(-A \|:\|first \|last \)' "$work/next/$family" &&
            as_many '^-.* -j WANBOUND-' "$1/$family.rules" '^jump ' "$work/next/$family" || return 1
    done
    # Likewise a bridge that has got another subnet since the rules were composed.
    if [ -e "$work/ipv4.subnets" ]; then
        grep '^subnet ' "$work/next/ipv4" | cmp -s - "$work/ipv4.subnets" || return 1
    fi
    as_many "^$tab$tab" "$1/guard.nft" "^\($tab$tab\|element \)" "$work/next/guard" || return 1
    { sed '/^sysctl /d' "$1/host" && sed 's/ nodad$//' "$1/addresses"; } | sort >"$work/asked" &&
        sed 's/^\([^ ]*\) inet6\{0,1\} \([^ ]*\)\( .*\)/addr replace \2 dev \1\3/
            s/^\(addr .*\) scope .* deprecated\b.*/\1 preferred_lft 0/; s/^\(addr .*\) scope .*/\1/' \
            "$work/next/host" | sort | cmp -s - "$work/asked" || return 1
    rm -rf "$run/loaded" && mv "$work/next" "$run/loaded"
}

as_many() { # as_many PATTERN FILE LIVE_PATTERN LIVE_FILE: whether the kernel prints so many lines
    [ "$(grep -c -e "$1" "$2")" = "$(grep -c -e "$3" "$4")" ]
}
