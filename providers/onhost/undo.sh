# --- the armed undo ----------------------------------------------------------------------------------
#
# $etc/armed exists from before `current` moves until the confirmation. It has one line: the token of
# the change, the id of its boot, its phase ("loading", then "loaded") and the time when the undo is
# due, in seconds since that boot. It is on disk, so it survives a reboot.

disarm() { # disarm TOKEN: removes the pending undo
    rm -f "$etc/armed" || return 1
    sync "$etc"
    [ ! -d /run/systemd/system ] || systemctl stop "wanbound-undo-$1.timer" 2>/dev/null
    return 0
}

go_back() { # go_back TOKEN: restores the state before that change
    went=0
    read_armed
    same_boot=
    [ "$armed_boot" != "$(boot)" ] || same_boot=yes
    # Do not remove addresses that existed before the change. From here on it cannot be confirmed.
    [ ! -e "$etc/$1/added" ] || mv "$etc/$1/added" "$etc/$1/addresses" || return 1
    if [ -n "$same_boot" ] && [ -e "$etc/$1/before" ]; then
        give_back "$etc/$1/before" || went=1
    fi
    rm -f "$etc/$1-then/addresses"
    to=$(generation confirmed) || return 1
    [ "$to" != none ] || nothing "$etc/none" || return 1
    point current "$to" && load "$etc/$to" || return 1
    if [ -n "$same_boot" ] && [ -s "$etc/$1/adopted" ]; then
        mkdir -p "$work/adopted" && cp "$etc/$1/adopted" "$work/adopted/addresses" &&
            addresses "$work/adopted" || went=1
    fi
    put_units || went=1
    return "$went"
}

undo() { # undo TOKEN: what the timer runs
    lock_seconds=600
    take_lock
    # When a change has been loaded, the deadline starts again, later than the timer.
    while read_armed && [ "$armed_token $armed_boot $phase" = "$1 $(boot) loaded" ] &&
        [ "$(uptime)" -lt "$deadline" ]; do
        flock -u 9
        sleep 0.5
        flock -w "$lock_seconds" 9 || fail 14 "another run held the lock for $lock_seconds s"
    done
    read_armed && [ "$armed_token" = "$1" ] || return 0
    undo_armed "was not confirmed in time over a new SSH connection"
}

undo_armed() { # undo_armed WHY: the lock is held
    done=$(generation confirmed) || fail 15 "cannot read $etc"
    # Bridges of leaving networks may have been removed between the change and its confirmation.
    if [ "${done%-then}" != "$armed_token" ]; then
        why=$1
        [ "$armed_boot" = "$(boot)" ] || why='was not confirmed before the host was rebooted'
        say "the last change $why; rolling it back"
        # If that fails, it stays armed: the next change or boot tries again.
        go_back "$armed_token" || fail 13 "the kernel refused the rollback"
        mkdir -p "$var" && echo "$armed_token $(date -u +%Y-%m-%dT%H:%M:%SZ) $why" >>"$var/undone"
    fi
    # Otherwise it was killed in the middle of its confirmation.
    disarm "$armed_token"
    clear_disk
}

unfinished() { # completes a run that was killed, or interrupted by a reboot
    read_armed || return 0
    ! hand_over "$armed_token" undo "$armed_token" || fail 14 "an unfinished change is rolled back first"
    case $phase in
    loading) undo_armed "was interrupted" ;;
    *) undo_armed "was never confirmed" ;;
    esac
}

# hand_over GENERATION WORD…: if this runs in the watcher's service, its script does that in a unit of
# its own. What stops the watcher would end with it. Fails elsewhere.
hand_over() {
    [ -d /run/systemd/system ] && grep -q /wanbound-watch.service /proc/self/cgroup || return 1
    script=$etc/$1/wanbound
    shift
    systemd-run --quiet --collect sh "$script" "$@" >&2
}

clear_disk() { # removes unused generations, and everything if nothing is wanted
    [ ! -e "$etc/armed" ] || return 0
    now=$(generation current) && kept=$(generation confirmed) || fail 15 "cannot read $etc"
    for folder in "$etc"/*/; do
        folder=${folder%/}
        case ${folder##*/} in
        current | confirmed | "$now" | "$now-then" | "$kept" | "$kept-then" | '*') ;;
        *) rm -rf "$folder" ;;
        esac
    done
    rm -f "$etc"/*.next
    # A generation without networks is that of a destroy.
    [ ! -s "$etc/current/bridges" ] || return 0
    ! hand_over current apply || return 0
    # The generation last: after a kill before this, the next destroy finds it and removes the rest.
    remove_units
    drop_table
    rm -rf "$self" "$run/loaded" "$run/bridges" "$run/duplicates" "$run/repairs" "$run/repaired" "$run/engine" \
        "$run/docker" "$run/watch" "$run/owner" "$etc"
}
