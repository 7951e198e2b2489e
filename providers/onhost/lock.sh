# --- one at a time -------------------------------------------------------------------------------

lock_seconds=60

take_lock() {
    # An `exec` that fails ends the shell with its own exit code.
    true >>"$run/lock" || fail 15 "cannot write to $run"
    exec 9>"$run/lock"
    need flock util-linux
    need ip iproute2
    # The watcher holds the lock for a moment after each change; do not report that.
    flock -w 1 9 || wait_for_lock
    for left in "$run"/run.*; do
        # Left in memory by a killed run. A run makes its folder run.PROCESS.… before it waits here.
        process=${left#"$run"/run.}
        [ -e "/proc/${process%%.*}" ] || rm -rf "$left"
    done
    [ -n "$work" ] || work_folder
}

wait_for_lock() { # tells the operator every 15 s that it waits; gives up after $lock_seconds
    waited=1
    until
        note "another run is changing this host; waiting for it up to $lock_seconds s"
        flock -w 15 9
    do
        waited=$((waited + 15))
        [ "$waited" -lt "$lock_seconds" ] || fail 14 "another run held the lock for $waited s"
    done
}

take_turn() { # take_turn TOKEN: the lock, when no change of another run waits to be confirmed
    take_lock
    ticks=0
    while awaits_confirmation && [ "$armed_token" != "$1" ]; do
        [ $((ticks % 60)) != 0 ] || note "a change by another run waits for its confirmation;" \
            "waiting for that, or its rollback, up to $((deadline + 3 - now)) s"
        ticks=$((ticks + 1))
        flock -u 9
        sleep 0.2
        flock -w 1 9 || wait_for_lock
    done
}

work_folder() { # sets $work to a folder in memory that is removed with this process
    work=$run/run.$$.work
    # Before the folder exists: a signal may come at once. None interrupts the removal.
    trap 'trap "" HUP INT TERM; rm -rf "$work"' EXIT
    rm -rf "$work" && mkdir "$work" || fail 15 "cannot write to $run"
}

read_armed() { # fails when nothing is armed; else sets armed_token, armed_boot, phase, deadline
    [ -e "$etc/armed" ] && read -r armed_token armed_boot phase deadline <"$etc/armed"
}

boot() { cat /proc/sys/kernel/random/boot_id; }

uptime() {
    read -r now _ </proc/uptime
    echo "${now%.*}"
}

awaits_confirmation() { # whether a change is loaded, and its confirmation may still come
    read_armed && [ "$phase" = loaded ] && [ "$armed_boot" = "$(boot)" ] || return 1
    now=$(uptime)
    # Its undo may start a moment late. After that, another process does the undo itself.
    [ "$now" -le $((deadline + 3)) ]
}

run_folder() { # for root alone: a user who can open the lock, even to read, can hold it and block us
    [ -d "$run" ] || (umask 077 && mkdir -p "$run") || fail 15 "cannot write to $run"
}
