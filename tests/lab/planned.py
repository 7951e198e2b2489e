"""Plans for hosts of the lab, and the provider that applies them, without Pulumi."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from components.host import wanted_plan
from lab.api import Host
from planner.config import Stack
from planner.plan import plan as planned_hosts
from providers.host.facts import Facts, parse
from providers.host.plan import Plan, properties
from providers.host.resource import HostNetworkingProvider
from providers.ssh.remote import Remote, remote_at
from providers.ssh.target import target_of

STACK = "organization/wanbound/test"


def numbered(host: Host, networks: Mapping[str, int], **keys: object) -> Plan:
    """Return the plan of a host with networks by name; a network's number determines its addresses.

    No two hosts may share an address: IPv6 would detect the duplicate and not use it. So those of
    test-2 are higher by 100. `keys` are added to the host's configuration.
    """
    raw = {
        "hosts": [
            {
                "name": host.name,
                "ssh": {"address": host.address, "host_key": host.host_key},
                "wan": {"interface": "wan0"},
                "networks": [
                    network(name, number if number > 99 or host.name != "test-2" else number + 100)
                    for name, number in networks.items()
                ],
                **keys,
            }
        ]
    }
    [planned] = planned_hosts(Stack.parse(raw, "test"))
    return wanted_plan(planned, STACK, {})


def network(name: str, number: int) -> dict[str, Any]:
    """Return the configuration of the network with that number."""
    return {
        "name": name,
        "public_ipv4": f"203.0.113.{number}",
        "public_ipv6": f"2001:db8::{number}",
        "subnet_ipv4": f"10.66.{number}.0/24",
        "subnet_ipv6": f"fd66:{number}::/64",
    }


def props(host: Host, plan: Plan, **connection: object) -> dict[str, Any]:
    """Return the resource's properties; `connection` overrides how the host is reached."""
    where = {
        "name": host.name,
        "address": host.address,
        "port": 22,
        "user": "root",
        "host_key": host.host_key,
        **connection,
    }
    reached = {key: value for key, value in where.items() if value is not None}
    return {"host": reached, **properties(plan), "installed": {}}


def bring(host: Host, plan: Plan, **connection: object) -> None:
    """Bring the host to the plan as `pulumi up` does. Raises HostError."""
    HostNetworkingProvider().create(props(host, plan, **connection))


def clear(host: Host, **connection: object) -> None:
    """Remove everything from the host as `pulumi destroy` does. Raises HostError."""
    HostNetworkingProvider().delete(host.name, props(host, Plan(STACK, "wan0", {}), **connection))


def seam(host: Host) -> Remote:
    """Return the host as the providers see it."""
    return remote_at(target_of(props(host, Plan(STACK, "wan0", {}))["host"]))


def facts(host: Host) -> Facts:
    """Return the host's facts, as a refresh reads them. Raises HostError."""
    return parse(seam(host).facts(drift=True), drift=True)


def with_line(plan: Plan, name: str, section: str, role: str, text: str) -> Plan:
    """Return the plan with one more line in a network."""
    own = plan.networks[name]
    lines = {**own.lines, section: {**own.lines.get(section, {}), role: text}}
    return replace(plan, networks={**plan.networks, name: replace(own, lines=lines)})


def without(plan: Plan, names: Iterable[str]) -> Plan:
    """Return the plan without some networks."""
    return replace(plan, networks={k: v for k, v in plan.networks.items() if k not in names})
