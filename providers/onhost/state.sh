# --- state ---------------------------------------------------------------------------------------

state() { # state: everything that is in force, in sections that providers/live.py reads
    take_lock
    for family in ipv4 ipv6; do
        iptables_of "$family"
        if command -v "$tool-save" >/dev/null 2>&1; then
            for name in nat filter; do
                echo "== $family $name"
                "$tool-save" -t "$name" || fail 10 "$tool-save does not work here"
            done
        fi
    done
    echo '== addresses'
    need ip iproute2
    ip -o addr show
    echo '== guard'
    if command -v nft >/dev/null 2>&1; then
        nft -s list table inet wanbound 2>/dev/null
    fi
    for file in "$etc"/*.rules; do
        [ ! -e "$file" ] || { echo "== fragment ${file##*/}" && cat "$file"; }
    done
    echo '== end'
}
