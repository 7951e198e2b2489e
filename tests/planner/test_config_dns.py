"""`dns` of a host and of a network: which servers containers get, and which are refused."""

import pytest

from planner.plan import plan
from tests.planner.samples import (
    ABSENT,
    EDGE_2_WEB,
    HOST,
    MAIL,
    WEB,
    Edits,
    check_only_problem,
    edited,
    only_problem,
    parsed,
    problems,
    settled,
)

FOUR, SIX = "198.51.100.53", "2001:db8:ffff::53"
EDGE_2 = "hosts.1"

_DNS = "wanbound:hosts[0].dns"
_WEB = "wanbound:hosts[0].networks[0].dns"

# Edits of the sample, the key of the one error, words of what is wrong, words of the remedy.
_CASES: dict[str, tuple[Edits, str, str, str]] = {
    "no list": ([(f"{HOST}.dns", FOUR)], _DNS, "not a list of DNS servers", "write a list"),
    "empty": ([(f"{HOST}.dns", [])], _DNS, "lists no server", "remove the key"),
    "four of them": (
        [(f"{HOST}.dns", [f"198.51.100.{last}" for last in range(50, 54)])],
        _DNS,
        "lists 4 servers",
        "at most 3",
    ),
    "twice": ([(f"{HOST}.dns", [FOUR, FOUR])], _DNS, f"has {FOUR} twice", "once"),
    "a name": ([(f"{HOST}.dns", ["dns.example.net"])], _DNS, "is not an IPv4 address", "write"),
    "a port": ([(f"{HOST}.dns", ["198.51.100.53:5353"])], _DNS, "is not an IPv6 address", "write"),
    "mapped": ([(f"{HOST}.dns", ["::ffff:198.51.100.53"])], _DNS, "IPv4-mapped", FOUR),
    "loopback": ([(f"{HOST}.dns", ["127.0.0.53"])], _DNS, "a loopback address", "write a list"),
    "loopback of IPv6": ([(f"{HOST}.dns", ["::1"])], _DNS, "a loopback address", "write a list"),
    "unspecified": ([(f"{HOST}.dns", ["0.0.0.0"])], _DNS, "the unspecified address", "write"),
    "multicast": ([(f"{HOST}.dns", ["ff02::fb"])], _DNS, "a multicast address", "write"),
    "link-local": ([(f"{HOST}.dns", ["fe80::1"])], _DNS, "a link-local address", "write"),
    "zone": ([(f"{HOST}.dns", ["fe80::1%eth0"])], _DNS, "has a zone", "write"),
    "link-local of IPv4": ([(f"{HOST}.dns", ["169.254.169.253"])], _DNS, "a link-local", "write"),
    "in a network of a network": ([(f"{WEB}.dns", ["127.0.0.1"])], _WEB, "a loopback", "write"),
    "in a subnet": (
        [(f"{HOST}.dns", [FOUR, "172.20.2.53"])],
        f"{_DNS}[1]",
        "172.20.2.53 lies in 172.20.2.0/24, a subnet of network mail",
        "in no network of this stack",
    ),
    "in a subnet of IPv6": (
        [(f"{HOST}.dns", [FOUR, "fd5c:1b2a:77f0:1::53"])],
        f"{_DNS}[1]",
        "a subnet of network web",
        "in no network of this stack",
    ),
    "in another network's subnet": (
        [(f"{WEB}.dns", ["172.20.2.53"])],
        f"{_WEB}[0]",
        "a subnet of network mail",
        "in no network of this stack",
    ),
    "a public address": (
        [(f"{HOST}.dns", ["203.0.113.20"])],
        f"{_DNS}[0]",
        "a public address of network mail",
        "in no network of this stack",
    ),
    "a public address of another host": (
        [(f"{WEB}.dns", ["203.0.113.110"])],
        f"{_WEB}[0]",
        "a public address of network web",
        "in no network of this stack",
    ),
    "a further public address": (
        [
            (f"{MAIL}.ingress", [{"ports": [25], "to": "turn", "addresses": ["203.0.113.21"]}]),
            (f"{HOST}.dns", ["203.0.113.21"]),
        ],
        f"{_DNS}[0]",
        "a public address of network mail",
        "in no network of this stack",
    ),
    "the host itself": (
        [(f"{HOST}.dns", ["192.0.2.10"])],
        f"{_DNS}[0]",
        "the host's own address, its ssh.address",
        "in no network of this stack",
    ),
    "a family that the network lacks": (
        [(f"{EDGE_2_WEB}.dns", [FOUR, SIX])],
        "wanbound:hosts[1].networks[0].dns[1]",
        f"{SIX} is set without public_ipv6",
        "add public_ipv6, or remove this",
    ),
    "none that the network can ask": (
        [(f"{EDGE_2}.dns", [SIX])],
        "wanbound:hosts[1].networks[0].dns",
        "has only IPv4, and dns of the host has no IPv4",
        "add an IPv4 server to dns of the host, or a dns to this network",
    ),
    "none for IPv6 alone": (
        [(f"{HOST}.dns", [FOUR]), (f"{WEB}.public_ipv4", ABSENT), (f"{WEB}.subnet_ipv4", ABSENT)],
        _WEB,
        "has only IPv6, and dns of the host has no IPv6",
        "or a dns to this network",
    ),
    "an engine without servers": (
        [(f"{HOST}.engine", {"dns": True})],
        "wanbound:hosts[0].engine.dns",
        "the host has no dns",
        "add dns: [198.51.100.53] to the host",
    ),
    "an engine with others": (
        [(f"{HOST}.dns", [FOUR]), (f"{HOST}.engine", {"dns": True, "settings": {"dns": [SIX]}})],
        "wanbound:hosts[0].engine.settings",
        "has dns, and engine.dns is true",
        "remove it there",
    ),
    "an engine with the servers themselves": (
        [(f"{HOST}.engine", {"dns": [FOUR]})],
        "wanbound:hosts[0].engine.dns",
        "neither true nor false",
        "write true or false",
    ),
}


