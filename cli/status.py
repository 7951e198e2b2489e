"""What the hosts of a stack do now: the stack's networks beside what each host says of them."""

import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli import hosts
from planner.config import Stack
from planner.plan import HostPlan, NetworkPlan
from providers.errors import readable
from providers.host.installed import unowned
from providers.host.status import Attached, Bridge, Drop, Status, parse

View: TypeAlias = dict[str, Any]
"""A host's status as `--json` prints it (docs/cli.md)."""

_WIDTH = 160
"""Characters of a line where the output is no terminal."""

_UNREADABLE = ("unreadable",)

_REASONS = {
    "source": "forged source, from a container",
    "only": "forged source, from elsewhere",
    "from": "a family that the network does not have",
    "to": "sent to a private address",
    "ingress": "its source is not in `from` of ingress",
    "egress": "would leave with a wrong source",
    "public": "another network uses the public address, or the host no longer has it",
    "forged": "a public address as source, from outside",
}
"""What a chain of the guard drops, by the first word of its name (docs/operations.md, Counters)."""


def print_status(stack: Stack, host: str | None, *, as_json: bool) -> int:
    """Print the status of a host, without a name of all; return the exit status."""
    found = hosts.read(stack, host, lambda _, remote: parse(remote.status()))
    if as_json:
        views = [
            {"host": each.host.name, "error": each.error}
            if each.found is None
            else view(stack.name, each.host, each.found)
            for each in found
        ]
        sys.stdout.write(json.dumps({"stack": stack.name, "hosts": views}, indent=2) + "\n")
    else:
        console = Console(highlight=False)
        if not console.is_terminal:
            console = Console(highlight=False, width=_WIDTH)
        for each in found:
            if each.found is not None:
                draw(console, view(stack.name, each.host, each.found))
    for each in found:
        if each.found is None:
            sys.stderr.write(f"{each.error}\n")
    return int(any(each.found is None for each in found))


def view(stack: str, host: HostPlan, status: Status) -> View:
    """Return the status of a host, network by network."""
    owner = status.owner.rpartition("/")[2]
    bridges = {bridge: network.name for network in host.networks
               for bridge in network.owns.bridges.values()}  # fmt: skip
    known = {network.bridge for network in host.networks}
    return {
        "host": host.name,
        "generation": status.current,
        "owner": status.owner,
        "of_this_stack": owner in ("", stack),
        "loaded": status.loaded,
        "changed": status.changed,
        "differs": list(status.differs),
        "pending": status.pending,
        "rolled_back": list(status.rolled_back),
        "watcher": status.watcher,
        "owned_table": status.owned_table,
        "repairs": [{"time": time, "parts": parts} for time, parts in status.repairs],
        "duplicates": [{"address": address, "link": link} for address, link in status.duplicates],
        "docker": status.containers is not None,
        "drops_known": status.drops is not None,
        "networks": [_network(network, status) for network in host.networks],
        "other_bridges": [
            each.name for each in status.bridges if each.name not in {*known, *bridges}
        ],
        "other_drops": [
            _drop(each) for each in status.drops or () if _bridge_of(each) not in bridges
        ],
    }


def _network(network: NetworkPlan, status: Status) -> View:
    bridge = next((each for each in status.bridges if each.name == network.bridge), None)
    own = set(network.owns.bridges.values())
    containers = [each for each in status.containers or () if each.bridge == network.bridge]
    return {
        "name": network.name,
        "bridge": network.bridge,
        "state": _state(bridge, status),
        "addresses": list(network.owns.addresses.values()),
        "leaves_as": [] if bridge is None else list(bridge.addresses),
        "packets_out": 0 if bridge is None else bridge.packets_out,
        "packets_in": 0 if bridge is None else bridge.packets_in,
        "drops": [_drop(each) for each in status.drops or () if _bridge_of(each) in own],
        "containers": [_container(each) for each in containers],
    }


def _state(bridge: Bridge | None, status: Status) -> str:
    if bridge is None:
        return "not applied"
    if not bridge.there:
        return "no bridge"
    if not status.loaded:
        return "not in force: not loaded since the boot"
    if status.differs == _UNREADABLE:
        return "not known: cannot be read"
    return f"not in force: {', '.join(status.differs)}" if status.differs else "in force"


def _bridge_of(drop: Drop) -> str:
    return drop.chain.partition("-")[2]


def _drop(drop: Drop) -> View:
    reason = _REASONS.get(drop.chain.partition("-")[0], drop.chain)
    return {
        "chain": drop.chain,
        "reason": reason,
        "packets": drop.packets,
        "bytes": drop.bytes,
        "rule": drop.rule,
    }


