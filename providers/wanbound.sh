#!/bin/sh
# wanbound: gives each Docker network of this host its own public addresses.
#
#   wanbound apply           load what /etc/wanbound says (idempotent; mends whatever was flushed)
#   wanbound state           print what is in force, for `pulumi refresh`
#   wanbound change FOLDER   put FOLDER/put/*.rules and remove what FOLDER/remove/ names, then load
#
# /etc/wanbound/NETWORK.rules holds all that one network wants, a line each, in both families:
#
#   claim KIND VALUE         what no second network may have (bridge, address, subnet)
#   address DEV ADDR/LEN     a public address and the interface it stands on
#   ipv4 nat LINE            a line of iptables-restore; likewise ipv4 filter, ipv6 nat, ipv6 filter
#   guard LINE               a command of nft
#
# The order of a change, under one lock:
#   1. Compose the files as they would be; test both families and the guard. Nothing is touched yet.
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
    mkdir -p "$run" && exec 9>"$run/lock" || fail 15 "cannot write to $run"
    need flock util-linux
    flock -n 9 && return
    say "another run is changing this host; waiting for it up to $lock_seconds s"
    flock -w "$lock_seconds" 9 || fail 14 "another run held the lock for $lock_seconds s"
}

# --- composing: fragments → files that iptables-restore, nft and ip read -------------------------

fragments() { # fragments FOLDER: all lines of all fragments, in the order of their names
    for file in "$1"/*.rules; do
        [ -e "$file" ] && cat "$file"
    done
    return 0
}

split() { # split FOLDER PARTS: sorts the lines of the fragments into files by what reads them
    rm -rf "$2"
    mkdir -p "$2" || return 1
    for part in ipv4.nat ipv4.filter ipv6.nat ipv6.filter guard addresses claims; do
        : >"$2/$part" || return 1
    done
    fragments "$1" | sed -n \
        -e "s/^ipv4 nat //w $2/ipv4.nat" -e "s/^ipv4 filter //w $2/ipv4.filter" \
        -e "s/^ipv6 nat //w $2/ipv6.nat" -e "s/^ipv6 filter //w $2/ipv6.filter" \
        -e "s/^guard //w $2/guard" -e "s/^address //w $2/addresses" -e "s/^claim //w $2/claims"
}

jumps() { # jumps SAVED TARGET CHAIN…: lines that make the jump to TARGET the first rule of each
    # CHAIN and remove it from every other chain; nothing where that is so already.
    saved=$1 target=$2
    shift 2
    awk -v target="$target" -v wanted=" $* " '
        $1 == "-A" {
            rank[$2]++
            if ($3 == "-j" && $4 == target && NF == 4) {
                found[$2]++
                if (rank[$2] == 1) first[$2] = 1
            }
        }
        END {
            for (chain in found) {
                if (index(wanted, " " chain " ") && found[chain] == 1 && first[chain]) continue
                for (i = 0; i < found[chain]; i++) print "-D " chain " -j " target
            }
            n = split(wanted, list, " ")
            for (i = 1; i <= n; i++)
                if (!(found[list[i]] == 1 && first[list[i]])) print "-I " list[i] " 1 -j " target
        }' "$saved"
}

forward_hook() { # forward_hook SAVED: the chain whose first rule decides on forwarded packets
    # DOCKER-USER stays first in FORWARD when Docker restarts; Docker 20.10 makes none for IPv6.
    if grep -q '^:DOCKER-USER ' "$1" && grep -q '^-A FORWARD -j DOCKER-USER$' "$1"; then
        echo DOCKER-USER
    else
        echo FORWARD
    fi
}

table() { # table NAME SAVED RULES CHAIN…: one table for iptables-restore --noflush
    # Each own CHAIN is emptied and filled; with no rules at all the chains and jumps go.
    table_name=$1 table_saved=$2 table_rules=$3
    shift 3
    echo "*$table_name"
    for own in "$@"; do
        hooks=
        if [ -s "$table_rules" ]; then
            case $own in
            WANBOUND-DNAT) hooks='PREROUTING OUTPUT' ;;
            WANBOUND-SNAT) hooks=POSTROUTING ;;
            WANBOUND-FORWARD) hooks=$(forward_hook "$table_saved") ;;
            esac
            echo ":$own - [0:0]"
        fi
        # shellcheck disable=SC2086 # the hooks are two words
        jumps "$table_saved" "$own" $hooks
        if [ ! -s "$table_rules" ] && grep -q "^:$own " "$table_saved"; then
            printf '%s\n' "-F $own" "-X $own"
        fi
    done
    cat "$table_rules"
    echo COMMIT
}

families() { # families PARTS…: the families that any of the parts has rules for
    for family in ipv4 ipv6; do
        for parts in "$@"; do
            if [ -s "$parts/$family.nat" ] || [ -s "$parts/$family.filter" ]; then
                echo "$family"
                break
            fi
        done
    done
}

iptables_of() { # iptables_of FAMILY: the stem of the family's commands
    [ "$1" = ipv4 ] && echo iptables || echo ip6tables
}

restore_file() { # restore_file FAMILY PARTS: writes PARTS/FAMILY.restore from live state and parts
    tool=$(iptables_of "$1")
    for name in nat filter; do
        "$tool-save" -t "$name" >"$2/$1.$name.saved" || return 1
    done
    {
        table nat "$2/$1.nat.saved" "$2/$1.nat" WANBOUND-DNAT WANBOUND-SNAT
        table filter "$2/$1.filter.saved" "$2/$1.filter" WANBOUND-FORWARD
    } >"$2/$1.restore"
}

guard_file() { # guard_file PARTS: writes PARTS/guard.nft, one transaction for both families
    {
        # Made, deleted, made again: the way to replace a table whether or not it is there.
        printf '%s\n' 'add table inet wanbound' 'delete table inet wanbound'
        if [ -s "$1/guard" ]; then
            echo 'table inet wanbound {'
            guard_map "$1" from 'type ifname : verdict;'
            guard_map "$1" to 'type ifname : verdict;'
            for version in 4 6; do
                guard_map "$1" "subnet-ipv$version" "type ipv${version}_addr : verdict; flags interval;"
                guard_map "$1" "public-ipv$version" "type ipv${version}_addr : verdict;"
            done
            sed -n 's/^add rule inet wanbound \([^ ]*\) .*/chain \1 { }/p' "$1/guard" | sort -u
            cat <<'NFT'
chain forward {
    type filter hook forward priority -5; policy accept;
    iifname vmap @from
    ct state established,related accept
    oifname vmap @to
}
chain postrouting {
    type filter hook postrouting priority 150; policy accept;
    ct original ip saddr vmap @subnet-ipv4
    ip saddr vmap @subnet-ipv4
    ct original ip6 saddr vmap @subnet-ipv6
    ip6 saddr vmap @subnet-ipv6
    ip saddr vmap @public-ipv4
    ip6 saddr vmap @public-ipv6
}
}
NFT
            grep '^add rule ' "$1/guard"
        fi
    } >"$1/guard.nft"
}

