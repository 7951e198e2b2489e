# --- loading -------------------------------------------------------------------------------------

begin_restore() { # begin_restore FOLDER [--test]: both families at once; a test waits for 30 ms
    jobs=
    for family in ipv4 ipv6; do
        [ -s "$1/$family.restore" ] || continue
        restore "$family" "$1" ${2:+"$2"} 2>"$1/$family.refused" &
        jobs="$jobs $!"
    done
}

end_restore() { # end_restore FOLDER: whether what begin_restore began has gone well
    refused=0
    for job in $jobs; do
        wait "$job" || refused=1
    done
    [ "$refused" = 0 ] || cat "$1"/*.refused >&2
    return "$refused"
}

restore() { # restore FAMILY FOLDER [--test]
    iptables_of "$1"
    "$tool-restore" --noflush -w 10 ${3:+"$3"} <"$2/$1.restore"
}

guard_first() { # guard_first FOLDER BUNDLE: to the guard that holds during the change
    if [ -s "$1/guard.delta" ]; then
        guard_is_ours "$1" && nft -f "$1/guard.delta" 2>/dev/null && return
        # The table is not as the fragments say: then all of it is made anew.
        rm -f "$1/guard.last"
        plan "$1/whole" whole "$2" /dev/null && cp "$1/whole"/guard.* "$1/" || return 1
    fi
    [ ! -s "$1/guard.full" ] || nft -f "$1/guard.full"
}

guard_last() { # guard_last FOLDER BUNDLE: what is removed stays guarded up to here
    if [ ! -e "$1/guard.ends" ]; then
        return 0
    elif [ -s "$1/guard.last" ]; then
        nft -f "$1/guard.last" 2>/dev/null && return
        plan "$1/whole" whole "$2" /dev/null && cp "$1/whole"/guard.* "$1/" || return 1
    fi
    [ ! -s "$1/guard.end" ] || nft -f "$1/guard.end"
}

guard_listed() { # guard_listed FILE: the table as it is now, in an order that repeats itself
    nft -s list table inet wanbound 2>/dev/null | awk '
        # The kernel keeps no order among the elements of a map: each gets a line, to be sorted.
        /elements = [{]/ { inside = 1; sub(/.*elements = [{]/, "") }
        inside {
            n = split($0, part, ",")
            for (i = 1; i <= n; i++) { gsub(/[{} \t]+/, " ", part[i]); if (part[i] != " ") print "element" part[i] | "sort" }
            if (/}/) { inside = 0; close("sort") }
            next
        }
        { print }' >"$1"
}

remember_guard() { # remember_guard FOLDER: what the table is after it was written, so is right
    # Not where nothing was written: what is there may have changed since it was compared.
    [ -s "$1/guard.full" ] || [ -s "$1/guard.delta" ] || [ -s "$1/guard.last" ] ||
        [ -s "$1/guard.end" ] || [ -e "$1/guard.none" ] || [ ! -e "$run/guard" ] || return 0
    guard_listed "$run/guard.next" && mv "$run/guard.next" "$run/guard"
}

guard_is_ours() { # guard_is_ours FOLDER: whether the table is as our last load left it
    [ -e "$run/guard" ] && guard_listed "$1/guard.listed" && cmp -s "$1/guard.listed" "$run/guard"
}

delete_addresses() { # delete_addresses FOLDER: those that go
    [ -s "$1/gone" ] || return 0
    awk '{ print "addr del " $2 " dev " $1 }' "$1/gone" >"$1/gone.batch" || return 1
    ip -batch "$1/gone.batch" || return 1
    end_translations "$1"
}

end_translations() { # end_translations FOLDER: of the addresses that have gone
    # NAT is decided once per connection: old translations of these addresses, and only those, end.
    if ! command -v conntrack >/dev/null 2>&1; then
        note "conntrack is not installed here (Debian package conntrack): connections that were" \
            "open keep their old address, and the guard stops them, until they end by themselves"
        return 0
    fi
    { conntrack -L -f ipv4 && conntrack -L -f ipv6; } 2>/dev/null | awk '
        NR == FNR { sub(/\/.*/, "", $2); gone[$2]; next }
        {
            # Each entry has src= dst= of the original direction, then of the reply.
            n = 0
            for (i = 1; i <= NF; i++)
                if ($i ~ /^dst=/ && ++n && substr($i, 5) in gone)
                    print (index($i, ":") ? "ipv6" : "ipv4"), (n == 1 ? "--orig-dst" : "--reply-dst"), substr($i, 5)
        }' "$1/gone" - | sort -u >"$1/translated"
    while read -r family which address; do
        # It exits with 1 when the last such connection has just ended by itself.
        conntrack -D -f "$family" "$which" "$address" >/dev/null 2>&1
    done <"$1/translated"
    return 0
}

rename_bridges() { # rename_bridges FOLDER: back to the name that Docker gave them
    [ -s "$1/renamed" ] || return 0
    while read -r name bridge; do
        say "the bridge $bridge is called $name now; naming it $bridge again"
        # From Linux 6.2 on a link may be renamed while it is up.
        ip link set dev "$name" name "$bridge" 2>/dev/null || {
            ip link set dev "$name" down
            ip link set dev "$name" name "$bridge"
            ip link set dev "$bridge" up
        }
    done <"$1/renamed"
}

load() { # load FOLDER BUNDLE: brings the kernel to what is composed there
    rename_bridges "$1"
    host_links "$1" || return 1
    [ ! -s "$1/addresses.batch" ] || ip -batch "$1/addresses.batch" || return 1
    host_load "$1" || return 1
    begin_restore "$1"
    end_restore "$1" || return 1
    delete_addresses "$1" && guard_last "$1" "$2" || return 1
    # Nobody wants a guard: one that is there is left from what was undone.
    [ ! -e "$1/guard.none" ] || ! command -v nft >/dev/null 2>&1 ||
        nft delete table inet wanbound 2>/dev/null
    remember_guard "$1"
    save_classic
    return 0
}
