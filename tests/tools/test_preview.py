"""A preview in sentences: recorded previews of the real Pulumi, and steps made here."""

import json
from typing import Any

import pytest

from tests.tools.previews import preview
from tools.preview import read


def test_an_address_moves_and_nothing_restarts() -> None:
    """A reviewer looks for this sentence first."""
    found = preview("address")
    assert found.meaning == (
        "`mail` on edge-1 leaves from 203.0.113.21 instead of 203.0.113.20",
        "no container restarts",
    )
    assert found.summary == "1 to update, 15 unchanged"
    assert found.changes


def test_networks_ports_and_containers_come_and_go() -> None:
    """One network replaces another, one port another, and an image is newer."""
    assert preview("containers").meaning == (
        "`jobs` on edge-1 is new, 203.0.113.30",
        "`mail` on edge-1 closes tcp 465 at 203.0.113.20",
        "`mail` on edge-1 opens tcp 587 at 203.0.113.20, to 172.20.0.25",
        "`web` on edge-1 is removed, 203.0.113.10 and 2001:db8::10",
        "edge-1: lines of the host itself change: forward_ipv6",
        "container `postfix` on edge-1 is replaced: it stops and starts again",
        "container `web_lb` on edge-1 is removed",
        "container `web_socket` on edge-1 is removed",
        "Docker network `web-socket` on edge-1 is removed",
        "Docker network `web` on edge-1 is removed",
    )


def test_nothing_changes() -> None:
    """There is no sentence, not even that nothing restarts."""
    found = preview("nothing")
    assert not found.changes
    assert found.meaning == found.errors == ()


def test_a_refused_configuration_is_the_only_error() -> None:
    """Pulumi adds no line that only says that there was an error (`_SHOWN` in __main__.py)."""
    (error,) = preview("refused").errors
    assert error.startswith("The configuration of stack production has 1 problem")
    assert "Fix: give each network an address of its own" in error


@pytest.mark.parametrize(
    ("text", "complaint", "error"),
    [
        ("", "error: no stack named 'x' found\n", "error: no stack named 'x' found"),
        ("", "", "Pulumi printed no preview and no error"),
        ("{}", "error: the plugin has crashed", "error: the plugin has crashed"),
        ("{}", "", "Pulumi ended with an error and named none"),
        ("[]", "", "Pulumi printed no preview and no error"),
    ],
)
def test_a_failure_always_has_an_error(text: str, complaint: str, error: str) -> None:
    """However incomplete it is, a failed preview never counts as one without changes."""
    assert read(text, complaint, failed=True).errors == (error,)


def _network(addresses: dict[str, str], **more: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"owns": {"addresses": addresses, **more.pop("owns", {})}, **more}


def _step(
    kind: str, name: str, op: str, old: dict[str, Any] | None, new: dict[str, Any] | None
) -> dict[str, Any]:
    states = {"oldState": old, "newState": new}
    return {
        "op": op,
        "urn": f"urn:pulumi:s::wanbound::wanbound:index:Host${kind}::{name}",
        **{state: {"inputs": props} for state, props in states.items() if props is not None},
    }


def _meaning(*steps: dict[str, Any]) -> tuple[str, ...]:
    return read(json.dumps({"steps": steps, "changeSummary": {"update": len(steps)}})).meaning


def _host(op: str, old: dict[str, Any] | None, new: dict[str, Any] | None) -> dict[str, Any]:
    return _step("pulumi-python:dynamic/wanbound:HostNetworking", "edge-1", op, old, new)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ({}, {"ipv6": "2001:db8::1"}, "leaves from 2001:db8::1; it had no ipv6"),
        ({"ipv6": "2001:db8::1"}, {}, "no longer leaves from 2001:db8::1"),
        ({}, {"ipv4 192.0.2.1": "192.0.2.1"}, "answers at 192.0.2.1, too"),
        ({"ipv4 192.0.2.1": "192.0.2.1"}, {}, "no longer answers at 192.0.2.1"),
    ],
)
def test_families_and_further_addresses(
    old: dict[str, str], new: dict[str, str], sentence: str
) -> None:
    """A network leaves from one address per family; at further addresses it only answers."""
    found = _meaning(
        _host(
            "update",
            {"networks": {"mail": _network(old)}},
            {"networks": {"mail": _network(new)}},
        )
    )
    assert found[0] == f"`mail` on edge-1 {sentence}"


