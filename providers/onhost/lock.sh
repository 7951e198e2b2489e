# --- one at a time -------------------------------------------------------------------------------

take_lock() {
    [ -d "$run" ] || mkdir -p "$run" || fail 15 "cannot write to $run"
    exec 9>"$run/lock" || fail 15 "cannot write to $run"
    need flock util-linux
    flock -n 9 && return
    note "another run is changing this host; waiting for it up to $lock_seconds s"
    flock -w "$lock_seconds" 9 || fail 14 "another run held the lock for $lock_seconds s"
}

take_turn() { # take_turn TOKEN: the lock, when no change of another run waits to be confirmed
    take_lock
    told=
    while awaits_confirmation && [ "$armed_token" != "$1" ]; do
        [ -n "$told" ] || note "a change by another run waits for its confirmation;" \
            "waiting until that comes, or its undo, up to $((deadline - now)) s"
        told=yes
        flock -u 9
        sleep 0.2
        flock -w "$lock_seconds" 9 || fail 14 "another run held the lock for $lock_seconds s"
    done
}
