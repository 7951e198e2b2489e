"""A host's plan as the planner creates it from stack.yaml, and as the resource's properties."""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from components.host import wanted_plan
from planner.config import Stack
from planner.plan import plan as planned
from providers.host.installed import installed
from providers.host.plan import Plan, properties

STACK = "acme/wanbound/test"
HOST = "edge-1"


@cache
def plan() -> Plan:
    """Return the plan of the host of stack.yaml: networks web, mail and old."""
    return plan_from(_raw())


@cache
def nftables_plan() -> Plan:
    """Return the same plan with nftables."""
    raw = _raw()
    raw["hosts"][0]["firewall"] = "nftables"
    return plan_from(raw)


def _raw() -> dict[str, Any]:
    raw = yaml.safe_load(Path(__file__).with_name("stack.yaml").read_text())
    assert isinstance(raw, dict)
    return raw


def plan_from(raw: Mapping[str, Any]) -> Plan:
    """Return the plan of the only host of a configuration."""
    (host,) = planned(Stack.parse(dict(raw), "test"))
    return wanted_plan(host, STACK, {})


def only(*names: str, of: Plan | None = None) -> Plan:
    """Return the plan with only these networks."""
    whole = plan() if of is None else of
    return replace(whole, networks={name: whole.networks[name] for name in names})


def many(count: int) -> Plan:
    """Return the plan of a host with `count` networks."""
    networks = [
        {
            "name": f"net{n}",
            "load_balancer": {"docker_socket": "direct"},
            "public_ipv4": f"198.18.{n >> 8}.{n & 255}",
            "public_ipv6": f"2001:db8::1:{n + 1:x}",
            "subnet_ipv4": f"10.{n >> 8}.{n & 255}.0/24",
            "subnet_ipv6": f"fd5c:1b2a:77f0:{n + 0x100:x}::/64",
        }
        for n in range(count)
    ]
    host = {
        "name": HOST,
        "ssh": {"address": "192.0.2.1"},
        "wan": {"interface": "wan0"},
        "networks": networks,
    }
    return plan_from({"seed": "many", "hosts": [host]})


def props(of: Plan | None = None, **more: object) -> dict[str, Any]:
    """Return the properties as the engine passes them to the provider: numbers are floats."""
    host = {"name": HOST, "address": "192.0.2.1", "port": 22.0, "user": "root"}
    wanted = plan() if of is None else of
    found = {"host": host, **properties(wanted), "installed": installed(wanted)}
    return stored({**found, **more})


def stored(found: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return properties as the engine stores them: sorted keys, floats for whole numbers."""
    text = json.dumps(found, sort_keys=True)
    kept = json.loads(text, parse_int=float)
    assert isinstance(kept, dict)
    return kept
