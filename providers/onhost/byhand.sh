# --- rules made by hand ----------------------------------------------------------------------------

tell_by_hand() { # tell_by_hand FOLDER: which of them do the work of the networks that were just put
    cat "$1"/next/*.rules 2>/dev/null |
        sed -n 's/^claim address /public /p; s/^claim \(subnet\|bridge\) /\1 /p' >"$1/needles"
    [ -s "$1/needles" ] || return 0
    {
        by_hand ipv4 "$1" /etc/iptables/rules.v4 /etc/iptables/iptables.rules /etc/iptables.rules
        by_hand ipv6 "$1" /etc/iptables/rules.v6 /etc/iptables/ip6tables.rules /etc/ip6tables.rules
    } | while read -r found; do
        case $found in
        /*) note "made by hand, and loaded again at each boot until it is taken out: $found" ;;
        *) note "made by hand, and of no more use: $found" ;;
        esac
    done
}

tell_ipv6nat() { # tell_ipv6nat FOLDER: docker-ipv6nat, where networks with IPv6 were just put
    grep -qs '^ipv6 ' "$1"/next/*.rules || return 0
    # In a container of its own it is a process of the host, too.
    grep -qsx docker-ipv6nat /proc/[0-9]*/comm || return 0
    note 'docker-ipv6nat runs here: its rules stay, and ours stand before them'
}

by_hand() { # by_hand FAMILY FOLDER FILE…: see byhand.awk, which stands here on the host
    hand_family=$1 hand_folder=$2
    shift 2
    for file in "$@"; do
        shift
        [ ! -e "$file" ] || set -- "$@" "$file"
    done
    awk -v family="$hand_family" '
@byhand.awk@
' kind=needles "$hand_folder/needles" kind=saved "$hand_folder/$hand_family.saved" kind=file "$@"
}
