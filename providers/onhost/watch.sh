# --- watching ------------------------------------------------------------------------------------
#
# The kernel reports each change to `ip monitor` and `nft monitor`, and both write into one FIFO. An
# event that may matter starts one `mend`, which compares everything and loads only if something
# differs; so a repair is not mistaken for a fault. Legacy iptables sends no events: its rules are
# read every 3 s. Kernel parameters are not watched: a program that sets one would set it again, and
# the two programs would never stop.

watch() {
    need ip iproute2
    need flock util-linux
    rm -f "$run/watch"
    # Open for reading and writing, so it has no end of file while this process runs.
    mkfifo -m 600 "$run/watch" && exec 3<>"$run/watch" 4<"$0" || fail 15 "cannot write to $run"
    rm -f "$run/watch"
    # Written before the monitors start: their events may fill the FIFO, which nothing reads yet, and
    # this `echo` would then wait for ever. What was changed before they listened is found by this
    # check and by another one a second later; a monitor takes some milliseconds to start.
    echo start >&3
    failed='' failures=0 again=0 credit=20 checked=0 owns='' held='' refused=''
    # No trap for SIGTERM, here or in `follow`: a program that is just being started inherits it, and
    # loses the signal. systemd sends one to each process of the service, also when this one ends.
    trap 'say "a process of the watcher has ended; restarting it"; exit 1' HUP
    follow ip -o monitor address route link
    ! command -v nft >/dev/null 2>&1 || follow nft monitor
    if ! command -v nft >/dev/null 2>&1 || is_legacy; then
        follow poll_rules
    fi
    ! can_own || start_owner
    keep_table
    { sleep 1; echo started >&3; } 5>&- 6>&- &
    while read -r event; do
        matters "$event" || continue
        settle
        # A change has installed another script: systemd starts that.
        cmp -s /proc/self/fd/4 "$0" || exit 0
        check_all
        keep_table
    done <&3
}

follow() { # follow COMMAND…: its output goes into the FIFO; the watcher ends when it ends
    (
        "$@" >&3 2>&1 4<&- &
        child=$!
        exec 5<&-
        wait "$child"
        # When systemd stops the service, it ends all of these processes. That is not a fault.
        sleep 0.2
        kill -HUP $$
    ) 2>/dev/null &
}

poll_rules() { # prints a word when the rules have changed
    before=
    while sleep 3; do
        rules=$({ iptables-save; ip6tables-save; } 2>/dev/null | sed -n '/^-A/p; s/^\([*:][^ ]*\).*/\1/p')
        [ "$rules" = "$before" ] || echo polled
        before=$rules
    done
}

matters() { # matters LINE: whether a monitor's line may be about anything of ours
    case "$1 " in
    *' ip nat '* | *' ip filter '* | *' ip6 nat '* | *' ip6 filter '* | *' inet wanbound '*) ;;
    # The end of a transaction (its lines were enough), and the tables of other programs.
    '# new generation '* | 'add '* | 'create '* | 'insert '* | 'replace '* | 'delete '* | 'destroy '*) return 1 ;;
    # A router advertisement renews its route, and its addresses, every few seconds or minutes.
    'default '*' proto ra '* | 'Deleted default '*' proto ra '*) return 1 ;;
    'default '* | 'Deleted default '*) ;;
    # A container starts or stops. If Docker changes our chains for it, nft reports that.
    [0-9]*': veth'*'@'* | 'Deleted '[0-9]*': veth'*'@'*) return 1 ;;
    [0-9]*': '*' inet'*' dynamic '* | 'Deleted '[0-9]*': '*' inet'*' dynamic '*) return 1 ;;
    [0-9]*': '*' inet'*' scope link '* | 'Deleted '[0-9]*': '*' inet'*' scope link '*) return 1 ;;
    [0-9]*': '* | 'Deleted '[0-9]*': '*) ;;
    # Any other route.
    *' dev '* | *' table '*) return 1 ;;
    # An unknown line, such as the message that a buffer was too small and events are lost.
    esac
}

settle() { # waits until a burst is over, and treats all events until then as one
    read -r now _ </proc/uptime
    now=${now%.*}
    # A check takes up to 0.1 s of processor time. Twenty may follow each other closely; after that,
    # as on a host that starts containers all day, one per second. A failed check counts three times:
    # half a repair is an event, too.
    credit=$((credit + now - checked))
    [ "$credit" -le 20 ] || credit=20
    delay=0.1
    [ "$credit" -gt 0 ] || delay=$((1 - credit))
    credit=$((credit - 1)) checked=$now
    # The mark may be inside the line of another writer, but it is whole (pipe(7), PIPE_BUF).
    { sleep "$delay"; echo "settled-$now" >&3; } 5>&- 6>&- &
    # Unlike `read` it reads blocks. Events after the mark are also from before the check. If the
    # writer of the mark was killed, systemd starts the watcher again.
    timeout 60 sed "/settled-$now/q" <&3 >/dev/null || exit 1
}

check_all() { # repairs what differs, and reports a failure once
    [ -e "$etc/current" ] || return 0
    # The process that holds the lock causes the current events; do not report them.
    flock -w "$lock_seconds" "$run/lock" true
    said=$("$0" mend 2>&1 </dev/null 3<&- 4<&- 5>&- 6>&-)
    code=$?
    if [ "$code" = 0 ]; then
        [ -z "$failed" ] || say "all is in force again"
        [ -z "$said" ] || printf '%s\n' "$said" >&2
        failed='' failures=0
        return
    fi
    [ "$said" = "$failed" ] || printf '%s\n' "$said" >&2
    failed=${said:-$code}
    credit=$((credit - 2))
    # Without an event it is tried again after 1 s, then 2, and so on up to 10. `settle` may have read
    # the word of the last timer: so the time is that after the check.
    read -r now _ </proc/uptime
    now=${now%.*}
    [ "$now" -ge "$again" ] || return 0
    failures=$((failures + (failures < 10)))
    again=$((now + failures))
    { sleep "$failures"; echo again >&3; } 5>&- 6>&- &
}