guard_map() { # guard_map PARTS NAME TYPE: a map with its elements inside
    # nft 1.0.6 refuses elements added to an interval map that the same file makes.
    elements=$(sed -n "s/^add element inet wanbound $2 { \(.*\) }\$/\1,/p" "$1/guard")
    echo "map $2 { $3 ${elements:+elements = { $elements \}} }"
}

# --- loading -------------------------------------------------------------------------------------

restore() { # restore FAMILY PARTS [--test]
    "$(iptables_of "$1")-restore" --noflush -w 10 ${3:+"$3"} <"$2/$1.restore"
}

addresses_now() { # what stands on which interface: DEV ADDR/LEN FLAGS…
    ip -o addr show | awk '{ flags = ""; for (i = 5; i <= NF; i++) flags = flags " " $i; print $2, $4 flags }'
}

misplaced() { # misplaced WANTED NOW: wanted addresses that stand elsewhere, or with another prefix
    awk '
        { split($2, part, "/"); address = part[1] }
        NR == FNR { want[address] = $1 " " $2; next }
        (address in want) && want[address] != $1 " " $2 { print $1, $2 }' "$1" "$2"
}

add_addresses() { # add_addresses PARTS: adds what is missing; notes what it added in PARTS/added
    addresses_now >"$1/addresses.now"
    : >"$1/added"
    misplaced "$1/addresses" "$1/addresses.now" |
        awk '{ print "addr del " $2 " dev " $1 }' >"$1/addresses.misplaced"
    if [ -s "$1/addresses.misplaced" ]; then
        ip -batch "$1/addresses.misplaced" || return 1
        addresses_now >"$1/addresses.now"
    fi
    # preferred_lft 0 keeps the host's own source where it is (RFC 6724, rule 3: avoid deprecated).
    awk '
        NR == FNR { live[$1 " " $2] = $0; next }
        {
            key = $1 " " $2
            six = index($2, ":")
            if (!(key in live)) verb = "add"
            else if (six && live[key] !~ / deprecated/) verb = "change"
            else next
            print "addr " verb " " $2 " dev " $1 (six ? " preferred_lft 0" : "")
        }' "$1/addresses.now" "$1/addresses" >"$1/addresses.batch"
    [ -s "$1/addresses.batch" ] || return 0
    sed -n 's/^addr add \([^ ]*\) dev \([^ ]*\).*/\2 \1/p' "$1/addresses.batch" >"$1/added"
    ip -batch "$1/addresses.batch"
}

