# --- facts -------------------------------------------------------------------------------------------

facts() { # facts [drift]: what is on this host, in sections that providers/host/facts.py reads
    work_folder
    # In parallel and without the lock: Docker may take long, and repairs must not wait for it.
    (docker_facts >"$work/docker" && docker_containers "${1-}" >"$work/containers") &
    docker_job=$!
    take_lock
    tell_undone
    echo '== generation'
    echo "current $(generation current)"
    [ ! -e "$etc/current/owner" ] || echo "owner $(cat "$etc/current/owner")"
    [ ! -e "$etc/current/version" ] || echo "version $(cat "$etc/current/version")"
    echo '== plan'
    cat "$etc/current/plan.json" 2>/dev/null
    (cd "$etc/current" && sha256sum -c sums) 2>/dev/null | sed -n 's/^\(.*\): FAILED.*/\1/p' |
        while read -r file; do
            echo "== edited ${file#./}"
            # Also if its last line has no newline.
            awk 1 "$etc/current/$file" 2>/dev/null
        done
    # If some of its files were removed, print the others.
    now=$work/generation
    nothing "$now"
    [ ! -e "$etc/current" ] || cp "$etc/current"/* "$now/" 2>/dev/null
    [ "${1-}" != drift ] || drift_facts
    for family in ipv4 ipv6; do
        [ "${1-}" = drift ] || read_rules "$family" "$work/$family.saved" ||
            fail 10 "cannot read what is in force"
        echo "== others $family"
        grep -v -e '^-A WANBOUND-' -e '^#' "$work/$family.saved"
    done
    echo '== addresses'
    ip -o addr show || fail 10 "cannot read the addresses of this host"
    echo '== routes'
    for family in ipv4 ipv6; do
        # Without IPv6 in the kernel there are none.
        routes=$(default_routes "$family") || { [ "$family" = ipv6 ] && [ ! -e /proc/net/if_inet6 ]; } ||
            fail 10 "cannot read the routes of this host"
        [ -z "$routes" ] || printf '%s\n' "$routes" | sed "s/^/$family /"
    done
    echo '== links'
    for link in /sys/class/net/*; do
        host_now link "${link##*/}"
    done | sed 's/^link //'
    echo '== renamed'
    renamed_bridges "$now"
    echo '== sysctls'
    sed -n 's/^sysctl \([^ ]*\) .*/\1/p' "$now/host" | while read -r key; do
        host_now sysctl "$key" | sed 's/^sysctl \([^ ]*\) /\1 = /'
    done
    exec 9>&-
    echo '== units'
    units_facts
    echo '== ipv6nat'
    # In a container of its own it is a process of the host, too.
    grep -sx docker-ipv6nat /proc/[0-9]*/comm | head -n 1
    classic_facts
    echo '== docker'
    wait "$docker_job" || exit $?
    cat "$work/docker"
    echo '== containers'
    cat "$work/containers"
    echo '== end'
}

drift_facts() {
    echo '== owned table'
    owned_table
    print_live "$now" "$work/now" || fail 10 "cannot read what is in force"
    for part in $parts; do
        echo "== live $part"
        cat "$work/now/$part"
        echo "== loaded $part"
        # Nothing was loaded in this boot: then existing lines may not be ours.
        [ ! -e "$run/loaded/$part" ] || cat "$run/loaded/$part"
    done
}

units_facts() { # the state of the script and of each unit, compared with what was written
    digest=$(sha256sum "$self" 2>/dev/null)
    echo "script ${digest:-missing}" | cut -d' ' -f1,2
    [ -d "$units" ] || { echo 'no systemd' && return; }
    for link in $(units_wanted); do
        unit=${link#*/}
        how=disabled
        [ ! -e "$units/$link" ] || how=enabled
        [ "$link" != "$unit" ] || how=static
        [ -e "$units/$unit" ] || how=missing
        as=edited
        ! cmp -s "$etc/current/$unit" "$units/$unit" || as=written
        [ "$unit" != wanbound-watch.service ] ||
            case $(systemctl show --value -p ActiveState -p Job "$unit" 2>/dev/null | tr '\n' ' ') in
            # Also while it is restarted.
            'active '* | *[1-9]*) as="$as active" ;;
            *) as="$as inactive" ;;
            esac
        echo "$unit $how $as"
    done
}
