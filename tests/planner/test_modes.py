"""What each mode does with packets and containers, in the models of nft and iptables."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from planner.config import Host, Stack
from planner.plan import HostPlan, NetworkPlan, plan
from planner.rule import Rule
from planner.takeover import Found, differences
from tests.planner import golden
from tests.planner.nft import Guard, Packet, guard_of

SERVER, CLIENT = ip_address("198.51.100.7"), ip_address("198.51.100.9")
FOREIGN = ip_address("172.20.7.7")


def _host(name: str) -> tuple[Host, HostPlan]:
    stack = Stack.parse(golden.config(name), name)
    return stack.hosts[0], plan(stack)[0]


def _guard(planned: HostPlan) -> Guard:
    networks = [each for network in planned.networks for each in network.wanted]
    return guard_of([*planned.wanted, *networks])


def _rules(network: NetworkPlan, section: str) -> dict[str, Rule]:
    return {
        each.role: each
        for each in network.wanted
        if isinstance(each, Rule) and each.section == section
    }


def _leaving(source: str, original: str, came_by: str, went_by: str = "wan0") -> Packet:
    return Packet(came_by, went_by, ip_address(source), ip_address(original), SERVER)


@pytest.mark.parametrize("source", ["172.18.0.2", "172.20.7.7", "203.0.113.12", "198.51.100.1"])
def test_where_docker_chooses_the_bridge_counts(source: str) -> None:
    """The subnet is unknown: every packet from the bridge leaves with the one public address."""
    _, planned = _host("snat-docker")
    guard = _guard(planned)
    right = _leaving("203.0.113.11", source, "bridge-coi")
    assert guard.verdict("postrouting", right) == "accept"
    if source != "203.0.113.11":
        wrong = _leaving(source, source, "bridge-coi")
        assert guard.verdict("postrouting", wrong) == "drop"
        # A forwarded packet from elsewhere may not have this source.
        theft = _leaving("203.0.113.11", source, "docker0")
        assert guard.verdict("postrouting", theft) == "drop"
    by_host = _leaving("203.0.113.11", "203.0.113.11", "")
    assert guard.verdict("postrouting", by_host) == "accept"


@pytest.mark.parametrize("name", ["snat", "snat-docker"])
def test_nothing_comes_in_where_nothing_may(name: str) -> None:
    """Not even packets that a foreign rule has translated."""
    host, planned = _host(name)
    guard, network = _guard(planned), host.networks[0]
    for version, public in network.publics:
        client = CLIENT if version == 4 else ip_address("2001:db8:ffff::9")
        new = Packet("wan0", network.bridge, client, client, public, dnat=True)
        assert guard.verdict("forward", new) == "drop"
        assert guard.verdict("forward", replace(new, state="established")) == "accept"


def test_docker_may_translate_where_it_publishes() -> None:
    """Packets that Docker translated are let in like ours; packets to a private address are not."""
    host, planned = _host("masquerade")
    guard = _guard(planned)
    for version, public in host.networks[0].publics:
        client = CLIENT if version == 4 else ip_address("2001:db8:ffff::9")
        new = Packet("wan0", "mail", client, client, public, dnat=True)
        assert guard.verdict("forward", new) == "accept"
        assert guard.verdict("forward", replace(new, dnat=False)) == "drop"


@pytest.mark.parametrize("extra", ["203.0.113.21", "203.0.113.22", "2001:db8::21"])
def test_a_further_address_is_for_answers_alone(extra: str) -> None:
    """It is only for ingress; connections of the network and of others never leave with it."""
    host, planned = _host("ingress-addresses")
    guard, network = _guard(planned), host.networks[0]
    address = ip_address(extra)
    family = network.ipv4 if address.version == 4 else network.ipv6
    assert family is not None
    client = CLIENT if address.version == 4 else ip_address("2001:db8:ffff::9")
    inside = family.subnet.network_address + 10
    comes = Packet("wan0", "mail", client, client, address, dnat=True)
    assert guard.verdict("forward", comes) == "accept"
    answer = Packet("mail", "wan0", address, client, address, dnat=True, direction="reply")
    assert guard.verdict("postrouting", answer) == "accept"
    own = Packet("mail", "wan0", address, inside, SERVER)
    assert guard.verdict("postrouting", own) == "drop"
    others = Packet("docker0", "wan0", address, FOREIGN, SERVER)
    assert guard.verdict("postrouting", others) == "drop"
    by_host = Packet("", "wan0", address, address, SERVER)
    assert guard.verdict("postrouting", by_host) == "accept"


def test_ports_are_ingress_where_we_translate() -> None:
    """Each port is one line per family, and no port is published on the host."""
    _, planned = _host("ingress-addresses")
    network = planned.networks[0]
    for family, goal in (("ipv4", "172.20.0.10"), ("ipv6", "fd5c:1b2a:77f0:20::10")):
        rules = _rules(network, f"dnat_{family}")
        for role in ("tcp 465", "tcp 587", "tcp 993", "udp 3478"):
            assert rules[f"ingress {role}"].text.endswith(f" --to-destination {goal}")
    assert all(each.ports == () for each in network.containers)


def test_docker_publishes_at_each_public_address() -> None:
    """The load balancer's ports are the recipe's, the ports of the others those of ingress."""
    _, planned = _host("masquerade")
    network = planned.networks[0]
    publics = {"203.0.113.20", "2001:db8::20"}
    wanted = {
        "mail_lb": {("tcp", 80), ("tcp", 443)},
        "mailserver": {("tcp", 25), ("tcp", 465), ("tcp", 466), ("udp", 3478)},
    }
    for each in network.containers:
        found = {(port.protocol, port.number, port.address) for port in each.ports}
        assert found == {(*port, public) for port in wanted[each.name] for public in publics}
    assert not _rules(network, "dnat_ipv4")
    assert list(_rules(network, "snat_ipv4")) == ["egress"]


def test_a_subnet_of_dockers_choosing_is_no_difference() -> None:
    """A manually created network as in the second recipe is taken over with any subnet."""
    _, planned = _host("snat-docker")
    network = planned.networks[0]
    live = {
        "Id": "a" * 64,
        "Name": "bridge-coi",
        "Driver": "bridge",
        "Scope": "local",
        "EnableIPv6": False,
        "Internal": False,
        "Ingress": False,
        "IPAM": {"Config": [{"Subnet": "172.18.0.0/16", "Gateway": "172.18.0.1"}]},
        "Options": dict(network.docker.options),
    }
    assert list(differences(network, Found.model_validate(live))) == []
    six = {"Config": [{"Subnet": "fd00::/64", "Gateway": "fd00::1"}]}
    other = Found.model_validate({**live, "IPAM": six})
    assert list(differences(network, other)) == ["subnet fd00::/64: only on the host"]
