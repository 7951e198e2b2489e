"""`wanbound status` on a host prints what providers/host/status.py reads."""

from itertools import pairwise

import pytest

from providers.host.status import Attached, Bridge, parse
from tests.providers.onhost.box import Box
from tests.providers.onhost.generations import STACK, files

CONTAINER = """\
(unshare -n sleep 99999 >/dev/null 2>&1 & echo $! >/mnt/{name})
pid=$(cat /mnt/{name})
until [ "$(readlink /proc/$pid/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
ip link add v{name} type veth peer name eth0 netns $pid
ip link set v{name} master {bridge} up
inside="nsenter -t $pid -n"
$inside ip link set lo up; $inside ip link set eth0 up
$inside ip addr add {address}/24 dev eth0
$inside ip route add default via {gateway}
"""
"""A stand-in for a container: a process with its own network namespace."""

DOCKER = """\
case $1$2 in
info*) echo '{"ServerVersion":"28.5.2"}' ;;
networkls) echo 111111111111; echo 222222222222 ;;
networkinspect) echo '1111111111111111 web'; echo '2222222222222222 ' ;;
ps*) echo a; echo b ;;
inspect*)
    echo "$(cat /mnt/one) /one 1111111111111111,172.16.0.9,"
    echo "$(cat /mnt/two) /two 1111111111111111,172.16.0.8,fd00::8 2222222222222222,172.18.0.8,"
    ;;
esac
"""


def _deployed(host: Box) -> None:
    host.deploy(files("several-networks"), "a1")


def test_a_host_without_wanbound_has_a_status(host: Box) -> None:
    """Without wanbound and Docker, the status is empty but valid."""
    status = parse(host.run("status").out)
    assert (status.current, status.owner, status.loaded, status.bridges) == ("none", "", "", ())
    assert status.containers is None
    assert status.watcher == "no systemd"


def test_networks_are_told_with_their_addresses_and_packets(host: Box) -> None:
    """Addresses are found by the bridge's subnets; a bridge not yet created is missing."""
    _deployed(host)
    host.bridge("web", "172.16.0.1/24")
    host.out("ip addr add fd5c:1b2a:77f0:10::1/64 dev web nodad")
    status = parse(host.run("status").out)
    assert (status.current, status.owner, status.pending) == ("a1", STACK, "")
    assert status.loaded and status.changed and status.changed <= status.loaded
    web = next(each for each in status.bridges if each.name == "web")
    assert web.addresses == ("203.0.113.10", "2001:db8::10")
    assert Bridge("br-mail", there=False) in status.bridges


def test_where_docker_chooses_the_subnet_the_address_is_told_too(host: Box) -> None:
    """Its flows have the name of the bridge instead of a subnet."""
    host.bridge("bridge-coi", "172.30.7.1/24")
    host.deploy(files("snat-docker"), "a1")
    [bridge] = parse(host.run("status").out).bridges
    assert bridge.addresses == ("203.0.113.11",)


def test_a_pending_change_and_a_rollback_are_told(host: Box) -> None:
    """A pending change is reported too, because the status takes no lock."""
    _deployed(host)
    assert host.change(files("dual-stack"), "b2", seconds=500).code == 0
    status = parse(host.run("status").out)
    phase, seconds, *words = status.pending.split()
    assert (phase, words) == ("loaded", ["s", "until", "it", "rolls", "back"])
    assert 400 < int(seconds) <= 500
    host.overdue()
    assert host.run("undo", "b2").code == 0
    status = parse(host.run("status").out)
    assert (status.current, status.pending) == ("a1", "")
    assert status.rolled_back[0].endswith("was not confirmed in time over a new SSH connection")


def test_after_a_reboot_a_pending_change_is_told_without_seconds(host: Box) -> None:
    """Its seconds count from another boot: the next run undoes it whatever the clock says."""
    _deployed(host)
    assert host.change(files("dual-stack"), "b2", seconds=500).code == 0
    host.reboot()
    pending = parse(host.run("status").out).pending
    assert pending == "loaded before the host was rebooted, so it is rolled back next"
    assert host.run("apply").code == 0
    status = parse(host.run("status").out)
    assert (status.current, status.pending, status.differs) == ("a1", "", ())


