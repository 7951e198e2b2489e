"""Only packets that the guard marks pass: an operator's DROP comes right after our accept."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from components.host import wanted_plan
from planner.config import Stack
from planner.plan import plan
from providers.host.generation import compose
from tests.planner import golden
from tests.providers.onhost.box import DASH, Box
from tests.providers.onhost.generations import STACK, files

pytestmark = DASH

MARK, OTHER = 0x02000000, 0x04000000

STAGE = """\
set -e
place() { # place NAMESPACE LINK IPV4 IPV6 [GATEWAY4 GATEWAY6]
    ip -n "$1" link set lo up
    ip -n "$1" link set "$2" up
    ip -n "$1" addr add "$3" dev "$2"
    ip -n "$1" addr add "$4" dev "$2" nodad
    [ -z "${5:-}" ] || ip -n "$1" route add default via "$5"
    [ -z "${6:-}" ] || ip -n "$1" route add default via "$6"
}
space() { # space NAMESPACE: its links can send in IPv6 at once, without duplicate address detection
    ip netns add "$1"
    ip netns exec "$1" sysctl -qw net.ipv6.conf.default.accept_dad=0
}
inside() { # inside NAMESPACE BRIDGE: a container of Docker's, as the kernel sees it
    space "$1"
    ip link add "in-$2" type veth peer name eth0 netns "$1"
    ip link set "in-$2" master "$2" up
}
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.wan0.rp_filter=0
for bridge in mail:fd5c:1b2a:77f0:20::1 plain:fd77::1; do
    ip addr add "${bridge#*:}/64" dev "${bridge%%:*}" nodad
done
inside container mail
place container eth0 172.20.0.254/24 fd5c:1b2a:77f0:20::fffe/64 172.20.0.1 fd5c:1b2a:77f0:20::1
inside stranger plain
place stranger eth0 172.31.77.2/24 fd77::2/64 172.31.77.1 fd77::1
space outside
ip link set wan0-peer netns outside
place outside wan0-peer 203.0.113.1/24 2001:db8::1/64 203.0.113.101 2001:db8::101
space aside
ip link set wan1-peer netns aside
ip link set wan1 up
ip addr add 192.0.2.1/24 dev wan1
ip addr add 2001:db8:a::1/64 dev wan1 nodad
place aside wan1-peer 192.0.2.2/24 2001:db8:a::2/64 192.0.2.1 2001:db8:a::1
for tool in iptables ip6tables; do
    $tool -N DOCKER-USER
    $tool -A FORWARD -j DOCKER-USER
    $tool -A DOCKER-USER -j DROP
done
nft -f - <<'NFT'
table inet witness {
    counter came { }
    counter marked { }
    chain first {
        type filter hook prerouting priority -400;
        iifname "plain" udp dport 7701 counter name came
        iifname "plain" meta mark and 0x02000000 != 0 counter name marked
    }
    counter tried { }
    counter left { }
    counter wrong { }
    chain before {
        type filter hook forward priority -300;
        iifname "mail" udp dport 7702 counter name tried
    }
    chain behind {
        type filter hook postrouting priority 200;
        ip saddr 203.0.113.20 udp dport 7702 counter name left
        ip saddr != 203.0.113.20 udp dport 7702 counter name wrong
    }
}
NFT
"""
"""All possible senders around a host on which Docker's chain drops all forwarded packets."""

PEER = """\
import contextlib, os, socket, sys
def family(address):
    return socket.AF_INET6 if ':' in address else socket.AF_INET
if sys.argv[1] == 'answer':
    import selectors
    waiting = selectors.DefaultSelector()
    for kind in (socket.AF_INET, socket.AF_INET6):
        udp = socket.socket(kind, socket.SOCK_DGRAM)
        tcp = socket.socket(kind, socket.SOCK_STREAM)
        for each, port in ((udp, 7701), (tcp, 80)):
            if kind == socket.AF_INET6:
                each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            each.bind(('', port))
        tcp.listen()
        waiting.register(udp, selectors.EVENT_READ)
        waiting.register(tcp, selectors.EVENT_READ)
    while True:
        for key, _ in waiting.select():
            if key.fileobj.type == socket.SOCK_DGRAM:
                _, peer = key.fileobj.recvfrom(99)
                key.fileobj.sendto(peer[0].encode(), peer)
            else:
                # A caller whose time was over has gone: the server must outlive that.
                with key.fileobj.accept()[0] as caller, contextlib.suppress(OSError):
                    caller.send(caller.getpeername()[0].encode())
kind, address, mark = sys.argv[1], sys.argv[2], int(sys.argv[3], 16)
if kind == 'flood':
    while not os.path.exists('/mnt/enough'):
        with socket.socket(family(address), socket.SOCK_DGRAM) as sender:
            for _ in range(20):
                sender.sendto(b'x', (address, 7702))
way = {'udp': (socket.SOCK_DGRAM, 7701), 'tcp': (socket.SOCK_STREAM, 80)}[kind]
with socket.socket(family(address), way[0]) as sender:
    sender.settimeout(float(sys.argv[4]))
    sender.setsockopt(socket.SOL_SOCKET, 36, mark) # SO_MARK
    try:
        sender.connect((address, way[1]))
        sender.send(b'?')
        print(sender.recv(99).decode())
    except OSError:
        print('nothing')
"""
"""A server that replies who asked; a client that asks, with a mark on its packets."""


