# --- open connections ------------------------------------------------------------------------------
#
# The kernel decides NAT once per connection. So each load ends the connections that the current rules
# would translate differently (ID/flows has the rules as data), and no others.

end_flows() { # end_flows GENERATION: $work/ended has those that have ended before, and gets the others
    grep -q . "$etc"/*/flows || return 0
    if ! command -v conntrack >/dev/null 2>&1; then
        note "conntrack is not installed here (Debian package conntrack): connections that were" \
            "open keep their old address, and the guard stops them, until they end by themselves"
        return 0
    fi
    read_addresses && {
        sed -n 's/^[0-9]*: [^ ]* *inet6\{0,1\} \([^/ ]*\).*/local \1/p' "$work/shown" &&
            sed -n 's/^from @\([^ ]*\) .*/\1/p' "$etc"/*/flows | subnets_of_links &&
            echo was && cat "$etc"/*/flows && echo now && cat "$1/flows"
    } >"$work/nat" || return 1
    # An answer that is on its way while its connection ends begins a connection of its own, which
    # takes the caller's next packets to the former container: so it looks again, but not for long.
    latest=$(($(uptime) + 3))
    for _ in 1 2 3 4 5; do
        if ! { conntrack -L -f ipv4 && conntrack -L -f ipv6; } >"$work/tracked" 2>"$work/refused"; then
            note "open connections cannot be read, and keep their old addresses:" \
                "$(tail -n 1 "$work/refused")"
            return 0
        fi
        cat "$work/nat" "$work/ended" >"$work/flows" &&
            stale "$work/flows" "$work/tracked" "$work/tracked" >"$work/ending" || return 1
        [ -s "$work/ending" ] || return 0
        while read -r words; do
            # It exits with 1 if the last of them has ended by itself meanwhile.
            # shellcheck disable=SC2086 # several words
            conntrack -D $words >/dev/null 2>&1
        done <"$work/ending"
        [ "$(uptime)" -lt "$latest" ] || return 0
    done
    return 0
}

stale() { # stale FLOWS TRACKED TRACKED: what ends, each line for one `conntrack -D`
    awk -v ended="$work/ended" '
@onhost/stale.awk@
    ' "$@"
}