delete_addresses() { # delete_addresses LIST KEEP: deletes what LIST names and KEEP does not
    addresses_now | awk '{ print $1, $2 }' | sort >"$1.now"
    sort -u "$2" >"$1.keep"
    sort -u "$1" | comm -12 - "$1.now" | comm -23 - "$1.keep" >"$1.delete"
    [ -s "$1.delete" ] || return 0
    awk '{ print "addr del " $2 " dev " $1 }' "$1.delete" >"$1.batch"
    ip -batch "$1.batch" || return 1
    # NAT is decided once per connection: old translations of these addresses, and only those, end.
    command -v conntrack >/dev/null 2>&1 || return 0
    while read -r _ address; do
        case $address in
        *:*) family=ipv6 ;;
        *) family=ipv4 ;;
        esac
        # conntrack exits with 1 when there was no such connection.
        conntrack -D -f "$family" --orig-dst "${address%/*}" >/dev/null 2>&1
        conntrack -D -f "$family" --reply-dst "${address%/*}" >/dev/null 2>&1
    done <"$1.delete"
    return 0
}

load_guard() { # load_guard PARTS: only where there is one, or one of ours has to go
    if [ -s "$1/guard" ]; then
        nft -f "$1/guard.nft"
    elif command -v nft >/dev/null 2>&1 && nft list table inet wanbound >/dev/null 2>&1; then
        nft -f "$1/guard.nft"
    fi
}

load() { # load NEXT BEFORE DURING: brings the kernel from the parts BEFORE to the parts NEXT
    # DURING has the guard of both: what is removed stays guarded to the end.
    load_guard "$3" || return 1
    add_addresses "$1" || return 1
    for each in $(families "$1" "$2"); do
        restore_file "$each" "$1" && restore "$each" "$1" || return 1
    done
    cp "$2/addresses" "$1/gone" && delete_addresses "$1/gone" "$1/addresses" || return 1
    cmp -s "$1/guard.nft" "$3/guard.nft" || load_guard "$1"
}

check() { # check NEXT BEFORE: fails, with nothing touched, when NEXT cannot be loaded here
    need ip iproute2
    need awk mawk
    [ ! -s "$1/guard" ] ||
        command -v nft >/dev/null 2>&1 ||
        fail 10 "nft is not installed here (Debian package nftables), and the egress guard needs it; guard: false does without"
    for family in $(families "$1" "$2"); do
        need "$(iptables_of "$family")-restore" iptables
        need "$(iptables_of "$family")-save" iptables
    done
    for device in $(awk '{ print $1 }' "$1/addresses" | sort -u); do
        ip link show dev "$device" >/dev/null 2>&1 || fail 10 "there is no interface $device here"
    done
    taken=$(sort "$1/claims" | uniq -d)
    [ -z "$taken" ] || fail 16 "claimed by two networks of this host: $(echo "$taken" | paste -sd, -)"
    addresses_now >"$1/addresses.now"
    sort -u "$2/addresses" >"$1/addresses.own"
    sort -u "$1/addresses" | comm -23 - "$1/addresses.own" >"$1/addresses.new"
    other=$(misplaced "$1/addresses.new" "$1/addresses.now" | awk '{ print $2 " on " $1 }' | paste -sd, -)
    [ -z "$other" ] || fail 16 "already the host's own: $other; set manage_addresses: false to use it as it is"
    for family in $(families "$1" "$2"); do
        restore_file "$family" "$1" || fail 10 "$(iptables_of "$family")-save does not work here"
        restore "$family" "$1" --test || fail 11 "$(iptables_of "$family")-restore refuses the rules"
    done
    guard_file "$1"
    [ ! -s "$1/guard" ] || nft -c -f "$1/guard.nft" || fail 11 "nft refuses the guard"
}

# --- commands ------------------------------------------------------------------------------------

