# --- changes ---------------------------------------------------------------------------------------

generation() { readlink "$etc/$1" 2>/dev/null || echo none; } # generation current|confirmed

point() { # point NAME ID: the symbolic link becomes another in one step
    ln -sfn "$2" "$etc/$1.next" && mv -T "$etc/$1.next" "$etc/$1"
}

change() { # change FOLDER TOKEN SECONDS EXPECTED
    case $2$3 in *[!0-9a-f]*) fail 64 "not a token or not a time: $2 $3" ;; esac
    take_turn "$2"
    if awaits_confirmation; then
        # Our own: the connection was lost, and the same change came again over the next one.
        echo "armed $2"
        return 0
    fi
    # Already undone once; applying it again would lock the operator out again.
    refuse_undone "$2"
    unfinished
    tell_undone
    old=$(generation current)
    [ "$old" = "$4" ] || fail 19 "the host has generation $old now, not $4"
    owner=$(cat "$etc/$old/owner" 2>/dev/null)
    [ "${owner:-$(cat "$1/new/owner")}" = "$(cat "$1/new/owner")" ] ||
        fail 16 "this host belongs to the stack $owner"
    check "$1/new"
    # From here on nothing but the end of this process itself stops the work half way: not a closed
    # connection, not the end of the operator's program.
    trap '' HUP INT TERM PIPE
    test_load "$1/new"
    if ! keep "$1" "$2" "$old" || ! arm "$2" "$3"; then
        rm -f "$etc/armed"
        clear_disk
        fail 15 "cannot write to $etc, or systemd takes no timer: the undo is not armed"
    fi
    # Both clocks of the confirmation start when it is loaded.
    if point current "$2" && put_script && load "$etc/$2" "$etc/$2/moved" &&
        give_back "$etc/$2/back" && record_phase loaded "$2" $(($(uptime) + $3)); then
        rm -rf "$var/undone"
        rmdir "$var" 2>/dev/null
        echo "armed $2"
        return 0
    fi
    # What is full may be the memory that this run itself has taken.
    rm -rf "${1:?}"/*/ "${work:?}"/*
    # If that fails it stays armed: the timer tries again, and so does whatever comes next.
    go_back "$2" || fail 13 "the kernel refused the change and its undo"
    disarm "$2"
    clear_disk
    fail 12 "the change could not be loaded; the old rules and addresses are back"
}

keep() { # keep FOLDER TOKEN OLD: the generation, and what there was before it, on disk
    new=$etc/$2
    [ "$3" != none ] || nothing "$etc/none" || return 1
    rm -rf "$new" "$new-then"
    cp -R "$1/new" "$new" && record_host "$new" "$etc/$3" || return 1
    # What is on the host already was not added by us, and stays when we are undone.
    live_addresses >"$work/live" || return 1
    wanted_addresses "$new/addresses" | grep -vxF -f "$work/live" >"$new/added"
    [ ! -d "$1/then" ] || { cp -R "$1/then" "$new-then" && cp "$new/was" "$new-then/"; } || return 1
    for folder in "$new" "$new-then"; do
        [ -d "$folder" ] || continue
        # By the digests an edited file is noticed.
        cp "$0" "$folder/wanbound" && chmod 0755 "$folder/wanbound" &&
            (cd "$folder" && sha256sum ./*.rules ./*.nft ./*.service addresses host bridges leaving >sums) || return 1
    done
    # Data before names: a power cut after the rename must not find empty files.
    sync "$new"/* "$new" "$etc" 2>/dev/null
    return 0
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
    guarded=0
    load_guard "$now" || guarded=1
    check "$now"
    test_load "$now"
    load "$now" "$moved" && [ "$guarded" = 0 ] || fail 13 "the kernel refused what $now says"
    clear_disk
}
