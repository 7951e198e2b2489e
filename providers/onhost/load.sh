# --- loading a generation --------------------------------------------------------------------------

has_rules() { grep -q '^:' "$1/$2.rules"; } # has_rules GENERATION FAMILY
has_guard() { grep -q chain "$1/guard.nft"; } # has_guard GENERATION

check() { # check GENERATION: fails, with nothing touched, when it cannot be loaded on this host
    cut -d' ' -f1 "$1/addresses" "$1/links" | sort -u >"$work/devices"
    while read -r device; do
        [ -e "/sys/class/net/$device" ] || fail 10 "there is no interface $device here"
    done <"$work/devices"
    while read -r key _; do
        parameter "$key"
        [ -e "$parameter" ] || fail 10 "this kernel has no parameter $key"
    done <"$1/sysctls"
    ! has_guard "$1" || need nft nftables
    for family in ipv4 ipv6; do
        has_rules "$1" "$family" || continue
        iptables_of "$family"
        need "$tool-save" iptables
        need "$tool-restore" iptables
    done
    while read -r bridge; do
        [ ! -e "/sys/class/net/$bridge" ] || fail 18 "the bridge $bridge still exists"
    done <"$1/absent"
}

jumps() { # jumps TABLE RULES SAVED: brings the jumps to their places; chains not in RULES go
    kept='' missing=''
    for place in nat:DNAT:PREROUTING nat:DNAT:OUTPUT nat:SNAT:POSTROUTING "filter:FORWARD:$hook" \
        filter:INPUT:INPUT; do
        target=${place#*:}
        chain=${place##*:} target=WANBOUND-${target%:*} at=first
        [ "${place%%:*}" = "$1" ] && grep -q "^:$target " "$2" || continue
        # DOCKER-USER stays first in FORWARD when Docker restarts. The jump in INPUT is the last rule:
        # other rules there go on to decide, and ours is what a policy is.
        [ "$chain" != INPUT ] || at=last
        jump="$1 $chain -j $target$newline"
        case $found$newline in
        *"jump $jump"*"jump $jump"*) ;;
        *"$at $jump"*)
            kept="$kept$jump"
            continue
            ;;
        esac
        [ "$at" = last ] && missing="$missing-A $chain -j $target$newline" ||
            missing="$missing-I $chain 1 -j $target$newline"
    done
    echo "$found" | sed -n "s/^jump $1 //p" | while read -r jump; do
        case $kept in *"$1 $jump$newline"*) ;; *) echo "-D $jump" ;; esac
    done
    printf '%s' "$missing"
    for command in -F -X; do
        sed -n "/^\*$1\$/,/^COMMIT/s/^:\(WANBOUND-[A-Z]*\) .*/\1/p" "$3" | while read -r chain; do
            grep -q "^:$chain " "$2" || echo "$command $chain"
        done
    done
}

subnet_of() { # subnet_of LINK: its IPv4 subnet; one that no packet has while there is no bridge
    subnet=$(ip -4 route show dev "$1" proto kernel scope link 2>/dev/null | head -n 1)
    subnet=${subnet%% *}
    echo "${subnet:-0.0.0.0/32}"
}

subnets() { # subnets GENERATION: LINK SUBNET for each that a rule asks for
    sed -n 's/.* -s @\([^ ]*\) .*/\1/p' "$1/ipv4.rules" | sort -u | while read -r link; do
        echo "subnet $link $(subnet_of "$link")"
    done
}

