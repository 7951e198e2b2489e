"""Docker networks that were created manually: which equal the plan, and the errors otherwise."""

import copy
import json
from dataclasses import replace
from typing import Any

import pytest

from planner.config import Engine, Stack
from planner.docker import with_defaults
from planner.errors import Problem
from planner.plan import HostPlan, plan
from planner.takeover import HostFindings, Same, Takeover, findings, takeover
from tests.planner import golden

ID = "ab" * 32
OPTION = "com.docker.network"
INSPECTED: dict[str, Any] = {
    # As Docker 28 prints it; 20.10 has neither EnableIPv4 nor ConfigOnly.
    "Name": "web",
    "Id": ID,
    "Created": "2026-11-23T08:01:28.622510789Z",
    "Scope": "local",
    "Driver": "bridge",
    "EnableIPv4": True,
    "EnableIPv6": True,
    "IPAM": {
        "Driver": "default",
        "Options": {},
        "Config": [
            {"Subnet": "172.16.0.0/24", "Gateway": "172.16.0.1"},
            {"Subnet": "fd5c:1b2a:77f0:10::/64", "Gateway": "fd5c:1b2a:77f0:10::1"},
        ],
    },
    "Internal": False,
    "Attachable": False,
    "Ingress": False,
    "ConfigFrom": {"Network": ""},
    "ConfigOnly": False,
    "Containers": {},
    "Options": {
        f"{OPTION}.bridge.name": "web",
        f"{OPTION}.bridge.enable_ip_masquerade": "false",
        f"{OPTION}.container_iface_prefix": "vweb",
        f"{OPTION}.bridge.host_binding_ipv4": "172.16.0.1",
        f"{OPTION}.bridge.host_binding_ipv6": "fd5c:1b2a:77f0:10::1",
    },
    "Labels": {},
}


@pytest.fixture(scope="module")
def host() -> HostPlan:
    """One network called web, with a load balancer, a whoami and containers."""
    [planned] = plan(Stack.parse(golden.config("containers"), "test"))
    return planned


def by_hand(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """The matching network, with changes."""
    found = copy.deepcopy(INSPECTED)
    for key, value in changes.items():
        found[key] = value
    return found


def option(name: str, value: str | None) -> dict[str, str]:
    """The Options with one value changed or removed."""
    options = {**INSPECTED["Options"], f"{OPTION}.{name}": value}
    return {key: text for key, text in options.items() if text is not None}


def ipam(*config: dict[str, str], **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """An IPAM with these subnets."""
    return {"Driver": "default", "Options": {}, "Config": list(config), **more}


def asked(
    host: HostPlan,
    *networks: dict[str, Any],
    containers: tuple[str, ...] = (),
    managed: tuple[str, ...] = (),
) -> Takeover:
    """The result for a host that has these networks."""
    found: HostFindings = findings(json.dumps(networks), containers, managed)
    return takeover(host, 3, found)


def one_problem(result: Takeover) -> Problem:
    """The only problem; a host with a problem takes over nothing."""
    [problem] = result.problems
    return problem


def test_the_same_network_is_taken_over(host: HostPlan) -> None:
    """It is known by its id; it has no label, and never gets one."""
    assert asked(host, by_hand()) == Takeover({"web": Same(ID, by_hand=True)}, ())


def test_an_older_engine_says_less(host: HostPlan) -> None:
    """Docker 20.10 does not report IPv4, and has null for empty values."""
    older = by_hand(Labels=None, Containers=None)
    older["IPAM"]["Options"] = None
    for key in ("EnableIPv4", "ConfigOnly"):
        del older[key]
    assert asked(host, older).same == {"web": Same(ID, by_hand=True)}


def test_order_attachable_and_other_labels_are_no_difference(host: HostPlan) -> None:
    """Subnets have no order; Attachable matters only in a swarm, other labels do not matter."""
    other = by_hand(Attachable=True, Labels={"made": "by me"})
    other["IPAM"]["Config"].reverse()
    assert asked(host, other).same == {"web": Same(ID, by_hand=True)}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bridge.enable_ip_masquerade", "true"),
        ("bridge.enable_ip_masquerade", None),
        ("container_iface_prefix", None),
        ("container_iface_prefix", "eth"),
        ("driver.mtu", "1400"),
    ],
)
def test_what_no_guarantee_needs_is_no_difference(
    host: HostPlan, name: str, value: str | None
) -> None:
    """Networks created by compose differ in these, and their containers may stay."""
    by_compose = by_hand(
        Options=option(name, value), Labels={"com.docker.compose.network": "default"}
    )
    assert asked(host, by_compose).same == {"web": Same(ID, by_hand=True)}


