# No apostrophes: this is inside a quoted argument (flows.sh).
# Prints what `conntrack -D` needs to end the connections that the rules would now translate in
# another way, and no others. Arguments: FLOWS TRACKED TRACKED. FLOWS is `local ADDRESS` for each of this
# host, `subnet LINK SUBNET`, then `was` and flows of generations, then `now` and that of the one that
# is loaded, then `ended CONNECTION` for each that has ended before. Those that end now are appended to the
# file `ended` in the same form. TRACKED is what `conntrack -L` prints: read for what ends, then for what
# must not.

BEGIN {
    split("0000 0001 0010 0011 0100 0101 0110 0111 1000 1001 1010 1011 1100 1101 1110 1111", digits)
    for (at = 1; at <= 16; at++) nibble[substr("0123456789abcdef", at, 1)] = digits[at]
}

# An address as its version, then zeros and ones: addresses in a subnet begin with its digits.
function bits(address, text, zeros, part, at, hex) {
    if (address ~ /:/) {
        text = 6
        zeros = ":"
        for (at = gsub(/[^:]+/, "&", address); at < 8; at++) zeros = zeros "0:"
        sub(/::/, zeros, address)
        split(address, part, ":")
        for (at = 1; at in part; at++)
            if (part[at] != "") hex = hex substr("000" part[at], length(part[at]))
    } else {
        text = 4
        split(address, part, ".")
        hex = sprintf("%02x%02x%02x%02x", part[1], part[2], part[3], part[4])
    }
    for (at = 1; at <= length(hex); at++) text = text nibble[substr(hex, at, 1)]
    return text
}

# The subnet of a present network that an address is in; empty where there is none.
function network(address, size, prefix) {
    if (address in known) return known[address]
    binary[address] = bits(address)
    known[address] = ""
    for (size in sizes) {
        prefix = substr(binary[address], 1, size)
        if (prefix in public) known[address] = prefix
    }
    return known[address]
}

function was_given(source, address, size) {
    for (size in sizes) if ((substr(binary[source], 1, size), address) in gave) return 1
    return 0
}

# Whether the rules forward a port to this container, or to any ("*").
function sends(when, address, port, container, way, at, range) {
    split(ways[when, protocol, address], way, " ")
    for (at = 1; at in way; at += 2) {
        split(way[at], range, "-")
        if (range[1] + 0 <= port && port <= range[2] + 0 && (container == "*" || container == way[at + 1]))
            return 1
    }
    return 0
}

# Whether the rules would now translate the connection of this line in another way. `late`: a container
# answered a connection after its end, and the caller still reaches it by that.
function stale(own) {
    own = network(src)
    late = own != "" && (protocol, answerer, field[2, "sport"], answered, field[2, "dport"]) in before
    if (late) return !sends("now", answered, field[2, "dport"] + 0, src)
    if (own == "") {
        if (answered != src && (answered in only || was_given(src, answered))) return 1
    } else if (!(answerer in here) && answerer !~ /^(22[4-9]|23[0-9]|255)\.|^ff/ && answered != public[own]) {
        # Within the network, only connections to a public address get one as source.
        if (network(answerer) != own || (own in hairpin && answerer != dst)) return 1
    }
    if (sends("now", dst, port, answerer)) return 0
    # A translation that a rule of another program made stays: its connections are not ended.
    return answerer == dst ? sends("now", dst, port, "*") : sends("was", dst, port, answerer)
}

FNR == 1 { reading++ }

reading == 1 && /^(was|now)$/ { when = $1 }
reading == 1 && $1 == "local" { here[$2] }
reading == 1 && $1 == "subnet" { of_link["@" $2] = $3 }
reading == 1 && $1 == "from" {
    split($2 in of_link ? of_link[$2] : $2, subnet, "/")
    size = subnet[2] + 1
    sizes[size]
    own = substr(bits(subnet[1]), 1, size)
    if (when == "was") gave[own, $3]
    else public[own] = $3
    if (when == "now" && $4 == "hairpin") hairpin[own]
}
reading == 1 && $1 == "to" { ways[when, $3, $2] = ways[when, $3, $2] " " $4 " " $5 }
reading == 1 && $1 == "only" { only[$2] }
reading == 1 && $1 == "ended" { before[$2, $3, $4, $5, $6] }

reading == 2 || (reading == 3 && count && !(FNR in ends)) {
    split("", field)
    way = 0
    for (at = 1; at <= NF; at++)
        if (split($at, pair, "=") == 2) {
            if (pair[1] == "src") way++
            field[way, pair[1]] = pair[2]
        }
    protocol = $1
    src = field[1, "src"]
    dst = field[1, "dst"]
    port = field[1, "dport"] + 0
    answerer = field[2, "src"]
    answered = field[2, "dst"]
    # From the broadest to the narrowest: all that share a translation, if this has one.
    family = src ~ /:/ ? "-f ipv6" : "-f ipv4"
    words[1] = answered == src ? "" : family " -s " src " --reply-dst " answered
    words[2] = answerer == dst ? "" : family " -d " dst " --reply-src " answerer
    words[3] = family " -d " dst " --reply-src " answerer " -p " (protocol == "unknown" ? $2 : protocol)
    words[4] = words[3] " -s " src " --reply-dst " answered
    if ((1, "dport") in field) {
        words[3] = words[3] " --dport " port
        words[4] = words[4] " --dport " port " --sport " field[1, "sport"]
    }
}
reading == 2 && stale() {
    ends[FNR]
    count++
    if ((1, "dport") in field)
        print "ended", protocol, src, field[1, "sport"], dst, field[1, "dport"] >>ended
    for (at = 1; at <= 4; at++) {
        # A late answer is translated like what stays: it ends alone.
        ending[count, at] = late && at < 4 ? "" : words[at]
        meets[ending[count, at]] = ending[count, at] == "" ? "others" : ""
    }
}
reading == 3 && count && !(FNR in ends) {
    for (at = 1; at <= 3; at++) if (words[at] in meets) meets[words[at]] = "others"
}

END {
    for (one = 1; one <= count; one++) {
        for (at = 1; meets[ending[one, at]] == "others"; at++) continue
        if (!said[ending[one, at]]++) print ending[one, at]
    }
}
