# --- doctor ----------------------------------------------------------------------------------------

doctor() { # doctor WAN: what may prevent a change, for providers/host/doctor.py
    echo '== programs'
    for program in apt-get awk conntrack curl docker dockerd flock ip ip6tables iptables nft ss; do
        ! command -v "$program" >/dev/null || echo "$program"
    done
    [ ! -d /run/systemd/system ] || echo systemd
    echo '== firewalls'
    for service in fail2ban firewalld; do
        ! systemctl -q is-active "$service.service" 2>/dev/null || echo "$service"
    done
    # Its unit is active even if ufw is turned off.
    if command -v ufw >/dev/null; then
        said=$(ufw status 2>/dev/null) || echo 'ufw unreadable'
        ! printf '%s\n' "$said" | grep -qx 'Status: active' || echo ufw
    fi
    ! grep -qs '^[[:space:]]*flush ruleset' /etc/nftables.conf || echo nftables.conf
    echo '== listens'
    said=$(ss -Hlntup 2>/dev/null) && printf '%s\n' "$said" | awk 'NF { print $1, $5, $7 }' || echo unreadable
    echo '== sysctls'
    for key in net/ipv4/ip_forward "net/ipv4/conf/$1/rp_filter" net/ipv4/conf/all/rp_filter \
        net/ipv6/conf/all/forwarding net/ipv6/conf/all/disable_ipv6 "net/ipv6/conf/$1/accept_ra"; do
        ! value=$(cat "/proc/sys/$key" 2>/dev/null) || echo "$key $value"
    done
    echo '== routes'
    ip -4 route show default 2>/dev/null | sed 's/^/ipv4 /'
    ip -6 route show default 2>/dev/null | sed 's/^/ipv6 /'
    echo '== docker'
    # Docker's provider logs in as this user too, and does not use sudo.
    if [ "${SUDO_UID:-0}" != 0 ] && ! id -nG "$SUDO_USER" 2>/dev/null | tr ' ' '\n' | grep -qx docker &&
        ! setpriv --reuid "$SUDO_USER" --regid "$SUDO_GID" --init-groups \
            test -w /run/docker.sock 2>/dev/null; then
        echo "$SUDO_USER"
    fi
    echo '== end'
}
