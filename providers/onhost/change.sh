# --- changes ---------------------------------------------------------------------------------------

files='ipv4.rules ipv6.rules guard.nft addresses routes links sysctls bridges moved leaving absent owner plan.json wanbound'

generation() { readlink "$etc/$1" 2>/dev/null || echo none; } # generation current|confirmed

point() { # point NAME ID: the symbolic link becomes another in one step
    ln -sfn "$2" "$etc/$1.next" && mv -T "$etc/$1.next" "$etc/$1"
}

change() { # change FOLDER TOKEN SECONDS EXPECTED
    case $2$3 in *[!0-9a-f]*) fail 64 "not a token or not a time: $2 $3" ;; esac
    need ip iproute2
    work_folder
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
    check_owner "$1/new"
    check "$1/new"
    # From here on nothing but the end of this process itself stops the work half way: not a closed
    # connection, not the end of the operator's program.
    trap '' HUP INT TERM PIPE
    ! has_guard "$1/new" || nft -c -f "$1/new/guard.nft" || fail 11 "nft refuses the guard"
    restore "$1/new" 'ipv4 ipv6' --test || fail 11 "iptables-restore refuses the rules"
    [ "$old" != none ] || old=.nothing
    new=$etc/$2
    if ! keep "$1" "$new" "$etc/$old" || ! arm "$2" "$3"; then
        rm -f "$etc/armed"
        clear_disk
        fail 15 "cannot write to $etc, or systemd takes no timer: the undo is not armed"
    fi
    read_armed
    if point current "$2" && put_script && load "$new" "$new/moved" && give_back "$new/back"; then
        # Both clocks of the confirmation start now.
        if record_phase loaded "$2" $(($(uptime) + $3)); then
            rm -rf "$var/undone"
            [ ! -d "$var" ] || rmdir "$var" 2>/dev/null
            echo "armed $2"
            return 0
        fi
    fi
    read_armed
    # What is full may be the memory that this run itself has taken.
    rm -rf "${1:?}"/*/
    if go_back "$2"; then
        disarm "$2"
        clear_disk
        fail 12 "the change could not be loaded; the old rules and addresses are back"
    fi
    # It stays armed: the timer tries again, and so does whatever comes next.
    fail 13 "the kernel refused the change and its undo"
}

check_owner() { # check_owner NEW: a host belongs to one stack
    [ -s "$etc/current/owner" ] && [ "$(cat "$etc/current/owner")" != "$(cat "$1/owner")" ] || return 0
    fail 16 "this host belongs to the stack $(cat "$etc/current/owner")"
}

keep() { # keep FOLDER NEW OLD: the generation, and what there was before it, on disk
    mkdir -p "$etc/.nothing" && : >"$etc/.nothing/was" && : >"$etc/.nothing/addresses" || return 1
    rm -rf "$2" "$2-then"
    cp -R "$1/new" "$2" && cp "$0" "$2/wanbound" && chmod 0755 "$2/wanbound" || return 1
    record_host "$2" "$3" || return 1
    # What is on the host already was not added by us, and stays when we are undone.
    ip -o addr show | sed -n 's/^[0-9]*: \([^ ]*\) *inet6\{0,1\} \([^ ]*\) .*/\1 \2|/p' >"$work/live.keys"
    sed 's/^\([^ ]*\) [^ ]* \([^ ]*\).*/\1 \2|/' "$2/addresses" | grep -vxF -f "$work/live.keys" >"$2/added"
    digest_of "$2" >"$2/digest" || return 1
    if [ -d "$1/then" ]; then
        cp -R "$1/then" "$2-then" && cp "$2/wanbound" "$2/was" "$2-then/" &&
            digest_of "$2-then" >"$2-then/digest" || return 1
    fi
    # Data before names: a power cut after the rename must not find empty files.
    sync "$2"/* "$2" "$etc" 2>/dev/null
    return 0
}

digest_of() { # digest_of GENERATION: of what was uploaded, by which an edited file is noticed
    for file in $files; do
        cat "$1/$file" 2>/dev/null
    done | sha256sum
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
    [ ! -e "$etc/current" ] || reload "$parts"
}

mend() { # what differs from what was loaded
    begin_repair
    if follow_leaving; then
        reload "$parts"
    elif [ -e "$etc/current" ]; then
        differs=$(differing "$etc/$(generation current)") ||
            fail 15 "cannot read what is in force, or cannot write to $run"
        if [ -n "$differs" ]; then
            say "repairing$(name_parts "$differs")"
            reload "$differs"
        else
            know_bridges "$etc/current"
        fi
    fi
}

begin_repair() {
    need ip iproute2
    take_lock
    work_folder
    # systemd stops the watcher, and a repair within it. What that leaves undone, the next one does.
    trap exit HUP INT TERM
    docker_ran
    # A change of this boot that still waits to be confirmed is what holds for now.
    awaits_confirmation || unfinished
}

reload() { # reload PARTS: of the current generation; $moved as in load
    now=$etc/$(generation current)
    # Before anything that may fail: with the guard in force, what then fails is closed, not open.
    guarded=0
    ! has_guard "$now" || nft -f "$now/guard.nft" || guarded=1
    check "$now"
    restore "$now" 'ipv4 ipv6' --test || fail 11 "iptables-restore refuses the rules"
    # shellcheck disable=SC2086 # one word for each
    load "$now" "$moved" $1 && [ "$guarded" = 0 ] || fail 13 "the kernel refused what $now says"
    clear_disk
}

differing() { # differing GENERATION: the parts that are not as they were loaded
    [ -d "$run/loaded" ] || { echo "$parts" && return 0; }
    rename_bridges "$1"
    print_live "$1" "$work/now" || return 1
    for part in $parts; do
        cmp -s "$work/now/$part" "$run/loaded/$part" || printf '%s ' "$part"
    done
}

name_parts() { # name_parts PARTS: for the journal
    for part in $1; do
        case $part in
        guard) printf ' the guard,' ;;
        host) printf ' addresses, links or routes,' ;;
        *) printf ' %s rules,' "$part" ;;
        esac
    done | sed 's/,$//'
}

docker_ran() { # remembers for this boot that Docker has made its networks
    [ -e "$run/docker" ] || [ -z "$(docker_main)" ] || ! timeout 5 docker version >/dev/null 2>&1 ||
        : >"$run/docker"
}
