# --- removal without an operator's Pulumi ----------------------------------------------------------

remove() { # everything of ours, and restores what there was before; not /etc/iptables and daemon.json
    take_lock
    [ -e "$etc/current" ] || return 0
    awaits_confirmation && fail 14 "a change waits for its confirmation; run it again after that, or its rollback"
    unfinished
    while read -r bridge; do
        [ ! -e "/sys/class/net/$bridge" ] ||
            fail 18 "the bridge $bridge still exists; remove its containers and its network (docker network rm) first"
    done <"$etc/current/bridges"
    # From here on a closed connection must not interrupt it.
    trap '' HUP INT TERM PIPE
    nothing "$etc/none" && give_back "$etc/current/was" && point confirmed none && point current none &&
        load "$etc/none" || fail 13 "not all of it could be removed; run it again"
    clear_disk
}
