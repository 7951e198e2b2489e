# --- changes ---------------------------------------------------------------------------------------

change() { # change FOLDER TOKEN SECONDS EXPECTED
    case $2$3 in *[!0-9a-f]*) fail 64 "not a token or not a time: $2 $3" ;; esac
    take_turn "$2"
    if awaits_confirmation; then
        # Our own: the connection was lost, and the same change was sent again over the next one.
        echo "armed $2"
        return 0
    fi
    # Already undone once; applying it again would lock the operator out again.
    refuse_undone "$2"
    unfinished
    tell_undone
    old=$(generation current) || fail 15 "cannot read $etc"
    [ "$old" = "$4" ] || fail 19 "the host has generation $old now, not $4"
    owner=$(cat "$etc/$old/owner" 2>/dev/null)
    [ "${owner:-$(cat "$1/new/owner")}" = "$(cat "$1/new/owner")" ] ||
        fail 16 "this host belongs to the stack $owner"
    check "$1/new"
    # From here on, only a kill of this process can interrupt the work. A closed connection or the end
    # of the operator's program cannot.
    trap '' HUP INT TERM PIPE
    test_load "$1/new"
    if ! keep "$1" "$2" "$old" || ! arm "$2" "$3"; then
        rm -f "$etc/armed"
        clear_disk
        fail 15 "cannot write to $etc, or systemd accepts no timer: the rollback is not armed"
    fi
    # Both clocks of the confirmation start when it is loaded.
    if point current "$2" && put_script && load "$etc/$2" &&
        give_back "$etc/$2/back" && keep_ended "$etc/$2" && record_phase loaded "$2" $(($(uptime) + $3)); then
        echo "armed $2"
        return 0
    fi
    # The memory may be full because of this run's own files.
    rm -rf "${1:?}"/*/ "${work:?}"/*
    # If that fails, it stays armed: the timer tries again, and so does the next run or boot.
    go_back "$2" || fail 13 "the kernel refused the change and its rollback"
    disarm "$2"
    clear_disk
    fail 12 "the change could not be loaded; the old rules and addresses are back"
}

keep() { # keep FOLDER TOKEN OLD: writes the generation, and what there was before it, to disk
    new=$etc/$2
    [ "$3" != none ] || nothing "$etc/none" || return 1
    # This change also replaces a generation of which files were removed.
    for file in addresses was; do
        [ -e "$etc/$3/$file" ] || : >"$etc/$3/$file" || return 1
    done
    rm -rf "$new" "$new-then"
    cp -R "$1/new" "$new" && record_host "$new" "$etc/$3" || return 1
    # Addresses that the host already has were not added by us, and stay after an undo.
    read_addresses && live_addresses >"$work/live" || return 1
    wanted_addresses "$new/addresses" | matching -vxF -f "$work/live" >"$new/added" || return 1
    # Existing addresses that were not ours get another scope now; the undo restores theirs.
    { wanted_addresses "$etc/$3/addresses" && echo '#'; } >"$work/known" || return 1
    { wanted_addresses "$new/addresses" | matching -vxF -f "$work/known" >"$work/fresh" &&
        with_scope <"$work/fresh" && echo '#'; } >"$work/right" &&
        live_scopes >"$work/scopes" || return 1
    matching -F -f "$work/right" "$work/scopes" >"$new/adopted" || return 1
    [ ! -d "$1/then" ] || { cp -R "$1/then" "$new-then" && cp "$new/was" "$new-then/"; } || return 1
    for folder in "$new" "$new-then"; do
        [ -d "$folder" ] || continue
        # The digests show later whether a file was edited.
        cp "$1/version" "$folder/" && cp "$1/installed" "$folder/wanbound" && chmod 0755 "$folder/wanbound" &&
            (cd "$folder" && sha256sum ./*.rules ./*.nft ./wanbound*.* addresses flows host bridges leaving >sums) || return 1
    done
    # Data before names: a power cut after the rename must not find empty files.
    sync "$new"/* "$new" "$etc" 2>/dev/null
    [ ! -d "$new-then" ] || sync "$new-then"/* "$new-then" 2>/dev/null
    return 0
}

record_host() { # record_host NEW OLD: the settings now, and those before our first change
    for file in "$1/host" "$2/was"; do
        { sed 's/^\([^ ]* [^ ]* \).*/\1/' "$file" | sort -u && echo '#'; } >"$work/${file##*/}.keys" || return 1
    done
    sort -u "$work/host.keys" "$work/was.keys" | while read -r kind key; do
        host_now "$kind" "$key" || exit 1
    done >"$1/before" || return 1
    { cat "$2/was" && matching -vF -f "$work/was.keys" "$1/before"; } >"$work/was" &&
        matching -F -f "$work/host.keys" "$work/was" >"$1/was" &&
        matching -vF -f "$work/host.keys" "$work/was" >"$1/back"
}

