# --- the script in its place, and its units ----------------------------------------------------------

enabled="multi-user.target.wants/wanbound.service docker.service.wants/wanbound-docker.service \
multi-user.target.wants/wanbound-watch.service"

put_units() { # writes and enables them, as `systemctl enable` would, also where no systemd runs now
    [ -d "$units" ] && [ -e "$etc/current/wanbound.service" ] || return 0
    changed=
    for link in $enabled; do
        unit=${link#*/}
        if ! cmp -s "$etc/current/$unit" "$units/$unit"; then
            # What was uploaded is for root alone; systemd complains of a unit that is.
            cp "$etc/current/$unit" "$units/$unit.next" && chmod 0644 "$units/$unit.next" &&
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
    elif [ ! -e /sys/fs/cgroup/system.slice/wanbound-watch.service ]; then
        # Somebody may have stopped it.
        systemctl --no-block start wanbound-watch.service
    fi
    return 0
}

remove_units() {
    [ -e "$units/wanbound.service" ] || return 0
    rm -f "$units"/*.wants/wanbound*.service
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload
        # What is stopped has to be told before its file is gone.
        systemctl stop wanbound-watch.service 2>/dev/null
        systemctl reset-failed wanbound-watch.service 2>/dev/null
        # These have done their work; but none of them can stop itself and go on.
        for unit in wanbound.service wanbound-docker.service; do
            grep -q "/$unit\$" /proc/self/cgroup || systemctl stop "$unit" 2>/dev/null
        done
    fi
    rm -f "$units"/wanbound*.service
    rmdir "$units/docker.service.wants" 2>/dev/null
    [ ! -d /run/systemd/system ] || systemctl daemon-reload
}
