"""The table that survives `nft flush ruleset`: what it drops, what it follows, and who owns it.

Many machines that run these tests have a kernel or an nft without such tables. So a stand-in for
nft leaves out the flags and spares the table in a flush, as Linux 6.9 does.
tests/lab/onhost/test_watch.py has real ones.
"""

import ast
import re
import sys
from collections.abc import Iterator

import pytest

from components.host import wanted_plan
from planner.config import Stack
from planner.plan import plan
from providers.host.facts import parse as parse_facts
from providers.host.generation import compose
from providers.host.status import parse
from tests.planner import golden
from tests.providers.onhost.box import DASH, Box
from tests.providers.onhost.generations import STACK, files
from tests.providers.onhost.test_watch import Watcher

KNOWS = r"""
case "$*" in
'-c add table inet wanbound-try { flags owner, persist; }') exit 0 ;;
-i) sed -u 's/ { flags owner, persist; }//g' | "$real" -i ;;
'flush ruleset')
    "$real" list tables | grep -v wanbound-keep | while read -r _ family name; do
        "$real" delete table "$family" "$name"
    done
    ;;
*) exec "$real" "$@" ;;
esac
"""

REFUSES = KNOWS.replace(
    "-i) ",
    """-i)
    while IFS= read -r line; do
        [ -e /mnt/agrees ] || [ -z "$line" ] || { echo 'Error: not permitted' >&2 && continue; }
        printf '%s\\n' "$line"
    done | """,
)

KNOWS_NOT = """
case "$1" in
-c) case "$2" in *owner*) echo 'syntax error' >&2; exit 1 ;; esac ;;
-i) touch /mnt/interactive ;;
esac
exec "$real" "$@"
"""

CONTAINER = """\
ip netns add container
ip link add in-mail type veth peer name eth0 netns container
ip link set in-mail master mail up
ip -n container link set lo up
ip -n container link set eth0 up
ip -n container addr add 172.20.0.2/24 dev eth0
ip -n container addr add fd5c:1b2a:77f0:20::2/64 dev eth0 nodad
ip -n container route add default via 172.20.0.1
ip -n container route add default via fd5c:1b2a:77f0:20::1
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
for router in 203.0.113.1 2001:db8::1; do
    ip neigh replace $router lladdr 02:00:00:00:00:01 dev wan0
done
ip route replace 198.51.100.10 via 203.0.113.1 dev wan0
ip route replace 2001:db8:ffff::10 via 2001:db8::1 dev wan0
"""

SENDS = """\
import socket, time
while True:
    for family, to in ((socket.AF_INET, '198.51.100.10'), (socket.AF_INET6, '2001:db8:ffff::10')):
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            try:
                sender.sendto(b'x', (to, 7701))
            except OSError:
                pass
    time.sleep(0.002)
"""

SEES = """\
import collections, ipaddress, socket, sys, time
sources = collections.Counter()
end = time.monotonic() + float(sys.argv[1])
# Protocol 0 receives nothing. With another one, packets of all links would arrive before `bind`.
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as link:
    link.bind(('wan0-peer', 3))
    link.settimeout(0.1)
    while time.monotonic() < end:
        try:
            frame = link.recv(2048)
        except TimeoutError:
            continue
        if frame[12:14] == b'\\x08\\x00' and frame[23] == 17:
            sources[str(ipaddress.ip_address(frame[26:30]))] += 1
        elif frame[12:14] == b'\\x86\\xdd' and frame[20] == 17:
            sources[str(ipaddress.ip_address(frame[22:38]))] += 1
print(dict(sources))
"""

PUBLIC = {"203.0.113.20", "2001:db8::20"}
PRIVATE = {"172.20.0.2", "fd5c:1b2a:77f0:20::2"}


@pytest.fixture(params=["iptables", "nftables"])
def sending(host: Box, request: pytest.FixtureRequest) -> Iterator[Box]:
    """A host with a watcher, whose container sends in both families."""
    host.shim("nft", KNOWS)
    host.bridge("mail", "172.20.0.1/24")
    host.out("ip addr add fd5c:1b2a:77f0:20::1/64 dev mail nodad")
    host.deploy(files("dual-stack", firewall=request.param), "a1")
    host.out(CONTAINER)
    (host.root / "mnt/sends.py").write_text(SENDS)
    (host.root / "mnt/sees.py").write_text(SEES)
    Watcher(host).until(lambda: "172.20.0.0/24" in _table(host))
    with host.popen(f"exec ip netns exec container {sys.executable} /mnt/sends.py") as process:
        try:
            yield host
        finally:
            process.kill()


