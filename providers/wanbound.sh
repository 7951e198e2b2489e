#!/bin/sh
# wanbound: gives each Docker network of this host its own public addresses.
#
#   wanbound apply           load what /etc/wanbound says (idempotent; mends whatever was flushed)
#   wanbound state           print what is in force, for `pulumi refresh`
#   wanbound change FOLDER   put and remove networks as FOLDER/bundle says, then load
#
# /etc/wanbound/NETWORK.rules holds all that one network wants, a line each, in both families:
#
#   claim KIND VALUE         what no second network may have (bridge, address, subnet)
#   address DEV ADDR/LEN     a public address and the interface it stands on
#   ipv4 nat LINE            a line of iptables-restore; likewise ipv4 filter, ipv6 nat, ipv6 filter
#   guard LINE               a command of nft
#
# The order of a change, under one lock:
#   1. Compose what the kernel needs to hear; test both families. Nothing is touched yet.
#   2. Write the fragments beside their places and rename them: from here the disk says "new", and
#      whatever runs next (this, the next change, a boot) finishes the work.
#   3. Load: the guard first, then addresses, then IPv4, then IPv6; what goes, goes in the reverse
#      order, so that at no moment a packet of a network may leave with another source.
#   4. If the kernel refuses any of it: put the old fragments back and load them.
#
# Exit codes (providers/host.py tells the operator what each means for the host):
#   0 done · 10 something is missing on this host · 11 refused when tested · 12 refused when loaded,
#   old state restored · 13 refused when loaded, old state NOT restored · 14 lock not had in time
#   15 cannot write · 16 claimed by another network
#   On 10, 11, 14, 15 and 16 nothing has changed.

set -u
umask 022
LC_ALL=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH

etc=/etc/wanbound
run=/run/wanbound
self=/usr/local/sbin/wanbound
units=/etc/systemd/system
lock_seconds=60

say() { printf 'wanbound: %s\n' "$*" >&2; }
fail() {
    code=$1
    shift
    say "$*"
    exit "$code"
}

need() { # need PROGRAM PACKAGE: fails when the program is not on this host
    command -v "$1" >/dev/null 2>&1 || fail 10 "$1 is not installed here (Debian package $2)"
}

take_lock() {
    [ -d "$run" ] || mkdir -p "$run" || fail 15 "cannot write to $run"
    exec 9>"$run/lock" || fail 15 "cannot write to $run"
    need flock util-linux
    flock -n 9 && return
    say "another run is changing this host; waiting for it up to $lock_seconds s"
    flock -w "$lock_seconds" 9 || fail 14 "another run held the lock for $lock_seconds s"
}

iptables_of() { # iptables_of FAMILY: sets $tool to the stem of the family's commands
    tool=iptables
    [ "$1" = ipv4 ] || tool=ip6tables
}

# --- composing: fragments and live state → what iptables-restore, nft and ip are told ------------

compose() { # compose FOLDER WHOLE [ARGUMENT OF AWK]…: see compose.awk, which stands here on the host
    compose_out=$1 compose_whole=$2
    shift 2
    awk -v out="$compose_out" -v whole="$compose_whole" '
@compose.awk@
' "$@"
}

read_live() { # read_live FOLDER: what iptables and ip have now, for compose
    for family in ipv4 ipv6; do
        iptables_of "$family"
        : >"$1/$family.saved" || return 1
        ! command -v "$tool-save" >/dev/null 2>&1 || "$tool-save" >"$1/$family.saved" 2>/dev/null &
    done
    ip -o addr show >"$1/addresses"
    wait
}

