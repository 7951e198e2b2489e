"""What a host prints for `./wanbound doctor` (providers/call/doctor.sh), as data. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from providers.host.facts import matches, sections_of

_SECTIONS = ("programs", "firewalls", "listens", "sysctls", "routes", "docker", "end")
_EVERY = {"0.0.0.0": (4,), "[::]": (6,), "*": (4, 6)}  # noqa: S104 - what ss prints, not a bind


@dataclass(frozen=True)
class Listener:
    """A port on which a program listens at every address of these families."""

    protocol: str
    port: int
    versions: tuple[int, ...]
    program: str


@dataclass(frozen=True)
class Inspection:
    """A host before a change.

    `programs` are those that are installed, of all that matter; "systemd" where that runs.
    `firewalls` are those that are active, "nftables.conf" where that flushes the ruleset. `sysctls`
    have their path below /proc/sys as key; `routes` are pairs of family and default route.
    "ufw unreadable" is among the firewalls where `ufw status` fails, and `listeners` is None where
    `ss` does. `denied` is the user of the login if that may not use Docker.
    """

    programs: frozenset[str]
    firewalls: frozenset[str]
    listeners: tuple[Listener, ...] | None
    sysctls: Mapping[str, str]
    routes: tuple[tuple[str, str], ...]
    denied: str = ""


def parse(text: str) -> Inspection:
    """Return what a host says as data. Raises ParseError for anything else."""
    sections = sections_of(text, _SECTIONS)
    return Inspection(
        frozenset(sections["programs"]),
        frozenset(sections["firewalls"]),
        None if sections["listens"] == ["unreadable"] else tuple(_listeners(sections["listens"])),
        dict(matches(r"(\S+) (.*)", sections["sysctls"])),
        tuple(matches(r"(ipv4|ipv6) (.*)", sections["routes"])),
        "".join(sections["docker"]),
    )


def _listeners(lines: Iterable[str]) -> Iterator[Listener]:
    """Yield those at every address, both families together; only these answer at public ones."""
    found: dict[tuple[str, int, str], set[int]] = {}
    for protocol, rest in matches(r"(\S+) (\S+.*)", lines):
        place, _, users = rest.partition(" ")
        address, _, port = place.rpartition(":")
        known = re.fullmatch("[1-9][0-9]{0,4}", port) is not None and int(port) <= 65535
        if protocol in ("tcp", "udp") and address in _EVERY and known:
            name = re.search(r'"([^"]*)"', users)
            program = name[1] if name else "an unknown program"
            found.setdefault((protocol, int(port), program), set()).update(_EVERY[address])
    for (protocol, number, program), versions in found.items():
        yield Listener(protocol, number, tuple(sorted(versions)), program)
