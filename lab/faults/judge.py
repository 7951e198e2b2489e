"""Turns observations into a verdict. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import TypeAlias

from lab.api import Packet
from lab.faults.model import Fault, Observation, Outcome, Procedure, Row, Traffic
from lab.traffic import Publics, is_right
from planner.config import Firewall

Flow: TypeAlias = tuple[int, int, str]
"""The flood's port, the family, and the kind: `new` connections or `udp`."""

KINDS = ("new", "udp")
"""Answered new connections, and datagrams. A long connection pauses by itself for seconds after a
loss (RFC 6298), which says nothing about the host."""

PAUSE = 0.5
"""Seconds without a packet of a flow after which it counts as stopped: twelve times the interval
between two packets, as a busy machine delays floods."""

LAST_PAUSE = 4 * PAUSE
"""The same at the capture's end, after which no packet could show that it was only a pause."""

ENOUGH = 5
"""Packets of each flow before the event; with fewer, a row proves nothing."""


@dataclass(frozen=True)
class Times:
    """When the event began and ended, and when the capture ended (s, 1970)."""

    begin: float
    end: float
    until: float


@dataclass(frozen=True)
class Networks:
    """What identifies one host's packets."""

    ports: Mapping[int, str]
    """Its networks by the port of their floods."""
    right: Publics
    """The addresses that they may have; other hosts' ports are included."""
    private: Sequence[IPv4Network | IPv6Network]
    """The subnets of this host alone."""
    others: Sequence[IPv4Network | IPv6Network]
    """The subnets of the other hosts."""

    def mine(self, packet: Packet) -> bool:
        """Whether a packet is this host's; an unidentified one counts for every host."""
        if packet.dport in self.right:
            return packet.dport in self.ports
        return _within(packet.src, tuple(self.private)) or not _within(
            packet.src, tuple(self.others)
        )


