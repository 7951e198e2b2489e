# --- IPv6 addresses that another machine on the link has ----------------------------------------------
#
# The kernel asks the link for each address that is added (RFC 4862, 5.4). For these 1 to 2 s it is
# "tentative". If another machine answers, it stays so and is "dadfailed": the host accepts no packet
# to it, and the guard drops new connections with it. A load does not repair that.

duplicates() { # duplicates GENERATION: its addresses that another machine has, of those read last
    { wanted_addresses "$1/addresses" && echo '#'; } >"$work/own" || return 1
    live_addresses dadfailed | grep -xF -f "$work/own" | sort
}

checked() { # checked GENERATION: whether the kernel has finished with all of its addresses
    { sed -n 's/^addr replace \([^ ]*:[^ ]*\) .*/inet6 \1 /p' "$1/addresses" && echo '#'; } >"$work/own" &&
        ip -o addr show tentative -dadfailed >"$work/checking" || return 1
    # A count, and not only a status: a program that failed does not mean that there is none.
    [ "$(grep -cF -f "$work/own" "$work/checking")" = 0 ]
}

tell_duplicates() { # tell_duplicates GENERATION: reports each once; it begins with the addresses read last
    : >"$work/duplicates"
    ! grep -q ' tentative ' "$work/shown" ||
        { checked "$1" && read_addresses && duplicates "$1" >"$work/duplicates"; } || return 0
    if [ ! -s "$work/duplicates" ]; then
        [ ! -e "$run/duplicates" ] || rm -f "$run/duplicates"
        return
    fi
    { cat "$run/duplicates" 2>/dev/null; echo '#'; } >"$work/told"
    grep -vxF -f "$work/told" "$work/duplicates" | describe_duplicates say
    cp "$work/duplicates" "$run/duplicates"
}

describe_duplicates() { # describe_duplicates say|note [WHAT]: a line for each on standard input
    what=${2:-no connection with it works here. Remove it there, then run \`wanbound apply\` here}
    while read -r _ _ address _ device; do
        # The program that shows it looks for the address as a word.
        "$1" "${address%/*} is in use by another machine on the link of $device: $what"
    done
}
