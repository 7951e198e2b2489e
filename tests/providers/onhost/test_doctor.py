"""What `./wanbound doctor` reads on a host, and that it changes nothing there."""

from providers.host.doctor import parse
from tests.providers.onhost.box import Box


def test_a_host_is_read_and_nothing_is_changed(host: Box) -> None:
    """It reads programs, ports, parameters and routes; files and kernel stay unchanged."""
    host.out("ip route add default via 203.0.113.9 dev wan0; sysctl -qw net.ipv4.ip_forward=1")
    before = host.kernel, host.files
    with host.popen(
        "exec python3 -c 'import socket, time\n"
        's = socket.socket(); s.bind(("0.0.0.0", 8080)); s.listen()\n'
        'u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("203.0.113.101", 53))\n'
        "time.sleep(100)'"
    ) as server:
        host.out("until ss -Hlnt | grep -q 8080; do sleep 0.1; done")
        found = parse(host.run("doctor", "wan0").out)
        server.kill()
    assert {"awk", "conntrack", "flock", "ip", "ip6tables", "iptables", "nft"} <= found.programs
    assert "systemd" not in found.programs
    [listener] = found.listeners or ()
    assert (listener.protocol, listener.port, listener.versions) == ("tcp", 8080, (4,))
    assert found.sysctls["net/ipv4/ip_forward"] == "1"
    assert found.sysctls["net/ipv6/conf/all/forwarding"] == "0"
    assert set(found.sysctls) >= {"net/ipv4/conf/wan0/rp_filter", "net/ipv6/conf/wan0/accept_ra"}
    assert [line.split()[:5] for kind, line in found.routes if kind == "ipv4"] == [
        ["default", "via", "203.0.113.9", "dev", "wan0"]
    ]
    assert (host.kernel, host.files) == before


def test_firewalls_are_told_if_they_are_active(host: Box) -> None:
    """Each reports its own state; a comment in nftables.conf flushes nothing."""
    assert parse(host.run("doctor", "wan0").out).firewalls <= {"nftables.conf"}
    (host.root / "etc/nftables.conf").write_text("# flush ruleset\n")
    assert parse(host.run("doctor", "wan0").out).firewalls == frozenset()
    (host.root / "etc/nftables.conf").write_text("#!/usr/sbin/nft -f\n\nflush ruleset\n")
    for name, text in (
        ("ufw", "echo 'Status: active'"),
        ("systemctl", '[ "$3" != firewalld.service ]'),
    ):
        (host.shims / name).write_text(f"#!/bin/dash\n{text}\n")
        (host.shims / name).chmod(0o755)
    found = parse(host.run("doctor", "wan0").out).firewalls
    assert found == {"fail2ban", "ufw", "nftables.conf"}
    (host.shims / "ufw").write_text("#!/bin/dash\necho 'ERROR: problem running' >&2; exit 1\n")
    found = parse(host.run("doctor", "wan0").out).firewalls
    assert found == {"fail2ban", "ufw unreadable", "nftables.conf"}


def test_a_login_that_may_not_use_docker_is_told(host: Box) -> None:
    """A user other than root needs the group docker, or access to the socket in another way."""
    login = "SUDO_USER=daemon SUDO_UID=1 SUDO_GID=1"
    doctor = host.words("doctor", "wan0")
    assert parse(host.out(f"{login} {doctor}")).denied == "daemon"
    assert parse(host.out(f"SUDO_USER=root SUDO_UID=0 SUDO_GID=0 {doctor}")).denied == ""
    assert parse(host.out(doctor)).denied == ""
    (host.shims / "setpriv").write_text('#!/bin/dash\n[ "$*" = "$(cat /mnt/setpriv)" ]\n')
    (host.shims / "setpriv").chmod(0o755)
    words = "--reuid daemon --regid 1 --init-groups test -w /run/docker.sock"
    (host.root / "mnt/setpriv").write_text(words)
    assert parse(host.out(f"{login} {doctor}")).denied == ""
    (host.shims / "setpriv").unlink()
    host.out("sed -i /^docker:/d /etc/group; echo docker:x:4242:daemon >>/etc/group")
    assert parse(host.out(f"{login} {doctor}")).denied == ""


def test_a_host_that_lacks_programs_is_read_all_the_same(host: Box) -> None:
    """If ss is missing or fails, ports are unknown; the rest is read."""
    script = (host.root / "mnt/call").read_text()
    for program in ("no-such-program", "false"):
        (host.root / "mnt/call").write_text(script.replace("ss -Hlntup", program))
        found = parse(host.run("doctor", "no-such-link").out)
        assert found.listeners is None
        assert found.programs
    (host.root / "mnt/call").write_text(script.replace("ss -Hlntup", "true"))
    assert parse(host.run("doctor", "no-such-link").out).listeners == ()