put_script() { # the script is that of the current generation, so an undo restores the old one
    mkdir -p "${self%/*}" && ln -sfn "$etc/current/wanbound" "$self.next" && mv -T "$self.next" "$self" &&
        put_units
}

arm() { # arm TOKEN SECONDS: from here on the host rolls back by itself
    record_phase loading "$1" "$(($(uptime) + $2))" || return 1
    sync "$etc/armed" "$etc" 2>/dev/null
    # If it is killed, or the kernel refuses it, it is tried again until some run has done it.
    go="[ ! -e $etc/$1/wanbound ] || sh $etc/$1/wanbound undo $1"
    if [ -d /run/systemd/system ]; then
        systemd-run --quiet --collect --unit="wanbound-undo-$1" --on-active="$2s" \
            --timer-property=AccuracySec=100ms --property=Restart=on-failure \
            --property=RestartSec=3 sh -c "$go" >&2 || return 1
    else
        # Without the lock: only the undo itself takes it.
        setsid sh -c "sleep $2; until $go; do sleep 3; done" </dev/null >/dev/null 2>&1 9>&- &
    fi
}

record_phase() { # record_phase PHASE TOKEN DEADLINE
    echo "$2 $(boot) $1 $3" >"$etc/armed.next" && mv "$etc/armed.next" "$etc/armed"
}

confirm() { # confirm TOKEN FOLDER LEFT: over a connection made after the change, so a new login works
    take_lock
    done=$(generation current) || fail 15 "cannot read $etc"
    if read_armed && { [ "$armed_boot $phase $armed_token" != "$(boot) loaded ${done%-then}" ] ||
        [ ! -e "$etc/$armed_token/added" ]; }; then
        # It was interrupted, or its rollback was; or it is not in force after a reboot. A successful
        # login proves nothing then.
        unfinished
    elif read_armed && [ "$armed_token" = "$1" ]; then
        refuse_duplicates "$1"
        # Before it is confirmed: after a kill, nothing would remove it.
        mv "$etc/$1/ended" "$work/" 2>/dev/null || rm -f "$etc/$1/ended" "$work/ended"
        point confirmed "$done" && disarm "$1" || fail 15 "cannot write to $etc"
        rm -rf "$var/undone"
        rmdir "$var" 2>/dev/null
        put_classic "$2"
        end_late_answers "$etc/$done"
    fi
    refuse_undone "$1"
    clear_disk
    done=$(generation confirmed) || fail 15 "cannot read $etc"
    # The record of a rollback may be missing: /var was full, or another run has changed the host since.
    [ "${done%-then}" = "$3" ] ||
        fail 17 "the generation $done is in force here: the change was rolled back, or another run has replaced it"
}

keep_ended() { # keep_ended GENERATION: for the confirmation; a full disk is no reason to undo the change
    cp "$work/ended" "$1/" || rm -f "$1/ended"
}

end_late_answers() { # end_late_answers GENERATION: connections that began with answers after its load
    [ -s "$work/ended" ] || return 0
    # What cannot be read was said when it was loaded. The confirmation itself has succeeded.
    end_flows "$1" 2>/dev/null || :
}

await_answers() { # await_answers GENERATION: for 3 s at most; without a carrier nothing is asked
    tries=0
    until checked "$1" || [ "$tries" = 30 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    read_addresses && duplicates "$1" >"$work/duplicates"
}

refuse_duplicates() { # refuse_duplicates TOKEN: undoes the change if another machine has what it added
    await_answers "$etc/current" || fail 15 "cannot read the addresses of this host, or write to $run"
    { cat "$etc/$1/added" && echo '#'; } >"$work/right" || fail 15 "cannot read $etc, or write to $run"
    grep -vxF -f "$work/right" "$work/duplicates" | describe_duplicates note
    grep -xF -f "$work/right" "$work/duplicates" >"$work/taken"
    case $? in
    0) ;;
    1) return 0 ;;
    *) fail 15 "cannot write to $run" ;;
    esac
    # As in a change.
    trap '' HUP INT TERM PIPE
    undo_armed "added an IPv6 address that another machine on the link has"
    describe_duplicates say "this change cannot use it" <"$work/taken"
    exit 25
}

tell_undone() { # reports each undo since the last successful change
    [ -e "$var/undone" ] || return 0
    while read -r _ when why; do
        note "a change $why and was rolled back at $when:" \
            "since then the host has had its previous configuration"
    done <"$var/undone"
}

refuse_undone() { # refuse_undone TOKEN: fails when that change was made, and undone
    [ ! -e "$var/undone" ] || ! grep -q "^$1 " "$var/undone" ||
        fail 17 "the change was rolled back before its confirmation came"
}