def _container(container: Attached) -> View:
    return {
        "name": container.name,
        "addresses": list(container.addresses),
        "default_routes": dict(container.defaults),
        "leaves_elsewhere": list(container.elsewhere),
    }


def draw(console: Console, host: View) -> None:
    """Print a host's status for people. What the host has said is escaped."""
    table = Table(title=_text(f"host {host['host']}"), title_justify="left")
    for name in ("network", "public addresses", "containers"):
        table.add_column(name)
    for name in ("out", "in", "dropped"):
        table.add_column(name, justify="right")
    for each in host["networks"]:
        name = each["name"]
        table.add_row(
            _text(name if each["state"] == "in force" else f"{name}\n({each['state']})"),
            _text("\n".join(each["addresses"])),
            _text("\n".join(map(_named, each["containers"])), _trapped(each)),
            _text(str(each["packets_out"])),
            _text(str(each["packets_in"])),
            _text(
                str(sum(drop["packets"] for drop in each["drops"])) if host["drops_known"] else "?"
            ),
        )
    console.print(table)
    for line, style in _lines(host):
        console.print(_text(line, style), soft_wrap=True)


def _text(words: str, style: str = "") -> Text:
    return Text(readable(words), style)


def _named(container: View) -> str:
    elsewhere = container["leaves_elsewhere"]
    return f"{container['name']} (!)" if elsewhere else str(container["name"])


def _trapped(network: View) -> str:
    return "red" if any(each["leaves_elsewhere"] for each in network["containers"]) else ""


def _lines(host: View) -> Iterator[tuple[str, str]]:
    """Yield what is below a host's table, each with its style."""
    if not host["of_this_stack"]:
        yield f"! this host belongs to another stack: {host['owner']}", "red"
    if host["generation"] == "none":
        yield "! wanbound is not on this host: run `pulumi up`", "yellow"
        return
    if host["pending"]:
        yield f"! a change is not confirmed: {host['pending']}", "yellow"
    for each in host["rolled_back"]:
        yield f"! rolled back: {each}", "red"
    if host["watcher"] != "active":
        yield (
            f"! the watcher does not run ({host['watcher'] or 'unknown'}): drift is not repaired",
            "red",
        )
    if text := unowned(host["owned_table"]):
        mark, style = ("! ", "yellow") if host["owned_table"] == "not held" else ("", "")
        yield f"{mark}{text}", style
    for each in host["duplicates"]:
        yield (
            f"! {each['address']} is in use by another machine on the link of {each['link']}",
            "red",
        )
    yield from _trap(host)
    if not host["loaded"]:
        yield "! the rules were not loaded since the boot: run `wanbound apply` on the host", "red"
    if host["differs"] == list(_UNREADABLE):
        yield (
            "! what is in force cannot be read, so it is not known whether networks use their"
            " addresses: run `nft list table inet wanbound`, `iptables-save` and `ip6tables-save`"
            " on the host to see which of them fails",
            "red",
        )
    elif host["differs"]:
        yield (
            f"! not in force as it was loaded: {', '.join(host['differs'])}. A change or a repair"
            " may be running; if this stays, run `wanbound apply` on the host",
            "red",
        )
    if not host["drops_known"]:
        yield (
            "! the guard cannot be read, so it is not known what was dropped:"
            " run `nft list table inet wanbound` on the host",
            "red",
        )
    if not host["docker"]:
        yield "! Docker does not run, or does not answer: containers are not known", "yellow"
    for each in host["other_bridges"]:
        yield f"bridge {each} is on the host and not in this stack file", ""
    yield f"last change {host['changed'] or 'unknown'}, loaded {host['loaded'] or 'never'}", ""
    yield from ((line, "") for line in _repairs(host["repairs"]))
    drops = [each for network in host["networks"] for each in network["drops"]]
    for each in (*drops, *host["other_drops"]):
        yield f"dropped {each['packets']} packets in {each['chain']}: {each['reason']}", ""


def _trap(host: View) -> Iterator[tuple[str, str]]:
    for network in host["networks"]:
        for each in network["containers"]:
            if each["leaves_elsewhere"]:
                links = ", ".join(each["leaves_elsewhere"])
                yield (
                    f"! container {each['name']} of network {network['name']} has its default route"
                    f" by {links}: it leaves with another address."
                    " Fix: remove it from the other network, or set gw_priority (Docker 28)",
                    "red",
                )


def _repairs(repairs: Iterable[View]) -> Iterator[str]:
    found = list(repairs)
    if not found:
        yield "no repairs since the boot"
        return
    last = found[-1]
    yield f"{len(found)} repairs since the boot, the last {last['time']}: {last['parts']}"
