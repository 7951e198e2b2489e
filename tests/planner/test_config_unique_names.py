"""Names in Docker and the kernel on one host: no two things of one kind share a name."""

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings

from planner.config import Stack
from planner.config.names import socket_bridge
from planner.errors import ConfigError
from planner.plan import HostPlan, plan
from tests.planner.samples import MAIL, WEB, Edits, check_only_problem, parsed
from tests.planner.strategies import Raw, alike

_WEB, _MAIL = "wanbound:hosts[0].networks[0]", "wanbound:hosts[0].networks[1]"
_WHOAMI_A: Edits = [
    ("echo", {"ipv4": "http://198.51.100.1/", "ipv6": "http://[2001:db8:ffff::1]/"}),
    (f"{WEB}.name", "whoami-a"),
    (f"{MAIL}.whoami", {"domain": "w.example.com"}),
]
_LONG = "a-long-bridge"
_SHORT = socket_bridge(_LONG).removesuffix("-sock")

# Edits of the sample, the key of the one error, words of what is wrong, words of the remedy.
_CASES: dict[str, tuple[Edits, str, str, str]] = {
    "network, a socket's network": (
        [(f"{WEB}.name", "mail-socket")],
        f"{_WEB}.name",
        "mail-socket is the name of the network between mail's load balancer and Docker",
        "choose another name",
    ),
    "network's bridge, a socket's bridge": (
        [(f"{MAIL}.name", "web-sock")],
        f"{_MAIL}.name",
        "web-sock is the name of the bridge between web's load balancer and Docker",
        "bridge another name",
    ),
    "written bridge, a socket's bridge": (
        [(f"{WEB}.bridge", "mail-sock")],
        f"{_WEB}.bridge",
        "mail-sock is the name of the bridge between mail's load balancer and Docker",
        "bridge another name",
    ),
    "socket's bridge of a long name, socket's bridge": (
        [(f"{WEB}.bridge", _LONG), (f"{MAIL}.bridge", _SHORT)],
        f"{_MAIL}.bridge",
        f"is {_SHORT}: the bridge between mail's load balancer and Docker is called {_SHORT}-sock",
        "bridge another name",
    ),
    "socket's bridge, the wan interface": (
        [("hosts.0.wan.interface", "web-sock")],
        f"{_WEB}.name",
        "is called web-sock, and so is the host's wan interface",
        "bridge another name",
    ),
    "whoami, a load balancer": (
        [*_WHOAMI_A, (f"{MAIL}.name", "a_lb")],
        f"{_MAIL}.name",
        "whoami of network a_lb is called whoami-a_lb, and so is the load balancer of network",
        "rename one of the two networks",
    ),
    "whoami, a socket proxy": (
        [*_WHOAMI_A, (f"{MAIL}.name", "a_socket")],
        f"{_MAIL}.name",
        "whoami of network a_socket is called whoami-a_socket, and so is the socket proxy",
        "rename one of the two networks",
    ),
    "container, a socket proxy": (
        [(f"{MAIL}.containers.1.name", "web_socket")],
        f"{_MAIL}.containers[1].name",
        "web_socket is the name of the socket proxy of network web",
        "choose another name",
    ),
    "container, another in the same network": (
        [(f"{MAIL}.containers.1.name", "turn")],
        f"{_MAIL}.containers[1].name",
        "turn is the name of a container in network mail",
        "choose another name",
    ),
}


@pytest.mark.parametrize(("edits", "key", "what", "remedy"), _CASES.values(), ids=_CASES)
def test_one_error_names_key_and_remedy(edits: Edits, key: str, what: str, remedy: str) -> None:
    """The error is at the written name, or at the later network."""
    check_only_problem(edits, key, what, remedy)


def test_one_name_for_things_of_different_kinds() -> None:
    """A network, a container and a volume may have the same name in Docker."""
    parsed(
        (f"{MAIL}.containers.1.name", "web"),
        (f"{MAIL}.load_balancer.acme", {"email": "bob@example.com", "volume": "web"}),
    )


_KEYS = ("].name", "].bridge", ".volume")
_seen: Counter[bool] = Counter()


@given(alike())
@settings(
    max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
def _check_names(raw: Raw) -> None:
    try:
        stack = Stack.parse(raw, "any")
    except ConfigError as error:
        assert all(problem.key.endswith(_KEYS) for problem in error.problems), error
        _seen[False] += 1
        return
    _seen[True] += 1
    for host in plan(stack):
        assert [key for key, count in Counter(_names(host)).items() if count > 1] == []


def test_no_two_things_of_a_host_have_one_name() -> None:
    """Duplicate names are refused; otherwise all names are unique.

    Names are drawn so that both happen often.
    """
    _seen.clear()
    _check_names()
    assert min(_seen[True], _seen[False]) > 30, _seen


def _names(host: HostPlan) -> Iterator[tuple[str, str]]:
    """Yield every name that Docker or the kernel will have on a host, with its kind."""
    yield "interface", host.wan
    if host.ipv6nat is not None:
        yield "container", "ipv6nat"
    for network in host.networks:
        yield "network", network.docker.name
        yield from (("interface", bridge) for bridge in network.owns.bridges.values())
        yield from (("container", each.name) for each in network.containers)
        yield from (("volume", each.name) for each in network.volumes)
        if network.socket is not None:
            yield "network", network.socket.docker.name
            yield "container", network.socket.proxy.name