def _sources(host: Box, seconds: float) -> set[str]:
    return set(ast.literal_eval(host.out(f"{sys.executable} /mnt/sees.py {seconds}")))


def _table(host: Box) -> str:
    return host.sh("nft list table inet wanbound-keep").out


def _held(host: Box) -> Watcher:
    """Return a watcher that owns the table of a host with one network."""
    host.shim("nft", KNOWS)
    host.deploy(files("dual-stack"), "a1")
    watcher = Watcher(host)
    watcher.until(lambda: "172.20.0.0/24" in _table(host))
    return watcher


@DASH
def test_after_a_flush_no_private_source_leaves(sending: Box) -> None:
    """None leaves until the repair, which another run delays; without the table, both do."""
    for _ in range(20):
        if (seen := _sources(sending, 1)) == PUBLIC:
            break
    assert seen == PUBLIC
    wait = ": >/mnt/held; until [ -e /mnt/go ]; do sleep 0.1; done"
    with sending.popen(f"exec flock /run/wanbound/lock dash -c '{wait}'") as lock:
        sending.out("until [ -e /mnt/held ]; do sleep 0.05; done; nft flush ruleset")
        # The last packets from before the flush may still be on their way.
        sending.sh("sleep 0.2")
        assert _sources(sending, 1.5) == set()
        assert "packets 0 " not in _table(sending)
        sending.out("nft delete table inet wanbound-keep")
        assert _sources(sending, 1.5) == PRIVATE
        sending.out("touch /mnt/go")
        lock.wait(timeout=10)


@DASH
def test_it_follows_every_change_and_goes_with_the_last_network(host: Box) -> None:
    """It has the bridges and the subnets of both families; a destroy removes it."""
    host.shim("nft", KNOWS)
    watcher = Watcher(host)
    assert _table(host) == ""
    host.deploy(files("dual-stack"), "a1")
    watcher.until(lambda: "172.20.0.0/24" in _table(host))
    for word in ('"mail"', '"mail-sock"', "10.114.67.8/29", "fd5c:1b2a:77f0:20::/64"):
        assert word in _table(host)
    assert "172.16.0.0/24" not in _table(host)
    host.deploy(files("several-networks"), "b2")
    watcher.until(lambda: "172.16.0.0/24" in _table(host))
    assert '"web"' in _table(host)
    host.deploy(files("nothing", "several-networks", absent=True), "c3")
    watcher.until(lambda: "wanbound" not in host.out("nft list tables"))
    assert "Error" not in watcher.said


@DASH
def test_where_docker_chooses_the_subnet_it_has_that_of_the_bridge(host: Box) -> None:
    """The table has the subnet as soon as the bridge has one, and follows a change."""
    host.shim("nft", KNOWS)
    host.deploy(files("snat-docker"), "a1")
    watcher = Watcher(host)
    watcher.until(lambda: '"bridge-coi"' in _table(host))
    host.bridge("bridge-coi", "172.30.7.1/24")
    watcher.until(lambda: "172.30.7.0/24" in _table(host))
    host.out("ip addr add 172.30.8.1/24 dev bridge-coi; ip addr del 172.30.7.1/24 dev bridge-coi")
    watcher.until(lambda: "172.30.8.0/24" in _table(host))
    assert "172.30.7.0/24" not in _table(host)


@DASH
def test_a_dot_in_a_name_is_no_pattern(host: Box) -> None:
    """Docker chooses the subnets of both networks: each rule and each table has the right one."""
    raw = golden.config("snat-docker")
    (network,) = raw["hosts"][0]["networks"]
    raw["hosts"][0]["networks"] = [
        {**network, "name": name, "public_ipv4": f"203.0.113.{last}"}
        for name, last in (("a.b", 11), ("a_b", 12))
    ]
    host.shim("nft", KNOWS)
    host.bridge("a.b", "172.30.1.1/24")
    host.bridge("a_b", "172.30.5.1/24")
    host.deploy(
        dict(compose(wanted_plan(plan(Stack.parse(raw, "dots"))[0], STACK, {})).files), "a1"
    )
    rules = host.out("iptables-save -t nat")
    for subnet, last in (("172.30.1.0/24", 11), ("172.30.5.0/24", 12)):
        assert re.search(rf"-s {subnet} .* --to-source 203.0.113.{last}\n", rules)
    told = {each.name: each.addresses for each in parse(host.run("status").out).bridges}
    assert told == {"a.b": ("203.0.113.11",), "a_b": ("203.0.113.12",)}
    watcher = Watcher(host)
    watcher.until(lambda: "172.30.1.0/24, 172.30.5.0/24" in " ".join(_table(host).split()))


