# --- the script in its place, and its units ----------------------------------------------------------

enabled="multi-user.target.wants/wanbound.service docker.service.wants/wanbound-docker.service \
multi-user.target.wants/wanbound-watch.service"

units_wanted() { # TARGET.wants/UNIT of the current generation, and UNIT where a timer starts it
    echo "$enabled"
    # The timer last: `end_metrics` looks for the service.
    [ ! -e "$etc/current/wanbound-metrics.timer" ] ||
        echo 'wanbound-metrics.service timers.target.wants/wanbound-metrics.timer'
}

put_units() { # writes and enables them, as `systemctl enable` would, also where no systemd runs now
    [ -d "$units" ] && [ -e "$etc/current/wanbound.service" ] || return 0
    changed=
    cmp -s "$etc/current/wanbound-metrics.service" "$units/wanbound-metrics.service" || end_metrics
    for link in $(units_wanted); do
        unit=${link#*/}
        if ! cmp -s "$etc/current/$unit" "$units/$unit"; then
            # Uploaded files are readable only by root; systemd warns about such units.
            cp "$etc/current/$unit" "$units/$unit.next" && chmod 0644 "$units/$unit.next" || return 1
            # Without it, a power cut could leave an empty unit: no rules at the next boot.
            sync "$units/$unit.next" 2>/dev/null
            mv "$units/$unit.next" "$units/$unit" || return 1
            changed=yes
        fi
        [ ! -e "$units/$link" ] || continue
        mkdir -p "$units/${link%/*}" && ln -sf "$units/$unit" "$units/$link" || return 1
        changed=yes
    done
    [ -d /run/systemd/system ] || return 0
    if [ -n "$changed" ]; then
        systemctl daemon-reload
        systemctl --no-block restart wanbound-watch.service
        [ ! -e "$units/wanbound-metrics.timer" ] || systemctl --no-block restart wanbound-metrics.timer
    elif [ ! -e /sys/fs/cgroup/system.slice/wanbound-watch.service ]; then
        # An operator may have stopped it.
        systemctl --no-block start wanbound-watch.service
    fi
    return 0
}

end_metrics() { # when counters are no longer written, or go to another file
    [ -e "$units/wanbound-metrics.service" ] || return 0
    changed=yes
    # A run that has begun would write the file once more.
    [ ! -d /run/systemd/system ] || systemctl stop wanbound-metrics.timer wanbound-metrics.service
    file=$(sed -n 's/^ExecStart=.* metrics //p' "$units/wanbound-metrics.service")
    [ -z "$file" ] || rm -f "$file" "$file.next"
    rm -f "$units"/timers.target.wants/wanbound-metrics.timer "$units"/wanbound-metrics.*
    rmdir "$units/timers.target.wants" 2>/dev/null
    return 0
}

remove_units() {
    [ -e "$units/wanbound.service" ] || return 0
    end_metrics
    rm -f "$units"/*.wants/wanbound*.service
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload
        # Stop a unit before its file is removed.
        systemctl stop wanbound-watch.service 2>/dev/null
        systemctl reset-failed wanbound-watch.service 2>/dev/null
        # These units have finished their work; but a unit cannot stop itself and continue.
        for unit in wanbound.service wanbound-docker.service; do
            grep -q "/$unit\$" /proc/self/cgroup || systemctl stop "$unit" 2>/dev/null
        done
    fi
    rm -f "$units"/wanbound*.service
    rmdir "$units/docker.service.wants" 2>/dev/null
    [ ! -d /run/systemd/system ] || systemctl daemon-reload
}
