"""Every mode of a network on real engines, tested from outside and inside with captured packets."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from lab.api import Host, Lab
from lab.stacks import LabStack
from lab.steps import wait_until
from lab.traffic import PROBE
from tests.lab.modes.networks import (
    EXTRA,
    MAIL,
    MANY,
    OUT,
    POSTED,
    ROUTER,
    TURN,
    Place,
    asked,
    config,
    seen,
)
from tests.lab.together import each

pytestmark = pytest.mark.lab

FAMILIES = pytest.mark.parametrize("family", [4, 6])


@dataclass
class Moded:
    """Both hosts with a network of each mode."""

    lab: Lab
    stack: LabStack

    @property
    def places(self) -> list[tuple[Host, Place]]:
        """Each host with its addresses."""
        return [(host, Place(number)) for number, host in enumerate(self.lab.hosts.values())]


@pytest.fixture(scope="module")
def moded(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moded]:
    """One `up` for all tests."""
    stack = LabStack.copy(lab, "modes", config(lab), tmp_path_factory.mktemp("modes"))
    try:
        stack.up()
        yield Moded(lab, stack)
    finally:
        stack.destroy()


def goes_out_alone(lab: Lab, host: Host, public: str) -> None:
    """Assert that `bridge-coi` leaves with its one address, and that it forwards no port."""
    once = f"docker run --rm --network bridge-coi {PROBE} get http://198.51.100.1/"
    assert host.run(once).stdout.strip() == public
    assert seen(host, "coi", 4) == public
    assert seen(host, "coi", 6) == ""
    assert asked(lab, "tcp", public, 80) == ""


def nothing_gets_out_after(flush: str, moded: Moded, network: str, container: str) -> None:
    """Assert that no packet of a network leaves without its rules; a repair restores it."""
    for host, place in moded.places:
        last = OUT if network == "bridge-coi" else MANY
        host.run(f"systemctl stop wanbound-watch; {flush}")
        try:
            with moded.lab.internet.capture("dst host 198.51.100.1") as capture:
                assert seen(host, container, 4) == ""
            assert not capture.packets, [str(packet) for packet in capture.packets]
        finally:
            host.run("systemctl start wanbound-watch; wanbound mend")
        assert seen(host, container, 4) == place.ipv4(last)


def _public(place: Place, last: int, family: int) -> str:
    return place.ipv4(last) if family == 4 else place.ipv6(last)


def _answers(lab: Lab, public: str) -> bool:
    return asked(lab, "tcp", public, 80) != ""


def _native(host: Host) -> bool:
    """Whether this engine translates IPv6 itself (ip6tables is on by default from 27 on)."""
    return int(host.docker_version.partition(".")[0]) >= 27


@FAMILIES
def test_docker_publishes_on_the_public_addresses(moded: Moded, family: int) -> None:
    """Mode masquerade: TCP and UDP reach the containers; replies come from the public address."""
    for host, place in moded.places:
        public = _public(place, POSTED, family)
        # Only these two: packets of connections from earlier tests may still arrive.
        two = f"host {public} and host {ROUTER[family]}"
        with moded.lab.internet.capture(two) as capture:
            found = {asked(moded.lab, "tcp", public, 80), asked(moded.lab, "udp", public, TURN)}
        # Engines that do not translate IPv6 forward it through their userland proxy: the container
        # is reached but sees the proxy. docker-ipv6nat solves this.
        client = ROUTER[family] if family == 4 or _native(host) else "fd14::1"
        assert found == {client}, (host.name, found)
        assert {packet.src for packet in capture.packets} == {public, ROUTER[family]}


@FAMILIES
@pytest.mark.parametrize(("container", "last"), [("posted-web", POSTED), ("front", MANY)])
def test_what_goes_out_has_the_one_address(
    moded: Moded, family: int, container: str, last: int
) -> None:
    """Also where Docker publishes ports, and where further addresses are forwarded to it."""
    for host, place in moded.places:
        assert seen(host, container, family) == _public(place, last, family)


def test_the_rule_has_the_subnet_that_docker_chose(moded: Moded) -> None:
    """Mode snat: a manually started container leaves with the second address, as in the recipe."""
    for host, place in moded.places:
        public = place.ipv4(OUT)
        inspect = "docker network inspect -f '{{range .IPAM.Config}}{{.Subnet}}{{end}}' bridge-coi"
        subnet = host.run(inspect).stdout.strip()
        line = f"-A WANBOUND-SNAT -s {subnet} ! -o bridge-coi -j SNAT --to-source {public}"
        assert line in host.run("iptables-save -t nat").stdout.splitlines()
        goes_out_alone(moded.lab, host, public)


@pytest.mark.parametrize(("network", "container"), [("bridge-coi", "coi"), ("many", "front")])
def test_without_rules_nothing_gets_out(moded: Moded, network: str, container: str) -> None:
    """No packet with another source leaves, although `bridge-coi` has no subnet in the guard."""
    nothing_gets_out_after("iptables -t nat -F WANBOUND-SNAT", moded, network, container)


def test_another_subnet_of_the_bridge_is_found(moded: Moded) -> None:
    """The watcher adds the bridge's present subnet, without an `up`."""
    for host, place in moded.places:
        show = "ip -o -4 addr show dev bridge-coi | awk '{ print $4 }'"
        was = host.run(show).stdout.strip()
        other = "192.168.199.1/24"
        _move(host, was, other)
        try:
            _await_line(host, "192.168.199.0/24")
        finally:
            _move(host, other, was)
        _await_line(host, was.replace(".1/", ".0/"))
        assert seen(host, "coi", 4) == place.ipv4(OUT)


