# --- repairs ---------------------------------------------------------------------------------------

generation() { readlink "$etc/$1" 2>/dev/null || echo none; } # generation current|confirmed

point() { # point NAME ID: the symbolic link becomes another in one step
    ln -sfn "$2" "$etc/$1.next" && mv -T "$etc/$1.next" "$etc/$1"
}

nothing() { # nothing FOLDER: makes a generation in it that wants nothing
    mkdir -p "$1" || return 1
    for file in guard.nft addresses host bridges moved leaving absent was; do
        : >"$1/$file" || return 1
    done
    for family in ipv4 ipv6; do
        printf '*%s\n# jumps %s\nCOMMIT\n' nat nat filter filter >"$1/$family.rules" || return 1
    done
}

follow_leaving() { # networks that have left go with their last bridge: on to the generation without
    moved=/dev/null
    [ -s "$etc/current/leaving" ] || return 1
    # Until Docker has started once in this boot, a bridge that is not there may still come.
    [ -e "$run/docker" ] || return 1
    while read -r bridge; do
        [ ! -e "/sys/class/net/$bridge" ] || return 1
    done <"$etc/current/leaving"
    id=$(generation current)-then
    say "the bridges of networks that were removed are gone; dropping their rules and addresses"
    point current "$id" || fail 15 "cannot write to $etc"
    [ -e "$etc/armed" ] || point confirmed "$id" || fail 15 "cannot write to $etc"
    moved=$etc/$id/moved
}

apply() { # all of the current generation, whatever is in force
    begin_repair
    follow_leaving
    [ ! -e "$etc/current" ] || reload
}

mend() { # the same, if anything differs from what was loaded
    begin_repair
    if ! follow_leaving; then
        [ -e "$etc/current" ] || return 0
        print_live "$etc/current" "$work/now" || fail 15 "cannot read what is in force, or write to $run"
        differs=
        [ ! -e "$run/copy" ] || differs=', the copy of the guard'
        for part in $parts; do
            cmp -s "$work/now/$part" "$run/loaded/$part" || differs="$differs, $part"
        done
        if [ -z "$differs" ]; then
            know_bridges "$etc/current"
            return
        fi
        say "repairing what differs from what was loaded: ${differs#, }"
    fi
    reload
}

begin_repair() {
    take_lock
    # systemd stops the watcher, and a repair within it. What that leaves undone, the next one does.
    trap exit HUP INT TERM
    # Remembered for this boot: Docker has made its networks.
    [ -e "$run/docker" ] || [ -z "$(docker_main)" ] || ! timeout 5 docker version >/dev/null 2>&1 ||
        : >"$run/docker"
    # A change of this boot that still waits to be confirmed is what holds for now.
    awaits_confirmation || unfinished
    [ ! -e "$etc/current" ] || rename_bridges "$etc/current"
}

reload() { # the current generation; $moved as in load
    now=$etc/$(generation current)
    # Before anything that may fail: with the guard in force, what then fails is closed, not open.
    guarded=guarded
    load_guard "$now" || guarded=
    check "$now"
    test_load "$now"
    load "$now" "$moved" "$guarded" || fail 13 "the kernel refused what $now says"
    clear_disk
}