SERVING = 'until grep -q ":0050 .* 0A " /proc/net/tcp6; do sleep 0.05; done'


class Stage:
    """A host with the networks around it."""

    def __init__(self, host: Box) -> None:
        self.host = host

    def command(self, namespace: str, *words: str) -> str:
        """Return the command that runs the peer in a network namespace."""
        return f"exec ip netns exec {namespace} {sys.executable} /mnt/peer.py {' '.join(words)}"

    def ask(self, namespace: str, address: str, kind: str = "udp") -> str:
        """Return the source that a server sees of a namespace; "nothing" if none answers."""
        return self._said(namespace, address, kind, seconds=10)

    def silent(self, namespace: str, address: str, kind: str = "udp", mark: int = 0) -> bool:
        """Return whether no server answers."""
        return self._said(namespace, address, kind, mark, seconds=0.6) == "nothing"

    def _said(
        self, namespace: str, address: str, kind: str, mark: int = 0, *, seconds: float
    ) -> str:
        words = (kind, address, f"{mark:x}", str(seconds))
        return self.host.out(self.command(namespace, *words)).strip()

    def count(self, name: str) -> int:
        """Return the packets of one of the witness's counters."""
        listed = self.host.out(f"nft list counter inet witness {name}")
        return int(listed.split("packets ")[1].split()[0])

    @contextmanager
    def flooded(self) -> Iterator[None]:
        """Let the container send as fast as it can during the block."""
        enough = self.host.root / "mnt/enough"
        enough.unlink(missing_ok=True)
        before = self.count("tried")
        with self.host.popen(self.command("container", "flood", "203.0.113.1", "0")):
            try:
                self.host.until(lambda: self.count("tried") > before)
                yield
            finally:
                enough.touch()


@pytest.fixture
def stage(host: Box) -> Iterator[Stage]:
    """Our network's container, a foreign one, the internet, and another interface of the host."""
    host.bridge("mail", "172.20.0.1/24")
    host.bridge("plain", "172.31.77.1/24")
    (host.root / "mnt/peer.py").write_text(PEER)
    host.out(STAGE)
    host.deploy(files("dual-stack"), "a1")
    made = Stage(host)
    # The servers end with the box.
    for namespace in ("container", "outside", "aside"):
        command = made.command(namespace, "answer").removeprefix("exec ")
        host.out(f"(setsid {command} >/dev/null 2>&1 &)")
        # The last of its four sockets: TCP port 80 of IPv6 listens.
        host.out(f"ip netns exec {namespace} sh -c '{SERVING}'")
    yield made


FAMILIES = pytest.mark.parametrize("at", [0, 1], ids=["ipv4", "ipv6"])
OUTSIDE = ("203.0.113.1", "2001:db8::1")
ASIDE = ("192.0.2.2", "2001:db8:a::2")
PUBLIC = ("203.0.113.20", "2001:db8::20")
STRANGER = ("172.31.77.2", "fd77::2")


@FAMILIES
def test_a_networks_own_traffic_passes(stage: Stage, at: int) -> None:
    """Egress with its replies, and translated traffic; the accept is printed as declared."""
    assert stage.ask("container", OUTSIDE[at]) == PUBLIC[at]
    assert stage.ask("outside", PUBLIC[at], "tcp") == OUTSIDE[at]
    saved = stage.host.out(f"{('iptables', 'ip6tables')[at]}-save -t filter")
    assert [line for line in saved.splitlines() if line.startswith("-A WANBOUND-FORWARD")] == [
        "-A WANBOUND-FORWARD -m mark --mark 0x2000000/0x2000000 -j ACCEPT"
    ]


@FAMILIES
def test_what_an_operator_drops_is_dropped(stage: Stage, at: int) -> None:
    """It drops foreign traffic, and ours to another interface than the wan interface."""
    assert stage.silent("stranger", OUTSIDE[at])
    assert stage.silent("container", ASIDE[at])
    tool = ("iptables", "ip6tables")[at]
    stage.host.out(f"{tool} -F DOCKER-USER; {tool} -I DOCKER-USER -j WANBOUND-FORWARD")
    assert stage.ask("stranger", ASIDE[at]) == STRANGER[at]
    assert stage.ask("container", ASIDE[at]) == PUBLIC[at]


