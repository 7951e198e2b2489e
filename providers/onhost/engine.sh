# --- the Docker Engine and its daemon.json ---------------------------------------------------------
#
# What daemon.json is to be is decided where Pulumi runs (providers/engine_plan.py) from what
# engine_state prints; here it is put into its place, and taken back when Docker does not come back.
# In $engine, which is in /var/lib, so that a reboot finds it too:
#   was      what our keys were before they were ours; destroy gives that back
#   doing    there while Docker has not yet been seen to run with the new file: what is to be done
#   old      the file before that; old.none where there was none; was.old likewise

daemon_json=/etc/docker/daemon.json
engine=$var/engine
docker_pid=/run/docker.pid
reload_tries=40 # at least 10 s

docker_main() { # the process of dockerd, nothing where it does not run
    main=
    if [ -d /run/systemd/system ]; then
        main=$(systemctl show --value -p MainPID docker.service 2>/dev/null)
    fi
    case $main in '' | 0) main=$(cat "$docker_pid" 2>/dev/null) ;; esac
    [ -z "$main" ] || ! kill -0 "$main" 2>/dev/null || echo "$main"
}

docker_info() { # one line of JSON; asks no engine that is stopped, or its socket would start it
    [ -n "$(docker_main)" ] && command -v docker >/dev/null 2>&1 || return 1
    timeout 20 docker info --format '{{json .}}' 2>/dev/null
}

engine_lacks() { # the Debian packages that are missing here, a line each
    command -v dockerd >/dev/null 2>&1 || echo docker.io
    # From trixie on docker.io comes without the client.
    command -v docker >/dev/null 2>&1 || ! command -v dockerd >/dev/null 2>&1 || echo docker-cli
    command -v ip >/dev/null 2>&1 || echo iproute2
    command -v iptables >/dev/null 2>&1 || echo iptables
    command -v nft >/dev/null 2>&1 || echo nftables
    command -v conntrack >/dev/null 2>&1 || echo conntrack
}

engine_digest() { # of daemon.json as it is
    [ -e "$daemon_json" ] || { echo none && return; }
    digest=$(sha256sum <"$daemon_json") && echo "${digest%% *}"
}

engine_state() { # everything that a decision needs, in sections that providers/engine_plan.py reads
    echo '== engine'
    echo "dockerd $(dockerd --version 2>/dev/null)"
    main=$(docker_main)
    echo "runs ${main:+yes}"
    [ -z "$main" ] ||
        echo "config $(tr '\0' '\n' <"/proc/$main/cmdline" | sed -n '/^--config-file$/{n;p;}; s/^--config-file=//p')"
    echo "apt $(command -v apt-get)"
    echo "doing $(cat "$engine/doing" 2>/dev/null)"
    echo "digest $(engine_digest)"
    echo '== lacks'
    engine_lacks
    echo '== info'
    docker_info | tr -d '\n' | awk 1
    echo '== ends' # the running containers that stay stopped when Docker restarts
    if [ -n "$main" ] && ids=$(timeout 20 docker ps -q --no-trunc 2>/dev/null) && [ -n "$ids" ]; then
        # shellcheck disable=SC2086 # one word for each
        timeout 20 docker inspect -f '{{.HostConfig.RestartPolicy.Name}} {{.Name}}' $ids 2>/dev/null |
            sed -n 's/^\(no\)\{0,1\} \///p'
    fi
    echo '== file'
    [ ! -e "$daemon_json" ] || base64 "$daemon_json"
    echo '== was'
    [ ! -e "$engine/was" ] || base64 "$engine/was"
    echo '== end'
}

engine_turn() { # one run at a time: through the restart too, when the host's own lock is let go
    mkdir -p "$var" && mkdir -p -m 0700 "$engine" && true >>"$engine/lock" ||
        fail 15 "cannot write to $engine"
    need flock util-linux
    exec 8>"$engine/lock"
    flock -w 1 8 || {
        note "another run is changing Docker's settings here; waiting for it up to 300 s"
        flock -w 300 8 || fail 14 "another run held Docker's settings for 300 s"
    }
    mkdir -p -m 0700 "$engine" # the other one may have ended by removing it
}

engine_clear() { # leaves nothing where nothing of ours is in daemon.json any more
    rm -f "$engine/doing" "$engine/old" "$engine/old.none" "$engine/was.old"
    [ -e "$engine/was" ] || rm -rf "$engine"
    [ ! -d "$var" ] || rmdir "$var" 2>/dev/null
    return 0
}

