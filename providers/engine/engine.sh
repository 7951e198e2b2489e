#!/bin/sh
# Work on Docker that runs only while an operator is connected. It is sent with each call, and is
# not installed on the host. The next run completes a run that was killed.
#
#   engine state             print what a decision needs
#   engine install PACKAGE…  from the distribution
#   engine put FOLDER DIGEST HOW
#                            FOLDER's daemon.json, if the host's has this digest, and what it demands
#   renew NETWORK LABEL      remove a Docker network that was created manually in place of ours
#
# providers/onhost/README.md has the exit codes. On 10, 14, 15, 18, 19, 22 and 24 nothing has changed.

@onhost/common.sh@
@onhost/lock.sh@
@onhost/docker.sh@
@call/docker.sh@

# --- the Docker Engine and its daemon.json -------------------------------------------------------
#
# providers/engine/plan.py decides, from what engine_state prints, what is to be installed and what
# daemon.json is to be. This part does it, and restores the old file if Docker does not run with it.
# In $engine, which is in /var/lib, so that it survives a reboot:
#   was      the values of our keys before they were ours; destroy restores them
#   doing    HOW of a change, until Docker has been seen to run with it
#   before   daemon.json and was from before that change, each only if it was there

daemon_json=/etc/docker/daemon.json
engine=$var/engine
engine_tries=60 # half a second each
kernel=/proc/sys

engine_state() { # all that a decision needs, in sections that providers/engine/state.py reads
    main=$(docker_main)
    echo '== engine'
    echo "dockerd $(dockerd --version 2>/dev/null)"
    echo "runs ${main:+yes}"
    echo "apparmor $(cat /sys/module/apparmor/parameters/enabled 2>/dev/null)"
    echo "doing $(cat "$engine/doing" 2>/dev/null)"
    echo '== programs'
    for program in apt-get conntrack docker dockerd ip iptables nft; do
        ! command -v "$program" >/dev/null || echo "$program"
    done
    echo '== flags'
    [ -z "$main" ] || tr '\0' '\n' <"/proc/$main/cmdline" || fail 10 "Docker stopped meanwhile"
    echo '== info'
    [ -z "$main" ] || timeout 20 docker info --format '{{json .}}' 2>/dev/null
    echo '== containers'
    # If fewer containers are listed than run, plan.py treats the list as unknown.
    [ -z "$main" ] || timeout 20 docker ps -q --no-trunc 2>/dev/null | xargs -r \
        timeout 20 docker inspect -f '{{.HostConfig.RestartPolicy.Name}} {{.Name}}' 2>/dev/null
    for file in "$daemon_json" "$engine/was"; do
        echo "== ${file##*/}"
        if [ ! -e "$file" ]; then echo -; else base64 "$file" || fail 15 "cannot read $file"; fi
    done
    echo '== end'
}

engine_note() { # engine_note TEXT COMMAND...: notes TEXT, and again while the command runs
    note "$1"
    # The operator's side treats silence as a dead connection. A `sleep` that is left holds no lock.
    (while sleep 15 2>/dev/null && [ -e "/proc/$$/exe" ]; do note "$1"; done) >/dev/null 8>&- 9>&- &
    teller=$!
    shift
    "$@"
    status=$?
    # Other signals are ignored here and by child processes, see engine_put.
    kill -9 "$teller"
    wait "$teller" 2>/dev/null
    return "$status"
}

engine_turn() { # one run at a time, through the restart too, when the host's own lock is let go
    need flock util-linux
    true >>"$run/engine.lock" || fail 15 "cannot write to $run"
    exec 8>"$run/engine.lock"
    told="another run is changing Docker's settings here; waiting for it up to 300 s"
    flock -w 1 8 || engine_note "$told" flock -w 300 8 || fail 14 "the other run did not end within 300 s"
}

