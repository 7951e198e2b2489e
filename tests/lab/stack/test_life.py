"""From the first `up` to the last `destroy`, on bare hosts and under constant traffic.

The steps run once; each test checks one aspect.
"""

import copy
import time
from dataclasses import dataclass, field

import pytest

from lab.api import Lab
from lab.checks import matrix, run
from lab.stacks import Config, LabStack, parsed
from lab.traffic import Publics, Sources, either, expression, publics, sinks, sources
from tests.lab.stack.configs import add_floods, demo, network
from tests.lab.stack.evidence import Snapshot, container_addresses, own_rules, snapshot

pytestmark = pytest.mark.lab

PHASES = ("up", "change", "reboot", "replace", "destroy", "up again", "destroy again")

SETTLED_SECONDS = 5.0


@dataclass
class Story:
    """The observations. `sources` by phase; `snapshots`, `rules` and `addresses` by moment."""

    ports: dict[int, tuple[str, str]]
    families: dict[int, tuple[int, ...]]
    sources: dict[str, Sources] = field(default_factory=dict)
    snapshots: dict[str, list[Snapshot]] = field(default_factory=dict)
    rules: dict[str, list[str]] = field(default_factory=dict)
    addresses: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    failed: dict[str, list[str]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def story(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Run all steps."""
    first = demo(lab)
    for host in first["hosts"]:
        host["networks"] = [one for one in host["networks"] if one["name"] != "special"]
    ports = add_floods(first)
    changed = _with_other_addresses(first)
    replaced = _with_other_places(changed)
    told = Story(ports, dict.fromkeys(ports, (4, 6)))
    now, then = publics(first, ports), publics(changed, ports)
    stack = LabStack.copy(lab, "life", first, tmp_path_factory.mktemp("life"))
    teller = _Teller(lab, stack, told)
    with sinks(lab, tuple(ports)):
        teller.look("before")
        try:
            teller.phase("up", now, first)
            # Until each load balancer has its certificate: Traefik asks for one again only when it
            # starts, and an address that changes meanwhile lets the authority's question go astray.
            teller.check("brought up", first)
            teller.phase("change", either(now, then), changed)
            teller.reboot("reboot", then, changed)
            teller.phase("replace", then, replaced)
            teller.remember("first")
            teller.check("replaced", replaced)
            teller.phase("destroy", then, None)
            teller.look("after")
            teller.phase("up again", then, replaced)
            teller.remember("second")
        finally:
            teller.phase("destroy again", then, None)
    teller.look("after again")
    return told


class _Teller:
    def __init__(self, lab: Lab, stack: LabStack, story: Story) -> None:
        self.lab, self.stack, self.story = lab, stack, story

    def phase(self, name: str, expected: Publics, config: Config | None) -> None:
        """Bring the hosts to `config` (None: to nothing); record the packets' sources meanwhile."""
        with self.lab.internet.capture(expression(tuple(self.story.ports))) as capture:
            if config is None:
                self.stack.destroy()
            else:
                self.stack.configure(config)
                self.stack.up()
        self.story.sources[name] = sources(capture.packets, expected)

    def reboot(self, name: str, expected: Publics, config: Config) -> None:
        """Reboot every host, with no further action, and record the packets' sources meanwhile."""
        with self.lab.internet.capture(expression(tuple(self.story.ports))) as capture:
            for host in self.lab.hosts.values():
                host.reboot()
            # Docker answers before the last of its containers has started.
            time.sleep(SETTLED_SECONDS)
        self.story.sources[name] = sources(capture.packets, expected)
        self.check("rebooted", config)

    def check(self, moment: str, config: Config) -> None:
        """Record the failures of the matrix."""
        results = run(self.lab, matrix(parsed(config, self.stack.name)))
        self.story.failed[moment] = [str(result) for result in results if not result.ok]

    def look(self, moment: str) -> None:
        self.story.snapshots[moment] = [snapshot(host) for host in self.lab.hosts.values()]

    def remember(self, moment: str) -> None:
        hosts = self.lab.hosts.values()
        self.story.rules[moment] = [own_rules(host) for host in hosts]
        self.story.addresses[moment] = [container_addresses(host) for host in hosts]


def _with_other_addresses(config: Config) -> Config:
    """Change both addresses of one network on each host; its IPv4 one was the other host's."""
    changed = copy.deepcopy(config)
    for number in (1, 2):
        web = network(changed, number, "web")
        web["public_ipv4"] = f"203.0.113.{100 * number - 85}"
        web["public_ipv6"] = f"2001:db8::{100 * number - 85}"
    return changed


def _with_other_places(config: Config) -> Config:
    """Give one network of each host other subnets, and the other one another bridge."""
    replaced = copy.deepcopy(config)
    for number in (1, 2):
        web, mail = network(replaced, number, "web"), network(replaced, number, "mail")
        web["subnet_ipv4"], web["subnet_ipv6"] = "172.18.0.0/24", f"fd18:{number}::/64"
        mail["bridge"] = "post"
    return replaced


@pytest.mark.parametrize("phase", PHASES)
def test_no_packet_leaves_with_a_wrong_source(story: Story, phase: str) -> None:
    """No packet has one, in either family, TCP or UDP, old flow or new, during any change."""
    seen = story.sources[phase]
    print(f"{phase}: {seen}")
    assert seen.wrong == []


@pytest.mark.parametrize("phase", PHASES)
def test_every_network_was_sending(story: Story, phase: str) -> None:
    """Each network sent packets in each family, so the test above had traffic to check."""
    seen = story.sources[phase]
    silent = [
        (story.ports[port], family)
        for port, families in story.families.items()
        for family in families
        if seen.right(port, family) < 10
    ]
    assert silent == []


def test_both_addresses_were_used_around_the_change(story: Story) -> None:
    """The old address until it is removed, the new one from then on."""
    seen = story.sources["change"].counts
    for port, (_, name) in story.ports.items():
        for family in story.families[port]:
            used = {source for (p, f, source) in seen if (p, f) == (port, family)}
            assert len(used) == (2 if name == "web" else 1), (port, family, used)


def test_all_answers_after_the_first_up(story: Story) -> None:
    """With certificates, which stay valid through all that follows."""
    assert story.failed["brought up"] == []


def test_a_reboot_brings_everything_back_by_itself(story: Story) -> None:
    """Addresses, guard and rules are in place after Docker's: the matrix passes without an up."""
    assert story.failed["rebooted"] == []


def test_replacing_a_network_works_in_one_up(story: Story) -> None:
    """With another subnet and another bridge, the matrix passes right afterwards."""
    assert story.failed["replaced"] == []


@pytest.mark.parametrize("moment", ["after", "after again"])
@pytest.mark.parametrize("host", [0, 1])
def test_destroy_leaves_the_host_as_before(story: Story, host: int, moment: str) -> None:
    """Rules, addresses, Docker's networks and every file in /etc are as before the first up."""
    before, after = story.snapshots["before"][host], story.snapshots[moment][host]
    assert before == after, before.differences(after)


@pytest.mark.parametrize("host", [0, 1])
def test_up_after_destroy_gives_the_same_again(story: Story, host: int) -> None:
    """Rules and files are byte-equal, and every container has its address."""
    assert story.rules["first"][host] == story.rules["second"][host]
    assert story.addresses["first"][host] == story.addresses["second"][host]
    assert "WANBOUND-SNAT" in story.rules["first"][host]
