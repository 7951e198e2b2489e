# --- the armed undo --------------------------------------------------------------------------------
#
# /etc/wanbound/.old/armed stands from before the first rename to the confirmation: one line with
# the token of the change, the boot it was made in, its phase ("loading", then "loaded") and the
# second of that boot at which its undo is due. It is on disk, so a reboot finds it too.

arm() { # arm FOLDER TOKEN SECONDS: from here on the host goes back by itself
    keep_old "$1" && record_phase loading "$2" "$(($(uptime) + $3))" || return 1
    sync "$etc/.old" "$etc" 2>/dev/null
    # Killed, or refused by the kernel, it is tried again, unless another run has seen to it.
    go="[ ! -e $etc/.old/wanbound ] || sh $etc/.old/wanbound undo $2"
    if [ -d /run/systemd/system ]; then
        systemd-run --quiet --collect --unit="wanbound-undo-$2" --on-active="$3s" \
            --timer-property=AccuracySec=100ms --property=Restart=on-failure \
            --property=RestartSec=3 sh -c "$go" >&2 || return 1
    else
        # Without the lock: only the undo itself takes it.
        setsid sh -c "sleep $3; until $go; do sleep 3; done" </dev/null >/dev/null 2>&1 9>&- &
    fi
}

record_phase() { # record_phase PHASE TOKEN DEADLINE
    echo "$2 $(boot) $1 $3" >"$etc/.old/armed.next" && mv "$etc/.old/armed.next" "$etc/.old/armed"
}

read_armed() { # fails when nothing is armed; else sets armed_token, armed_boot, phase, deadline
    [ -e "$etc/.old/armed" ] && read -r armed_token armed_boot phase deadline <"$etc/.old/armed"
}

boot() { cat /proc/sys/kernel/random/boot_id; }

uptime() {
    read -r now _ </proc/uptime
    echo "${now%.*}"
}

awaits_confirmation() { # whether a change is loaded, and its confirmation may still come
    read_armed && [ "$phase" = loaded ] && [ "$armed_boot" = "$(boot)" ] || return 1
    now=$(uptime)
    # Its undo may take a moment to begin. Whoever comes later than that does it himself.
    [ "$now" -le $((deadline + 3)) ]
}

disarm() { # from here on the change stands
    mv "$etc/.old/armed" "$etc/.old/confirmed" || return 1
    [ ! -d /run/systemd/system ] || systemctl stop "wanbound-undo-$1.timer" 2>/dev/null
    clear_disk
    return 0
}

go_back() { # go_back WORK: files, rules, addresses and the host's own as before what is armed
    put_back
    mkdir -p "$1" || return 1
    going_back=0
    if [ -e "$etc/.old/host.now" ] && [ "$armed_boot" = "$(boot)" ]; then
        cp "$etc/.old/host.now" "$1/before" && give_back "$1/before" || going_back=1
    fi
    plan "$1" whole /dev/null "$etc/.old/added" || return 1
    [ -e "$1/guard.none" ] || guard_first "$1" /dev/null || return 1
    load "$1" /dev/null && [ "$going_back" = 0 ]
}

undo() { # undo TOKEN: what the timer runs, and whoever finds a change that nobody will confirm
    lock_seconds=600
    take_lock
    read_armed && [ "$armed_token" = "$1" ] || return 0
    if [ "$armed_boot" = "$(boot)" ]; then
        undo_armed "was not confirmed in time over a new SSH connection"
    else
        undo_rebooted
    fi
}

undo_rebooted() { undo_armed "was not confirmed before the host was rebooted"; }

undo_armed() { # undo_armed WHY: the lock is held
    say "the last change $1; going back to what was before it"
    why=$1
    names=$(paste -sd, - <"$etc/.old/changed")
    undo_work=$(mktemp -d "$run/undo.XXXXXX") || fail 15 "cannot write to $run"
    if ! go_back "$undo_work"; then
        # It stays armed: whatever runs next, a change or a boot, tries again.
        rm -rf "$undo_work"
        fail 13 "the kernel refused what was there before: see /etc/wanbound/.old"
    fi
    rm -rf "$undo_work"
    mkdir -p "$var" && echo "$armed_token $(date -u +%Y-%m-%dT%H:%M:%SZ) $names $why" >>"$var/undone"
    disarm "$armed_token"
}

unfinished() { # after a run that nobody will end: killed half way, or before a reboot
    if ! read_armed; then
        # Never armed, so nothing had begun; or confirmed, so nothing was left to do.
        [ ! -e "$etc/.old" ] || rm -rf "$etc/.old"
        return 0
    fi
    if in_watcher; then
        # An undo may have to stop the watcher, and would end half way with it.
        systemd-run --quiet --collect sh "$etc/.old/wanbound" undo "$armed_token" >&2 &&
            fail 14 "a change that nobody ended is undone first"
    fi
    if [ "$armed_boot" != "$(boot)" ]; then
        undo_rebooted
    elif [ "$phase" = loading ]; then
        undo_armed "was cut short"
    else
        undo_armed "was never confirmed"
    fi
}

tell_undone() { # what was undone since anybody was told
    [ -e "$var/undone" ] || return 0
    while read -r _ when names why; do
        note "the change of $names before $when $why and was undone: since then the host had what" \
            "was there before it"
    done <"$var/undone"
}

refuse_undone() { # refuse_undone TOKEN: fails when that change was made, and undone
    [ ! -e "$var/undone" ] || ! grep -q "^$1 " "$var/undone" ||
        fail 17 "the change was undone before its confirmation came"
}

forget_undone() {
    [ ! -e "$var/undone" ] || rm -f "$var/undone"
    [ ! -d "$var" ] || rmdir "$var" 2>/dev/null
    return 0
}

confirm() { # confirm TOKEN: over a connection made after the change, so the operator can get in
    take_lock
    if read_armed && [ "$armed_boot" != "$(boot)" ]; then
        # What was loaded is not in force after a reboot: to get in shows nothing.
        unfinished
    elif read_armed && [ "$armed_token" = "$1" ]; then
        disarm "$1" || fail 15 "cannot write to $etc"
        return 0
    fi
    refuse_undone "$1"
    # Confirmed already, and the answer was lost. What a kill left of its end is done here.
    [ -e "$etc/.old/armed" ] || clear_disk
    return 0
}