plan() { # plan FOLDER WHOLE BUNDLE UNDONE: reads everything and composes into FOLDER
    [ -d "$1/next" ] || mkdir -p "$1/next" || return 1
    read_live "$1" || return 1
    plan_out=$1 plan_whole=$2 bundle=$3 undone=$4
    set -- kind=after "$bundle" kind=before
    for file in "$etc"/*.rules "$etc"/.old/*.rules; do
        [ ! -e "$file" ] || set -- "$@" "$file"
    done
    compose "$plan_out" "$plan_whole" "$@" kind=undone "$undone" kind=saved family=ipv4 \
        "$plan_out/ipv4.saved" family=ipv6 "$plan_out/ipv6.saved" kind=addresses "$plan_out/addresses"
}

check() { # check FOLDER: fails, with nothing touched, when what is composed cannot be loaded here
    [ ! -s "$1/taken" ] || fail 16 "claimed twice on this host: $(paste -sd, - <"$1/taken")"
    [ ! -s "$1/foreign" ] ||
        fail 16 "already the host's own: $(paste -sd, - <"$1/foreign"); manage_addresses: false uses it as it is"
    if [ -s "$1/devices" ]; then
        while read -r device; do
            [ -e "/sys/class/net/$device" ] || fail 10 "there is no interface $device here"
        done <"$1/devices"
    fi
    [ -e "$1/guard.none" ] ||
        command -v nft >/dev/null 2>&1 ||
        fail 10 "nft is not installed here (Debian package nftables), and the egress guard needs it; guard: false does without"
    [ -s "$1/families" ] || return 0
    while read -r family; do
        iptables_of "$family"
        need "$tool-save" iptables
        need "$tool-restore" iptables
    done <"$1/families"
}

begin_restore() { # begin_restore FOLDER [--test]: both families at once; a test waits for 30 ms
    jobs=
    for family in ipv4 ipv6; do
        [ -s "$1/$family.restore" ] || continue
        restore "$family" "$1" ${2:+"$2"} 2>"$1/$family.refused" &
        jobs="$jobs $!"
    done
}

end_restore() { # end_restore FOLDER: whether what begin_restore began has gone well
    refused=0
    for job in $jobs; do
        wait "$job" || refused=1
    done
    [ "$refused" = 0 ] || cat "$1"/*.refused >&2
    return "$refused"
}

# --- loading -------------------------------------------------------------------------------------

restore() { # restore FAMILY FOLDER [--test]
    iptables_of "$1"
    "$tool-restore" --noflush -w 10 ${3:+"$3"} <"$2/$1.restore"
}

guard_first() { # guard_first FOLDER BUNDLE: to the guard that holds during the change
    if [ -s "$1/guard.delta" ]; then
        nft -f "$1/guard.delta" 2>/dev/null && return
        # The table is not as the fragments say: then all of it is made anew.
        rm -f "$1/guard.last"
        plan "$1/whole" whole "$2" /dev/null && cp "$1/whole"/guard.* "$1/" || return 1
    fi
    [ ! -s "$1/guard.full" ] || nft -f "$1/guard.full"
}

guard_last() { # guard_last FOLDER BUNDLE: what is removed stays guarded up to here
    if [ ! -e "$1/guard.ends" ]; then
        return 0
    elif [ -s "$1/guard.last" ]; then
        nft -f "$1/guard.last" 2>/dev/null && return
        plan "$1/whole" whole "$2" /dev/null && cp "$1/whole"/guard.* "$1/" || return 1
    fi
    [ ! -s "$1/guard.end" ] || nft -f "$1/guard.end"
}

delete_addresses() { # delete_addresses FOLDER: those that go
    [ -s "$1/gone" ] || return 0
    awk '{ print "addr del " $2 " dev " $1 }' "$1/gone" >"$1/gone.batch"
    ip -batch "$1/gone.batch" || return 1
    # NAT is decided once per connection: old translations of these addresses, and only those, end.
    command -v conntrack >/dev/null 2>&1 || return 0
    { conntrack -L -f ipv4 && conntrack -L -f ipv6; } 2>/dev/null | awk '
        NR == FNR { sub(/\/.*/, "", $2); gone[$2]; next }
        {
            # Each entry has src= dst= of the original direction, then of the reply.
            n = 0
            for (i = 1; i <= NF; i++)
                if ($i ~ /^dst=/ && ++n && substr($i, 5) in gone)
                    print (index($i, ":") ? "ipv6" : "ipv4"), (n == 1 ? "--orig-dst" : "--reply-dst"), substr($i, 5)
        }' "$1/gone" - | sort -u >"$1/translated"
    while read -r family which address; do
        # It exits with 1 when the last such connection has just ended by itself.
        conntrack -D -f "$family" "$which" "$address" >/dev/null 2>&1
    done <"$1/translated"
    return 0
}

