# --- one at a time -------------------------------------------------------------------------------

take_lock() {
    # For root alone: whoever can open the lock, be it to read, can hold it and keep us out.
    [ -d "$run" ] || mkdir -p -m 0700 "$run" || fail 15 "cannot write to $run"
    # An `exec` that cannot do so ends the shell, with a code of its own.
    true >>"$run/lock" || fail 15 "cannot write to $run"
    exec 9>"$run/lock"
    need flock util-linux
    # The watcher looks around for a moment after each change; that is nothing to be told.
    flock -w 1 9 || {
        note "another run is changing this host; waiting for it up to $lock_seconds s"
        flock -w "$lock_seconds" 9 || fail 14 "another run held the lock for $lock_seconds s"
    }
    sweep
}

sweep() { # the lock is held: what runs that were killed have left in memory goes
    for left in "$run"/run.* "$run"/apply.* "$run"/undo.*; do
        [ -e "$left" ] || continue
        # A run makes its folder run.PROCESS.… before it waits for the lock: it may be waiting.
        process=${left#"$run"/run.}
        [ -e "/proc/${process%%.*}" ] || rm -rf "$left"
    done
}

take_turn() { # take_turn TOKEN: the lock, when no change of another run waits to be confirmed
    take_lock
    told=
    while awaits_confirmation && [ "$armed_token" != "$1" ]; do
        [ -n "$told" ] || note "a change by another run waits for its confirmation;" \
            "waiting until that comes, or its undo, up to $((deadline + 3 - now)) s"
        told=yes
        flock -u 9
        sleep 0.2
        flock -w "$lock_seconds" 9 || fail 14 "another run held the lock for $lock_seconds s"
    done
}