engine_put() { # engine_put FOLDER DIGEST HOW: daemon.json and the record become what FOLDER has
    [ ! -e "$1/daemon.json.base64" ] ||
        base64 -d <"$1/daemon.json.base64" >"$1/daemon.json" || fail 15 "cannot write to $run"
    engine_turn
    take_turn none
    # Without it, a file that is to be written would look like one to be removed.
    [ -e "$1/wanbound" ] || fail 15 "the files of this run are gone from $run"
    put=$1 how=$3 digest=none
    [ ! -e "$daemon_json" ] || digest=$(sha256sum <"$daemon_json")
    [ "${digest%% *}" = "$2" ] || fail 19 "$daemon_json has changed since it was read"
    if [ "$how" != none ]; then
        need docker docker.io
        [ ! -e "$put/daemon.json" ] || cmp -s "$put/daemon.json" "$daemon_json" || engine_valid
    fi
    # From here on, only a kill of this process can interrupt the work.
    trap '' HUP INT TERM PIPE
    engine_keep || fail 15 "cannot write to $engine"
    # The record first: while a key is ours, its old value must be on record.
    if ! engine_copy "$put/was" "$engine/was" ||
        ! engine_copy "$put/daemon.json" "$daemon_json"; then
        [ -n "$resumed" ] || { engine_copy "$engine/before/was" "$engine/was" && engine_done; }
        fail 15 "cannot write to $engine or ${daemon_json%/*}; daemon.json is as it was"
    fi
    # When Docker starts, our own unit needs this lock to load the rules.
    flock -u 9
    engine_act || engine_back
    engine_done
}

engine_valid() { # fails when Docker says that it would not start with the new file
    main=$(docker_main)
    # With the flags of the running dockerd: a key and a flag must not set the same.
    # shellcheck disable=SC2016 # parameters of the inner shell
    said=$({ cat "/proc/${main:-none}/cmdline" 2>/dev/null || printf 'dockerd\0'; } |
        xargs -0 sh -c 'shift; timeout 30 dockerd "$@" --validate --config-file="$0" 2>&1' \
            "$put/daemon.json") ||
        case $said in
        *'unknown flag: --validate'*) ;; # before 23.0; only a start shows
        *) fail 22 "$(printf '%s\n' "$said" | tail -n 4)" ;;
        esac
}

engine_keep() { # saves the present files, and records what is to be done
    mkdir -p "$engine" && chmod 0700 "$engine" || return 1
    # After a killed run, go back to the state that the killed run found.
    resumed=$(cat "$engine/doing" 2>/dev/null)
    if [ -z "$resumed" ] || [ ! -d "$engine/before" ]; then
        rm -rf "$engine/before" "$engine/new" && mkdir "$engine/new" || return 1
        for file in "$daemon_json" "$engine/was"; do
            [ ! -e "$file" ] || cp -p "$file" "$engine/new/" || return 1
        done
        sync -f "$engine" && mv "$engine/new" "$engine/before" || return 1
    fi
    echo "$how" >"$engine/doing.new" && mv "$engine/doing.new" "$engine/doing" && sync -f "$engine"
}

engine_copy() { # engine_copy FROM TO: TO becomes FROM, or is removed; its link, mode and owner stay
    to=$(readlink -m "$2") && next=$to.wanbound || return 1
    if [ ! -e "$1" ]; then
        rm -f "$to"
    elif ! cmp -s "$1" "$to"; then
        mkdir -p "${to%/*}" || return 1
        if [ -e "$to" ]; then cp -p "$to" "$next"; else true >"$next" && chmod 0644 "$next"; fi &&
            cat "$1" >"$next" && sync "$next" && mv -f "$next" "$to"
    fi
}

engine_done() { # removes all records if daemon.json has no key of ours any more
    rm -f "$engine/doing" && rm -rf "$engine/before"
    [ -e "$engine/was" ] || rm -rf "$engine"
    rmdir "$var" 2>/dev/null || true
}

engine_act() { # reloads or restarts Docker as the change needs; fails unless Docker reports it
    since=$(date +%s.%N)
    case $how in reload*) engine_note 'reloading Docker' engine_reload || return 1 ;; esac
    case $how in *restart) engine_note 'restarting Docker' engine_restart ;; esac
}

engine_reload() {
    kill -HUP "$(docker_main)" 2>/dev/null && engine_await engine_reloaded
}

engine_reloaded() { # Docker sends an event only for a successful reload
    timeout -s KILL 10 docker events --since "$since" --until "$(date +%s.%N)" \
        --filter type=daemon --filter event=reload --format '{{.Action}}' | grep reload
}

engine_forwards() { # engine_forwards FILE: with nftables Docker does not start where forwarding is off
    while read -r key value; do
        # As in sysctl(8); without IPv6 in the kernel some are not there.
        file=$kernel/$(echo "$key" | tr ./ /.)
        [ ! -e "$file" ] || echo "$value" >"$file" || return 1
    done <"$1"
}