@pytest.mark.parametrize(
    ("value", "differs"), [("routed", False), (None, False), ("nat", True), ("isolated", True)]
)
def test_an_option_that_daemon_json_gives_must_have_its_value(
    host: HostPlan, value: str | None, differs: bool
) -> None:
    """A network without it is older than the setting."""
    given = {"bridge": {f"{OPTION}.bridge.gateway_mode_ipv4": "routed"}}
    engine = Engine(settings={"default-network-opts": given})
    [network] = host.networks
    wanted = replace(network, docker=with_defaults(network.docker, engine))
    there = by_hand(Options=option("bridge.gateway_mode_ipv4", value))
    found = asked(replace(host, networks=(wanted,)), there)
    assert bool(found.problems) == differs
    assert ("web" in found.same) != differs


def test_our_own_network_is_the_same_and_not_by_hand(host: HostPlan) -> None:
    """With a state nothing changes; if the state was lost, the network is imported again."""
    ours = by_hand(Labels={"wanbound": "edge-1/web"})
    assert asked(host, ours) == Takeover({"web": Same(ID, by_hand=False)}, ())


def test_a_host_without_networks_has_nothing_to_take_over(host: HostPlan) -> None:
    """Networks with other names are not taken over either."""
    assert asked(host) == Takeover({}, ())
    other = by_hand(Name="other", Options={}, IPAM=ipam({"Subnet": "172.31.0.0/16"}))
    assert asked(host, other) == Takeover({}, ())


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"Driver": "macvlan"}, 'driver: host "macvlan", stack "bridge"'),
        ({"Scope": "swarm"}, 'scope: host "swarm", stack "local"'),
        ({"EnableIPv4": False}, "ipv4: host false, stack true"),
        ({"EnableIPv6": False}, "ipv6: host false, stack true"),
        ({"Internal": True}, "internal: host true, stack false"),
        ({"Ingress": True}, "ingress: host true, stack false"),
        ({"ConfigOnly": True}, "config-only: host true, stack false"),
        ({"Options": option("bridge.name", "br0")}, '(bridge): host "br0", stack "web"'),
        (
            {"Options": option("bridge.host_binding_ipv4", "203.0.113.10")},
            'reached past ingress): host "203.0.113.10", stack "172.16.0.1"',
        ),
        (
            {"Options": option("bridge.host_binding_ipv6", None)},
            "host_binding_ipv6 (a port that a container publishes would be reached past ingress):"
            ' host has none, stack "fd5c:1b2a:77f0:10::1"',
        ),
        (
            {"Options": option("bridge.gateway_mode_ipv4", "routed")},
            'gateway_mode_ipv4: host "routed", stack has none',
        ),
        (
            {"Options": option("container_interface_prefix", "vweb")},
            'container_interface_prefix: host "vweb", stack has none',
        ),
        (
            {"IPAM": ipam(INSPECTED["IPAM"]["Config"][1])},
            "subnet 172.16.0.0/24: only in the stack (subnet_ipv4)",
        ),
        (
            {"IPAM": ipam(*INSPECTED["IPAM"]["Config"], {"Subnet": "172.30.0.0/24"})},
            "subnet 172.30.0.0/24: only on the host",
        ),
        (
            {"IPAM": ipam({"Subnet": "172.16.0.1/24"}, INSPECTED["IPAM"]["Config"][1])},
            "subnet 172.16.0.1/24: only on the host",
        ),
        (
            {
                "IPAM": ipam(
                    {"Subnet": "172.16.0.0/24", "Gateway": "172.16.0.9"},
                    INSPECTED["IPAM"]["Config"][1],
                )
            },
            'gateway of 172.16.0.0/24: host "172.16.0.9", stack "172.16.0.1"',
        ),
        (
            {"IPAM": ipam({"Subnet": "172.16.0.0/24"}, INSPECTED["IPAM"]["Config"][1])},
            "gateway of 172.16.0.0/24: not recorded on the host",
        ),
        (
            {
                "IPAM": ipam(
                    {**INSPECTED["IPAM"]["Config"][0], "IPRange": "172.16.0.128/25"},
                    INSPECTED["IPAM"]["Config"][1],
                )
            },
            "IPRange of 172.16.0.0/24: only on the host",
        ),
        (
            {"IPAM": ipam(*INSPECTED["IPAM"]["Config"], Driver="other")},
            'ipam driver: host "other", stack "default"',
        ),
    ],
)
def test_each_difference_is_named(host: HostPlan, changes: dict[str, Any], line: str) -> None:
    """The error has the key, the containers that would be removed, and the remedy."""
    inside = {"1": {"Name": "app", "IPv4Address": "172.16.0.9/24", "IPv6Address": ""}}
    result = asked(host, by_hand(**changes, Containers=inside), containers=("app",))
    assert result.same == {}
    problem = one_problem(result)
    assert line in problem.what
    assert problem.key == "wanbound:hosts[3].networks[0]"
    assert problem.where == "host edge-1, network web"
    assert "(app)" in problem.why
    assert "docker network rm web" in problem.remedy