def test_what_is_not_in_force_is_told_by_part(host: Box) -> None:
    """The watcher's comparison, without a repair; after a reboot nothing has been loaded."""
    _deployed(host)
    assert parse(host.run("status").out).differs == ()
    host.out("iptables -t nat -F WANBOUND-SNAT; ip addr del 203.0.113.10/32 dev wan0")
    assert parse(host.run("status").out).differs == ("host", "ipv4")
    assert host.run("mend").code == 0
    host.out("nft delete table inet wanbound")
    status = parse(host.run("status").out)
    assert (status.differs, status.drops, status.repairs[1:]) == (("guard",), None, ())
    host.reboot()
    status = parse(host.run("status").out)
    assert (status.loaded, status.differs) == ("", ())


def test_a_kernel_that_cannot_be_read_is_told(host: Box) -> None:
    """It counts neither as in force nor as a guard without drops."""
    _deployed(host)
    host.shim("nft", "exit 1")
    done = host.run("status")
    status = parse(done.out)
    assert (done.code, status.differs, status.drops) == (0, ("unreadable",), None)
    host.no_shims()
    host.shim("iptables-save", "exit 1")
    status = parse(host.run("status").out)
    assert (status.differs, status.drops) == (("unreadable",), ())


def test_a_repair_is_told_with_what_differed(host: Box) -> None:
    """The watcher's repairs are listed; a check that finds nothing is not a repair."""
    _deployed(host)
    assert host.run("mend").code == 0
    assert parse(host.run("status").out).repairs == ()
    host.out("iptables -t nat -F WANBOUND-SNAT; ip addr del 203.0.113.10/32 dev wan0")
    assert host.run("mend").code == 0
    [(_, parts)] = parse(host.run("status").out).repairs
    assert parts == "host, ipv4"


def test_the_last_hundred_repairs_are_kept(host: Box) -> None:
    """Repairs are kept in memory, so their number is limited."""
    _deployed(host)
    (host.run_folder / "repairs").write_text("".join(f"2026-01-01 n{n}\n" for n in range(150)))
    host.out("iptables -t nat -F WANBOUND-SNAT")
    assert host.run("mend").code == 0
    repairs = [what for _, what in parse(host.run("status").out).repairs]
    assert (len(repairs), repairs[0], repairs[-1]) == (100, "n51", "ipv4")


def test_an_address_that_another_machine_has_is_told(host: Box) -> None:
    """The status repeats what the watcher found."""
    _deployed(host)
    (host.run_folder / "duplicates").write_text("addr del 2001:db8::10/128 dev wan0\n")
    assert parse(host.run("status").out).duplicates == (("2001:db8::10", "wan0"),)


def test_what_the_guard_has_dropped_is_told_by_rule(host: Box) -> None:
    """Packets with a forged source are counted; rules without drops are left out."""
    _deployed(host)
    host.bridge("web", "172.16.0.1/24")
    host.out(CONTAINER.format(name="one", bridge="web", address="172.16.0.9", gateway="172.16.0.1"))
    assert parse(host.run("status").out).drops == ()
    before = parse(host.run("status").out).bridges
    host.out(
        "inside='nsenter -t '$(cat /mnt/one)' -n'; $inside ip addr add 10.9.9.9/32 dev eth0\n"
        "for n in 1 2 3; do $inside python3 -c 'import socket\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        's.bind(("10.9.9.9", 0)); s.sendto(b"x", ("203.0.113.101", 9))\n'
        # With br_netfilter, dropped packets are not counted as outgoing.
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        's.bind(("172.16.0.9", 0)); s.sendto(b"x", ("172.16.0.1", 9))\'; done'
    )
    status = parse(host.run("status").out)
    [drop] = status.drops or ()
    assert (drop.chain, drop.packets) == ("source-web", 3)
    assert drop.rule == (
        "ip saddr != 172.16.0.0/24 ip daddr != 172.16.0.0/24 ip saddr != 0.0.0.0 counter drop"
    )
    old, new = (
        [b.packets_out for b in each if b.name == "web"] for each in (before, status.bridges)
    )
    assert new[0] >= old[0] + 3