engine_write() { # engine_write FILE: becomes daemon.json; a link, a mode and an owner stay
    target=$(readlink -m "$daemon_json") && mkdir -p "${target%/*}" || return 1
    if [ -e "$target" ]; then
        cp -p "$target" "$target.wanbound" || return 1
    else
        true >"$target.wanbound" && chmod 0644 "$target.wanbound" || return 1
    fi
    cat "$1" >"$target.wanbound" && sync "$target.wanbound" && mv -f "$target.wanbound" "$target"
}

engine_valid() { # engine_valid FILE: fails when Docker says that it would not start with it
    # From 23.0 on; before it, only a start shows.
    dockerd --help 2>&1 | grep -q -e --validate || return 0
    main=$(docker_main)
    # With the flags that it runs with: a key must not say what a flag says.
    said=$({ [ -z "$main" ] || tr '\0' '\n' <"/proc/$main/cmdline" | sed 1d; } | {
        set -- --validate --config-file="$1"
        while IFS= read -r word; do set -- "$@" "$word"; done
        timeout 30 dockerd "$@" 2>&1
    }) || {
        engine_clear
        fail 22 "$(echo "$said" | tail -n 4)"
    }
}

engine_put() { # engine_put FOLDER DIGEST HOW: daemon.json and the record become what FOLDER has
    case $2$3 in *[!0-9a-z+]*) fail 64 "not a digest or not a way: $2 $3" ;; esac
    folder=$1 how=$3
    for file in "$1"/*.base64; do
        [ -e "$file" ] || continue
        base64 -d <"$file" >"${file%.base64}" || fail 15 "cannot write to $run"
    done
    engine_turn
    take_turn none
    [ "$(engine_digest)" = "$2" ] || {
        engine_clear
        fail 19 "$daemon_json is not what it was a moment ago"
    }
    [ ! -e "$1/daemon.json" ] || engine_valid "$1/daemon.json"
    trap '' HUP INT TERM PIPE
    engine_keep || {
        engine_back_files
        engine_clear
        fail 15 "cannot write to $engine or ${daemon_json%/*}; daemon.json is as it was"
    }
    # Others may go on: when Docker starts, our own unit wants the lock to put the rules behind it.
    flock -u 9
    engine_act || engine_back
    if [ -e "$1/was" ]; then
        engine_record "$1/was" || fail 15 "cannot write to $engine"
    else
        rm -f "$engine/was"
    fi
    engine_clear
    # The mark of an engine that was found usable is for the one that ran before.
    rm -f "$run/engine"
}

engine_record() { cat "$1" >"$engine/was.next" && sync "$engine/was.next" && mv "$engine/was.next" "$engine/was"; }

engine_keep() { # what is there is kept, what is to be done is written down, the new file put in place
    # After a run that was killed, what it found is what to go back to.
    if [ ! -e "$engine/doing" ]; then
        rm -f "$engine/old" "$engine/old.none" "$engine/was.old"
        if [ -e "$daemon_json" ]; then
            cp -p "$daemon_json" "$engine/old" || return 1
        else
            true >"$engine/old.none" || return 1
        fi
        [ ! -e "$engine/was" ] || cp -p "$engine/was" "$engine/was.old" || return 1
    fi
    echo "$how" >"$engine/doing.next" && mv "$engine/doing.next" "$engine/doing" || return 1
    # Before the file: what a key was is known as long as it is ours.
    [ ! -e "$folder/was.first" ] || engine_record "$folder/was.first" || return 1
    sync "$engine" 2>/dev/null
    if [ -e "$folder/interim" ]; then
        engine_write "$folder/interim"
    else
        engine_final
    fi
}

engine_final() {
    if [ -e "$folder/same" ]; then
        return 0
    elif [ -e "$folder/daemon.json" ]; then
        engine_write "$folder/daemon.json"
    else
        rm -f "$daemon_json"
    fi
}

engine_act() { # what the change demands of Docker
    case $how in
    none) return 0 ;;
    reload*)
        engine_reload || return 1
        # What a reload does not take back by itself was said with its default for that moment.
        [ ! -e "$folder/interim" ] || engine_final || return 1
        ;;
    esac
    case $how in
    *restart)
        note "restarting Docker for the new daemon.json"
        engine_restart
        ;;
    esac
}

engine_reload() { # it tells of a reload that went well by an event, and of no other
    since=$(date +%s.%N)
    main=$(docker_main)
    kill -HUP "$main" || return 1
    tries=0
    until timeout 10 docker events --since "$since" --until "$(date +%s.%N)" --filter type=daemon \
        --filter event=reload --format '{{.Action}}' 2>/dev/null | grep -q reload; do
        tries=$((tries + 1))
        [ "$tries" -lt "$reload_tries" ] || return 1
        sleep 0.25
    done
}

engine_restart() {
    since=$(date +%s.%N)
    if [ -d /run/systemd/system ]; then
        # A start that failed often is refused for a while, for a new file too.
        systemctl reset-failed docker.service docker.socket 2>/dev/null
        timeout 180 systemctl restart docker.service >/dev/null 2>&1 || return 1
    else
        timeout 180 service docker restart >/dev/null 2>&1 8>&- || return 1
    fi
    tries=0
    until timeout 10 docker version >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt 60 ] || return 1
        sleep 0.5
    done
}

engine_reason() { # what Docker itself said since $since
    command -v journalctl >/dev/null 2>&1 || return 0
    journalctl -u docker.service --since "@${since%.*}" -o cat --no-pager 2>/dev/null |
        grep -i -e 'unable to configure' -e 'failed to start' -e 'level=error' -e 'error reconfig' -e 'invalid' |
        grep -v -e '^Failed to start docker' -e 'docker.service' | tail -n 4 | cut -c 1-600
}

engine_back_files() {
    if [ -e "$engine/old" ]; then
        engine_write "$engine/old"
    elif [ -e "$engine/old.none" ]; then
        rm -f "$daemon_json"
    fi
    if [ -e "$engine/was.old" ]; then
        mv "$engine/was.old" "$engine/was"
    else
        rm -f "$engine/was"
    fi
}

engine_back() { # Docker does not run with the new file: the old one, and Docker with that
    note "Docker does not take the new daemon.json; putting the old one back"
    reason=$(engine_reason)
    engine_back_files
    case $how in
    reload) engine_reload ;;
    *) engine_restart ;;
    esac || fail 21 "${reason:-it does not say why}"
    engine_clear
    fail 20 "${reason:-it does not say why}"
}

engine_install() { # from the distribution; what is there stays as it is
    need apt-get apt
    engine_turn
    # Not daemons of its own, nor the terminal of nobody.
    export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a
    wanted=$(engine_lacks | paste -sd' ' -)
    [ -n "$wanted" ] || { engine_clear && return 0; }
    note "installing $wanted from the distribution; reading its package lists"
    log=$(mktemp "$run/apt.XXXXXX") || fail 15 "cannot write to $run"
    trap 'rm -f "$log"' EXIT
    tries=0
    until timeout 300 apt-get -q update >"$log" 2>&1 </dev/null 8>&-; do
        tries=$((tries + 1))
        grep -q 'Could not get lock' "$log" && [ "$tries" -lt 60 ] || engine_uninstalled update
        [ "$tries" != 1 ] || note "another apt-get is at work here; waiting for it up to 180 s"
        sleep 3
    done
    case $wanted in
    docker.io*)
        wanted="$wanted ca-certificates"
        ! apt-cache show docker-cli >/dev/null 2>&1 || wanted="$wanted docker-cli"
        # Where the kernel has AppArmor, no container starts without its parser.
        [ "$(cat /sys/module/apparmor/parameters/enabled 2>/dev/null)" != Y ] ||
            wanted="$wanted apparmor"
        ;;
    esac
    note "installing $wanted"
    # shellcheck disable=SC2086 # one word for each
    timeout 900 apt-get -q -y --no-install-recommends -o DPkg::Lock::Timeout=180 \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
        install $wanted >"$log" 2>&1 </dev/null 8>&- || engine_uninstalled install
    note "installed $wanted"
    engine_clear
}

engine_uninstalled() { # engine_uninstalled COMMAND
    engine_clear
    fail 23 "apt-get $1 failed:$newline$(grep -e '^[EW]: ' -e '^dpkg: ' "$log" | tail -n 6)"
}

usable_engine() { # usable_engine BUNDLE: fails when Docker here has no place for a network's rules
    # Asked once for each start of Docker. What only goes may go from any engine.
    grep -q '^== put [^_]' "$1" || return 0
    [ ! "$run/engine" -nt "$docker_pid" ] || [ ! -e "$docker_pid" ] || return 0
    info=$(docker_info) || return 0
    version=$(echo "$info" | sed -n 's/.*"ServerVersion":"\([^"]*\)".*/\1/p')
    # A build without a number is one of somebody who knows which it is.
    case $version in
    [0-9]*.[0-9]*)
        minor=${version#*.}
        minor=${minor%%[!0-9]*}
        [ "${version%%.*}" -gt 20 ] || { [ "${version%%.*}" = 20 ] && [ "${minor:-0}" -ge 10 ]; } ||
            fail 24 "Docker $version is older than 20.10, the oldest that wanbound works with"
        ;;
    esac
    case $info in
    *'"FirewallBackend":{"Driver":"nftables'*)
        fail 25 "Docker $version uses its nftables firewall backend, which has no chain for our rules"
        ;;
    esac
    true >"$run/engine" 2>/dev/null
    return 0
}
