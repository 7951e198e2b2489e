"""The wanted state of a host, as properties of its resource and as JSON on the host. Pure.

A host keeps the plan of each generation as JSON beside the files that were composed from it. So a
later run has the host's state as data: the owner of each bridge, subnet and address, and the role
of each line. The text of a rule is never parsed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from ipaddress import ip_network
from typing import Any, TypeAlias

Lines: TypeAlias = Mapping[str, Mapping[str, str]]
"""Section → role → line. A section is one chain (`snat_ipv4`, `chain egress-mail`), one map of the
guard (`map from`), or addresses, links, routes, sysctls."""

Order: TypeAlias = Mapping[str, Mapping[str, int]]
"""Section → role → place in the section, where it is not 0."""

_OWNS = ("bridges", "subnets", "addresses", "flows")


@dataclass(frozen=True)
class Network:
    """One network: what belongs to it alone, by role, and its lines; planner/rule.py has more."""

    name: str
    bridges: Mapping[str, str]
    subnets: Mapping[str, str]
    addresses: Mapping[str, str]
    lines: Lines
    order: Order = field(default_factory=dict)
    flows: Mapping[str, str] = field(default_factory=dict)

    @property
    def properties(self) -> dict[str, Any]:
        """The network as a property of the resource; `network_of` reads it."""
        owns = {name: dict(getattr(self, name)) for name in _OWNS}
        lines = {section: dict(roles) for section, roles in self.lines.items()}
        order = {section: dict(roles) for section, roles in self.order.items()}
        return {"owns": owns, **({"order": order} if order else {}), **lines}


@dataclass(frozen=True)
class Plan:
    """All of a host. `leaving` are networks that are no longer wanted but still exist.

    `wan` is the interface of the public addresses; `persist` is "iptables-files" where a copy of
    the rules is kept in /etc/iptables; `metrics` is the file to which the host writes its counters.
    `taken_over` has the ids of Docker networks that were
    created manually and are kept, by network.
    """

    stack: str
    wan: str
    networks: Mapping[str, Network]
    lines: Lines = field(default_factory=dict)
    order: Order = field(default_factory=dict)
    persist: str | None = None
    metrics: str | None = None
    taken_over: Mapping[str, str] = field(default_factory=dict)
    leaving: tuple[Network, ...] = ()

    @property
    def all_networks(self) -> tuple[Network, ...]:
        """The networks that are wanted, then those that are leaving."""
        return (*self.networks.values(), *self.leaving)

    @property
    def firewall(self) -> str:
        """What the wanted networks are translated with: "iptables" or "nftables"."""
        sections = {section for each in self.networks.values() for section in each.lines}
        return "iptables" if sections & {"snat_ipv4", "snat_ipv6"} else "nftables"

    @property
    def bridges(self) -> dict[str, str]:
        """The name of the network by bridge, of all networks."""
        return {bridge: each.name for each in self.all_networks for bridge in each.bridges.values()}


NOTHING = Plan("", "", {})
"""The plan of a host that belongs to no stack."""


def network_of(name: str, props: Mapping[str, Any]) -> Network:
    """Return a network from the property that `Network.properties` makes."""
    owns = props["owns"]
    lines = {key: roles for key, roles in props.items() if key not in ("owns", "order")}
    found = {part: _texts(owns.get(part)) for part in _OWNS}
    return Network(name, **found, lines=_lines(lines), order=_order(props.get("order")))


def plan_of(props: Mapping[str, Any]) -> Plan:
    """Return the plan that the properties of a host's resource stand for."""
    own = {**(props.get("own") or {})}
    order = own.pop("order", None)
    return Plan(
        stack=props["stack"],
        wan=props["wan"],
        networks={
            name: network_of(name, network)
            for name, network in sorted((props.get("networks") or {}).items())
        },
        lines=_lines(own),
        order=_order(order),
        persist=props.get("persist"),
        metrics=props.get("metrics"),
        taken_over=_texts(props.get("taken_over")),
    )


def properties(plan: Plan) -> dict[str, Any]:
    """Return the properties that `plan_of` reads, without the networks that are leaving."""
    own: dict[str, Any] = {section: dict(roles) for section, roles in plan.lines.items()}
    if plan.order:
        own["order"] = {section: dict(roles) for section, roles in plan.order.items()}
    found: dict[str, Any] = {
        "stack": plan.stack,
        "wan": plan.wan,
        "networks": {name: each.properties for name, each in plan.networks.items()},
    }
    if own:
        found["own"] = own
    for name in ("persist", "metrics"):
        if (value := getattr(plan, name)) is not None:
            found[name] = value
    if plan.taken_over:
        found["taken_over"] = dict(plan.taken_over)
    return found


def to_json(plan: Plan) -> str:
    """Return the plan as one line of JSON."""
    leaving = [{"name": each.name, **each.properties} for each in plan.leaving]
    text = json.dumps({**properties(plan), "leaving": leaving}, sort_keys=True)
    return f"{text}\n"


def from_json(text: str) -> Plan:
    """Return the plan that `to_json` wrote. Raises ValueError for any other text.

    What it returns may be shown on a terminal: there is no control character in it.
    """
    try:
        found = json.loads(text)
        _refuse_unprintable(found)
        leaving = []
        for each in found["leaving"]:
            leaving.append(network_of(_text(each.pop("name")), each))
        for name in ("stack", "wan"):
            _text(found[name])
        for name in ("persist", "metrics"):
            if found.get(name) is not None:
                _text(found[name])
        plan = replace(plan_of(found), leaving=tuple(leaving))
        if any("own" not in network.bridges for network in plan.networks.values()):
            raise KeyError("a network without a bridge")
        for network in plan.all_networks:
            for subnet in network.subnets.values():
                ip_network(subnet)
            if not network.lines.get("addresses", {}).keys() <= network.addresses.keys():
                raise KeyError("an address that the network does not own")
        return plan
    except (ArithmeticError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"it is not a plan ({error!r:.200})") from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.80} is not text")
    return value


def _refuse_unprintable(value: object) -> None:
    """Raise ValueError where a text or a key anywhere in JSON data has a control character."""
    if isinstance(value, str) and not value.isprintable():
        raise ValueError(f"it is not a plan ({value[:80]!a} has control characters)")
    if isinstance(value, dict):
        for key in value:
            _refuse_unprintable(key)
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            _refuse_unprintable(each)


def _texts(value: Mapping[str, Any] | None) -> dict[str, str]:
    return {str(key): str(text) for key, text in sorted((value or {}).items())}


def _lines(value: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    return {section: _texts(roles) for section, roles in sorted(value.items())}


def _order(value: Mapping[str, Any] | None) -> dict[str, dict[str, int]]:
    # Numbers come back from the engine as floats.
    return {
        section: {role: int(place) for role, place in sorted(roles.items())}
        for section, roles in sorted((value or {}).items())
    }


def overlap(one: str, other: str) -> bool:
    """Return whether two subnets share an address; what is no subnet shares none."""
    first, second = _span(one), _span(other)
    return (
        first is not None
        and second is not None
        and first[0] == second[0]
        and first[1] <= second[2]
        and second[1] <= first[2]
    )


@lru_cache(maxsize=4096)
def _span(subnet: str) -> tuple[int, int, int] | None:
    """Return version, first and last address. Cached: each subnet is compared with every other."""
    try:
        found = ip_network(subnet, strict=False)
    except ValueError:
        return None
    return found.version, int(found.network_address), int(found.broadcast_address)