def test_a_port_that_leads_elsewhere() -> None:
    """It gets another container as target; ranges and all ports are named."""
    old = {"a": "to 192.0.2.1 udp 5000-5010 172.20.0.2", "b": "to 2001:db8::1 tcp 0-65535 fd00::2"}
    new = {"a": "to 192.0.2.1 udp 5000-5010 172.20.0.3", "c": "from 172.20.0.0/24 192.0.2.1"}
    networks = [{"call": _network({}, owns={"flows": flows})} for flows in (old, new)]
    assert _meaning(_host("update", *({"networks": each} for each in networks)))[:2] == (
        "`call` on edge-1 forwards udp 5000-5010 at 192.0.2.1 to 172.20.0.3 instead of 172.20.0.2",
        "`call` on edge-1 closes tcp all ports at 2001:db8::1",
    )


def _at(addresses: dict[str, str], *flows: str) -> dict[str, Any]:
    """Return a host's properties with one network, with these addresses and this ingress."""
    flowing = {str(number): f"to {flow}" for number, flow in enumerate(flows)}
    return {"networks": {"mail": _network(addresses, owns={"flows": flowing})}}


TWO = {"ipv4": "203.0.113.10", "ipv4 203.0.113.11": "203.0.113.11"}


@pytest.mark.parametrize(
    ("at_first", "then", "sentence"),
    [
        ("11", "10", "opens tcp 22 at 203.0.113.10, to 172.20.0.2"),
        ("10", "11", "opens tcp 22 at 203.0.113.11, to 172.20.0.2"),
    ],
)
def test_a_port_opens_at_one_address_while_it_is_open_at_another(
    at_first: str, then: str, sentence: str
) -> None:
    """Each address of a network has its own ports. Closing it there is reported too."""
    first, second = (f"203.0.113.{each} tcp 22-22 172.20.0.2" for each in (at_first, then))
    one, both = _at(TWO, first), _at(TWO, first, second)
    assert _meaning(_host("update", one, both))[0] == f"`mail` on edge-1 {sentence}"
    assert _meaning(_host("update", both, one))[0] == (
        f"`mail` on edge-1 closes tcp 22 at 203.0.113.{then}"
    )


def test_ports_move_with_their_address() -> None:
    """A port with another target is reported, at its new address."""
    old = _at(
        {"ipv4": "203.0.113.20"},
        "203.0.113.20 tcp 25-25 172.20.0.2",
        "203.0.113.20 tcp 465-465 172.20.0.2",
    )
    new = _at(
        {"ipv4": "203.0.113.21"},
        "203.0.113.21 tcp 25-25 172.20.0.2",
        "203.0.113.21 tcp 465-465 172.20.0.3",
    )
    assert _meaning(_host("update", old, new))[:-1] == (
        "`mail` on edge-1 leaves from 203.0.113.21 instead of 203.0.113.20",
        "`mail` on edge-1 forwards tcp 465 at 203.0.113.21 to 172.20.0.3 instead of 172.20.0.2",
    )


def test_a_port_at_an_address_that_the_network_keeps_does_not_move() -> None:
    """The further address becomes the one it leaves from, so open ports have changed."""
    swapped = {"ipv4": "203.0.113.11", "ipv4 203.0.113.10": "203.0.113.10"}
    old = _at(TWO, "203.0.113.10 tcp 25-25 172.20.0.2")
    new = _at(swapped, "203.0.113.11 tcp 25-25 172.20.0.2")
    assert _meaning(_host("update", old, new))[-3:-1] == (
        "`mail` on edge-1 closes tcp 25 at 203.0.113.10",
        "`mail` on edge-1 opens tcp 25 at 203.0.113.11, to 172.20.0.2",
    )


