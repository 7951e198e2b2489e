# --- the armed undo ----------------------------------------------------------------------------------
#
# $etc/armed is there from before `current` moves to the confirmation: one line with the token of the
# change, the boot it was made in, its phase ("loading", then "loaded") and the second of that boot at
# which its undo is due. It is on disk, so a reboot finds it too.

disarm() { # disarm TOKEN: nothing is pending any more
    rm -f "$etc/armed" || return 1
    sync "$etc"
    [ ! -d /run/systemd/system ] || systemctl stop "wanbound-undo-$1.timer" 2>/dev/null
    return 0
}

go_back() { # go_back TOKEN: everything as before that change
    went=0
    read_armed
    if [ "$armed_boot" = "$(boot)" ] && [ -e "$etc/$1/before" ]; then
        give_back "$etc/$1/before" || went=1
    fi
    # What was there before the change is not its own to remove.
    [ ! -e "$etc/$1/added" ] || mv "$etc/$1/added" "$etc/$1/addresses" || return 1
    rm -f "$etc/$1-then/addresses"
    to=$(generation confirmed)
    [ "$to" != none ] || nothing "$etc/none" || return 1
    point current "$to" && load "$etc/$to" "$etc/$1/moved" || return 1
    put_units
    return "$went"
}

undo() { # undo TOKEN: what the timer runs
    lock_seconds=600
    take_lock
    # The deadline begins anew when a change has been loaded, later than the timer.
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
    done=$(generation confirmed)
    # The bridges of networks that leave may have gone between the change and its confirmation.
    if [ "${done%-then}" != "$armed_token" ]; then
        why=$1
        [ "$armed_boot" = "$(boot)" ] || why='was not confirmed before the host was rebooted'
        say "the last change $why; going back to what was before it"
        # It stays armed where that fails: whatever runs next, a change or a boot, tries again.
        go_back "$armed_token" || fail 13 "the kernel refused what was there before"
        mkdir -p "$var" && echo "$armed_token $(date -u +%Y-%m-%dT%H:%M:%SZ) $why" >>"$var/undone"
    fi
    # Otherwise it was killed in the middle of its confirmation.
    disarm "$armed_token"
    clear_disk
}

unfinished() { # after a run that nobody will end: killed half way, or before a reboot
    read_armed || return 0
    if [ -d /run/systemd/system ] && grep -q /wanbound-watch.service /proc/self/cgroup; then
        # This is the watcher's service. An undo may have to stop the watcher, and would end half way with it.
        systemd-run --quiet --collect sh "$etc/$armed_token/wanbound" undo "$armed_token" >&2 &&
            fail 14 "a change that nobody ended is undone first"
    fi
    case $phase in
    loading) undo_armed "was cut short" ;;
    *) undo_armed "was never confirmed" ;;
    esac
}

clear_disk() { # removes generations that nobody needs, and everything where nothing is wanted
    [ ! -e "$etc/armed" ] || return 0
    now=$(generation current)
    for folder in "$etc"/*/; do
        folder=${folder%/}
        case ${folder##*/} in
        current | confirmed | "$now" | "$now-then" | '*') ;;
        *) rm -rf "$folder" ;;
        esac
    done
    rm -f "$etc"/*.next
    # A generation without networks is that of a destroy.
    [ ! -s "$etc/current/bridges" ] || return 0
    # The generation last: killed before, the next destroy finds it and removes the rest.
    remove_units
    rm -rf "$self" "$run/loaded" "$run/bridges" "$run/engine" "$run/docker" "$etc"
}
