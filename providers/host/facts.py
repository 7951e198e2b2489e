"""What a host prints of its state (providers/call/facts.sh), as data. Pure.

The text comes from a host and is not trusted: for any text, `parse` returns its content or raises
ParseError, in a time that grows only with its length.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address

from providers.host.plan import NOTHING, Plan, from_json

PARTS = ("guard", "host", "ipv4", "ipv6")
"""What is compared between what was loaded and what is in force (providers/onhost/live.sh)."""

_REQUIRED = (
    "generation", "plan", "others ipv4", "others ipv6", "addresses", "routes", "links", "renamed",
    "sysctls", "units", "ipv6nat", "docker", "containers", "end",
)  # fmt: skip

_DRIFT = ("owned table", *(f"{kind} {part}" for part in PARTS for kind in ("live", "loaded")))

_LINES = 1_000_000
"""More lines than a host with 1,000 networks prints, by a factor of five."""


class ParseError(ValueError):
    """A host printed something that is not its state."""


@dataclass(frozen=True)
class DockerNetwork:
    """A bridge network as Docker has it; `label` is that of the key "wanbound", None without."""

    name: str
    id: str
    label: str | None
    bridge: str
    subnets: tuple[str, ...] = ()
    containers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Container:
    """A running container. `label` is that of the key "wanbound", empty where others started it.

    `project` and `service` are empty where compose did not. `gateways` has the gateway of each
    default route in its network namespace with the family; they are read only with drift.
    """

    name: str
    label: str = ""
    project: str = ""
    service: str = ""
    gateways: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        if not self.project:
            return self.name
        return f"{self.name} (compose project {self.project}, service {self.service})"


STOPPED = "(stopped)"
"""Replaces the version of an engine that does not run, but whose tables still exist."""


@dataclass(frozen=True)
class Docker:
    """A Docker Engine that runs, or has left tables; `backend` is "iptables" or "nftables"."""

    version: str
    backend: str
    networks: tuple[DockerNetwork, ...]


@dataclass(frozen=True)
class Facts:
    """A host's state.

    `current` is the id of the generation, "none" without one; `plan` is what it was composed from,
    None where that cannot be read; `version` is that of the wanbound that made the last change, if
    it said one; `edited` has those of its files that were edited.
    `live` and `loaded` have what is in force, and was right after the load, by part; they are empty
    if drift was not asked for, as is `owned_table` (Status has the same).
    `others` has all of iptables-save but the rules in our chains, by family; `addresses` are pairs
    of interface and line; `routes` pairs of family and default route, the best first; `renamed` has
    our renamed bridges by their current name. `units` has the words by unit, and is None where
    there is no systemd; `script` is the digest of the host script.
    `files` are those that load rules at boot, by path. `docker` is None where it does not run.
    `containers` are those that run, by name.
    """

    current: str
    owner: str
    version: str | None
    plan: Plan | None
    edited: Mapping[str, str]
    live: Mapping[str, tuple[str, ...]]
    loaded: Mapping[str, tuple[str, ...]]
    owned_table: str
    others: Mapping[str, tuple[str, ...]]
    addresses: tuple[tuple[str, str], ...]
    routes: tuple[tuple[str, str], ...]
    links: Mapping[str, str]
    renamed: Mapping[str, str]
    sysctls: Mapping[str, str]
    units: Mapping[str, tuple[str, ...]] | None
    script: str | None
    ipv6nat: bool
    files: Mapping[str, str]
    docker: Docker | None
    containers: Mapping[str, Container]

    def inside(self, network: DockerNetwork) -> tuple[Container, ...]:
        """Return the running containers of a Docker network, by name."""
        return tuple(self.containers.get(name, Container(name)) for name in network.containers)

    @property
    def docker_networks(self) -> tuple[DockerNetwork, ...]:
        """All bridge networks of Docker, none where it does not run."""
        return () if self.docker is None else self.docker.networks

    @property
    def docker_networks_by_name(self) -> Mapping[str, Sequence[DockerNetwork]]:
        """The same by name, of which Docker may have several."""
        found: dict[str, list[DockerNetwork]] = {}
        for each in self.docker_networks:
            found.setdefault(each.name, []).append(each)
        return found

    @property
    def interfaces_by_address(self) -> Mapping[str, Sequence[tuple[str, str]]]:
        """Where each address is: pairs of interface and line, as in `addresses`."""
        found: dict[str, list[tuple[str, str]]] = {}
        for device, line in self.addresses:
            found.setdefault(address_of(line), []).append((device, line))
        return found

    @property
    def bridges(self) -> frozenset[str]:
        """The names of all links, and the original names of our renamed bridges."""
        return frozenset({*self.links, *self.renamed.values()})

    @property
    def has_generation(self) -> bool:
        """Whether the host has anything of ours."""
        return self.current != "none"


def address_of(line: str) -> str:
    """Return the address of a line of ``ip addr show``, nothing for another line."""
    return "".join(line.split()[1:2]).partition("/")[0]


def parse(text: str, *, drift: bool = False) -> Facts:
    """Return a host's state as data; with `drift` where that was asked for, too.

    Raises ParseError for anything else.
    """
    sections = sections_of(text, (*_REQUIRED, *(_DRIFT if drift else ())))
    units = _units(sections["units"])
    script = units.pop("script", None)
    if script is None:
        raise ParseError("the host does not say which script it has")
    generation = dict(matches(r"(current|owner|version) (.+)", sections["generation"]))
    if "current" not in generation:
        raise ParseError("the host does not say which generation it has")
    return Facts(
        current=generation["current"],
        owner=generation.get("owner", ""),
        version=generation.get("version"),
        plan=NOTHING if generation["current"] == "none" else _plan(sections["plan"]),
        edited={
            name.removeprefix("edited "): "".join(f"{line}\n" for line in lines)
            for name, lines in sections.items()
            if name.startswith("edited ")
        },
        live=_parts("live", sections) if drift else {},
        loaded=_parts("loaded", sections) if drift else {},
        owned_table=" ".join(sections["owned table"]) if drift else "",
        others={family: tuple(sections[f"others {family}"]) for family in ("ipv4", "ipv6")},
        addresses=tuple(_addresses(sections["addresses"])),
        routes=tuple(matches(r"(ipv4|ipv6) (.*)", sections["routes"])),
        links=dict(matches(r"(\S+) (up|down)", sections["links"])),
        renamed=dict(matches(r"(\S+) (\S+)", sections["renamed"])),
        sysctls=dict(_sysctls(sections["sysctls"])),
        units=None if "no systemd" in sections["units"] else units,
        script=None if script == ("missing",) else " ".join(script),
        ipv6nat=bool(sections["ipv6nat"]),
        files={
            name.removeprefix("file "): _decoded(lines)
            for name, lines in sections.items()
            if name.startswith("file ")
        },
        docker=_docker(sections["docker"]),
        containers={each.name: each for each in _containers(sections["containers"])},
    )


def _parts(kind: str, sections: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    return {part: tuple(sections[f"{kind} {part}"]) for part in PARTS}


def sections_of(text: str, required: Iterable[str]) -> dict[str, list[str]]:
    """Return the lines of an answer by section. Raises ParseError unless all of it is there."""
    if text.count("\n") > _LINES:
        raise ParseError(f"the host's answer has more than {_LINES} lines")
    sections: dict[str, list[str]] = {}
    current: list[str] | None = None
    # Not splitlines(): it also splits at characters that may be inside a line here.
    lines = text.split("\n")
    if lines.pop():
        raise ParseError("the host's answer ends within a line")
    for line in lines:
        if line.startswith("== "):
            if line[3:] in sections:
                raise ParseError(f"the host's answer has a part twice: {_shown(line[3:])}")
            current = sections[line[3:]] = []
        elif current is None:
            raise ParseError(f"unexpected text before the first section: {_shown(line)}")
        else:
            current.append(line)
    if missing := [name for name in required if name not in sections]:
        raise ParseError(f"the host's answer ends early, or lacks a part: {', '.join(missing)}")
    if list(sections)[-1] != "end" or sections["end"]:
        raise ParseError("the host's answer has text after its end")
    return sections


def _shown(line: str) -> str:
    """Return a line of unknown content as an error may show it: printable, and cut short."""
    return ascii(line[:80])


def matches(pattern: str, lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the two groups of each line. Raises ParseError for a line of another form."""
    for line in lines:
        found = re.fullmatch(pattern, line)
        if found is None:
            raise ParseError(f"this line has an unknown form: {_shown(line)}")
        yield found[1], found[2]


