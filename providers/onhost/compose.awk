# compose.awk: fragments and live state → what iptables-restore, nft and ip are told.
#
# One awk program, because each process costs a millisecond or two and there may be many networks.
# It becomes a part of wanbound.sh (host_script in host.py), so it has no single quote in it.
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
#   renamed             LINK BRIDGE of bridges that somebody gave another name
#   taken, foreign, devices, families   what the checks need
#
# With `whole` set to "whole" nothing that is live is trusted: every chain and the guard are written
# anew. With "guard" it is the guard alone.

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
    table(family, "filter", "WANBOUND-FORWARD WANBOUND-INPUT", file)
}

function table(family, name, owns, file,    own, i, k) {
    steps = 0
    k = split(owns, own, " ")
    for (i = 1; i <= k; i++) chain(family, name, own[i])
    if (steps == 0) return
    print "*" name >file
    for (i = 1; i <= steps; i++) print step[i] >file
    print "COMMIT" >file
}

function chain(family, table_name, own,    key, i, j, n, from, text, f, live, kept, drops, left, at, exists, rewrite, wanted) {
    # What the chain should hold, network by network. Both of nat are there as soon as one has lines.
    f = 0
    wanted = 0
    for (i = 1; i <= count; i++) {
        if (phase_of(sorted[i]) == "") continue
        from = phase_of(sorted[i]) SUBSEP sorted[i] SUBSEP family " " table_name
        n = size[from]
        for (j = 1; j <= n; j++) {
            text = placed(line[from, j])
            if (index(text, "-A " own " ") == 1) { want_line[++f] = text; left[text]++ }
            if (index(text, "-A " own " ") == 1 || table_name == "nat") wanted = 1
        }
    }
    key = family SUBSEP table_name SUBSEP own
    exists = key in live_chain
    if (wanted && (whole == "whole" || !exists)) rewrite = 1
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

function placed(text,    at, link, i, n) { # a rule with `-s @LINK`, the subnet of that link put in
    at = match(text, / -s @[^ ]+ /)
    if (!at) return text
    link = substr(text, at + 5, RLENGTH - 6)
    # No bridge, no line: until Docker has made it nothing comes from there, and what does is guarded.
    if (!(link in subnet_of)) return ""
    return substr(text, 1, at) "-s " subnet_of[link] substr(text, at + RLENGTH - 1)
}

function around(address,    part, octet, bits, i, size, k, out) { # the subnet of an IPv4 ADDRESS/LEN
    split(address, part, "/")
    split(part[1], octet, ".")
    bits = part[2] + 0
    for (i = 1; i <= 4; i++) {
        size = 1
        for (k = bits; k < 8 && size < 256; k++) size = size * 2
        out = out (i > 1 ? "." : "") (octet[i] - octet[i] % size)
        bits -= 8
    }
    return out "/" part[2]
}

function jumps(family, table_name, own, wanted,    hooks, hook, n, i, j, key, name, all) {
    # Makes the jump to the chain the first rule of each hook, once, and removes it elsewhere. The
    # one in INPUT is the last: other rules there go on to decide, and ours is what a policy is.
    # DOCKER-USER stays first in FORWARD when Docker restarts; Docker 20.10 makes none for IPv6.
    if (own == "WANBOUND-DNAT") hooks = "PREROUTING OUTPUT"
    else if (own == "WANBOUND-SNAT") hooks = "POSTROUTING"
    else if (own == "WANBOUND-INPUT") hooks = "INPUT"
    else if ((family SUBSEP "filter" SUBSEP "DOCKER-USER") in docker_hook) hooks = "DOCKER-USER"
    else hooks = "FORWARD"
    n = split("PREROUTING OUTPUT POSTROUTING DOCKER-USER FORWARD INPUT", all, " ")
    for (i = 1; i <= n; i++) {
        key = family SUBSEP table_name SUBSEP all[i] SUBSEP own
        hook = wanted && index(" " hooks " ", " " all[i] " ")
        if (hook && jump_count[key] == 1 && (all[i] == "INPUT" ? jump_at[key] == rank[family SUBSEP table_name, "INPUT"] : jump_at[key] == 1)) continue
        for (j = 0; j < jump_count[key]; j++) step[++steps] = "-D " all[i] " -j " own
        if (hook) step[++steps] = all[i] == "INPUT" ? "-A INPUT -j " own : "-I " all[i] " 1 -j " own
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
    n = split("from ifname,to ifname,subnet-ipv4 ipv4_addr flags,subnet-ipv6 ipv6_addr flags,public-ipv4 ipv4_addr,public-ipv6 ipv6_addr,by-bridge ifname", maps, ",")
    for (i = 1; i <= n; i++) {
        split(maps[i] " -", type, " ")
        # There only where Docker chooses a subnet, and the bridge has to stand for it.
        if (type[1] == "by-bridge" && !("by-bridge" in elements)) continue
        print "map " type[1] " { type " type[2] " : verdict;" (type[3] == "flags" ? " flags interval;" : "") >file
        # nft 1.0.6 refuses elements added to an interval map that the same file makes.
        if (type[1] in elements) print "elements = { " elements[type[1]] "}" >file
        print "}" >file
    }
    for (chain_name in seen) print "chain " chain_name " { }" >file
    print "chain forward { type filter hook forward priority -5; policy accept;" >file
    print "iifname vmap @from\nct state established,related accept\noifname vmap @to\n}" >file
    print "chain postrouting { type filter hook postrouting priority 150; policy accept;" >file
    if ("by-bridge" in elements) print "iifname vmap @by-bridge" >file
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
    trusted = before > 0 && ending > 0 && whole == ""
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

function addresses(    i, j, n, from, part, word, key, wanted, owned, moved, place, six, a) {
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
                if (!(key in owned) && !(place[i] in owned)) print place[i] >(out "/foreign")
                moved[place[i]]
                split(place[i], part, " ")
                print "addr del " part[2] " dev " part[1] >(out "/addresses.batch")
            }
        if (!(key in live_address)) print key >(out "/added")
        else if (!six || live_address[key] ~ / deprecated/) continue
        # preferred_lft 0 keeps the source of the host itself (RFC 6724, rule 3).
        print "addr " (key in live_address ? "change " : "add ") word[2] " dev " word[1] (six ? " preferred_lft 0" : "") (key in quick ? " nodad" : "") >(out "/addresses.batch")
    }
    for (key in undone) owned[key]
    for (key in owned)
        if (!(key in wanted) && !(key in moved) && key in live_address) print key >(out "/gone")
    for (key in device) print key >(out "/devices")
}

function bridges(    i, j, n, from, text, word, bridge, home) {
    # The link that has the gateway of a network whose bridge is gone is that bridge, renamed.
    for (i = 1; i <= count; i++) {
        from = phase_of(sorted[i]) SUBSEP sorted[i] SUBSEP "claim"
        n = size[from]
        bridge = home = ""
        for (j = 1; j <= n; j++) {
            split(line[from, j], word, " ")
            if (word[1] == "bridge") bridge = word[2]
            if (word[1] == "subnet" && home == "") home = stands[gateway(word[2])]
        }
        if (bridge == "" || home == "" || bridge in link) continue
        split(home, word, " ")
        print word[1], bridge >(out "/renamed")
    }
}

function gateway(subnet,    part, n, last) { # the first address of a subnet, as `ip` prints it
    sub(/\/.*/, "", subnet)
    if (subnet ~ /::$/) return subnet "1"
    n = match(subnet, /[0-9a-f]+$/)
    last = substr(subnet, n)
    return substr(subnet, 1, n - 1) (last + 1)
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
    value = substr($0, length(section) + 2)
    # One that containers bind to at boot must not be looked for on the link first.
    if (section == "address" && sub(/ nodad$/, "", value)) quick[value]
    line[kind, name, section, ++size[kind, name, section]] = value
    text_of[kind, name] = text_of[kind, name] "\n" $0
    if (kind == "after") print >(out "/next/" name ".rules")
    next
}
kind == "saved" && substr($0, 1, 1) == "*" { current = family SUBSEP substr($0, 2); next }
kind == "saved" && substr($0, 1, 1) == ":" {
    live_chain[current, substr($1, 2)]
    # Chains of networks that are gone, fragment and all, go too.
    if (whole == "whole" && $1 ~ /^:WANBOUND-/) used[family]
    next
}
kind == "saved" && $1 == "-A" {
    rank[current, $2]++
    if ($2 ~ /^WANBOUND-/) live_line[current, $2, ++live_count[current SUBSEP $2]] = $0
    else if (NF == 4 && $3 == "-j" && $4 ~ /^WANBOUND-/) {
        jump_count[current SUBSEP $2 SUBSEP $4]++
        jump_at[current SUBSEP $2 SUBSEP $4] = rank[current, $2]
    } else if ($0 ~ /^-A FORWARD -j DOCKER-ISOLATION/) isolated[current]
    # docker-ipv6nat may put its isolation before it: what is accepted there comes too late then.
    else if ($0 == "-A FORWARD -j DOCKER-USER" && !(current in isolated)) docker_hook[current SUBSEP "DOCKER-USER"]
    next
}
kind == "addresses" && NF {
    key = $2 " " $4
    link[$2]
    # The first one of IPv4 is the bridge own, made by Docker; others come behind it.
    if ($3 == "inet" && !($2 in subnet_of)) subnet_of[$2] = around($4)
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
    bridges()
    for (f in used) {
        print f >(out "/families")
        tables(f)
    }
    guard()
}