@DASH
def test_the_owner_ends_with_its_watcher_and_a_destroy_removes_the_table(host: Box) -> None:
    """The owner ends even if the watcher is killed; the table stays until the destroy."""
    watcher = _held(host)
    host.out("pkill -9 -o -f '/mnt/installed [w]atch'")
    watcher.until(lambda: host.sh("pgrep -f 'nft [-]i'").out == "")
    assert "172.20.0.0/24" in _table(host)
    host.deploy(files("nothing", "dual-stack", absent=True), "b2")
    assert "wanbound" not in host.out("nft list tables")
    assert list(host.run_folder.glob("owner*")) == []


@DASH
def test_the_watcher_ends_with_the_owner_of_its_table(host: Box) -> None:
    """systemd restarts the watcher, and the table has an owner again."""
    watcher = _held(host)
    host.out("pkill -f '[/]nft -i'")
    watcher.until(lambda: "a process of the watcher has ended" in watcher.said)


@DASH
def test_a_table_that_nft_refuses_is_told_once_and_tried_again(host: Box) -> None:
    """nft refuses it while another process owns it, and has no exit status for that."""
    host.shim("nft", REFUSES)
    # The time in which nft's refusal must come.
    host.shim("sleep", '[ "$1" != 0.2 ] || set -- 2; exec "$real" "$@"')
    host.deploy(files("dual-stack"), "a1")
    watcher = Watcher(host)
    refused = "nft refuses the table that survives a flush: Error: not permitted"
    watcher.until(lambda: refused in watcher.said)
    host.out("ip link add look type bridge; sleep 5; ip link del look; sleep 5")
    assert watcher.said.count(refused) == 1
    assert _table(host) == ""
    host.out("touch /mnt/agrees")
    watcher.until(lambda: "172.20.0.0/24" in _table(host))


@DASH
def test_a_refusal_that_comes_late_is_told_too(host: Box) -> None:
    """nft may take longer than the watcher waits for its message."""
    host.shim("nft", REFUSES.replace("echo 'Error", "sleep 1 && echo 'Error"))
    host.deploy(files("dual-stack"), "a1")
    watcher = Watcher(host)
    host.out("touch /mnt/agrees; sleep 1")
    host.bridge("look")
    watcher.until(lambda: "172.20.0.0/24" in _table(host))


@DASH
def test_without_support_the_other_rules_are_still_repaired(host: Box) -> None:
    """Nothing is refused, added or retried."""
    host.shim("nft", KNOWS_NOT)
    host.deploy(files("dual-stack"), "a1")
    kernel = host.kernel
    watcher = Watcher(host)
    host.out("nft flush ruleset")
    watcher.until(lambda: host.kernel == kernel)
    assert _table(host) == ""
    assert not (host.root / "mnt/interactive").exists()
    assert parse(host.run("status").out).owned_table == "not supported"


def test_legacy_rules_survive_so_nothing_is_told_of_them(host: Box) -> None:
    """Only rules of nftables are lost by a flush."""
    host.shim("nft", KNOWS_NOT)
    host.shim(
        "iptables", '[ "$1" != -V ] || exec echo \'iptables v1.8.9 (legacy)\'\nexec $real "$@"'
    )
    host.deploy(files("dual-stack"), "a1")
    assert parse(host.run("status").out).owned_table == ""
    host.deploy(files("dual-stack", firewall="nftables"), "b2")
    assert parse(host.run("status").out).owned_table == "not supported"


def test_the_state_of_the_owned_table_is_reported(host: Box) -> None:
    """A status and a refresh say whether it has an owner; nothing if no network needs the table."""
    assert parse(host.run("status").out).owned_table == ""
    host.deploy(files("dual-stack"), "a1")
    for flags, state in (("flags persist", "not held"), ("flags owner,persist", "held")):
        listed = f"'list table inet wanbound-keep') echo '{flags}' ;;"
        host.shim("nft", f'case "$*" in {listed} *owner*) exit 0 ;; *) exec "$real" "$@" ;; esac')
        assert parse(host.run("status").out).owned_table == state
        found = parse_facts(host.run("facts", "drift").out, drift=True)
        assert found.owned_table == state
