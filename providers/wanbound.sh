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
    mkdir -p "$run" || fail 15 "cannot write to $run"
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
#
# One awk program, because each process costs a millisecond or two and there may be many networks.
# It reads, told apart by the variable `kind`: the fragments that are on disk ("before"), the
# bundle that puts and removes some ("after"), iptables-save of each `family` ("saved") and
# `ip -o addr show` ("addresses"). It writes into the folder `out`:
#
#   next/NAME.rules     the fragments of the bundle; changed, removed: the names it has and removes
#   ipv4.restore, …     for iptables-restore --noflush; empty where nothing differs
#   guard.delta         nft commands from the guard before to the one that holds during the change,
#   guard.last          and from there to the end, or, where what is live cannot be trusted:
#   guard.full, guard.end   the same two as one new table each
#   addresses.batch     for ip -batch: what is added, or moved to its place
#   added, gone         DEV ADDR/LEN that are added, and that go in the end
#   taken, foreign, devices, families   what the checks need
#
# With `whole` set nothing that is live is trusted: every chain and the guard are written anew.

compose() { # compose FOLDER WHOLE [ARGUMENT OF AWK]…
    compose_out=$1 compose_whole=$2
    shift 2
    awk -v out="$compose_out" -v whole="$compose_whole" '
    function order(    i, j, name) { # sorts the names of all networks into sorted[1..count]
        for (name in known) {
            for (i = ++count; i > 1 && sorted[i - 1] > name; i--) sorted[i] = sorted[i - 1]
            sorted[i] = name
        }
    }

    function phase_of(name) { # which text of the network holds in the end; "" for none
        if (name in put) return "after"
        if (name in gone_names) return ""
        return "before"
    }

    # --- iptables ---

    function tables(family,    file) { # writes the FAMILY.restore of both tables
        file = out "/" family ".restore"
        table(family, "nat", "WANBOUND-DNAT WANBOUND-SNAT", file)
        table(family, "filter", "WANBOUND-FORWARD", file)
    }

    function table(family, name, owns, file,    own, n, i, k) {
        for (i = 1; i <= count; i++)
            if (phase_of(sorted[i]) != "") n += size[phase_of(sorted[i]), sorted[i], family " " name]
        steps = 0
        k = split(owns, own, " ")
        for (i = 1; i <= k; i++) chain(family, name, own[i], n > 0)
        if (steps == 0) return
        print "*" name >file
        for (i = 1; i <= steps; i++) print step[i] >file
        print "COMMIT" >file
    }

    function chain(family, table_name, own, wanted,    key, i, j, n, from, text, f, live, kept, drops, left, at, exists, rewrite) {
        # What the chain should hold, network by network.
        f = 0
        for (i = 1; i <= count; i++) {
            if (phase_of(sorted[i]) == "") continue
            from = phase_of(sorted[i]) SUBSEP sorted[i] SUBSEP family " " table_name
            n = size[from]
            for (j = 1; j <= n; j++) {
                text = line[from, j]
                if (index(text, "-A " own " ") == 1) { want_line[++f] = text; left[text]++ }
            }
        }
        key = family SUBSEP table_name SUBSEP own
        exists = key in live_chain
        if (wanted && (whole || !exists)) rewrite = 1
        if (wanted && !rewrite) {
            # Keep what is there and wanted; what remains must stand in the wanted order already.
            live = live_count[key]
            for (i = 1; i <= live; i++) {
                if (left[live_line[key, i]]-- > 0) kept_line[++kept] = live_line[key, i]
                else drop_line[++drops] = live_line[key, i]
            }
            at = 1
            for (i = 1; i <= f; i++)
                if (at <= kept && kept_line[at] == want_line[i]) at++
            if (at <= kept) rewrite = 1
        }
        if (rewrite) step[++steps] = ":" own " - [0:0]"
        jumps(family, table_name, own, wanted)
        if (!wanted && exists) { step[++steps] = "-F " own; step[++steps] = "-X " own }
        if (!wanted) return
        if (rewrite) {
            for (i = 1; i <= f; i++) step[++steps] = want_line[i]
            return
        }
        for (i = 1; i <= drops; i++) step[++steps] = "-D" substr(drop_line[i], 3)
        at = 1
        for (i = 1; i <= f; i++)
            if (at <= kept && kept_line[at] == want_line[i]) at++
            else step[++steps] = "-I " own " " i substr(want_line[i], length("-A " own) + 1)
    }

    function jumps(family, table_name, own, wanted,    hooks, hook, n, i, j, key, name, all) {
        # Makes the jump to the chain the first rule of each hook, once, and removes it elsewhere.
        # DOCKER-USER stays first in FORWARD when Docker restarts; Docker 20.10 makes none for IPv6.
        if (own == "WANBOUND-DNAT") hooks = "PREROUTING OUTPUT"
        else if (own == "WANBOUND-SNAT") hooks = "POSTROUTING"
        else if ((family SUBSEP "filter" SUBSEP "DOCKER-USER") in docker_hook) hooks = "DOCKER-USER"
        else hooks = "FORWARD"
        n = split("PREROUTING OUTPUT POSTROUTING DOCKER-USER FORWARD INPUT", all, " ")
        for (i = 1; i <= n; i++) {
            key = family SUBSEP table_name SUBSEP all[i] SUBSEP own
            hook = wanted && index(" " hooks " ", " " all[i] " ")
            if (hook && jump_count[key] == 1 && jump_first[key]) continue
            for (j = 0; j < jump_count[key]; j++) step[++steps] = "-D " all[i] " -j " own
            if (hook) step[++steps] = "-I " all[i] " 1 -j " own
        }
    }

    # --- guard ---

    function guard_table(file, ending,    i, n, phase, from, text, j, chain_name, seen, elements, rules, k, maps, type) {
        # The whole table in one transaction; made, deleted and made again replaces it either way.
        print "add table inet wanbound\ndelete table inet wanbound" >file
        k = 0
        for (i = 1; i <= count; i++) {
            phase = phase_of(sorted[i])
            if (phase == "" && !ending) phase = "before"
            if (phase == "") continue
            from = phase SUBSEP sorted[i] SUBSEP "guard"
            n = size[from]
            for (j = 1; j <= n; j++) {
                text = line[from, j]
                split(text, word, " ")
                if (word[2] == "element") elements[word[5]] = elements[word[5]] inside(text) ",\n"
                else {
                    rules[++k] = text
                    seen[word[5]]
                }
            }
        }
        if (k == 0) return 0
        print "table inet wanbound {" >file
        n = split("from ifname,to ifname,subnet-ipv4 ipv4_addr flags,subnet-ipv6 ipv6_addr flags,public-ipv4 ipv4_addr,public-ipv6 ipv6_addr", maps, ",")
        for (i = 1; i <= n; i++) {
            split(maps[i] " -", type, " ")
            print "map " type[1] " { type " type[2] " : verdict;" (type[3] == "flags" ? " flags interval;" : "") >file
            # nft 1.0.6 refuses elements added to an interval map that the same file makes.
            if (type[1] in elements) print "elements = { " elements[type[1]] "}" >file
            print "}" >file
        }
        for (chain_name in seen) print "chain " chain_name " { }" >file
        print "chain forward { type filter hook forward priority -5; policy accept;" >file
        print "iifname vmap @from\nct state established,related accept\noifname vmap @to\n}" >file
        print "chain postrouting { type filter hook postrouting priority 150; policy accept;" >file
        for (i = 4; i <= 6; i += 2) {
            print "ct original ip" (i == 6 ? "6" : "") " saddr vmap @subnet-ipv" i >file
            print "ip" (i == 6 ? "6" : "") " saddr vmap @subnet-ipv" i >file
        }
        print "ct direction original ip saddr vmap @public-ipv4\nct direction original ip6 saddr vmap @public-ipv6\n}\n}" >file
        for (i = 1; i <= k; i++) print rules[i] >file
        return k
    }

    function inside(text) { # what stands between the braces of an element command
        sub(/^[^{]*\{ /, "", text)
        sub(/ \}$/, "", text)
        return text
    }

    function guard_delta(name, phase, file,    i, n, old, m, new, chains, wanted, had, fresh, c) {
        # From what is on disk to what the bundle says, for one network.
        old = "before" SUBSEP name SUBSEP "guard"
        new = phase SUBSEP name SUBSEP "guard"
        n = size[old]
        m = size[new]
        for (i = 1; i <= m; i++) wanted[line[new, i]]
        for (i = 1; i <= n; i++) {
            had[line[old, i]]
            split(line[old, i], word, " ")
            if (word[2] == "rule") chains[word[5]]
            else if (!(line[old, i] in wanted)) print "delete" substr(line[old, i], 4) >file
        }
        for (c in chains) print "flush chain inet wanbound " c >file
        for (i = 1; i <= m; i++) {
            split(line[new, i], word, " ")
            if (word[2] == "rule") fresh[word[5]]
        }
        for (c in fresh) print "add chain inet wanbound " c >file
        for (c in chains) if (!(c in fresh)) print "delete chain inet wanbound " c >file
        for (i = 1; i <= m; i++) if (index(line[new, i], "add rule ") == 1) print line[new, i] >file
        for (i = 1; i <= m; i++)
            if (index(line[new, i], "add element ") == 1 && !(line[new, i] in had)) print line[new, i] >file
    }

    function guard(    i, name, before, during, ending, trusted, phase) {
        for (i = 1; i <= count; i++) {
            phase = phase_of(sorted[i])
            before += size["before", sorted[i], "guard"]
            ending += phase == "" ? 0 : size[phase, sorted[i], "guard"]
            during += size[phase == "" ? "before" : phase, sorted[i], "guard"]
        }
        if (before + during == 0) {
            print "" >(out "/guard.none")
            return
        }
        trusted = before > 0 && ending > 0 && !whole
        for (name in put) if (same(name)) trusted = 0 # put again what is there: to mend it
        for (name in gone_names) print "" >(out "/guard.ends")
        if (!trusted) {
            guard_table(out "/guard.full", 0)
            guard_table(out "/guard.end", 1)
            return
        }
        for (name in put) guard_delta(name, "after", out "/guard.delta")
        for (name in gone_names) guard_delta(name, "", out "/guard.last")
    }

    function same(name,    i) { # whether the bundle puts what is on disk already
        if (text_of["before", name] != text_of["after", name]) return 0
        return name in put
    }

    # --- addresses and claims ---

    function addresses(    i, j, n, from, part, word, key, wanted, owned, place, six, a) {
        for (i = 1; i <= count; i++) {
            from = "before" SUBSEP sorted[i] SUBSEP "address"
            n = size[from]
            for (j = 1; j <= n; j++) owned[line[from, j]]
            from = phase_of(sorted[i]) SUBSEP sorted[i] SUBSEP "address"
            n = size[from]
            for (j = 1; j <= n; j++) wanted[line[from, j]]
        }
        for (key in wanted) {
            split(key, word, " ")
            device[word[1]]
            six = index(word[2], ":")
            a = word[2]
            sub(/\/.*/, "", a)
            # The same address elsewhere, or with another prefix: ours to move, or the host own.
            n = split(stands[a], place, ",")
            for (i = 1; i < n; i++)
                if (place[i] != key) {
                    if (!(key in owned)) print place[i] >(out "/foreign")
                    split(place[i], part, " ")
                    print "addr del " part[2] " dev " part[1] >(out "/addresses.batch")
                }
            if (!(key in live_address)) print key >(out "/added")
            else if (!six || live_address[key] ~ / deprecated/) continue
            # preferred_lft 0 keeps the source of the host itself (RFC 6724, rule 3).
            print "addr " (key in live_address ? "change " : "add ") word[2] " dev " word[1] (six ? " preferred_lft 0" : "") >(out "/addresses.batch")
        }
        for (key in owned) if (!(key in wanted) && key in live_address) print key >(out "/gone")
        for (key in undone) if (!(key in wanted) && key in live_address) print key >(out "/gone")
        for (key in device) print key >(out "/devices")
    }

    function claims(    i, j, n, from, text, owner) {
        for (i = 1; i <= count; i++) {
            from = phase_of(sorted[i]) SUBSEP sorted[i] SUBSEP "claim"
            n = size[from]
            for (j = 1; j <= n; j++) {
                text = line[from, j]
                if (text in owner) print text " (networks " owner[text] " and " sorted[i] ")" >(out "/taken")
                owner[text] = sorted[i]
            }
        }
    }

    # --- reading ---

    kind == "before" || kind == "after" {
        if (kind == "before" && FNR == 1) {
            name = FILENAME
            sub(/.*\//, "", name)
            sub(/\.rules$/, "", name)
            known[name]
            # After a commit the old text is in .old, and comes after the new one: it is what counts.
            for (f in sections) size[kind, name, f] = 0
            text_of[kind, name] = ""
        }
        if (kind == "after" && $1 == "==") {
            name = $3
            known[name]
            if ($2 == "put") put[name]
            else { gone_names[name]; print name >(out "/removed") }
            print name >(out "/changed")
            next
        }
        section = substr($1, 1, 2) == "ip" ? $1 " " $2 : $1
        sections[section]
        if (substr($1, 1, 2) == "ip") used[$1]
        line[kind, name, section, ++size[kind, name, section]] = substr($0, length(section) + 2)
        text_of[kind, name] = text_of[kind, name] "\n" $0
        if (kind == "after") print >(out "/next/" name ".rules")
        next
    }
    kind == "saved" && substr($0, 1, 1) == "*" { current = family SUBSEP substr($0, 2); next }
    kind == "saved" && substr($0, 1, 1) == ":" { live_chain[current, substr($1, 2)]; next }
    kind == "saved" && $1 == "-A" {
        rank[current, $2]++
        if ($2 ~ /^WANBOUND-/) live_line[current, $2, ++live_count[current SUBSEP $2]] = $0
        else if (NF == 4 && $3 == "-j" && $4 ~ /^WANBOUND-/) {
            jump_count[current SUBSEP $2 SUBSEP $4]++
            if (rank[current, $2] == 1) jump_first[current SUBSEP $2 SUBSEP $4] = 1
        } else if ($0 == "-A FORWARD -j DOCKER-USER") docker_hook[current SUBSEP "DOCKER-USER"]
        next
    }
    kind == "addresses" {
        key = $2 " " $4
        flags = ""
        for (i = 5; i <= NF; i++) flags = flags " " $i
        live_address[key] = flags
        a = $4
        sub(/\/.*/, "", a)
        stands[a] = stands[a] key ","
        next
    }
    kind == "undone" { undone[$0] }
    END {
        order()
        claims()
        addresses()
        for (f in used) {
            print f >(out "/families")
            tables(f)
        }
        guard()
    }' "$@"
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
    mkdir -p "$1/next" && read_live "$1" || return 1
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

test_rules() { # test_rules FOLDER: both families at the same time; a test takes 30 ms, all waiting
    tested=
    for family in ipv4 ipv6; do
        [ -s "$1/$family.restore" ] || continue
        restore "$family" "$1" --test 2>"$1/$family.refused" &
        tested="$tested $!"
    done
}

tests_passed() { # tests_passed FOLDER: whether what test_rules began has gone well
    passed=0
    for job in $tested; do
        wait "$job" || passed=1
    done
    return "$passed"
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
    for family in ipv4 ipv6; do
        [ ! -s "$1/$family.restore" ] || restore "$family" "$1" || return 1
    done
    delete_addresses "$1" && guard_last "$1" "$2"
}

# --- disk ----------------------------------------------------------------------------------------

write_next() { # write_next FOLDER: everything new beside its place; a full disk stops it here
    rm -rf "$etc/.next" "$etc/.old" && mkdir -p "$etc/.next" "$etc/.old" "${self%/*}" || return 1
    set -- "$1" "$1"/next/*.rules
    next=$1
    shift
    [ ! -e "$1" ] || cp "$@" "$etc/.next/" || return 1
    if ! cmp -s "$0" "$self"; then
        cp "$0" "$self.next" && chmod 0755 "$self.next" || return 1
        set -- "$@" "$self.next"
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
    [ ! -e "$self.next" ] || mv "$self.next" "$self" || return 1
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
    rm -rf "$etc/.next" "$etc/.old" "$self.next"
    for file in "$etc"/*.rules; do
        [ ! -e "$file" ] || return 0
    done
    rm -rf "$etc" "$self"
}

# --- commands ------------------------------------------------------------------------------------

change() { # change FOLDER
    work=$1/work
    need ip iproute2
    need awk mawk
    take_lock
    rm -rf "$etc/.old" # of a run that was killed: what is in force is what the names say
    plan "$work" '' "$1/bundle" /dev/null || fail 15 "cannot write to $run"
    check "$work"
    # From here on nothing but the end of this process itself stops the work half way: not a closed
    # connection, not the end of the operator's program.
    trap '' HUP INT TERM PIPE
    test_rules "$work"
    if ! write_next "$work"; then
        tests_passed
        clear_disk
        fail 15 "cannot write to $etc"
    fi
    if ! tests_passed; then
        clear_disk
        cat "$work"/*.refused >&2
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
    fail 13 "the kernel refused the change and its undo"
}

apply() {
    need ip iproute2
    need awk mawk
    take_lock
    work=$(mktemp -d "$run/apply.XXXXXX") || fail 15 "cannot write to $run"
    trap 'rm -rf "$work"' EXIT
    rm -rf "$etc/.old"
    plan "$work" whole /dev/null /dev/null || fail 15 "cannot write to $run"
    check "$work"
    test_rules "$work"
    tests_passed || fail 11 "iptables-restore refuses the rules: $(cat "$work"/*.refused)"
    guard_first "$work" /dev/null && load "$work" /dev/null || fail 13 "the kernel refused what $etc says"
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
