# --- the table that survives `nft flush ruleset` ----------------------------------------------------
#
# The guard does not survive it, and nothing filters until the repair. But the kernel spares a table
# that a process owns for as long as that process has its socket (nft(8), "owner"), and no other process
# can change it. With "persist" (Linux 6.9, nft 1.1) it also stays when its owner ends, and another may
# then own it. So one process of the watcher owns `inet wanbound-keep`: no private source of a network
# leaves by a link other than our bridges.

can_own() { # whether kernel and nft support such tables, and nft reads commands; adds nothing
    nft -c 'add table inet wanbound-try { flags owner, persist; }' 2>/dev/null &&
        echo | HOME=/dev/null nft -i >/dev/null 2>&1
}

start_owner() { # it ends with this process, even if that is killed: only this one writes to its input
    rm -f "$run/owner"
    mkfifo -m 600 "$run/owner" && exec 5<>"$run/owner" || fail 15 "cannot write to $run"
    rm -f "$run/owner"
    # For nft's errors. The file has no name any more, and no other process writes to it.
    : >"$run/owner" && exec 6>>"$run/owner" || fail 15 "cannot write to $run"
    rm -f "$run/owner"
    follow owner
    owns=yes
}

owner() {
    # nft writes a history of its commands there.
    HOME=/dev/null
    export HOME
    # Opened again, for reading only.
    exec nft -i </proc/self/fd/5 >/dev/null 2>&6 5<&- 6>&-
}

keep_table() { # has the owner replace the table if the current generation has another one
    [ -n "$owns" ] || return 0
    # nft may have refused it later than this waits.
    [ ! -s /proc/self/fd/6 ] || held=''
    wanted=$(kept_table) && [ "$wanted" != "$held" ] || return 0
    : >/proc/self/fd/6
    printf '%s\n' "$wanted" >&5 && held=$wanted
    # An interactive nft has no exit status for a command, only a message if it refuses one.
    sleep 0.2
    [ -s /proc/self/fd/6 ] || { refused='' && return; }
    held=''
    said=$(cat /proc/self/fd/6)
    [ "$said" = "$refused" ] || say "nft refuses the table that survives a flush: $said"
    refused=$said
    { sleep 10; echo again >&3; } 5>&- 6>&- &
}

kept_table() { # the table of the current generation, or its removal; one line is one transaction
    file=$etc/current/keep.nft
    if [ ! -s "$file" ]; then
        echo 'add table inet wanbound-keep { flags owner, persist; }; delete table inet wanbound-keep'
        return
    fi
    edits=$(sed -n "s/^$tab*@\(.*\),\$/\1/p" "$file" | subnets_of_links | escaped_links |
        sed "s|subnet \(.*\) \(.*\)|s#^$tab*@\1,#\2,#|") &&
        sed "$edits" "$file" | tr '\n' ' '
}

drop_table() { # after its owner has ended, when its filter is no longer wanted
    nft delete table inet wanbound-keep 2>/dev/null
}

owned_table() { # held, "not held" or "not supported"; nothing where no network needs it
    [ -s "$etc/current/keep.nft" ] || return 0
    # Legacy rules do not belong to nft, and survive.
    ! is_legacy || beside_others "$etc/current" ipv4 || return 0
    case $(nft list table inet wanbound-keep 2>/dev/null) in
    *'flags owner'*) echo held ;;
    *) if can_own; then echo 'not held'; else echo 'not supported'; fi ;;
    esac
}