@pytest.mark.parametrize(("edits", "key", "what", "remedy"), _CASES.values(), ids=_CASES)
def test_one_error_names_key_and_remedy(edits: Edits, key: str, what: str, remedy: str) -> None:
    """Each case has exactly one problem."""
    check_only_problem(edits, key, what, remedy)


def test_a_derived_subnet_gives_way_to_a_server() -> None:
    """The subnet before Docker's socket overlaps the server: the error offers a free subnet."""
    balancer = parsed().hosts[0].networks[0].load_balancer
    assert balancer is not None
    assert balancer.socket_subnet is not None
    inside = str(balancer.socket_subnet.network_address + 2)
    for key, owner in ((HOST, "the host's dns"), (WEB, "dns of network web")):
        edits: Edits = [(f"{key}.dns", [inside])]
        problem = only_problem(*edits)
        assert problem.key == f"{_WEB.removesuffix('.dns')}.load_balancer.socket_subnet"
        assert f"contains {inside}, a server in {owner}" in problem.what
        settled(edited(*edits))


@pytest.mark.parametrize(
    "edits",
    [
        [(f"{HOST}.dns", [FOUR, SIX])],
        # A router or a server of the provider may have a private address.
        [(f"{HOST}.dns", ["192.168.1.1", "fd00::53"])],
        # The other host has its own network with the same private subnet.
        [(f"{EDGE_2}.dns", ["172.20.2.53"])],
        [(f"{EDGE_2}.dns", [SIX]), (f"{EDGE_2_WEB}.dns", [FOUR])],
        [(f"{HOST}.dns", [FOUR]), (f"{HOST}.engine", {"dns": True, "settings": {"dns": [FOUR]}})],
    ],
)
def test_what_is_allowed(edits: Edits) -> None:
    """These configurations have no problem."""
    assert problems(*edits) == ()


def _given(*edits: tuple[str, object]) -> dict[str, tuple[str, ...]]:
    """Return the servers of every container and proxy of the sample's first host."""
    found: dict[str, tuple[str, ...]] = {}
    for network in plan(parsed(*edits))[0].networks:
        found |= {each.name: each.dns for each in network.containers}
        if network.socket is not None:
            found[network.socket.proxy.name] = network.socket.proxy.dns
    return found


def test_every_container_of_a_network_gets_the_hosts_servers() -> None:
    """So does the load balancer, but not the socket proxy, whose network has no way out."""
    found = _given((f"{HOST}.dns", [SIX, FOUR]))
    assert found["turn"] == found["worker"] == found["mail_lb"] == (SIX, FOUR)
    assert found["mail_socket"] == ()


def test_a_network_has_its_own_instead() -> None:
    """The host's servers are not added: as a fallback they would be asked too."""
    found = _given((f"{HOST}.dns", [SIX, FOUR]), (f"{WEB}.dns", ["198.51.100.54"]))
    assert found["web_lb"] == ("198.51.100.54",)
    assert found["mail_lb"] == (SIX, FOUR)


def test_a_network_gets_only_servers_that_it_can_ask() -> None:
    """Docker asks from the container's namespace, which has no route of the other family."""
    (web,) = parsed((f"{EDGE_2}.dns", [SIX, FOUR])).hosts[1].networks
    assert list(map(str, web.dns)) == [FOUR]


def test_without_the_key_docker_chooses() -> None:
    """No container has servers from the plan."""
    assert set(_given().values()) == {()}


def test_daemon_json_gets_the_hosts_servers() -> None:
    """It gets all of them, because it applies to all networks, but only with the engine's key."""
    edits: Edits = [(f"{HOST}.dns", [FOUR, SIX]), (f"{WEB}.dns", ["198.51.100.54"])]
    found = parsed(*edits, (f"{HOST}.engine", {"dns": True, "settings": {"mtu": 1400}}))
    engine = found.hosts[0].engine
    assert engine is not None
    assert engine.settings == {"dns": [FOUR, SIX], "mtu": 1400}
    without = parsed(*edits, (f"{HOST}.engine", {"settings": {"mtu": 1400}})).hosts[0].engine
    assert without is not None
    assert without.settings == {"mtu": 1400}