compose() { # compose GENERATION FAMILY: $work/FAMILY.restore, or nothing where there is nothing to do
    rm -f "$work/$2.restore"
    read_rules "$2" "$work/$2.saved" || return 1
    has_rules "$1" "$2" || grep -q WANBOUND- "$work/$2.saved" || return 0
    found=$(hooks "$work/$2.saved")
    hook=${found##*"hook "}
    for table in nat filter; do
        jumps "$table" "$1/$2.rules" "$work/$2.saved" >"$work/$2.$table" || return 1
    done
    subnets "$1" | while read -r _ link subnet; do
        echo "s| -s @$link | -s $subnet |"
    done >"$work/$2.subnets"
    sed -e "/^# jumps nat\$/r $work/$2.nat" -e "/^# jumps filter\$/r $work/$2.filter" \
        -f "$work/$2.subnets" "$1/$2.rules" >"$work/$2.restore"
}

restore() { # restore GENERATION FAMILIES [--test]: both at once; a test waits for 30 ms
    jobs=''
    for family in $2; do
        {
            compose "$1" "$family" || exit 1
            iptables_of "$family"
            [ ! -e "$work/$family.restore" ] ||
                "$tool-restore" --noflush -w 10 ${3:+"$3"} <"$work/$family.restore"
        } 2>"$work/$family.refused" &
        jobs="$jobs $!"
    done
    refused=0
    for job in $jobs; do
        wait "$job" || refused=1
    done
    [ "$refused" = 0 ] || cat "$work"/*.refused >&2
    return "$refused"
}

rename_bridges() { # rename_bridges GENERATION: back to the name under which we knew them in this boot
    [ -e "$run/bridges" ] || return 0
    while read -r bridge index; do
        [ ! -e "/sys/class/net/$bridge" ] && grep -qx "$bridge" "$1/bridges" || continue
        name=$(ip -o link show | sed -n "s/^$index: \([^:@]*\).*/\1/p")
        [ -n "$name" ] || continue
        say "the bridge $bridge is called $name now; naming it $bridge again"
        # From Linux 6.2 on a link may be renamed while it is up.
        ip link set dev "$name" name "$bridge" 2>/dev/null || {
            ip link set dev "$name" down
            ip link set dev "$name" name "$bridge"
            ip link set dev "$bridge" up
        }
    done <"$run/bridges"
}

know_bridges() { # know_bridges GENERATION: NAME INDEX of each bridge that is there
    while read -r bridge; do
        index=
        read -r index 2>/dev/null <"/sys/class/net/$bridge/ifindex" || continue
        echo "$bridge $index"
    done <"$1/bridges" >"$run/bridges"
}

addresses() { # addresses GENERATION: adds them, or moves them to their place
    ip -o addr show | sed -n 's/^[0-9]*: \([^ ]*\) *inet6\{0,1\} \([^ ]*\) \([^\\]*\).*/\1 \2|\3/p' \
        >"$work/live" || return 1
    sed -n -e 's/^\([^ ]*\) inet \([^ ]*\).*/\1 \2|addr add \2 dev \1/p' \
        -e 's/^\([^ ]*\) inet6 \([^ ]*\).* nodad$/\1 \2|addr add \2 dev \1 preferred_lft 0 nodad/p' \
        -e 's/^\([^ ]*\) inet6 \([^ ]*\).*/\1 \2|addr add \2 dev \1 preferred_lft 0/p' \
        "$1/addresses" >"$work/wanted"
    sed 's/|.*/|/' "$work/wanted" >"$work/keys"
    sed 's/|.*/|/' "$work/live" >"$work/live.keys"
    # The same address elsewhere, or with another prefix.
    sed 's/[^ ]*\( [^/]*\/\).*/\1/' "$work/keys" >"$work/ours"
    grep -F -f "$work/ours" "$work/live.keys" | grep -vxF -f "$work/keys" |
        sed 's/\([^ ]*\) \([^|]*\)|/addr del \2 dev \1/' >"$work/batch"
    grep -vxF -f "$work/live.keys" "$work/keys" >"$work/missing"
    grep -F -f "$work/missing" "$work/wanted" | sed 's/.*|//' >>"$work/batch"
    # preferred_lft 0 keeps the source of the host itself (RFC 6724, rule 3).
    sed -n '/:.*|/{ / deprecated/!s/|.*/|/p; }' "$work/live" >"$work/undeprecated"
    grep -xF -f "$work/keys" "$work/undeprecated" >"$work/preferred"
    grep -F -f "$work/preferred" "$work/wanted" | sed 's/.*|addr add/addr change/' >>"$work/batch"
    [ ! -s "$work/batch" ] || ip -batch "$work/batch"
}

unwanted_addresses() { # unwanted_addresses GENERATION: DEV ADDR/LEN| of other generations, if there
    for other in "$etc"/*/addresses; do
        case $other in
        "$1/addresses" | "$etc/current/addresses" | "$etc/confirmed/addresses") ;;
        "$etc/${undoing:-none}/addresses" | "$etc/${undoing:-none}-then/addresses") cat "$etc/$undoing/added" ;;
        *) sed 's/^\([^ ]*\) [^ ]* \([^ ]*\).*/\1 \2|/' "$other" ;;
        esac
    done | sort -u | grep -vxF -f "$work/keys" | grep -xF -f "$work/live.keys"
}

end_addresses() { # end_addresses GENERATION MOVED: what goes, and the connections of what has gone
    unwanted_addresses "$1" >"$work/gone"
    sed 's/\([^ ]*\) \([^|]*\)|/addr del \2 dev \1/' "$work/gone" >"$work/batch"
    [ ! -s "$work/batch" ] || ip -batch "$work/batch" || return 1
    { sed 's/[^ ]* \([^/]*\).*/\1/' "$work/gone" && cat "$2"; } | sort -u >"$work/ended"
    [ -s "$work/ended" ] || return 0
    # NAT is decided once per connection: the old translations of these addresses, and only those, end.
    if ! command -v conntrack >/dev/null 2>&1; then
        note "conntrack is not installed here (Debian package conntrack): connections that were" \
            "open keep their old address, and the guard stops them, until they end by themselves"
        return 0
    fi
    sed 's/.*/dst=&/' "$work/ended" >"$work/patterns"
    { conntrack -L -f ipv4 && conntrack -L -f ipv6; } 2>/dev/null | tr ' ' '\n' |
        grep -xF -f "$work/patterns" | sort -u | while IFS='=' read -r _ address; do
        case $address in *:*) family=ipv6 ;; *) family=ipv4 ;; esac
        # It exits with 1 when the last such connection has just ended by itself.
        conntrack -D -f "$family" --orig-dst "$address" >/dev/null 2>&1
        conntrack -D -f "$family" --reply-dst "$address" >/dev/null 2>&1
    done
    return 0
}

