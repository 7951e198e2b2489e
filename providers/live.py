"""What ``wanbound state`` prints, as data. Pure.

The text comes from a host, so it is not to be trusted to have a form: whatever it is, `parse`
returns what it says or raises ParseError, in a time that grows with its length alone.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

_REQUIRED = ("addresses", "guard", "routes", "links", "sysctls", "units", "docker", "end")
"""The sections that every host prints; those of a table are there where its tool is installed."""

_LINES = 1_000_000
"""More lines than a host with 1,000 networks prints, by a factor of five."""

OWN = "-A WANBOUND-"
"""How a line of iptables-save begins that stands in one of our chains."""

GUARD_BASE = tuple(
    f"add rule inet wanbound {rule}"
    for rule in (
        "forward iifname vmap @from",
        "forward ct state established,related accept",
        "forward oifname vmap @to",
        "postrouting ct original ip saddr vmap @subnet-ipv4",
        "postrouting ip saddr vmap @subnet-ipv4",
        "postrouting ct original ip6 saddr vmap @subnet-ipv6",
        "postrouting ip6 saddr vmap @subnet-ipv6",
        "postrouting ct direction original ip saddr vmap @public-ipv4",
        "postrouting ct direction original ip6 saddr vmap @public-ipv6",
    )
)
"""The lines of the table that belong to no network (guard_table in compose.awk), in order."""

GUARD_BRIDGE = "add rule inet wanbound postrouting iifname vmap @by-bridge"
"""The one before those of postrouting, there only where Docker chooses a network's subnet."""


class ParseError(ValueError):
    """A host printed something that is no answer of ``wanbound state``."""


@dataclass(frozen=True)
class DockerNetwork:
    """A bridge network as Docker has it; `label` is that of the key "wanbound", None without."""

    name: str
    id: str
    label: str | None


# Compared by identity: a cache can have it as its key.
@dataclass(frozen=True, eq=False)
class Live:
    """A host's state.

    `tables` has the lines by table ("ipv4 nat"), `addresses` are pairs of interface and line,
    `guard` is made of nft commands. `fragments` has the text of each file by its name, without
    ".rules". `routes` are pairs of family ("ipv4") and default route, the best first. `links`
    says up or down. `units` has the words by unit, and is None where there is no systemd;
    `script` is the digest of the host script, None without one. `docker` is None without Docker.
    """

    tables: Mapping[str, tuple[str, ...]]
    addresses: tuple[tuple[str, str], ...]
    guard: tuple[str, ...]
    fragments: Mapping[str, str]
    routes: tuple[tuple[str, str], ...]
    links: Mapping[str, str]
    sysctls: Mapping[str, str]
    units: Mapping[str, tuple[str, ...]] | None
    script: str | None
    docker: tuple[DockerNetwork, ...] | None


# All networks of a host are read together, and are given the very same text.
@lru_cache(maxsize=2)
def parse(text: str) -> Live:
    """Return what ``wanbound state`` printed as data. Raises ParseError for anything else."""
    sections = _sections(text)
    if missing := [name for name in _REQUIRED if name not in sections]:
        raise ParseError(f"the host's answer ends early, or lacks a part: {', '.join(missing)}")
    if list(sections)[-1] != "end" or sections["end"]:
        raise ParseError("the host's answer goes on behind its end")
    units = _units(sections["units"])
    script = units.pop("script", None)
    if script is None:
        raise ParseError("the host does not say which script it has")
    return Live(
        tables={
            name: tuple(_rules(lines))
            for name, lines in sections.items()
            if name.startswith(("ipv4 ", "ipv6 "))
        },
        addresses=tuple(_addresses(sections["addresses"])),
        guard=tuple(_guard(sections["guard"])),
        fragments={
            name.removeprefix("fragment ").removesuffix(".rules"): "".join(f"{x}\n" for x in lines)
            for name, lines in sections.items()
            if name.startswith("fragment ")
        },
        routes=tuple(_routes(sections["routes"])),
        links=dict(_matches(r"(\S+) (up|down)", sections["links"])),
        sysctls=dict(_sysctls(sections["sysctls"])),
        units=None if "no systemd" in sections["units"] else units,
        script=None if script == ("missing",) else " ".join(script),
        docker=_docker(sections["docker"]),
    )


def _sections(text: str) -> dict[str, list[str]]:
    if text.count("\n") > _LINES:
        raise ParseError(f"the host's answer has more than {_LINES} lines")
    sections: dict[str, list[str]] = {}
    current: list[str] | None = None
    # Not splitlines(): what else that takes for the end of a line may stand inside one here.
    lines = text.split("\n")
    if lines.pop():
        raise ParseError("the host's answer ends within a line")
    for line in lines:
        if line.startswith("== "):
            if line[3:] in sections:
                raise ParseError(f"the host's answer has a part twice: {shown(line[3:])}")
            current = sections[line[3:]] = []
        elif current is None:
            raise ParseError(f"unexpected text before the first section: {shown(line)}")
        else:
            current.append(line)
    return sections


