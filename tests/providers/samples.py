"""Networks as the planner plans them, and what real hosts printed once they had them.

`captured/stack.yaml` is the configuration, `captured/HOST.state` what `wanbound state` printed on
that host of the lab after it: edge-1 has Docker 20.10 and iptables 1.8.9, edge-2 Docker 28.5 and
iptables 1.8.13. `python -m tests.providers.capture` makes them anew.
"""

from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # its stubs would be one more package for one call

from planner.config import Stack
from planner.plan import HostPlan, plan
from planner.plan import Rules as PlannedRules
from providers.base_fragment import BASE_SECTIONS
from providers.fragment import fragment, subnets
from providers.installed import installed

FOLDER = Path(__file__).parent / "captured"
HOSTS = ("edge-1", "edge-2")

RuleMaps = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Sample:
    """One network: the arguments of a HostNat."""

    host: str
    network: str
    bridge: str
    rules: RuleMaps

    @property
    def fragment(self) -> str:
        """The file that the host keeps for the network."""
        return fragment(self.network, self.bridge, self.rules)

    @property
    def props(self) -> dict[str, Any]:
        """The properties that the engine hands to the provider; it has floats for numbers."""
        host = {"name": self.host, "address": "192.0.2.1", "port": 22.0, "user": "root"}
        rules = {section: dict(lines) for section, lines in self.rules.items()}
        return {
            "host": host,
            "network": self.network,
            "bridge": self.bridge,
            "subnets": subnets(self.rules),
            "installed": installed(),
            **rules,
        }


@cache
def hosts() -> tuple[HostPlan, ...]:
    """Return the plans of the hosts of captured/stack.yaml."""
    raw = yaml.safe_load((FOLDER / "stack.yaml").read_text())
    return plan(Stack.parse(raw, "captured"))


def samples(host: str = "edge-1") -> dict[str, Sample]:
    """Return the networks of a host by name."""
    (found,) = (each for each in hosts() if each.name == host)
    return {
        network.name: Sample(
            host,
            network.name,
            network.bridge,
            {
                field.name: dict(getattr(network.rules, field.name))
                for field in fields(PlannedRules)
            },
        )
        for network in found.networks
    }


def base(host: str = "edge-1") -> RuleMaps:
    """Return what a host wants for itself: the arguments of a HostBase."""
    (found,) = (each.base for each in hosts() if each.name == host)
    return {section: dict(getattr(found, section)) for section in BASE_SECTIONS}


def captured(host: str) -> str:
    """Return what `wanbound state` printed on a real host that has the networks."""
    return (FOLDER / f"{host}.state").read_text()