def test_other_lines_are_named_by_their_sections() -> None:
    """A change without its own sentence is still reported."""
    old = {"networks": {"web": _network({}, snat_ipv4={"egress": "1"})}}
    new = {"networks": {"web": _network({}, snat_ipv4={"egress": "2"})}}
    assert _meaning(_host("update", old, new))[0] == (
        "`web` on edge-1: other lines change: snat_ipv4"
    )


def test_lines_that_follow_from_the_networks_are_not_the_hosts() -> None:
    """The early return of other connections changes with the networks' addresses."""
    networks = {"web": _network({}, snat_ipv4={"egress": "1"})}
    old = {"networks": networks, "own": {"snat_ipv4": {"others": "1"}}}
    new = {"networks": {}, "own": {"snat_ipv4": {"others": "2"}}}
    assert "lines of the host" not in "".join(_meaning(_host("update", old, new)))
    assert "lines of the host" not in "".join(_meaning(_host("update", old, {"networks": {}})))


def test_what_belongs_to_the_host() -> None:
    """The host's lines, the script, manual changes and the removal."""
    old = {"own": {"input_ipv4": {"a": "1"}}, "installed": {"script": "1"}, "drift": {"x": "y"}}
    new = {"own": {"input_ipv4": {"a": "2"}}, "installed": {"script": "2"}}
    assert _meaning(_host("update", old, new)) == (
        "edge-1: lines of the host itself change: input_ipv4",
        "edge-1: the script of wanbound there is replaced by this version's",
        "edge-1: manual changes on the host are reverted",
        "no container restarts",
    )
    assert _meaning(_host("delete", old, None))[0] == (
        "edge-1: wanbound removes everything that it has there"
    )


@pytest.mark.parametrize(
    ("effect", "restarts"),
    [
        ("Docker restarts, and with it 7 containers stop and start again", True),
        ("not known before the host answers: it cannot be reached", True),
        ("installs conntrack from the distribution, then sets ipv6", True),
        ("Docker reloads it; no container stops", False),
        ("Docker is started", False),
        ("none: Docker already has these settings", False),
    ],
)
def test_docker_itself(effect: str, restarts: bool) -> None:
    """A restart of Docker, even a possible one, also stops containers that are not resources."""
    step = _step(
        "pulumi-python:dynamic/wanbound:DockerEngine", "edge-1", "update", {}, {"effect": effect}
    )
    found = _meaning(step)
    assert found[0] == f"edge-1: {effect}"
    assert ("no container restarts" in found) is not restarts


@pytest.mark.parametrize(
    ("new", "sentence"),
    [
        (None, "the old daemon.json is restored; whether Docker restarts for it is not known yet"),
        ({}, "whether Docker restarts is not known yet"),
        ({"effect": None}, "whether Docker restarts is not known yet"),
    ],
)
def test_docker_without_an_effect(new: dict[str, Any] | None, sentence: str) -> None:
    """The preview of a removal does not contact the host."""
    kind = "pulumi-python:dynamic/wanbound:DockerEngine"
    old = {"effect": "none: Docker already has these settings"}
    step = _step(kind, "edge-1", "delete" if new is None else "update", old, new)
    assert _meaning(step) == (f"edge-1: {sentence}",)


def test_a_volume_that_goes_is_said_in_bold() -> None:
    """Its data is removed too."""
    step = _step("docker:index/volume:Volume", "edge-1/volume/db", "delete", {"name": "db"}, None)
    assert _meaning(step) == ("volume `db` on edge-1 is removed, **with its data**",)


def test_the_steps_of_a_replacement_are_one_sentence() -> None:
    """Pulumi may list a replacement as up to three steps."""
    steps = [
        _step("docker:index/container:Container", "edge-1/container/a", op, {"name": "a"}, {})
        for op in ("create-replacement", "replace", "delete-replaced")
    ]
    assert len(_meaning(*steps)) == 1