copy_rules() { # copy_rules FROM TO: the fragments of one folder into another
    mkdir -p "$2" || return 1
    for file in "$1"/*.rules; do
        [ ! -e "$file" ] || cp "$file" "$2/" || return 1
    done
}

write_next() { # write_next FOLDER: everything new beside its place; a full disk stops it here
    mkdir -p "$etc" "${self%/*}" && rm -f "$etc"/.*.next "$etc"/.*.old || return 1
    for file in "$1"/put/*.rules; do
        [ ! -e "$file" ] || cp "$file" "$etc/.${file##*/}.next" || return 1
    done
    if ! cmp -s "$0" "$self"; then
        cp "$0" "$self.next" && chmod 0755 "$self.next" || return 1
    fi
    # Data before names: a power cut after the renames must not find empty files.
    for file in "$etc"/.*.next "$self.next"; do
        [ ! -e "$file" ] || sync "$file" || return 1
    done
}

commit() { # commit FOLDER: renames alone, which need no space; what was there stays as .NAME.old
    for file in "$etc"/*.rules; do
        [ ! -e "$file" ] || ln -f "$file" "$etc/.${file##*/}.old" || return 1
    done
    for file in "$1"/put/*.rules; do
        [ ! -e "$file" ] || mv "$etc/.${file##*/}.next" "$etc/${file##*/}" || return 1
    done
    for file in "$1"/remove/*; do
        [ ! -e "$file" ] || rm -f "$etc/${file##*/}.rules" || return 1
    done
    [ ! -e "$self.next" ] || mv "$self.next" "$self" || return 1
    sync "$etc"
}

put_back() { # put_back: undoes commit
    rm -f "$etc"/*.rules
    for file in "$etc"/.*.old; do
        [ -e "$file" ] || continue
        name=${file##*/.}
        mv "$file" "$etc/${name%.old}"
    done
    sync "$etc"
    clear_disk
}

clear_disk() { # clear_disk: leaves no half-written file, and no file at all without networks
    rm -f "$etc"/.*.next "$etc"/.*.old "$self.next"
    for file in "$etc"/*.rules; do
        [ ! -e "$file" ] || return 0
    done
    rm -rf "$etc" "$self"
}

change() {
    folder=$1
    work=$folder/work
    mkdir -p "$work"
    take_lock
    copy_rules "$etc" "$work/old" && copy_rules "$work/old" "$work/new" &&
        copy_rules "$folder/put" "$work/new" && copy_rules "$work/old" "$work/both" &&
        copy_rules "$folder/put" "$work/both" || fail 15 "cannot write to $run"
    for file in "$folder"/remove/*; do
        [ ! -e "$file" ] || rm -f "$work/new/${file##*/}.rules"
    done
    for name in old new both; do
        split "$work/$name" "$work/$name.parts" || fail 15 "cannot write to $run"
    done
    check "$work/new.parts" "$work/old.parts"
    guard_file "$work/both.parts"
    guard_file "$work/old.parts"
    # From here on nothing but the machine's own end stops the work half way: not a closed
    # connection, not the end of the operator's program.
    trap '' HUP INT TERM PIPE
    if ! write_next "$folder"; then
        clear_disk
        fail 15 "cannot write to $etc"
    fi
    if ! commit "$folder"; then
        put_back
        fail 15 "cannot write to $etc"
    fi
    if load "$work/new.parts" "$work/old.parts" "$work/both.parts"; then
        clear_disk
        return 0
    fi
    put_back
    cat "$work/new.parts/added" >>"$work/new.parts/addresses"
    if load "$work/old.parts" "$work/new.parts" "$work/both.parts"; then
        fail 12 "the kernel refused the change; the old rules and addresses are back"
    fi
    fail 13 "the kernel refused the change and its undo"
}

apply() {
    take_lock
    work=$(mktemp -d "$run/apply.XXXXXX") || fail 15 "cannot write to $run"
    trap 'rm -rf "$work"' EXIT
    split "$etc" "$work/parts" || fail 15 "cannot write to $run"
    check "$work/parts" "$work/parts"
    load "$work/parts" "$work/parts" "$work/parts" || fail 13 "the kernel refused what $etc says"
}

state() { # state: everything that is in force, in sections that providers/live.py reads
    take_lock
    for family in ipv4 ipv6; do
        tool=$(iptables_of "$family")-save
        if command -v "$tool" >/dev/null 2>&1; then
            for name in nat filter; do
                echo "== $family $name"
                "$tool" -t "$name" || fail 10 "$tool does not work here"
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