def _move(host: Host, before: str, after: str) -> None:
    host.run(f"ip addr del {before} dev bridge-coi; ip addr add {after} dev bridge-coi")


def _await_line(host: Host, subnet: str) -> None:
    line = f"WANBOUND-SNAT -s {subnet} ! -o bridge-coi"
    host.run(
        f"for i in $(seq 30); do iptables-save -t nat | grep -qF '{line}' && exit; sleep 1; done;"
        " exit 1"
    )


@FAMILIES
def test_each_port_has_its_container(moded: Moded, family: int) -> None:
    """Mail's ports go to mail, 80 to front, UDP to turn: checked in the kernel's translations."""
    for host, place in moded.places:
        public = _public(place, MANY, family)
        wanted = {(port, "tcp"): 11 for port in MAIL} | {(80, "tcp"): 10, (TURN, "udp"): 12}
        for (port, protocol), last in wanted.items():
            assert asked(moded.lab, protocol, public, port) == ROUTER[family], (host.name, port)
            private = f"10.160.0.{last}" if family == 4 else f"fd16::{last:x}"
            assert private in _translated(host, family, protocol, public, port)
        assert asked(moded.lab, "tcp", public, 22) == ""
        assert asked(moded.lab, "udp", public, 25) == ""


def _translated(host: Host, family: int, protocol: str, public: str, port: int) -> set[str]:
    """Return where the last connections to that port of an address were translated to."""
    listed = host.run(
        f"conntrack -L -f ipv{family} -p {protocol} --orig-dst {public}"
        f" --orig-port-dst {port} 2>/dev/null"
    ).stdout
    # The reply's source follows the original's: src= dst= sport= dport= src= …
    return {line.split("src=")[2].split()[0] for line in listed.splitlines()}


@FAMILIES
def test_a_further_address_leads_in_and_not_out(moded: Moded, family: int) -> None:
    """One port of two addresses goes to two containers; replies come from the asked address."""
    for host, place in moded.places:
        extra = _public(place, EXTRA, family)
        with moded.lab.internet.capture(f"tcp and host {extra}") as capture:
            assert asked(moded.lab, "tcp", extra, 80) == ROUTER[family]
        assert {packet.src for packet in capture.packets} == {extra, ROUTER[family]}
        mail = "10.160.0.11" if family == 4 else "fd16::b"
        assert _translated(host, family, "tcp", extra, 80) == {mail}
        # A port that the entry does not list is the host's own, and closed there.
        assert asked(moded.lab, "tcp", extra, 25) == ""


@FAMILIES
def test_the_guard_keeps_a_further_address_for_answers(moded: Moded, family: int) -> None:
    """A manual rule gives the network that source: only replies leave, no other packet."""
    for host, place in moded.places:
        tool, subnet = ("iptables", "10.160.0.0/24") if family == 4 else ("ip6tables", "fd16::/64")
        extra = _public(place, EXTRA, family)
        rule = f"-s {subnet} ! -o many -j SNAT --to-source {extra}"
        host.run(f"systemctl stop wanbound-watch; {tool} -t nat -I POSTROUTING 1 {rule}")
        try:
            with moded.lab.internet.capture(f"host {extra}") as capture:
                assert seen(host, "front", family) == ""
                assert asked(moded.lab, "tcp", extra, 80) == ROUTER[family]
            ours = [packet for packet in capture.packets if packet.src == extra]
            assert ours
            assert {packet.sport for packet in ours if packet.proto == "tcp"} == {80}
        finally:
            host.run(f"{tool} -t nat -D POSTROUTING {rule}; systemctl start wanbound-watch")
        assert seen(host, "front", family) == _public(place, MANY, family)


def test_nothing_changes_when_nothing_changed(moded: Moded) -> None:
    """A second `up` would change neither the state nor the hosts."""
    moded.stack.preview("--refresh", "--expect-no-changes")


def _until_seen(host: Host, container: str, family: int, address: str) -> None:
    wait_until(
        f"{container} of {host.name} leaves with {address}",
        lambda: seen(host, container, family) == address,
        timeout=60,
    )


def test_published_ports_are_there_after_a_reboot(moded: Moded) -> None:
    """Docker starts a container only if it can bind its port at boot, and does not retry."""

    def reboot(at: tuple[Host, Place]) -> None:
        host, place = at
        host.reboot()
        for family in (4, 6):
            public = _public(place, POSTED, family)
            # Duplicate address detection delays Docker's own bridge and containers by a second.
            wait_until(
                f"{host.name} answers at {public}",
                partial(_answers, moded.lab, public),
                timeout=60,
                every=0.2,
            )
            _until_seen(host, "posted-web", family, public)
        _until_seen(host, "coi", 4, place.ipv4(OUT))

    each(moded.places, reboot)
