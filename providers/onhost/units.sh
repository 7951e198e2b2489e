# --- units ---------------------------------------------------------------------------------------

boot_unit() { # before Docker starts its containers: no packet of theirs is earlier than the guard
    cat <<'UNIT'
@wanbound.service@
UNIT
}

docker_unit() { # after each start of Docker, which puts its own chains first in FORWARD
    cat <<'UNIT'
@wanbound-docker.service@
UNIT
}

watch_unit() { # mends a flush or a lost address when it happens
    cat <<'UNIT'
@wanbound-watch.service@
UNIT
}

write_units() { # write_units SUFFIX: the text of each beside its place
    boot_unit >"$units/wanbound.service$1" &&
        docker_unit >"$units/wanbound-docker.service$1" &&
        watch_unit >"$units/wanbound-watch.service$1"
}

enabled="multi-user.target.wants/wanbound.service docker.service.wants/wanbound-docker.service \
multi-user.target.wants/wanbound-watch.service"

enable_units() { # the links that `systemctl enable` would make, also where no systemd runs now
    mkdir -p "$units/multi-user.target.wants" "$units/docker.service.wants" || return 1
    for link in $enabled; do
        ln -sf "$units/${link#*/}" "$units/$link" || return 1
    done
}

units_stand() { # whether the units are here, as they should be and enabled
    for link in $enabled; do
        [ -e "$units/$link" ] || return 1
    done
    [ "$(boot_unit; docker_unit; watch_unit)" = \
        "$(cat "$units/wanbound.service" "$units/wanbound-docker.service" "$units/wanbound-watch.service" 2>/dev/null)" ]
}

reload_units() { # reload_units start|stop: tells systemd, and has the watcher run or not
    [ -d /run/systemd/system ] || return 0
    systemctl daemon-reload
    if [ "$1" = start ]; then
        systemctl --no-block restart wanbound-watch.service
    else
        # Not --no-block: what is stopped has to be told before its file is gone.
        systemctl stop wanbound-watch.service 2>/dev/null
        systemctl reset-failed wanbound-watch.service 2>/dev/null
        # These have done their work; but none of them can stop itself and go on.
        for unit in wanbound.service wanbound-docker.service; do
            grep -q "/$unit\$" /proc/self/cgroup || systemctl stop "$unit" 2>/dev/null
        done
    fi
    return 0
}

watcher_runs() { # has it run, where there is a systemd: somebody may have stopped it
    [ -d /run/systemd/system ] || return 0
    [ -e /sys/fs/cgroup/system.slice/wanbound-watch.service ] ||
        systemctl --no-block start wanbound-watch.service
}