engine_restart() {
    [ ! -e "$put/forwarding" ] || engine_forwards "$put/forwarding" || return 1
    if [ -d /run/systemd/system ]; then
        # After repeated failures systemd refuses a start for a while, even with a new file.
        systemctl reset-failed docker.service docker.socket 2>/dev/null
        timeout -s KILL 180 systemctl restart docker.service
    else
        timeout -s KILL 180 service docker restart 8>&- 9>&-
    fi >/dev/null 2>&1 && engine_await timeout -s KILL 10 docker version
}

engine_await() { # engine_await COMMAND...: runs it until it succeeds
    for try in $(seq "$engine_tries"); do
        ! "$@" >/dev/null 2>&1 || return 0
        [ "$try" = "$engine_tries" ] || sleep 0.5
    done
    return 1
}

engine_back() { # Docker does not run with the new file: restores the old one, and starts Docker
    note "Docker did not accept the new daemon.json; restoring the old one"
    # Only dockerd's own messages from the unit's journal.
    reason=$(journalctl -u docker.service -t dockerd --since "@${since%.*}" -o cat 2>/dev/null |
        grep -v -e level=info -e level=warning -e level=debug | tail -n 4 | cut -c 1-600)
    engine_copy "$engine/before/daemon.json" "$daemon_json" ||
        fail 21 "the old daemon.json cannot be written; it is in $engine/before"
    engine_copy "$engine/before/was" "$engine/was"
    how=${how#reload+}
    engine_act || fail 21 "${reason:-Docker gave no reason}"
    engine_done
    fail 20 "${reason:-Docker gave no reason}"
}

engine_install() { # engine_install PACKAGE...: from the distribution; existing files stay as they are
    engine_turn
    log=$run/apt.log
    engine_note "installing $* from the distribution" engine_apt "$@" ||
        fail 23 "apt-get failed: $(grep -e '^[EW]: ' -e '^dpkg: ' "$log" | tail -n 6)"
    note "installed $*"
}

engine_apt() {
    export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l # asks nothing, restarts nothing
    tries=0
    until timeout 300 apt-get -q update >"$log" 2>&1 </dev/null 8>&-; do
        tries=$((tries + 1))
        grep -q 'Could not get lock' "$log" && [ "$tries" -lt 60 ] || return 1
        [ "$tries" != 1 ] || note "another apt-get is running here; waiting for it up to 180 s"
        sleep 3
    done
    timeout 900 apt-get -q -y --no-install-recommends -o DPkg::Lock::Timeout=180 \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
        install "$@" >"$log" 2>&1 </dev/null 8>&-
}

# --- Docker networks that were created manually --------------------------------------------------

renew() { # renew NETWORK LABEL: removes the network of this name unless it has our label
    # Only for a network that Pulumi created and that a refresh has found replaced by another one.
    need docker docker.io
    take_lock
    [ -n "$(docker_main)" ] || fail 10 "Docker does not run, so its networks are not known"
    label=$(docker_ask network inspect -f '{{index .Labels "wanbound"}}' "$1")
    case $? in
    0) [ "$label" != "$2" ] || return 0 ;;
    1) return 0 ;;
    *) exit 24 ;;
    esac
    # shellcheck disable=SC2016 # Docker's own variables
    each='{{range $id, $_ := .Containers}}{{println $id}}{{end}}'
    attached=$(docker_ask network inspect -f "$each" "$1") || exit
    strangers=
    for id in $attached; do
        found=$(docker_ask inspect -f '{{.Name}} {{index .Config.Labels "wanbound"}}' "$id") || exit
        # Our own containers are recreated with their network; others must keep theirs.
        found=${found#/}
        [ "${found#* }" = "$2" ] || strangers="$strangers ${found%% *}"
    done
    [ -z "$strangers" ] ||
        fail 18 "the Docker network $1 was created manually and has other containers:$strangers"
    # Said before, because it holds also if the removal fails.
    [ -z "$attached" ] || note "disconnecting wanbound's containers from the Docker network $1"
    for id in $attached; do
        docker_ask network disconnect -f "$1" "$id" >/dev/null || exit
    done
    docker_ask network rm "$1" >/dev/null || exit
    say "removed the Docker network $1, which was created manually"
}

command=$1
shift
case $command in
engine)
    command=engine_$1
    shift
    ;;
renew) ;;
*) fail 64 "unknown command: $command" ;;
esac
run_folder
"$command" "$@"