def test_a_network_of_ours_that_is_another_is_left_to_pulumi(host: HostPlan) -> None:
    """Its label or the host's rules (after an earlier takeover) say so: Pulumi replaces it."""
    different = {"Options": option("bridge.name", "old")}
    labelled = by_hand(**different, Labels={"wanbound": "edge-1/web"})
    assert asked(host, labelled) == Takeover({}, ())
    assert asked(host, by_hand(**different), managed=("web",)) == Takeover({}, ())
    assert len(asked(host, by_hand(**different), managed=("mail",)).problems) == 1


def test_another_stacks_network_is_not_taken_over(host: HostPlan) -> None:
    """Even an equal one: each stack would revert the other's changes."""
    problem = one_problem(asked(host, by_hand(Labels={"wanbound": "edge-9/web"})))
    assert 'as "edge-9/web"' in problem.what


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"IPAM": ipam({"Subnet": "172.16.0.128/25"})}, "has 172.16.0.0/24 already"),
        ({"IPAM": ipam({"Subnet": "172.16.0.0/16"})}, "has 172.16.0.0/24 already"),
        ({"IPAM": ipam({"Subnet": "fd5c::/16"})}, "has fd5c:1b2a:77f0:10::/64 already"),
        ({"IPAM": ipam(), "Options": option("bridge.name", "web")}, "has the bridge web already"),
    ],
)
def test_what_docker_would_refuse_is_told_before(
    host: HostPlan, other: dict[str, Any], words: str
) -> None:
    """Another network has the bridge or part of the subnets."""
    theirs = by_hand(**{"Options": {}, **other}, Name="theirs")
    problem = one_problem(asked(host, theirs))
    assert words in problem.what
    assert "docker network rm theirs" in problem.remedy
    # A network of ours that is no longer planned is removed by the same run, or at least was not
    # created manually.
    assert asked(host, {**theirs, "Labels": {"wanbound": "edge-1/theirs"}}).problems == ()
    assert asked(host, theirs, managed=("theirs",)).problems == ()


def test_containers_in_the_way_are_told_before(host: HostPlan) -> None:
    """Names and addresses of the network's containers, at its first takeover only."""
    planned = {each.name: each for each in host.networks[0].containers}
    address = planned["web_lb"].ipv4
    inside = {"1": {"Name": "web_lb", "IPv4Address": f"{address}/24", "IPv6Address": ""}}
    result = asked(host, by_hand(Containers=inside), containers=("web_lb", "app", "else"))
    assert [(each.key.rpartition(".")[2], each.what) for each in result.problems] == [
        ("load_balancer", "a container web_lb, created manually, already exists"),
        (
            "load_balancer",
            f"the container web_lb, created manually, has {address}, which is planned for web_lb",
        ),
        ("containers", "a container app, created manually, already exists"),
    ]
    assert "`docker rename web_lb web_lb-by-hand`" in result.problems[0].remedy
    again = asked(host, by_hand(Containers=inside), containers=("web_lb",), managed=("web",))
    assert again.problems == ()


def test_what_a_host_says_cannot_write_on_the_terminal(host: HostPlan) -> None:
    """Escape sequences in names and values are printed as codes."""
    evil = by_hand(Options={"\x1b[2Jkey": "\x1b]0;x\x07"})
    text = str(one_problem(asked(host, evil)))
    assert "\x1b" not in text
    assert r"\x1b[2Jkey" in text
    theirs = by_hand(Name="x'; reboot #", Options={})
    assert r"`docker network rm 'x'\''; reboot #'`" in str(one_problem(asked(host, theirs)))


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "no JSON",
        "{}",
        "[1]",
        '[{"Name": "web"}]',
        json.dumps([{**INSPECTED, "Id": "../../x"}]),
        json.dumps([{**INSPECTED, "EnableIPv6": "yes"}]),
        json.dumps([{**INSPECTED, "IPAM": None}]),
        "[" * 100_000,
    ],
)
def test_what_no_engine_says_is_an_error(answer: str) -> None:
    """The error says what is wrong; the answer never counts as "there is no such network"."""
    with pytest.raises(ValueError, match="docker network inspect: "):
        findings(answer, (), ())
