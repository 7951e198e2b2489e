"""The snippet of a compose file: the golden files, and what must hold for every snippet."""

import re
from difflib import unified_diff
from ipaddress import ip_address
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from cli import compose
from cli.stack_file import StackFileError
from planner.config import Stack
from planner.plan import plan
from tests.cli import golden
from tests.pages import DOCS, steps
from tests.planner.golden import config
from tests.planner.samples import MAIL, parsed
from tests.planner.strategies import Raw, stacks

PAIR = {"ipv4": "172.20.2.25", "ipv6": "fd5c:1b2a:77f0:2::25"}
TO_PAIR = (f"{MAIL}.ingress", [{"ports": [25], "to": PAIR}])


def _read(stack: Stack, network: str, *names: str, **options: Any) -> Any:  # noqa: ANN401 - YAML
    host = stack.hosts[0].name
    return yaml.safe_load(compose.snippet(stack, host, network, names or ("app",), **options))


@pytest.mark.parametrize("name", golden.SNIPPETS)
def test_the_snippet_is_the_golden_one(name: str) -> None:
    """`python -m tests.cli.golden` updates it after a wanted change."""
    expected = golden.path(name, "compose.yaml").read_text().splitlines()
    difference = unified_diff(expected, golden.snippet(name).splitlines(), "golden", "now", "", "")
    assert not (text := "\n".join(difference)), text


@given(stacks())
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
def test_every_snippet_is_yaml_with_free_addresses(raw: Raw) -> None:
    """The network is joined by its Docker name, at addresses that nothing in the stack has."""
    stack = Stack.parse(raw, "any")
    for host, planned in zip(stack.hosts, plan(stack), strict=True):
        for network, its_plan in zip(host.networks, planned.networks, strict=True):
            text = compose.snippet(stack, host.name, network.name, ["a", "b"], "db", default=True)
            found = yaml.safe_load(text)
            assert found["networks"].pop(network.name) == {"external": True, "name": network.name}
            assert list(found["networks"].values()) == [{"internal": True}]
            assert set(found["services"]["db"]["networks"]) == set(found["networks"])
            taken = [each for c in its_plan.containers for each in (c.ipv4, c.ipv6)]
            taken += [str(family.gateway) for family in network.families]
            for service in ("a", "b"):
                joined = found["services"][service]["networks"][network.name]
                assert joined.pop("gw_priority") == 1
                assert len(joined) == len(network.families)
                for family in network.families:
                    address = joined[f"ipv{family.version}_address"]
                    assert ip_address(address) in family.subnet
                    assert address not in taken
                    taken.append(address)


def test_the_pair_of_an_ingress_is_the_services_address() -> None:
    """Ports are forwarded there, so it must have this address."""
    services = _read(parsed(TO_PAIR), "mail", "mta", "other")["services"]
    expected = {"ipv4_address": PAIR["ipv4"], "ipv6_address": PAIR["ipv6"]}
    assert services["mta"]["networks"] == {"mail": expected}
    assert services["other"]["networks"]["mail"]["ipv4_address"] != PAIR["ipv4"]


def test_every_pair_has_a_service() -> None:
    """Ports of a pair without a service would be forwarded to nothing."""
    six = "fd5c:1b2a:77f0:2::26"
    second = {"ports": [993], "to": {"ipv4": "172.20.2.26", "ipv6": six}}
    stack = parsed((f"{MAIL}.ingress", [{"ports": [25], "to": PAIR}, second]))
    services = _read(stack, "mail", "mta")["services"]
    assert services["mta-2"]["networks"]["mail"]["ipv6_address"] == six


@pytest.mark.parametrize(
    ("names", "database", "last", "expected"),
    [
        (["app"], "app-2", 26, ["app", "app-3", "app-2"]),
        (["app-2", "app"], None, 27, ["app-2", "app", "app-3"]),
    ],
)
def test_a_service_for_a_pair_has_a_name_of_its_own(
    names: list[str], database: str | None, last: int, expected: list[str]
) -> None:
    """With two services of one name, compose refuses the file and YAML drops the first."""
    pairs = [
        {"ports": [port], "to": {"ipv4": f"172.20.2.{port}", "ipv6": f"fd5c:1b2a:77f0:2::{port}"}}
        for port in range(25, last + 1)
    ]
    stack = parsed((f"{MAIL}.ingress", pairs))
    text = compose.snippet(stack, "edge-1", "mail", names, database)
    before_networks = text.partition("\nnetworks:")[0]
    assert re.findall(r"(?m)^  ([\w-]+):$", before_networks) == expected


def test_the_address_of_a_service_depends_on_its_name_alone() -> None:
    """In two compose files for one network, services get different addresses in any order."""
    one = _read(parsed(), "mail", "shop")["services"]["shop"]["networks"]
    again = _read(parsed(), "mail", "blog", "shop")["services"]
    assert again["shop"]["networks"] == one
    assert again["blog"]["networks"] != one


