# Which lines, made by somebody else, do the work that wanbound does for its networks?
#
#   awk -v family=ipv4 -f byhand.awk kind=needles NEEDLES kind=saved SAVED [kind=file FILE...]
#
# NEEDLES has what belongs to the networks, a line each and of both families:
#   subnet 172.20.0.0/24     public 203.0.113.20     bridge mail
# SAVED is what iptables-save (ip6tables-save) prints. For each line found the command that removes
# it is printed, ready for a shell. A FILE is one that is loaded at boot, as /etc/iptables/rules.v4,
# in any spelling that iptables-restore takes; what is found there is printed as grep -n does.
#
# Found is: in nat what translates from a subnet or its bridge, to a subnet, or from or to a public
# address; in filter what accepts forwarded packets from or to a subnet or its bridge. Not found are
# our chains, Docker chains but DOCKER-USER, what Docker itself puts into the built-in chains, what
# covers more than a subnet, and INPUT and OUTPUT of filter, where a network has no traffic.
#
# For the awks of Debian and busybox: no intervals in expressions, no gensub. No apostrophe anywhere:
# the program stands between two of them in the host script.

function digits_of(hex,    i, out) { # 4 bits for each hexadecimal digit
    out = ""
    hex = tolower(hex)
    for (i = 1; i <= length(hex); i++) out = out nibble[substr(hex, i, 1)]
    return out
}

function bits_of(address,    part, n, i, half, left, right, fill, out) { # "" for what is no address
    out = ""
    if (address ~ /^[0-9.]+$/) {
        if (split(address, part, ".") != 4) return ""
        for (i = 1; i <= 4; i++) out = out sprintf("%02x", part[i])
        return digits_of(out)
    }
    if (address !~ /^[0-9a-fA-F:]+$/ || address !~ /:/) return ""
    half = index(address, "::")
    left = half ? substr(address, 1, half - 1) : address
    right = half ? substr(address, half + 2) : ""
    n = left == "" ? 0 : split(left, part, ":")
    for (i = 1; i <= n; i++) out = out substr("0000" part[i], length(part[i]) + 1)
    fill = out
    out = ""
    n = right == "" ? 0 : split(right, part, ":")
    for (i = 1; i <= n; i++) out = out substr("0000" part[i], length(part[i]) + 1)
    while (length(fill) + length(out) < 32) fill = fill "0"
    return length(fill out) == 32 ? digits_of(fill out) : ""
}

function in_subnet(text,    at, bits, prefix, length_of) { # is ADDRESS or ADDRESS/LEN within one?
    if (text ~ /!$/) return 0
    at = index(text, "/")
    bits = bits_of(at ? substr(text, 1, at - 1) : text)
    if (bits == "") return 0
    prefix = at ? substr(text, at + 1) : length(bits)
    if (prefix ~ /[.:]/) { # a mask
        prefix = bits_of(prefix)
        sub(/0.*/, "", prefix)
        prefix = length(prefix)
    }
    for (length_of in lengths)
        if (prefix + 0 >= length_of + 0 && ((length_of " " substr(bits, 1, length_of)) in subnets))
            return 1
    return 0
}

function is_public(text,    at, bits) { # is it one, alone, with or without its full prefix?
    at = index(text, "/")
    bits = bits_of(at ? substr(text, 1, at - 1) : text)
    return bits != "" && (!at || substr(text, at + 1) == length(bits)) && (bits in publics)
}

function goal(text,    at) { # the first address of --to-source and --to-destination, without port
    if (substr(text, 1, 1) == "[") return substr(text, 2, index(text, "]") - 2)
    if (text ~ /\./) sub(/:.*/, "", text)
    at = index(text, "-")
    return at ? substr(text, 1, at - 1) : text
}

function words_of(line,    n, word, char, quoted, i, begun) { # fills word_at as iptables reads it
    n = 0
    word = ""
    quoted = begun = 0
    for (i = 1; i <= length(line); i++) {
        char = substr(line, i, 1)
        if (char == "\"") {
            quoted = !quoted
            begun = 1
        } else if (quoted && char == "\\") word = word substr(line, ++i, 1)
        else if (!quoted && char ~ /[ \t]/) {
            if (begun) word_at[++n] = word
            word = ""
            begun = 0
        } else {
            word = word char
            begun = 1
        }
    }
    if (begun) word_at[++n] = word
    return n
}

function shell(word,    i, char, out) { # a word in the form that a shell reads as this word
    if (word ~ /^[A-Za-z0-9_.,:\/@%+=!-]+$/) return word
    out = "\047"
    for (i = 1; i <= length(word); i++) {
        char = substr(word, i, 1)
        out = out (char == "\047" ? "\047\\\047\047" : char)
    }
    return out "\047"
}

