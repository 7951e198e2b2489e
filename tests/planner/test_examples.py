"""The example stacks are valid, and so are the keys that are commented out in them.

They are YAML files of Pulumi's: the keys after `wanbound:` are below `config`.
"""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from planner.config import Stack
from planner.plan import plan
from planner.rule import sections

FOLDER = Path(__file__).parent.parent.parent / "stacks"
STACKS = sorted(FOLDER.glob("Pulumi.*.yaml"))


def _config(text: str) -> dict[str, Any]:
    found = yaml.safe_load(text)["config"]
    return {key.removeprefix("wanbound:"): value for key, value in found.items()}


def test_there_are_a_demo_a_starter_and_both_recipes() -> None:
    """Without these files the tests below would pass without testing anything."""
    assert {"demo", "starter", "example-dual-stack", "example-single-ip"} <= {
        path.name.split(".")[1] for path in STACKS
    }


@pytest.mark.parametrize("path", STACKS, ids=lambda path: path.name)
def test_a_stack_is_valid_as_it_is(path: Path) -> None:
    """An example must work without corrections."""
    assert plan(Stack.parse(_config(path.read_text()), path.name))


@pytest.mark.parametrize("path", STACKS, ids=lambda path: path.name)
def test_what_stands_there_as_a_comment_is_valid_too(path: Path) -> None:
    """Every `# key: value` is uncommented, and the secret that one of them names is set."""
    text = re.sub(r"(?m)^( *)# ([A-Za-z_]+: \S.*)$", _taken_in, path.read_text())
    config = _config(text)
    given = {"dkim": "[secret]", "dashboard": "{SHA}" + "a" * 27 + "="}
    config["secrets"] = {**given, **config.get("secrets", {})}
    assert plan(Stack.parse(config, path.name))


_KEYS = (
    "open",
    "confirm_seconds",
    "persist",
    "adopt",
    "manage_addresses",
    "DKIM_PRIVATE_KEY",
    "domain",
    "dashboard",
)


def _taken_in(found: re.Match[str]) -> str:
    indent, line = found.groups()
    return f"{indent}{line}" if line.split(":")[0] in _KEYS else found.group()


def test_the_first_recipe_is_closed_and_has_its_routes() -> None:
    """The recipe has gateways of both families, and closes INPUT and IPv6 FORWARD."""
    raw = _config((FOLDER / "Pulumi.example-dual-stack.yaml").read_text())
    (host,) = plan(Stack.parse(raw, "example"))
    wanted = sections(host.wanted)
    assert list(wanted["routes"].values()) == [
        "default via 203.0.113.1 dev wan0",
        "default via fe80::1 dev wan0",
    ]
    assert wanted["input_ipv4"]["strangers"].endswith("-j DROP")
    assert wanted["input_ipv6"]["strangers"].endswith("-j DROP")
    assert wanted["forward_ipv6"]


def test_the_demo_leaves_the_host_alone() -> None:
    """The lab's hosts have their own routes."""
    hosts = plan(Stack.parse(_config((FOLDER / "Pulumi.demo.yaml").read_text()), "demo"))
    roles = {"clear", "set", "marked"}
    assert [{each.role for each in host.wanted} for host in hosts] == [roles, roles]


def test_the_starter_leaves_the_host_alone_and_needs_public_images_alone() -> None:
    """It sets no route, parameter, port or daemon.json, and needs no image to be built."""
    raw = _config((FOLDER / "Pulumi.starter.yaml").read_text())
    (host,) = plan(Stack.parse(raw, "starter"))
    assert {each.role for each in host.wanted} == {"clear", "set", "marked"}
    assert (host.engine, host.persist, host.ipv6nat, host.adopt) == (None, None, None, False)
    assert len(host.networks) == 2
    assert all(network.check is None for network in host.networks)
    containers = [each for network in host.networks for each in network.containers]
    containers += [network.socket.proxy for network in host.networks if network.socket]
    assert sorted(each.image for each in containers) == ["haproxy:3.2", "traefik:v3.7"]


def test_the_first_recipe_says_what_it_changes_on_the_host() -> None:
    """Its head names each key that changes the host itself, also the one that restarts Docker."""
    text = (FOLDER / "Pulumi.example-dual-stack.yaml").read_text()
    head = text.partition("\nconfig:")[0]
    (host,) = _config(text)["hosts"]
    own = [key for key in ("baseline", "engine") if key in host]
    own += [f"wan.{key}" for key in host["wan"] if key.startswith("gateway_")]
    assert len(own) == 4
    assert [key for key in own if f"`{key}`" not in head] == []