def shown(line: str) -> str:
    """Return a line of unknown content as an error may show it: printable, and cut short."""
    return ascii(line[:80])


def _matches(pattern: str, lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        found = re.fullmatch(pattern, line)
        if found is None:
            raise ParseError(f"this line has no form that is known: {shown(line)}")
        yield found[1], found[2]


def _rules(lines: Iterable[str]) -> Iterator[str]:
    """Read ``iptables-save``: chains, comments and COMMIT are of no interest."""
    for line in lines:
        if line.startswith("-A "):
            yield line
        elif line and not line.startswith(("*", ":", "#")) and line != "COMMIT":
            raise ParseError(f"this is no line of iptables-save: {shown(line)}")


def _addresses(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Read ``ip -o addr show``; lines come back as ``ip addr show`` prints their first half."""
    for line in lines:
        found = re.match(r"\d+: (\S+) +(\S+) (\S+) ([^\\]*)\\", line)
        if found is None:
            raise ParseError(f"this is no line of `ip -o addr show`: {shown(line)}")
        device, family, address, rest = found.groups()
        if family not in ("inet", "inet6"):
            continue
        # What does not matter here is left out: broadcast address, label (eth0:1), lifetime flags
        # of whoever set it up, and "tentative", which lasts a second (duplicate address detection).
        words = rest.split()
        scope = re.search(r"(?:^|\s)scope (\S+)", rest)
        name = [device] if family == "inet" else []
        flags = [flag for flag in ("deprecated", "dadfailed") if flag in words]
        parts = [family, address, "scope", scope[1] if scope else "?", *name, *flags]
        yield device, " ".join(parts)


def _guard(lines: Iterable[str]) -> Iterator[str]:
    """Read ``nft -s list table inet wanbound`` back into the commands that would make it."""
    block = ""
    elements: list[str] = []
    for raw in lines:
        line = raw.strip()
        if opened := re.match(r"(chain|map) (\S+) \{$", line):
            if block:
                raise ParseError(f"a {block.split()[0]} of the table inet wanbound has no end")
            block = " ".join(opened.groups())
        elif line == "}":
            block = ""
        elif block.startswith("chain ") and line and not line.startswith("type "):
            yield f"add rule inet wanbound {block.removeprefix('chain ')} {line}"
        elif block.startswith("map ") and (elements or line.startswith("elements = {")):
            elements.append(line)
            if line.endswith("}"):
                inside = " ".join(elements).partition("{")[2].rpartition("}")[0]
                name = block.removeprefix("map ")
                for element in inside.split(","):
                    yield f"add element inet wanbound {name} {{ {element.strip()} }}"
                elements = []
    if block or elements:
        raise ParseError("the host's answer ends within the table inet wanbound")


def _routes(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Read ``ip route show default``; what has several next hops takes a line for each of them."""
    routes: list[tuple[str, str]] = []
    for family, line in _matches(r"(ipv4|ipv6) (.*)", lines):
        words = " ".join(line.split())
        if words.startswith("nexthop ") and routes and routes[-1][0] == family:
            routes[-1] = (family, f"{routes[-1][1]} {words}")
        else:
            routes.append((family, words))
    yield from routes


def _sysctls(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for key, value in _matches(r"(\S+) = (.*)", lines):
        # Where there are several values the kernel has tabs between them.
        yield key, " ".join(value.split())


def _units(lines: Iterable[str]) -> dict[str, tuple[str, ...]]:
    found = _matches(r"(\S+) (\S.*)", lines)
    return {name: tuple(words.split()) for name, words in found if name != "no"}


def _docker(lines: Sequence[str]) -> tuple[DockerNetwork, ...] | None:
    return None if list(lines) == ["no docker"] else tuple(map(_docker_network, lines))


def _docker_network(line: str) -> DockerNetwork:
    """Read NAME ID LABEL CONTAINERS; names and labels that were made by hand may have blanks."""
    words = line.split(" ")
    for place, word in enumerate(words):
        if 0 < place < len(words) - 2 and re.fullmatch(r"[0-9a-f]{12,64}", word):
            label = " ".join(words[place + 1 : -1])
            return DockerNetwork(" ".join(words[:place]), word, None if label == "-" else label)
    raise ParseError(f"this is no network of Docker: {shown(line)}")