load() { # load FOLDER BUNDLE: brings the kernel to what is composed there
    [ ! -s "$1/addresses.batch" ] || ip -batch "$1/addresses.batch" || return 1
    begin_restore "$1"
    end_restore "$1" || return 1
    delete_addresses "$1" && guard_last "$1" "$2"
}

# --- boot ----------------------------------------------------------------------------------------

boot_unit() { # before Docker starts its containers: no packet of theirs is earlier than the guard
    cat <<'UNIT'
@wanbound.service@
UNIT
}

docker_unit() { # after each start of Docker, which puts its own chains first in FORWARD
    cat <<'UNIT'
@wanbound-docker.service@
UNIT
}

enable_units() { # the links that `systemctl enable` would make, also where no systemd runs now
    [ -e "$units/wanbound.service.next" ] || return 0
    mkdir -p "$units/multi-user.target.wants" "$units/docker.service.wants" &&
        mv "$units/wanbound.service.next" "$units/wanbound.service" &&
        mv "$units/wanbound-docker.service.next" "$units/wanbound-docker.service" &&
        ln -sf "$units/wanbound.service" "$units/multi-user.target.wants/" &&
        ln -sf "$units/wanbound-docker.service" "$units/docker.service.wants/" || return 1
    reload_units
}

reload_units() {
    [ ! -d /run/systemd/system ] || systemctl daemon-reload
}

# --- disk ----------------------------------------------------------------------------------------

