# --- composing: fragments and live state → what iptables-restore, nft and ip are told ------------

compose() { # compose FOLDER WHOLE [ARGUMENT OF AWK]…: see compose.awk, which stands here on the host
    compose_out=$1 compose_whole=$2
    shift 2
    awk -v out="$compose_out" -v whole="$compose_whole" '
@compose.awk@
' "$@"
}

read_live() { # read_live FOLDER: what iptables and ip have now, all of it, for compose
    reading=
    for family in ipv4 ipv6; do
        iptables_of "$family"
        true >"$1/$family.saved" || return 1
        command -v "$tool-save" >/dev/null 2>&1 || continue
        # By way of the shell: where not all of it can be written that says so, and they do not.
        { live=$("$tool-save" 2>/dev/null) && printf '%s\n' "$live" >"$1/$family.saved"; } &
        reading="$reading $!"
    done
    live=$(ip -o addr show) && printf '%s\n' "$live" >"$1/addresses" || return 1
    for job in $reading; do
        wait "$job" || return 1
    done
}

plan() { # plan FOLDER WHOLE BUNDLE UNDONE: reads everything and composes into FOLDER
    [ -d "$1/next" ] || mkdir -p "$1/next" || return 1
    read_live "$1" || return 1
    plan_out=$1 plan_whole=$2 bundle=$3 undone=$4
    set -- kind=after "$bundle" kind=before
    for file in "$etc"/*.rules; do
        [ ! -e "$file" ] || set -- "$@" "$file"
    done
    # In the middle of a change the files are new already: what counts as before is in .old.
    if [ "$bundle" != /dev/null ]; then
        for file in "$etc"/.old/*.rules; do
            [ ! -e "$file" ] || set -- "$@" "$file"
        done
    fi
    compose "$plan_out" "$plan_whole" "$@" kind=undone "$undone" kind=saved family=ipv4 \
        "$plan_out/ipv4.saved" family=ipv6 "$plan_out/ipv6.saved" kind=addresses "$plan_out/addresses" &&
        host_plan "$plan_out" "$bundle"
}

check() { # check FOLDER: fails, with nothing touched, when what is composed cannot be loaded here
    [ ! -s "$1/taken" ] || fail 16 "claimed twice on this host: $(paste -sd, - <"$1/taken")"
    [ ! -s "$1/foreign" ] ||
        fail 16 "already the host's own: $(paste -sd, - <"$1/foreign"); manage_addresses: false uses it as it is"
    if [ -s "$1/devices" ]; then
        while read -r device; do
            [ -e "/sys/class/net/$device" ] || fail 10 "there is no interface $device here"
        done <"$1/devices"
    fi
    host_check "$1"
    [ -e "$1/guard.none" ] ||
        command -v nft >/dev/null 2>&1 ||
        fail 10 "nft is not installed here (Debian package nftables), and the egress guard needs it; guard: false does without"
    [ -s "$1/families" ] || return 0
    while read -r family; do
        iptables_of "$family"
        need "$tool-save" iptables
        need "$tool-restore" iptables
    done <"$1/families"
}