@lru_cache(maxsize=4096)
def _within(address: str, networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    found = ip_address(address)
    return any(found in network for network in networks if network.version == found.version)


def traffic(
    packets: Sequence[Packet], networks: Networks, times: Times, booted: float | None = None
) -> Traffic:
    """Judge the traffic of one host, among `packets` of all hosts."""
    wrong: Counter[str] = Counter()
    last_wrong: float | None = None
    first: float | None = None
    right = 0
    flows: dict[Flow, list[float]] = {
        (port, family, kind): [] for port in networks.ports for family in (4, 6) for kind in KINDS
    }
    for packet in packets:
        verdict = is_right(packet, networks.right)
        if verdict is None or not networks.mine(packet):
            continue
        if first is None and booted is not None and packet.time > booted:
            first = packet.time
        if not verdict:
            wrong[str(packet)] += 1
            last_wrong = packet.time
        else:
            right += 1
            if kind := _kind(packet):
                flows[packet.dport, packet.family, kind].append(packet.time)
    silent = [
        _name(networks, flow)
        for flow, at in flows.items()
        if sum(time < times.begin for time in at) < ENOUGH
    ]
    backs = {flow: _back(at, times) for flow, at in flows.items()}
    still = [_name(networks, flow) for flow, at in backs.items() if at is None]
    back = None if still else max((at or 0.0 for at in backs.values()), default=0.0)
    return Traffic(right, wrong, last_wrong, silent, first, back, still)


def _kind(packet: Packet) -> str:
    """A flood resets an answered connection, so a SYN alone is no sign of an answer."""
    if packet.proto == "udp":
        return "udp"
    return "new" if "R" in packet.flags else ""


def _name(networks: Networks, flow: Flow) -> str:
    port, family, kind = flow
    return f"{networks.ports[port]} IPv{family} {'TCP' if kind == 'new' else 'UDP'}"


def _back(at: Sequence[float], times: Times) -> float | None:
    """Return the seconds from the event's end to the last pause's end; None if it did not end."""
    back, before = 0.0, times.end
    for time in at:
        if time > times.end:
            if time - before > PAUSE:
                back = time - times.end
            before = time
    last = LAST_PAUSE if before > times.end else PAUSE
    return back if times.until - before <= last else None


def outcome(
    row: Row,
    host: str,
    observation: Observation,
    seen: Traffic,
    checks: Iterable[str],
    *,
    suite: str,
    firewall: Firewall = "iptables",
) -> Outcome:
    """Return what is wrong with a row on a host of that suite.

    `checks` are the failed ones after the event.
    """
    problems = [*observation.problems]
    if observation.failed:
        problems.append(f"it could not be done: {observation.failed}")
    if seen.silent:
        problems.append(f"no traffic before the event, so nothing is proven: {_few(seen.silent)}")
    problems += _wrong(row, observation, seen, suite)
    problems += _boot(observation, seen)
    if isinstance(row, Fault):
        problems += _state(row, observation, firewall)
    closed = isinstance(row, Fault) and row.expected == "closed"
    if not closed:
        if seen.back is None:
            problems.append(f"no traffic at the end: {_few(seen.still)}")
        elif seen.back > row.traffic_within:
            problems.append(f"traffic only after {seen.back:.1f} s")
        problems += checks
    return Outcome(
        row=row,
        host=host,
        observation=observation,
        traffic=seen,
        problems=problems,
        seen=_seen(row, observation, seen, firewall),
        seconds=None if closed else _seconds(observation, seen),
    )


def _wrong(row: Row, observation: Observation, seen: Traffic, suite: str) -> list[str]:
    if not seen.wrong:
        return []
    repaired = observation.repaired
    unavoidable = isinstance(row, Fault) and row.open and suite in row.open_on
    if unavoidable and repaired is not None:
        if (seen.last_wrong or 0) <= observation.end + repaired:
            return []
        return [f"wrong packets after the repair, as {_few(list(seen.wrong))}"]
    return [f"{seen.wrong_count} wrong packets, as {_few(list(seen.wrong))}"]


def _boot(observation: Observation, seen: Traffic) -> list[str]:
    first, loaded = seen.first_after_boot, observation.loaded
    if loaded is None or first is None or loaded < first:
        return []
    return [f"the first packet passed {first - loaded:.2f} s before the rules were in force"]


def _state(row: Fault, observation: Observation, firewall: Firewall) -> list[str]:
    if observation.failed:
        return []
    if firewall in row.spares:
        differed = [change for change in observation.changes if not change.as_before]
        lines = [line for change in differed for line in (*change.missing, *change.new)]
        return [f"nothing of ours should have differed: {_few(lines)}"] if differed else []
    if row.expected == "repaired" and observation.repaired is None:
        change = observation.changes[-1]
        lines = [f"- {line}" for line in change.missing] + [f"+ {line}" for line in change.new]
        return [f"not repaired: {_few(lines)}"]
    if observation.repaired is not None and observation.repaired > row.within:
        return [f"repaired only after {observation.repaired:.1f} s"]
    if not observation.differed and not row.unseen:
        return ["the host was never seen in another state: was anything done to it?"]
    return []


def _seconds(observation: Observation, seen: Traffic) -> float | None:
    if observation.took is not None or not observation.timed:
        return observation.took
    if observation.repaired is None or seen.back is None:
        return None
    return max(observation.repaired, seen.back)


def _seen(row: Row, observation: Observation, seen: Traffic, firewall: Firewall) -> str:
    if observation.note:
        return observation.note
    if observation.failed:
        return "not done"
    if observation.loaded is not None and seen.first_after_boot is not None:
        return f"rules {seen.first_after_boot - observation.loaded:.1f} s before the first packet"
    if isinstance(row, Procedure):
        return "done"
    if firewall in row.spares:
        return "nothing of ours differs" if not observation.differed else "differs"
    if row.expected == "closed":
        return "closed" if not seen.wrong else "open"
    if observation.repaired is None:
        return "not repaired"
    if not observation.differed:
        return "never gone"
    state = f"rules and addresses after {observation.repaired:.2f} s"
    return state if seen.back is not None else f"{state}, no traffic"


def _few(texts: Collection[str], number: int = 3) -> str:
    shown = [*texts][:number]
    more = f" and {len(texts) - number} more" if len(texts) > number else ""
    return ", ".join(shown) + more