_BALANCER: dict[str, object] = {"ports": [80, 443]}
_RANGE: dict[str, object] = {"ports": ["444-65535"], "to": "turn"}
_ELSEWHERE: dict[str, object] = {"ports": "all", "to": "turn", "addresses": ["203.0.113.99"]}
_8443: dict[str, object] = {"ports": [8443], "to": "turn"}
INGRESS: dict[str, tuple[bool, list[dict[str, object]] | None, list[dict[str, object]], str]] = {
    "no load balancer": (False, None, [], "To forward ports here, add"),
    "no load balancer, 443 taken": (
        False, [{"ports": [443], "to": "turn"}], [{"ports": [443], "to": "turn"}], "ports: [8443]"),
    "the default": (True, None, [], "Traefik gets all TCP. To forward a port here, write both"),
    "all, written": (True, [{"ports": "all"}], [], "Traefik gets all TCP."),
    "Traefik's ports": (True, [_BALANCER], [_BALANCER], "To forward other ports here, add"),
    "8443 taken": (True, [_BALANCER, _8443], [_BALANCER, _8443], "ports: [8444]"),
    "8443 at another address": (
        True, [_BALANCER, _ELSEWHERE], [_BALANCER, _ELSEWHERE], "ports: [8443]"),
    "all to a container": (
        False,
        [{"ports": "all", "to": "turn"}],
        [{"ports": [25], "to": "turn"}],
        "An entry of the network's ingress has TCP port 8443 already",
    ),
    "all others to a container": (
        True, [_BALANCER, _RANGE], [_BALANCER], "has TCP port 8443 already"),
    "all with ranges": (
        True,
        [{"ports": "all", "from": ["198.51.100.0/24", "2001:db8:77::/48"]}],
        [{"ports": [443], "from": ["198.51.100.0/24", "2001:db8:77::/48"]}],
        "has TCP port 8443 already",
    ),
}  # fmt: skip
"""Load balancer, ingress, what stays of that with the offer, and words of the offer."""


@pytest.mark.parametrize("case", INGRESS)
def test_a_written_address_is_what_the_ingress_takes(case: str) -> None:
    """The planner accepts the entries that a comment offers."""
    balancer, ingress, kept, words = INGRESS[case]
    off = [] if balancer else [(f"{MAIL}.load_balancer", False)]
    stack = parsed(*off, *([] if ingress is None else [(f"{MAIL}.ingress", ingress)]))
    text = compose.snippet(stack, "edge-1", "mail", ["app"])
    offer = [line.strip("# ") for line in text.splitlines() if "# - {" in line]
    assert words in re.sub(r"\s+#?\s*", " ", text)
    entries = yaml.safe_load("\n".join(offer))
    moved = parsed(*off, (f"{MAIL}.ingress", [*kept, *entries]))
    joined = _read(moved, "mail")["services"]["app"]["networks"]["mail"]
    assert joined == _read(stack, "mail")["services"]["app"]["networks"]["mail"]


def test_a_traefik_that_gets_no_port_is_told() -> None:
    """Labels alone would not bring a request to the service."""
    told = "forwards no port to Traefik"
    assert told in compose.snippet(parsed(TO_PAIR), "edge-1", "mail", ["app"])
    assert told not in compose.snippet(parsed(), "edge-1", "mail", ["app"])
    off = parsed(TO_PAIR, (f"{MAIL}.load_balancer", False))
    assert told not in compose.snippet(off, "edge-1", "mail", ["app"])


@pytest.mark.parametrize("name", ["on", "123", "1e3", "null", "2024-13-45", "2024-01-02"])
def test_a_name_stays_text(name: str) -> None:
    """YAML reads some words as other types."""
    assert name in _read(parsed(), "mail", name)["services"]


REFUSED: dict[str, tuple[tuple[str, str, list[str]], str, str]] = {
    "an unknown host": (("edge-9", "mail", ["app"]), "no host edge-9", "edge-1, edge-2"),
    "an unknown network": (("edge-1", "mial", ["app"]), "no network mial", "web, mail"),
    "a service that ends its line": (("edge-1", "mail", ["a: b\n"]), "not a service name", "shop"),
    "one name twice": (("edge-1", "mail", ["a", "a"]), "one name", "name each once"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_with_what_can(case: str) -> None:
    """The error lists what the stack has."""
    words, what, remedy = REFUSED[case]
    with pytest.raises(StackFileError) as error:
        compose.snippet(parsed(), *words)
    first, _, rest = str(error.value).partition("\n")
    assert what in first
    assert remedy in rest


def test_a_full_network_is_named() -> None:
    """Docker would refuse the container only after its image was pulled."""
    raw = config("ipv4-only")
    network = raw["hosts"][0]["networks"][0]
    network.update(subnet_ipv4="172.20.1.0/29", load_balancer=False)
    names = [f"s{number}" for number in range(6)]
    with pytest.raises(StackFileError, match=r"is full: 172\.20\.1\.0/29 has no free address"):
        compose.snippet(Stack.parse(raw, "t"), "edge-1", network["name"], names)


@pytest.mark.parametrize("page", ["compose.md", "migrate.md"])
def test_the_pages_have_what_the_command_prints(page: str) -> None:
    """The page's stack file gives the page's snippets."""
    files = {step.where: step.text for step in steps(page) if step.kind == "file"}
    keys = yaml.safe_load(files["stacks/Pulumi.myserver.yaml"])["config"]
    stack = Stack.parse({key.removeprefix("wanbound:"): keys[key] for key in keys}, "myserver")
    shop = compose.snippet(stack, "myserver", "web", ["shop"], "db")
    mail = compose.snippet(stack, "myserver", "mail", ["mailserver"])
    assert files["shop/compose.override.yaml"] == shop
    assert files["mail/compose.override.yaml"] == mail


def test_the_pages_name_the_commands_of_their_snippets() -> None:
    """Each command is followed by the file that it prints."""
    for page in ("compose.md", "migrate.md"):
        text = " ".join((DOCS / page).read_text().split())
        assert "./wanbound compose myserver myserver web --service shop --database db" in text
        assert "./wanbound compose myserver myserver mail --service mailserver" in text
