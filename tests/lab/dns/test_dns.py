"""The source address that a DNS server sees of containers, without and with `dns`.

Captured at the server. Docker 20.10 asks it from the container's network namespace; Docker 29 asks
servers of the host's resolv.conf from the host's. With `dns`, both ask as the network; with
`engine.dns` also for containers that were started manually.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import pytest

from lab.api import Host, Lab
from lab.checks import resolvers
from lab.checks.resolver import queries
from lab.settings import NAMES_IPV4, NAMES_IPV6
from lab.stacks import Config, LabStack, parsed
from lab.traffic import PROBE
from tests.lab.together import each

pytestmark = pytest.mark.lab

Phase: TypeAlias = Literal["without", "with"]

FILE = "/etc/docker/daemon.json"
MAIL, FOUR, SIX = 180, 190, 200
"""The last parts of the networks' public addresses on the first host."""

DECLARED = {"mail": "postfix", "four": "worker", "six": "relay"}
"""The container of each network."""


def _ipv4(last: int, number: int) -> str:
    return f"203.0.113.{last + number}"


def _ipv6(last: int, number: int) -> str:
    return f"2001:db8::{last + number}"


def config(lab: Lab, phase: Phase) -> Config:
    """Return a stack with a network of both families, one of IPv4 and one of IPv6 on each host."""
    return {
        "hosts": [
            {
                "name": host.name,
                "ssh": {"address": host.address, "host_key": host.host_key},
                "wan": {"interface": "wan0"},
                **(_WITH if phase == "with" else {}),
                "networks": [
                    _network("mail", 10, number, ipv4=MAIL, ipv6=MAIL),
                    _network("four", 11, number, ipv4=FOUR),
                    _network("six", 12, number, ipv6=SIX),
                ],
            }
            for number, host in enumerate(lab.hosts.values())
        ],
    }


_WITH = {"dns": [NAMES_IPV4, NAMES_IPV6], "engine": {"dns": True}}


def _network(
    name: str, place: int, number: int, ipv4: int | None = None, ipv6: int | None = None
) -> dict[str, Any]:
    network: dict[str, Any] = {
        "name": name,
        "load_balancer": False,
        "ingress": [],
        "containers": [{"name": DECLARED[name], "image": PROBE, "command": ["sleep"]}],
    }
    if ipv4 is not None:
        network |= {
            "public_ipv4": _ipv4(ipv4, number),
            "subnet_ipv4": f"10.18{number}.{place}.0/24",
        }
    if ipv6 is not None:
        network |= {
            "public_ipv6": _ipv6(ipv6, number),
            "subnet_ipv6": f"fd18:{number}:{place}::/64",
        }
    return network


@dataclass
class Story:
    """What a DNS server saw: sources by phase, host's place, and container.

    `daemon` has the hosts' daemon.json before the first phase and after the last.
    """

    sources: dict[tuple[Phase, int, str], set[str]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    checks: int = 0
    daemon: list[list[str]] = field(default_factory=list)


@pytest.fixture(scope="module")
def story(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Run both phases on both hosts, one after the other."""
    told = Story()
    hosts = list(lab.hosts.values())
    told.daemon.append(each(hosts, _daemon_json))
    wanted = config(lab, "without")
    stack = LabStack.copy(lab, "dns", wanted, tmp_path_factory.mktemp("dns"))
    try:
        stack.up()
        _look(lab, told, "without")
        wanted = config(lab, "with")
        stack.configure(wanted)
        stack.up()
        _look(lab, told, "with")
        results = resolvers(lab, parsed(wanted, "dns"))
        told.checks = len(results)
        told.failed = [str(result) for result in results if not result.ok]
    finally:
        stack.destroy()
    told.daemon.append(each(hosts, _daemon_json))
    yield told


def _daemon_json(host: Host) -> str:
    return host.run(f"cat {FILE}").stdout


def _look(lab: Lab, told: Story, phase: Phase) -> None:
    """Note the source of each container's queries: declared ones, and ones started manually."""
    for number, host in enumerate(lab.hosts.values()):
        for network, container in DECLARED.items():
            told.sources[phase, number, network] = _sources(lab, host, container)
            by_hand = f"by-hand-{network}"
            host.run(f"docker run -d --name {by_hand} --network {network} {PROBE} sleep")
            try:
                told.sources[phase, number, by_hand] = _sources(lab, host, by_hand)
            finally:
                host.run(f"docker rm -f {by_hand}")


def _sources(lab: Lab, host: Host, container: str) -> set[str]:
    return {packet.src for packet in queries(lab, host.name, container)}


def _native(number: int) -> bool:
    """Whether the host's Docker asks the host's servers itself: the second, with Docker 29."""
    return number == 1


BOTH = pytest.mark.parametrize("number", [0, 1], ids=["Docker 20.10", "Docker 29"])
STARTED = pytest.mark.parametrize("prefix", ["", "by-hand-"], ids=["declared", "by hand"])


def test_the_engines_are_those_of_the_documentation(lab: Lab) -> None:
    """Docker 28.0 changed this: 20.10 is older, 29 newer."""
    assert [host.docker_version.split(".")[0] for host in lab.hosts.values()] == ["20", "29"]


@STARTED
@BOTH
def test_without_the_key_docker_decides(lab: Lab, story: Story, number: int, prefix: str) -> None:
    """Docker 20.10 asks as the network; 29 asks as the host itself, for every network."""
    host = list(lab.hosts.values())[number]
    own = {host.wan_ipv4, host.wan_ipv6}
    for network, public in (("mail", _ipv4(MAIL, number)), ("four", _ipv4(FOUR, number))):
        seen = story.sources["without", number, prefix + network]
        assert seen, "no DNS server was asked"
        if _native(number):
            assert seen <= own
        else:
            assert seen == {public}


@STARTED
@BOTH
def test_with_the_key_a_server_sees_the_network(story: Story, number: int, prefix: str) -> None:
    """Declared or started manually; a second server may be asked, also as the network."""
    seen = story.sources["with", number, f"{prefix}mail"]
    assert seen
    assert seen <= {_ipv4(MAIL, number), _ipv6(MAIL, number)}
    assert story.sources["with", number, f"{prefix}four"] == {_ipv4(FOUR, number)}


@BOTH
def test_a_network_with_ipv6_alone_asks_by_ipv6(story: Story, number: int) -> None:
    """Its containers get only those of the host's servers that they can reach."""
    assert story.sources["with", number, "six"] == {_ipv6(SIX, number)}


@BOTH
def test_by_hand_in_ipv6_alone_nothing_leaves_as_the_host(story: Story, number: int) -> None:
    """daemon.json has servers of both families; queries to the other family's are dropped."""
    assert story.sources["with", number, "by-hand-six"] <= {_ipv6(SIX, number)}


def test_the_matrix_has_it(story: Story) -> None:
    """The checks that the demo shows pass for each network of each host."""
    assert story.failed == []
    assert story.checks >= 6


def test_daemon_json_is_as_it_was(story: Story) -> None:
    """Byte for byte, after the destroy."""
    before, after = story.daemon
    assert before == after
