# --- repairs ---------------------------------------------------------------------------------------

generation() { # generation current|confirmed: the name of it, `none` without one; fails if it cannot be read
    if [ -L "$etc/$1" ]; then readlink "$etc/$1"; else echo none; fi
}

point() { # point NAME ID: replaces the symbolic link in one step
    ln -sfn "$2" "$etc/$1.next" && mv -T "$etc/$1.next" "$etc/$1"
}

nothing() { # nothing FOLDER: makes an empty generation in it
    mkdir -p "$1" || return 1
    for file in guard.nft keep.nft addresses flows host bridges leaving absent was; do
        : >"$1/$file" || return 1
    done
    for family in ipv4 ipv6; do
        printf '*%s\n# jumps %s\nCOMMIT\n' nat nat filter filter >"$1/$family.rules" || return 1
    done
}

follow_leaving() { # once the last bridge of leaving networks is gone: the generation without them
    [ -s "$etc/current/leaving" ] || return 1
    # Until Docker has started once in this boot, it may still create a missing bridge.
    [ -e "$run/docker" ] || return 1
    while read -r bridge; do
        [ ! -e "/sys/class/net/$bridge" ] || return 1
    done <"$etc/current/leaving"
    id=$(generation current) && id=$id-then || fail 15 "cannot read $etc"
    say "the bridges of networks that were removed are gone; removing their rules and addresses"
    # After a kill between the two, the next repair does both again.
    [ -e "$etc/armed" ] || point confirmed "$id" || fail 15 "cannot write to $etc"
    point current "$id" || fail 15 "cannot write to $etc"
}

apply() { # loads all of the current generation, even if it is in force
    begin_repair
    follow_leaving
    [ ! -e "$etc/current" ] || reload
}

compare_loaded() { # sets $differs to the parts that are not as they were loaded: `, PART, PART`
    differs=
    print_live "$etc/current" "$work/now" || return 1
    [ ! -e "$run/copy" ] || differs=', the copy of the guard'
    for part in $parts; do
        cmp -s "$work/now/$part" "$run/loaded/$part" || differs="$differs, $part"
    done
}

mend() { # loads it if anything differs from what was loaded
    begin_repair
    differs=
    if ! follow_leaving; then
        [ -e "$etc/current" ] || return 0
        compare_loaded || fail 15 "cannot read what is in force, or write to $run"
        if [ -z "$differs" ]; then
            know_bridges "$etc/current"
            tell_duplicates "$etc/current"
            return
        fi
        say "repairing what differs from what was loaded: ${differs#, }"
    fi
    reload
    [ -z "$differs" ] || record_repair "${differs#, }"
}

record_repair() { # record_repair PARTS: the last 100 of this boot, and the number of all
    { tail -n 99 "$run/repairs" 2>/dev/null; echo "$(date -u +%Y-%m-%dT%H:%M:%SZ) $1"; } >"$work/repairs" &&
        mv "$work/repairs" "$run/repairs"
    echo $(($(cat "$run/repaired" 2>/dev/null || echo 0) + 1)) >"$work/repaired" &&
        mv "$work/repaired" "$run/repaired"
    return 0
}

begin_repair() {
    # systemd may stop the watcher during a repair. The next repair completes it. systemd sends the signal
    # again when the watcher itself has ended, and that must not interrupt the removal of $work.
    trap 'trap "" HUP INT TERM; exit' HUP INT TERM
    take_lock
    # Remembered for this boot: Docker has made its networks.
    [ -e "$run/docker" ] || [ -z "$(docker_main)" ] || ! timeout 5 docker version >/dev/null 2>&1 ||
        : >"$run/docker"
    # A change of this boot that still waits for its confirmation stays in force.
    awaits_confirmation || unfinished
    [ ! -e "$etc/current" ] || rename_bridges "$etc/current"
}

reload() { # the current generation
    now=$(generation current) && now=$etc/$now || fail 15 "cannot read $etc"
    # Before anything that may fail: with the guard in force, a failure closes and does not open.
    guarded=guarded
    { load_guard "$now" && replace_guard "$now"; } || guarded=
    check "$now"
    test_load "$now"
    load "$now" "$guarded" || fail 13 "the kernel refused to load $now"
    clear_disk
}
