# --- commands ------------------------------------------------------------------------------------

change() { # change FOLDER TOKEN SECONDS
    work=$1/work
    case $2$3 in *[!0-9a-f]*) fail 64 "not a token or not a time: $2 $3" ;; esac
    need ip iproute2
    need awk mawk
    take_turn "$2"
    if awaits_confirmation; then
        # Our own: the connection was lost, and the same change came again over the next one.
        echo "armed $2"
        return 0
    fi
    # It cut the operator off until it was undone; made again, it would do so again.
    refuse_undone "$2"
    mkdir -p "$work/next" || fail 15 "cannot write to $run"
    unfinished
    tell_undone
    plan "$work" '' "$1/bundle" /dev/null ||
        fail 15 "cannot read what is in force, or cannot write to $run"
    touch "$work/added" "$work/changed"
    check "$work"
    # From here on nothing but the end of this process itself stops the work half way: not a closed
    # connection, not the end of the operator's program.
    trap '' HUP INT TERM PIPE
    begin_restore "$work" --test
    if ! write_next "$work"; then
        end_restore "$work"
        clear_disk
        fail 15 "cannot write to $etc"
    fi
    if ! end_restore "$work"; then
        clear_disk
        fail 11 "iptables-restore refuses the rules"
    fi
    if ! arm "$work" "$2" "$3"; then
        ! read_armed || disarm "$2"
        clear_disk
        fail 15 "cannot write to $etc, or systemd takes no timer: the undo is not armed"
    fi
    read_armed
    if ! commit "$work"; then
        put_back
        disarm "$2"
        fail 15 "cannot write to $etc"
    fi
    if ! guard_first "$work" "$1/bundle"; then
        # One transaction for both families: refused, it has changed nothing, and it was the first.
        put_back
        disarm "$2"
        fail 11 "nft refuses the guard"
    fi
    loaded=
    if load "$work" "$1/bundle"; then
        if record_phase loaded "$2" "$deadline"; then
            forget_undone
            tell_by_hand "$work"
            tell_ipv6nat "$work"
            echo "armed $2"
            return 0
        fi
        loaded=yes
    fi
    # What is full may be the memory that this run itself has taken.
    rm -rf "$work"
    if go_back "$1/undo"; then
        disarm "$2"
        [ -z "$loaded" ] || fail 15 "cannot write to $etc; the old rules and addresses are back"
        fail 12 "the kernel refused the change; the old rules and addresses are back"
    fi
    # It stays armed: the timer tries again, and so does whatever comes next.
    fail 13 "the kernel refused the change and its undo"
}

apply() { # apply whole|'': all of it anew, or only what differs
    need ip iproute2
    need awk mawk
    take_lock
    work=$(mktemp -d "$run/apply.XXXXXX") || fail 15 "cannot write to $run"
    trap 'rm -rf "$work"' EXIT
    # systemd stops the watcher, and a mend within it. What that leaves undone, the next one does.
    trap exit HUP INT TERM
    # A change of this boot that still waits to be confirmed is what holds for now.
    awaits_confirmation || unfinished
    how=$1
    if [ -z "$how" ] && ! guard_is_ours "$work"; then
        how=guard
    fi
    plan "$work" "$how" /dev/null /dev/null ||
        fail 15 "cannot read what is in force, or cannot write to $run"
    # Before anything that may fail: with the guard in force, what then fails is closed, not open.
    guarded=0
    [ -e "$work/guard.none" ] || guard_first "$work" /dev/null || guarded=1
    check "$work"
    [ -n "$1" ] || name_repairs "$work"
    begin_restore "$work" --test
    end_restore "$work" || fail 11 "iptables-restore refuses the rules"
    load "$work" /dev/null && [ "$guarded" = 0 ] || fail 13 "the kernel refused what $etc says"
}