function read_rule(n,    i, not, name) { # what is negated has a ! behind it
    chain = target = source = destination = in_link = out_link = goal_source = goal_dest = ""
    matches = ""
    not = 0
    for (i = 1; i <= n; i++) {
        name = word_at[i]
        if (name == "!") {
            not = 1
            continue
        }
        if (name ~ /^(-A|-I|--append|--insert)$/) chain = word_at[++i]
        else if (name ~ /^(-j|-g|--jump|--goto)$/) target = word_at[++i]
        else if (name ~ /^(-s|--source|--src)$/) source = not ? word_at[++i] "!" : word_at[++i]
        else if (name ~ /^(-d|--destination|--dst)$/) destination = not ? word_at[++i] "!" : word_at[++i]
        else if (name ~ /^(-i|--in-interface)$/) in_link = not ? word_at[++i] "!" : word_at[++i]
        else if (name ~ /^(-o|--out-interface)$/) out_link = not ? word_at[++i] "!" : word_at[++i]
        else if (name == "--to-source") goal_source = word_at[++i]
        else if (name ~ /^--to(-destination)?$/) goal_dest = word_at[++i]
        else matches = matches " " (not ? "! " : "") name
        not = 0
    }
}

function of_docker() { # what Docker puts into the built-in chains for any of its networks
    if (chain == "FORWARD" && source destination == "" && target == "ACCEPT") {
        if (matches == " -m conntrack --ctstate RELATED,ESTABLISHED") return in_link == ""
        return matches == "" && in_link != "" && (out_link == in_link || out_link == in_link "!")
    }
    if (chain == "POSTROUTING" && target == "MASQUERADE") {
        # A published port, asked for by its own container; and userland-proxy: false.
        if (source != "" && source == destination && matches ~ / --dport /) return 1
        return source == "" && matches == " -m addrtype --src-type LOCAL"
    }
    return 0
}

function does_our_work() {
    if (chain ~ /^WANBOUND-/ || (chain ~ /^DOCKER(-|$)/ && chain != "DOCKER-USER")) return 0
    if (of_docker()) return 0
    if (table == "nat") {
        if (target !~ /^(SNAT|DNAT|MASQUERADE|REDIRECT|NETMAP)$/) return 0
        return in_subnet(source) || in_subnet(goal(goal_dest)) || is_public(destination) ||
            is_public(goal(goal_source)) || (in_link in bridges) || (out_link in bridges)
    }
    if (table != "filter" || target != "ACCEPT") return 0
    return in_subnet(source) || in_subnet(destination) || is_public(destination) ||
        (in_link in bridges) || (out_link in bridges)
}

function tell(    grown, edge, i) { # what is found in one table; of filter what FORWARD comes to
    if (table == "filter") {
        reached["FORWARD"] = 1
        do {
            grown = 0
            for (edge in jumps) {
                i = index(edge, " ")
                if ((substr(edge, 1, i - 1) in reached) && !(substr(edge, i + 1) in reached))
                    grown = reached[substr(edge, i + 1)] = 1
            }
        } while (grown)
    }
    for (i = 1; i <= found; i++)
        if (table != "filter" || (found_chain[i] in reached)) print found_line[i]
    found = 0
    split("", reached)
    split("", jumps)
}

BEGIN {
    for (i = 0; i < 16; i++)
        nibble[sprintf("%x", i)] = int(i / 8) % 2 "" int(i / 4) % 2 "" int(i / 2) % 2 "" i % 2
    command = family == "ipv4" ? "iptables" : "ip6tables"
    found = 0
}

FNR == 1 {
    tell()
    table = "filter"
}

kind == "needles" {
    if ($1 == "public") publics[bits_of($2)] = 1
    if ($1 == "bridge") bridges[$2] = 1
    if ($1 == "subnet" && (at = index($2, "/"))) {
        lengths[substr($2, at + 1)] = 1
        subnets[substr($2, at + 1) " " substr(bits_of(substr($2, 1, at - 1)), 1, substr($2, at + 1))] = 1
    }
    next
}

# Ours; most lines of a host with many networks are.
/^-A WANBOUND-/ { next }

/^\*/ {
    tell()
    table = substr($1, 2)
    next
}

# A control character could make a terminal show another line than the one that is meant.
/^[ \t]*(-A|-I|--append|--insert) / && !/[\001-\010\013-\037\177]/ {
    count = words_of($0)
    read_rule(count)
    if (target != "") jumps[chain " " target] = 1
    if (!does_our_work()) next
    line = ""
    for (i = 3; i <= count; i++) line = line " " shell(word_at[i])
    found_chain[++found] = chain
    if (kind == "file") found_line[found] = FILENAME ":" FNR ": " $0
    else found_line[found] = command " -t " table " -D " shell(chain) line
}

END { tell() }