def _plan(lines: Sequence[str]) -> Plan | None:
    try:
        return from_json("\n".join(lines))
    except ValueError:
        return None


def _addresses(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Read ``ip -o addr show``; lines come back as ``ip addr show`` prints their first half."""
    for line in lines:
        found = re.match(r"\d+: (\S+) +(\S+) (\S+) ([^\\]*)\\", line)
        if found is None:
            raise ParseError(f"this is not a line of `ip -o addr show`: {_shown(line)}")
        device, family, address, rest = found.groups()
        if family not in ("inet", "inet6"):
            continue
        # What does not matter here is left out: broadcast address, label (eth0:1), lifetime flags
        # of the program that added it, and "tentative", which lasts a second (DAD).
        words = rest.split()
        scope = re.search(r"(?:^|\s)scope (\S+)", rest)
        name = [device] if family == "inet" else []
        flags = [flag for flag in ("deprecated", "dadfailed") if flag in words]
        parts = [family, address, "scope", scope[1] if scope else "?", *name, *flags]
        yield device, " ".join(parts)


def _sysctls(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for key, value in matches(r"(\S+) = (.*)", lines):
        # Where there are several values the kernel has tabs between them.
        yield key, " ".join(value.split())


def _units(lines: Iterable[str]) -> dict[str, tuple[str, ...]]:
    found = matches(r"(\S+) (\S.*)", lines)
    return {name: tuple(words.split()) for name, words in found if name != "no"}


def _decoded(lines: Iterable[str]) -> str:
    try:
        # Bytes that are not UTF-8 are kept (PEP 383).
        return base64.b64decode("".join(lines), validate=True).decode(errors="surrogateescape")
    except (binascii.Error, ValueError) as error:
        raise ParseError("a file in the host's answer is not base64") from error


def _docker(lines: Sequence[str]) -> Docker | None:
    if not lines:
        raise ParseError("the host does not say whether it has Docker")
    words = lines[0].split(" ")
    if words[0] == "docker" and words[1:] in (["absent"], ["stopped"]):
        return None
    if len(words) != 3 or words[0] != "docker":
        raise ParseError(f"this is not the state of Docker: {_shown(lines[0])}")
    try:
        found = json.loads("\n".join(lines[1:]))
        networks = tuple(_docker_network(each) for each in found)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ParseError(f"Docker's networks cannot be read ({error!r:.200})") from error
    return Docker(words[1], words[2], networks)


def _docker_network(found: Mapping[str, object]) -> DockerNetwork:
    """Read one of ``docker network inspect``."""
    labels, options, ipam = (_mapping(found.get(key)) for key in ("Labels", "Options", "IPAM"))
    name, id_ = str(found["Name"]), str(found["Id"])
    label = labels.get("wanbound")
    configs = ipam.get("Config")
    subnets = (
        [_mapping(each).get("Subnet") for each in configs] if isinstance(configs, list) else []
    )
    containers = [_mapping(each).get("Name") for each in _mapping(found.get("Containers")).values()]
    return DockerNetwork(
        name,
        id_,
        None if label is None else str(label),
        str(options.get("com.docker.network.bridge.name") or f"br-{id_[:12]}"),
        tuple(str(subnet) for subnet in subnets if subnet),
        tuple(sorted(str(each) for each in containers if each)),
    )


def _containers(lines: Iterable[str]) -> Iterator[Container]:
    """Read docker_containers (providers/call/docker.sh)."""
    found: list[tuple[Container, list[tuple[str, str]]]] = []
    for line in lines:
        # A container may have routes of any kind: one without a form that is known, such as
        # `blackhole default`, leads to no gateway of ours.
        known = r"(ipv[46]) (?:default (?:via ([0-9A-Fa-f.:]+) )?dev \S+.*|[^\[].*)"
        route = re.fullmatch(known, line)
        if route is None:
            found.append((_container(line), []))
        elif not found:
            raise ParseError(f"a route without a container: {_shown(line)}")
        elif route[2] is not None:
            found[-1][1].append((route[1], _address(route[2])))
    for container, gateways in found:
        yield replace(container, gateways=tuple(gateways))


def _container(line: str) -> Container:
    try:
        words = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ParseError(f"this is not a container: {_shown(line)}") from error
    if not isinstance(words, list) or not all(isinstance(each, str) for each in words):
        raise ParseError(f"this is not a container: {_shown(line)}")
    match words:
        case [name, label, project, service]:
            return Container(name.removeprefix("/"), label, project, service)
    raise ParseError(f"this is not a container: {_shown(line)}")


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError as error:
        raise ParseError(f"this is not a gateway: {_shown(text)}") from error


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
