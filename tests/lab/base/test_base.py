"""A host's baseline on real hosts: shown in the preview, in force, and undone by a destroy."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from lab.api import Host, Lab
from lab.stacks import Config, LabStack
from tests.lab.base.hosts import CLOSED, OPEN_TCP, config, parameters, routes
from tests.lab.stack.evidence import Snapshot, snapshot
from tests.lab.together import each

pytestmark = pytest.mark.lab

LINES = (
    'ipv4: "default via 203.0.113.1 dev wan0"',
    'ipv6: "default via fe80::1 dev wan0"',
    'wan0: "wan0 up"',
    '"net.ipv4.ip_forward = 1"',
    '"net.ipv6.conf.all.forwarding = 1"',
    '"-A WANBOUND-INPUT -i lo -j ACCEPT"',
    '"-A WANBOUND-INPUT -s {management} -p tcp -m tcp --dport 22 -j ACCEPT"',
    '"-A WANBOUND-INPUT -p tcp -m tcp --dport 8088 -j ACCEPT"',
    '"-A WANBOUND-INPUT -p ipv6-icmp -m icmp6 --icmpv6-type 135 -j ACCEPT"',
    '"-A WANBOUND-INPUT -j DROP"',
    '"-A WANBOUND-FORWARD -i wan0 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP"',
)
"""What a reviewer reads in the preview."""


@dataclass
class Based:
    """Both hosts with a baseline; `shown` is the preview of the first `up`, `before` the hosts."""

    lab: Lab
    stack: LabStack
    config: Config
    shown: str
    before: Sequence["Seen"]


@dataclass(frozen=True)
class Seen:
    """The state of a host that must be the same in the end."""

    snapshot: Snapshot
    parameters: str
    routes: str

    @classmethod
    def on(cls, host: Host) -> "Seen":
        """Read it."""
        return cls(snapshot(host), parameters(host), routes(host))


@pytest.fixture(scope="module")
def based(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Based]:
    """One stack for all tests."""
    wanted = config(lab)
    hosts = lab.hosts.values()
    odd = "sysctl -qw net.ipv4.conf.all.send_redirects=1 net.ipv4.conf.wan0.rp_filter=1"
    each(hosts, lambda host: host.run(odd))
    before = each(hosts, Seen.on)
    stack = LabStack.copy(lab, "based", wanted, tmp_path_factory.mktemp("based"))
    shown = stack.preview("--diff", "--show-full-output").output
    try:
        stack.up()
        yield Based(lab, stack, wanted, shown, before)
    finally:
        stack.destroy()


def test_the_preview_shows_every_line(based: Based) -> None:
    """Routes, link, parameters and the filter of both families, as the host will show them."""
    print(based.shown)
    for line in LINES:
        assert line.format(management=based.lab.settings.management) in based.shown


def test_the_host_shows_the_lines_of_the_preview(based: Based) -> None:
    """iptables-save and sysctl print the same text; the jump is the last rule of INPUT."""
    for host in based.lab.hosts.values():
        saved = host.run(
            "iptables-save -t filter; ip6tables-save -t filter; sysctl -a 2>/dev/null; true"
        ).stdout
        for line in LINES[3:]:
            assert line.format(management=based.lab.settings.management).strip('"') in saved
        for tool in ("iptables", "ip6tables"):
            rules = host.run(f"{tool} -S INPUT").stdout.splitlines()
            assert rules[-1] == "-A INPUT -j WANBOUND-INPUT"


def test_nothing_changes_when_nothing_changed(based: Based) -> None:
    """A second `up` would change neither the state nor the hosts."""
    based.stack.preview("--refresh", "--expect-no-changes")


@pytest.mark.parametrize("family", [4, 6])
def test_what_is_open_is_open_and_the_rest_is_dropped(based: Based, family: int) -> None:
    """Asked from the internet, with a server on every port."""
    for host in based.lab.hosts.values():
        address = host.wan_ipv4 if family == 4 else host.wan_ipv6
        for port, answers in ((OPEN_TCP, True), (CLOSED, False), (22, False)):
            server = (
                f"timeout 20 python3 -m http.server --bind {address} {port} >/dev/null 2>&1 &"
                " sleep 1"
            )
            if port != 22:
                host.run(server)
            url = f"http://[{address}]:{port}/" if family == 6 else f"http://{address}:{port}/"
            command = ["curl", "-s", "-o", "/dev/null", "--http0.9", "-m", "2", url]
            status = based.lab.internet.run(command, check=False).status
            # 28: timeout, as for a dropped packet.
            assert (status != 28) == answers, (host.name, url, status)


def test_the_host_is_still_a_neighbour(based: Based) -> None:
    """ICMP, and the ICMPv6 that IPv6 needs, pass: another machine can ping the host."""
    one, other = based.lab.hosts.values()
    for host, asked in ((one, other), (other, one)):
        for address in (asked.wan_ipv4, asked.wan_ipv6):
            # A neighbour entry would hide the lack of neighbour discovery.
            host.run(f"ip neigh flush dev wan0; ping -c 1 -W 3 {address}")


@pytest.mark.parametrize("family", [4, 6])
def test_a_stranger_is_not_forwarded(based: Based, family: int) -> None:
    """A host does not forward the packets that a neighbour routes through it."""
    lab = based.lab
    one, other = lab.hosts.values()
    for host, beyond in ((one, other), (other, one)):
        via, target = (
            (host.wan_ipv4, beyond.wan_ipv4) if family == 4 else (host.wan_ipv6, beyond.wan_ipv6)
        )
        words = [f"{target}/{32 if family == 4 else 128}", "via", via]
        with lab.internet.capture(f"udp and dst host {target}", host.wan_link) as seen:
            lab.internet.run(["ip", f"-{family}", "route", "add", *words])
            try:
                for port in (5001, 5002, 5003):
                    lab.internet.run(["bash", "-c", f"echo >/dev/udp/{target}/{port}"])
            finally:
                lab.internet.run(["ip", f"-{family}", "route", "del", *words])
        # Each packet reaches the host once, on its own cable; a forwarded one would appear twice.
        ports = sorted(packet.dport for packet in seen.packets if packet.dst == target)
        assert ports == [5001, 5002, 5003], (host.name, ports)


def test_only_what_stands_last_is_ours(based: Based) -> None:
    """A rule that is appended behind ours is before it after the next check."""
    for host in based.lab.hosts.values():
        host.run("iptables -A INPUT -p tcp --dport 9999 -j ACCEPT")
        try:
            host.run("wanbound mend")
            rules = host.run("iptables -S INPUT").stdout.splitlines()
            assert rules[-2:] == [
                "-A INPUT -p tcp -m tcp --dport 9999 -j ACCEPT",
                "-A INPUT -j WANBOUND-INPUT",
            ]
        finally:
            host.run("iptables -D INPUT -p tcp --dport 9999 -j ACCEPT")


def test_another_gateway_is_one_line(based: Based) -> None:
    """The preview of another gateway shows the changed route, and nothing else."""
    changed = {**based.config, "hosts": [dict(host) for host in based.config["hosts"]]}
    wan = dict(changed["hosts"][0]["wan"])
    changed["hosts"][0]["wan"] = {**wan, "gateway_ipv6": "fe80::2"}
    based.stack.configure(changed)
    shown = based.stack.preview("--diff", "--show-full-output").output
    print(shown)
    assert '"default via fe80::1 dev wan0" => "default via fe80::2 dev wan0"' in shown
    based.stack.configure(based.config)


def test_all_is_given_back_in_the_end(based: Based) -> None:
    """After the destroy the hosts are as before: rules, routes, parameters, link, files."""
    changed = each(based.lab.hosts.values(), parameters)
    based.stack.destroy()
    for was, meanwhile, now in zip(
        based.before, changed, each(based.lab.hosts.values(), Seen.on), strict=True
    ):
        assert meanwhile != was.parameters
        assert was.snapshot == now.snapshot, was.snapshot.differences(now.snapshot)
        assert now.parameters == was.parameters
        assert now.routes == was.routes