has_part() { case " $chosen " in *" $1 "*) ;; *) return 1 ;; esac }

load() { # load GENERATION MOVED [PART]…: brings the kernel to it, or those parts of the kernel
    loading=$1 moved=$2
    shift 2
    chosen=${*:-$parts}
    families=
    for family in ipv4 ipv6; do
        ! has_part "$family" || families="$families $family"
    done
    rename_bridges "$loading"
    tries=0
    until load_once && remember; do
        tries=$((tries + 1))
        [ "$tries" -lt 3 ] || return 1
    done
    know_bridges "$loading"
}

load_once() {
    if has_part guard && has_guard "$loading"; then
        nft -f "$loading/guard.nft" || return 1
    fi
    if has_part host; then
        host_links "$loading" && addresses "$loading" && host_load "$loading" || return 1
    fi
    restore "$loading" "$families" || return 1
    if has_part host; then
        end_addresses "$loading" "$moved" || return 1
    fi
    # Without rules for it, a table that is there is left from what was wanted before.
    if has_part guard && ! has_guard "$loading" && command -v nft >/dev/null 2>&1; then
        nft delete table inet wanbound 2>/dev/null
    fi
    return 0
}

remember() { # keeps what is in force as what was loaded, if all of it is there
    print_live "$loading" "$work/next" || return 1
    for part in $chosen; do
        # Somebody may have flushed it in this moment: that must not pass for what is right.
        [ "$(count_wanted "$part")" -le "$(count_live "$part" "$work/next/$part")" ] || return 1
    done
    mkdir -p "$run/loaded" || return 1
    for part in $chosen; do
        mv "$work/next/$part" "$run/loaded/$part" || return 1
    done
}

count_wanted() { # count_wanted PART: lines of the generation that the kernel must print
    case $1 in
    guard) grep -c "^$tab$tab" "$loading/guard.nft" ;;
    host) cat "$loading/addresses" "$loading/links" "$loading/routes" | wc -l ;;
    *) sed -n 's/^-A .*/&/p; /^:WANBOUND-DNAT/{p;p;}; s/^:.*/&/p' "$loading/$1.rules" |
        grep -c -e '^-A' -e '^:' ;;
    esac
}

count_live() { # count_live PART FILE: of what it has printed
    case $1 in
    guard) grep -c -e "^$tab$tab" -e '^element ' "$2" ;;
    host) wc -l <"$2" ;;
    *) grep -c -e '^-A ' -e '^first ' -e '^last ' -e '^:WANBOUND-DNAT' "$2" ;;
    esac
}