@FAMILIES
def test_a_container_cannot_set_the_bit(stage: Stage, at: int) -> None:
    """Even with CAP_NET_ADMIN: the kernel clears the mark where a packet leaves the namespace."""
    assert stage.silent("stranger", OUTSIDE[at], mark=MARK)
    assert stage.silent("container", ASIDE[at], mark=0x7FFFFFFF)
    assert stage.count("came") > 0
    assert stage.count("marked") == 0


SETTERS: Mapping[str, str] = {
    "mangle PREROUTING": "{tool} -t mangle -A PREROUTING -j MARK --set-xmark 0xffffffff",
    "mangle FORWARD": "{tool} -t mangle -A FORWARD -j MARK --set-xmark 0xffffffff",
    "before all rules": "nft add table netdev early; nft add chain netdev early in"
    " '{{ type filter hook ingress devices = {{ in-plain, wan0 }} priority 0; }}';"
    " nft add rule netdev early in meta mark set 0xffffffff",
}


@FAMILIES
@pytest.mark.parametrize("setter", SETTERS.values(), ids=SETTERS)
def test_a_packet_that_has_the_bit_already_loses_it(stage: Stage, at: int, setter: str) -> None:
    """Whatever set the bit on the host; it would pass if the guard did not clear it."""
    stage.host.out(setter.format(tool=("iptables", "ip6tables")[at]))
    assert stage.silent("stranger", OUTSIDE[at])
    assert stage.ask("container", OUTSIDE[at]) == PUBLIC[at]
    stage.host.out("nft flush chain inet wanbound unmark")
    way_back = ("203.0.113.101", "2001:db8::101")[at]
    stage.host.out(f"ip -n outside route add {STRANGER[at]} via {way_back}")
    assert stage.ask("stranger", OUTSIDE[at]) == STRANGER[at]


def test_other_bits_are_left_alone(stage: Stage) -> None:
    """Other programs use them."""
    stage.host.out(
        "iptables -t mangle -A PREROUTING -i mail -j MARK --set-xmark 0x2040001\n"
        "iptables -t mangle -A POSTROUTING -o wan0 -m mark --mark 0x2040001 -p udp --dport 7701\n"
        "iptables -t mangle -A PREROUTING -i plain -j MARK --set-xmark 0x2040001\n"
        "iptables -F DOCKER-USER; iptables -I DOCKER-USER -j WANBOUND-FORWARD\n"
        "iptables -t mangle -A POSTROUTING -o wan1 -m mark --mark 0x40001 -p udp --dport 7701\n"
    )
    assert stage.ask("container", OUTSIDE[0]) == PUBLIC[0]
    assert stage.ask("stranger", ASIDE[0]) == STRANGER[0]
    counted = stage.host.out("iptables -t mangle -nvxL POSTROUTING").splitlines()[2:]
    assert [int(line.split()[0]) for line in counted] == [1, 1]


@FAMILIES
def test_without_the_guard_nothing_is_accepted(stage: Stage, at: int) -> None:
    """The host fails closed: no packet has the bit. The repair restores everything."""
    stage.host.out("nft delete table inet wanbound")
    assert stage.silent("container", OUTSIDE[at])
    assert stage.silent("outside", PUBLIC[at], "tcp")
    assert "repairing" in stage.host.run("mend").err
    assert stage.ask("container", OUTSIDE[at]) == PUBLIC[at]


def test_no_packet_is_lost_while_it_is_loaded(stage: Stage) -> None:
    """Each packet that came has left, of some hundred thousand in 40 loads, half by each shell."""
    with stage.flooded():
        for _ in range(20):
            done = stage.host.run("apply")
            assert done.code == 0, done
    assert stage.count("tried") > 1000
    assert (stage.count("tried") - stage.count("left"), stage.count("wrong")) == (0, 0)
    with stage.flooded():
        stage.host.out("nft delete table inet wanbound")
        stage.host.until(lambda: stage.count("tried") > stage.count("left"))


def _with_another_bit() -> dict[str, str]:
    raw = {**golden.config("dual-stack"), "mark": OTHER}
    wanted = wanted_plan(plan(Stack.parse(raw, "dual-stack"))[0], STACK, {})
    return dict(compose(wanted).files)


def test_no_packet_is_lost_while_the_bit_changes(stage: Stage) -> None:
    """None is lost during the undo either: the old guard marks until the old rules are gone."""
    host, other = stage.host, _with_another_bit()
    with stage.flooded():
        for number in range(4):
            done = host.change(other, f"b{number}")
            assert done.code == 0, done
            assert f"0x{OTHER:x}/0x{OTHER:x}" in host.out("iptables-save")
            host.overdue()
            done = host.run("mend")
            assert done.code == 0, done
            assert f"0x{MARK:x}/0x{MARK:x}" in host.out("iptables-save")
    assert host.current == "a1"
    assert stage.count("tried") > 1000
    assert (stage.count("tried") - stage.count("left"), stage.count("wrong")) == (0, 0)