write_next() { # write_next FOLDER: everything new beside its place; a full disk stops it here
    [ ! -e "$etc/.next" ] || rm -rf "$etc/.next" || return 1
    mkdir -p "$etc/.next" "$etc/.old" "${self%/*}" || return 1
    set -- "$1" "$1"/next/*.rules
    next=$1
    shift
    [ ! -e "$1" ] || cp "$@" "$etc/.next/" || return 1
    if ! cmp -s "$0" "$self" || [ ! -e "$units/wanbound.service" ]; then
        cp "$0" "$self.next" && chmod 0755 "$self.next" || return 1
        if [ -d "$units" ]; then
            boot_unit >"$units/wanbound.service.next" || return 1
            docker_unit >"$units/wanbound-docker.service.next" || return 1
        fi
    fi
    # Data before names: a power cut after the renames must not find empty files.
    sync "$etc"/.next/* "$etc/.next" 2>/dev/null
    return 0
}

commit() { # commit FOLDER: renames alone, which need no space; what was there stays in .old
    while read -r name; do
        [ ! -e "$etc/$name.rules" ] || ln "$etc/$name.rules" "$etc/.old/" || return 1
    done <"$1/changed"
    for file in "$etc"/.next/*.rules; do
        [ ! -e "$file" ] || mv "$etc"/.next/*.rules "$etc/" || return 1
        break
    done
    if [ -s "$1/removed" ]; then
        while read -r name; do
            rm -f "$etc/$name.rules" || return 1
        done <"$1/removed"
    fi
    if [ -e "$self.next" ]; then
        mv "$self.next" "$self" && enable_units || return 1
    fi
    sync "$etc"
}

put_back() { # put_back FOLDER: undoes commit
    while read -r name; do
        if [ -e "$etc/.old/$name.rules" ]; then
            mv "$etc/.old/$name.rules" "$etc/"
        else
            rm -f "$etc/$name.rules"
        fi
    done <"$1/changed"
    sync "$etc"
    clear_disk
}

clear_disk() { # clear_disk: leaves no half-written file, and no file at all without networks
    rm -rf "$etc/.next" "$etc/.old" "$self.next" "$units"/wanbound*.next
    for file in "$etc"/*.rules; do
        [ ! -e "$file" ] || return 0
    done
    rm -rf "$etc" "$self"
    [ -e "$units/wanbound.service" ] || return 0
    rm -f "$units"/wanbound*.service "$units"/*.wants/wanbound*.service
    rmdir "$units/docker.service.wants" 2>/dev/null
    reload_units
}

unfinished() { # unfinished LIST: after a run that was killed between its commit and its end
    # What the disk says holds; its old fragments tell which addresses it had yet to take away, and
    # nothing that is live can be trusted to be as the fragments say.
    whole=
    : >"$1"
    [ -d "$etc/.old" ] || return 0
    say "the run before this one was cut short; finishing its work"
    whole=whole
    for file in "$etc"/.old/*.rules; do
        [ ! -e "$file" ] || sed -n 's/^address //p' "$file" >>"$1"
    done
    rm -rf "$etc/.old"
}

# --- commands ------------------------------------------------------------------------------------

change() { # change FOLDER
    work=$1/work
    need ip iproute2
    need awk mawk
    take_lock
    mkdir -p "$work/next" && unfinished "$work/undone" || fail 15 "cannot write to $run"
    plan "$work" "$whole" "$1/bundle" "$work/undone" || fail 15 "cannot write to $run"
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
    if ! commit "$work"; then
        put_back "$work"
        fail 15 "cannot write to $etc"
    fi
    if ! guard_first "$work" "$1/bundle"; then
        # One transaction for both families: refused, it has changed nothing, and it was the first.
        put_back "$work"
        fail 11 "nft refuses the guard"
    fi
    if load "$work" "$1/bundle"; then
        clear_disk
        return 0
    fi
    put_back "$work"
    touch "$work/added"
    if plan "$1/undo" whole /dev/null "$work/added" && guard_first "$1/undo" /dev/null &&
        load "$1/undo" /dev/null; then
        fail 12 "the kernel refused the change; the old rules and addresses are back"
    fi
    # What comes next, a change or `wanbound apply`, finishes this too: see unfinished.
    mkdir -p "$etc/.old" && sed 's/^/address /' "$work/added" >"$etc/.old/undo.rules"
    fail 13 "the kernel refused the change and its undo"
}

apply() {
    need ip iproute2
    need awk mawk
    take_lock
    work=$(mktemp -d "$run/apply.XXXXXX") || fail 15 "cannot write to $run"
    trap 'rm -rf "$work"' EXIT
    unfinished "$work/undone"
    plan "$work" whole /dev/null "$work/undone" || fail 15 "cannot write to $run"
    # Before anything that may fail: with the guard in force, what then fails is closed, not open.
    guarded=0
    [ -e "$work/guard.none" ] || guard_first "$work" /dev/null || guarded=1
    check "$work"
    begin_restore "$work" --test
    end_restore "$work" || fail 11 "iptables-restore refuses the rules"
    load "$work" /dev/null && [ "$guarded" = 0 ] || fail 13 "the kernel refused what $etc says"
}

state() { # state: everything that is in force, in sections that providers/live.py reads
    take_lock
    for family in ipv4 ipv6; do
        iptables_of "$family"
        if command -v "$tool-save" >/dev/null 2>&1; then
            for name in nat filter; do
                echo "== $family $name"
                "$tool-save" -t "$name" || fail 10 "$tool-save does not work here"
            done
        fi
    done
    echo '== addresses'
    need ip iproute2
    ip -o addr show
    echo '== guard'
    if command -v nft >/dev/null 2>&1; then
        nft -s list table inet wanbound 2>/dev/null
    fi
    for file in "$etc"/*.rules; do
        [ ! -e "$file" ] || { echo "== fragment ${file##*/}" && cat "$file"; }
    done
    echo '== end'
}

case ${1-} in
change) change "$2" ;;
apply) apply ;;
state) state ;;
*)
    echo 'usage: wanbound apply | state' >&2
    exit 64
    ;;
esac