def test_containers_are_told_with_the_link_of_their_default_route(host: Box) -> None:
    """A container whose default route is in another network leaves with another address."""
    _deployed(host)
    host.bridge("web", "172.16.0.1/24")
    host.bridge("br-222222222222", "172.18.0.1/24")
    one = {"name": "one", "bridge": "web", "address": "172.16.0.9", "gateway": "172.16.0.1"}
    two = {
        "name": "two",
        "bridge": "br-222222222222",
        "address": "172.18.0.8",
        "gateway": "172.18.0.1",
    }
    host.out(CONTAINER.format(**one) + CONTAINER.format(**two))
    host.docker()
    (host.shims / "docker").write_text(f"#!/bin/dash\n{DOCKER}")
    containers = parse(host.run("status").out).containers
    assert containers == (
        Attached("web", "one", ("172.16.0.9",), (("ipv4", "web"),)),
        Attached("web", "two", ("172.16.0.8", "fd00::8"), (("ipv4", "br-222222222222"),)),
    )
    assert [each.elsewhere for each in containers] == [(), ("br-222222222222",)]


def test_a_docker_that_does_not_answer_is_told(host: Box) -> None:
    """The rest of the status is still printed."""
    _deployed(host)
    host.docker()
    (host.shims / "docker").write_text("#!/bin/dash\nexit 1\n")
    status = parse(host.run("status").out)
    assert status.current == "a1"
    assert status.containers is None


SILENT = {
    "networks in time": ("networkinspect) exit 124", "inspect*) "),
    "containers in time": ("networkinspect) echo '1111111111111111 web'", "inspect*) exit 124"),
    "part of the containers in time": (
        "networkinspect) echo '1111111111111111 web'",
        "inspect*) echo '1 /one 1111111111111111,172.16.0.9,'; exit 124",
    ),
    "any network": ("networkinspect) exit 1", "inspect*) "),
    "any container": ("networkinspect) echo '1111111111111111 web'", "inspect*) exit 1"),
}


@pytest.mark.parametrize("what", SILENT)
def test_a_docker_that_does_not_tell_is_not_one_without_containers(host: Box, what: str) -> None:
    """No other container is listed then; `timeout` exits with 124."""
    _deployed(host)
    _answering(host, *SILENT[what])
    out = host.run("status").out
    assert out.endswith("== containers\ndocker silent\n== end\n")
    assert parse(out).containers is None


def test_a_container_that_ends_meanwhile_hides_no_other(host: Box) -> None:
    """Docker fails but prints the others; without Docker networks nothing is inspected."""
    _deployed(host)
    one = "inspect*) echo '1 /one 1111111111111111,172.16.0.9,'; echo 'no such object' >&2; exit 1"
    _answering(host, "networkinspect) echo '1111111111111111 web'", one)
    [container] = parse(host.run("status").out).containers or ()
    assert container.name == "one"
    (host.shims / "docker").write_text("#!/bin/dash\ncase $2 in inspect) exit 1 ;; esac\n")
    assert parse(host.run("status").out).containers == ()


def _answering(host: Box, *cases: str) -> None:
    listed = "networkls) echo 111111111111", "ps*) echo a; echo b"
    host.docker()
    text = "\n".join(f"{case} ;;" for case in (*listed, *cases))
    (host.shims / "docker").write_text(f"#!/bin/dash\ncase $1$2 in\n{text}\nesac\n")


@pytest.mark.parametrize("script", ["installed", "call"])
def test_the_installed_script_and_an_operators_run_say_the_same(host: Box, script: str) -> None:
    """So a host with an older script can be read with the current format."""
    _deployed(host)
    done = host.sh(f"/mnt/{script} status")
    assert done.code == 0
    assert parse(done.out).current == "a1"
    heads = [line for line in done.out.splitlines() if line.startswith("== ")]
    assert all(one != other for one, other in pairwise(heads))
