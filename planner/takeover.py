"""Which Docker networks of a host, created manually or by compose, equal the planned ones.

Docker cannot change a network. If a network differs in something that a guarantee needs, it would
have to be removed with all containers in it. So it is not taken over, and the differences are
reported before anything is changed.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_network

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from planner.config.report import show
from planner.docker import OPTION, UNIMPORTANT, ContainerPlan
from planner.errors import Problem
from planner.plan import HostPlan, NetworkPlan

LABEL = "wanbound"
"""The label that names the owner of a Docker network."""

_BRIDGE = f"{OPTION}.bridge.name"

_PAST = "a port that a container publishes would be reached past ingress"
_REASONS = {
    f"{OPTION}.bridge.host_binding_ipv4": _PAST,
    f"{OPTION}.bridge.host_binding_ipv6": _PAST,
}
"""Why an option matters, where its name does not say it."""

_SHOWN = 80
_KEYS = {_BRIDGE: "bridge"}
_ROLE_KEYS = {"load_balancer": "load_balancer", "whoami": "whoami", "container": "containers"}


class _Api(BaseModel):
    """A part of what the Engine's API answers (docs.docker.com/reference/api/engine, 1.41-1.51)."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class Ipam(_Api):
    """IPAM of a network; null is what the Engine writes for "none"."""

    driver: str = Field("default", alias="Driver")
    options: dict[str, str] | None = Field(None, alias="Options")
    config: list[dict[str, str | dict[str, str] | None]] | None = Field(None, alias="Config")


class Endpoint(_Api):
    """A running container in a network; its addresses are written with their prefix."""

    name: str = Field(alias="Name")
    ipv4: str = Field("", alias="IPv4Address")
    ipv6: str = Field("", alias="IPv6Address")

    @property
    def addresses(self) -> tuple[str, ...]:
        """Its addresses alone."""
        return tuple(text.partition("/")[0] for text in (self.ipv4, self.ipv6) if text)


class Found(_Api):
    """A network as `docker network inspect` prints it."""

    id: str = Field(alias="Id", pattern=r"^[0-9a-f]{64}$")
    name: str = Field(alias="Name")
    driver: str = Field(alias="Driver")
    scope: str = Field(alias="Scope")
    # Engines up to 27 have no network without IPv4.
    has_ipv4: bool = Field(True, alias="EnableIPv4")
    has_ipv6: bool = Field(alias="EnableIPv6")
    internal: bool = Field(alias="Internal")
    ingress: bool = Field(alias="Ingress")
    config_only: bool = Field(False, alias="ConfigOnly")
    ipam: Ipam = Field(alias="IPAM")
    containers: dict[str, Endpoint] | None = Field(None, alias="Containers")
    options: dict[str, str] | None = Field(None, alias="Options")
    labels: dict[str, str] | None = Field(None, alias="Labels")

    @property
    def members(self) -> tuple[Endpoint, ...]:
        """Its running containers, by name."""
        return tuple(sorted((self.containers or {}).values(), key=lambda each: each.name))

    @property
    def owner(self) -> str | None:
        """Host and network of the stack that made it, where it was wanbound."""
        return (self.labels or {}).get(LABEL)


@dataclass(frozen=True)
class HostFindings:
    """What a host has: its networks by name, all its containers, the networks in force there."""

    networks: Mapping[str, Found]
    containers: frozenset[str]
    managed: frozenset[str]


def findings(networks: str, containers: Iterable[str], managed: Iterable[str]) -> HostFindings:
    """Read what a host answered: JSON of `docker network inspect`, and two lists of names.

    Raises ValueError, with a readable text, for an answer that no Engine gives.
    """
    try:
        found = TypeAdapter(list[Found]).validate_python(json.loads(networks))
    except (ValidationError, RecursionError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        place = ".".join(map(str, first["loc"])) if first else "JSON"
        raise ValueError(f"docker network inspect: {place} has an unexpected form") from error
    except ValueError as error:
        raise ValueError(f"docker network inspect: not JSON: {error}") from error
    by_name = {one.name: one for one in found}
    return HostFindings(by_name, frozenset(containers), frozenset(managed))


@dataclass(frozen=True)
class Same:
    """An existing Docker network that equals the planned one.

    `by_hand`: it lacks the label of wanbound's networks. Docker cannot add the label later.
    """

    id: str
    by_hand: bool


@dataclass(frozen=True)
class Takeover:
    """The Docker networks that are taken over, by name; or why that cannot be."""

    same: Mapping[str, Same]
    problems: tuple[Problem, ...]


def takeover(host: HostPlan, index: int, found: HostFindings) -> Takeover:
    """Return which of `found` equal the networks of `host`, which is the stack's host `index`.

    An existing network that is already wanbound's and differs is left to Pulumi, which replaces it.
    """
    same: dict[str, Same] = {}
    problems: list[Problem] = []
    for position, network in enumerate(host.networks):
        place = _Place(host, network, f"wanbound:hosts[{index}].networks[{position}]")
        live = found.networks.get(network.docker.name)
        if live is None:
            problems += _in_the_way(place, found)
            continue
        owner = f"{host.name}/{network.name}"
        ours = live.owner == owner or (live.owner is None and network.name in found.managed)
        different = tuple(differences(network, live))
        if live.owner not in (None, owner):
            problems.append(_of_another_stack(place, live))
        elif not different:
            same[network.docker.name] = Same(live.id, by_hand=live.owner is None)
            problems += [] if ours else _container_problems(place, live, found)
        elif not ours:
            problems.append(_another(place, live, different))
    return Takeover(same, tuple(problems))


def differences(network: NetworkPlan, live: Found) -> Iterator[str]:
    """Yield the differences of `live` from the Docker network that `network` plans, a line each.

    Differences that do not matter: its label, which an older network lacks; whether it is
    attachable, which only has a meaning in a swarm; the options in `UNIMPORTANT`, and those that
    the host's daemon.json gives to new networks.
    """
    wanted = network.docker
    yield from _line("driver", live.driver, "bridge")
    yield from _line("scope", live.scope, "local")
    for name, there, here in (
        ("ipv4", live.has_ipv4, True),
        ("ipv6", live.has_ipv6, wanted.ipv6),
        ("internal", live.internal, False),
        ("ingress", live.ingress, False),
        ("config-only", live.config_only, False),
    ):
        yield from _line(name, there, here)
    yield from _line("ipam driver", live.ipam.driver, "default")
    yield from _map_lines("ipam option", live.ipam.options or {}, {})
    yield from _subnet_lines(network, live)
    needed, found = (
        {key: value for key, value in options.items() if key not in UNIMPORTANT}
        for options in (wanted.options, live.options or {})
    )
    unlike = {key: value for key, value in found.items() if wanted.defaults.get(key) != value}
    yield from _map_lines("option", unlike, needed)


def _subnet_lines(network: NetworkPlan, live: Found) -> Iterator[str]:
    planned = {each.subnet: {"Gateway": each.gateway} for each in network.docker.ipam}
    there = {
        str(each.get("Subnet")): {
            key: value for key, value in each.items() if value and key != "Subnet"
        }
        for each in live.ipam.config or []
    }
    if network.docker.ipv4_by_docker:
        there = {subnet: rest for subnet, rest in there.items() if ":" in subnet}
    for subnet in sorted(there.keys() - planned.keys()):
        yield f"subnet {_plain(subnet)}: only on the host"
    for subnet, wanted in planned.items():
        key = f"subnet_ipv{6 if ':' in subnet else 4}"
        if subnet not in there:
            yield f"subnet {subnet}: only in the stack ({key})"
            continue
        found = there[subnet]
        if "Gateway" not in found:
            # Docker still assigns a gateway, and records it only when it starts the next time.
            yield (
                f"gateway of {subnet}: not recorded on the host, stack {show(wanted['Gateway'])}; "
                "Docker records its own choice when it is restarted"
            )
        else:
            yield from _line(f"gateway of {subnet}", found["Gateway"], wanted["Gateway"])
        for more in sorted(found.keys() - {"Gateway"}):
            yield f"{more} of {subnet}: only on the host"


def _map_lines(what: str, there: Mapping[str, str], here: Mapping[str, str]) -> Iterator[str]:
    for key in sorted(there.keys() | here.keys()):
        name = f"{what} {key if key in here else _plain(key)}"
        if key in _KEYS:
            name += f" ({_KEYS[key]})"
        if key in _REASONS:
            name += f" ({_REASONS[key]})"
        if key not in here:
            yield f"{name}: host {show(there[key])}, stack has none"
        elif key not in there:
            yield f"{name}: host has none, stack {show(here[key])}"
        else:
            yield from _line(name, there[key], here[key])


def _line(name: str, there: object, here: object) -> Iterator[str]:
    if there != here:
        yield f"{name}: host {show(there)}, stack {show(here)}"


def _plain(text: str) -> str:
    """Return a name from a host, without quotes, as it may be shown on a terminal."""
    shown = text if text.isascii() and text.isprintable() else ascii(text)[1:-1]
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"


def _word(text: str) -> str:
    """Return the same, quoted as one word of a shell."""
    plain = _plain(text)
    if re.fullmatch(r"[A-Za-z0-9_.-]+", plain):
        return plain
    return "'" + plain.replace("'", "'\\''") + "'"


@dataclass(frozen=True)
class _Place:
    """A network and where the operator has written it."""

    host: HostPlan
    network: NetworkPlan
    key: str

    @property
    def where(self) -> str:
        return f"host {self.host.name}, network {self.network.name}"

    def problem(self, what: str, why: str, remedy: str, below: str = "") -> Problem:
        key = f"{self.key}.{below}" if below else self.key
        return Problem(key, what, why, remedy, self.where)


def _another(place: _Place, live: Found, different: Iterable[str]) -> Problem:
    name = place.network.docker.name
    inside = ", ".join(_plain(each.name) for each in live.members)
    lines = "".join(f"\n    {line}" for line in different)
    return place.problem(
        f"the Docker network {name}, created manually, differs from the planned one:{lines}",
        "Docker cannot change a network: it would be removed with all its containers"
        f"{f' ({inside})' if inside else ''}.",
        f"on the host, move its containers elsewhere (docker network disconnect) and run"
        f" `docker network rm {name}`; or change the keys named above until nothing differs",
    )


def _of_another_stack(place: _Place, live: Found) -> Problem:
    name = place.network.docker.name
    return place.problem(
        f"the Docker network {name} belongs to wanbound already, as {show(live.owner)}",
        "Each of the two stacks would undo the other's changes.",
        "remove it from that stack first (`pulumi destroy` there), or give this one another name",
    )


def _in_the_way(place: _Place, found: HostFindings) -> Iterator[Problem]:
    """Yield what makes Docker refuse a network of this name: a bridge or subnet that is in use."""
    planned = {each.docker.name for each in place.host.networks}
    subnets = [ip_network(each.subnet) for each in place.network.docker.ipam]
    for other in found.networks.values():
        # A network of ours that is no longer planned is removed by this run.
        if other.name in planned or other.owner is not None or other.name in found.managed:
            continue
        shared = [str(each) for each in subnets if _overlaps(each, other)]
        if (other.options or {}).get(_BRIDGE) == place.network.bridge:
            shared.append(f"the bridge {place.network.bridge}")
        if shared:
            yield place.problem(
                f"the Docker network {_plain(other.name)}, created manually, has"
                f" {' and '.join(shared)} already",
                "Docker would refuse the new network.",
                f"run `docker network rm {_word(other.name)}` on the host when it is empty;"
                " or give this network another bridge and subnets; or its name, to take it over",
            )


def _overlaps(subnet: object, other: Found) -> bool:
    for each in other.ipam.config or []:
        try:
            theirs = ip_network(str(each.get("Subnet")), strict=False)
        except ValueError:
            continue
        if isinstance(subnet, type(theirs)) and subnet.overlaps(theirs):
            return True
    return False


def _container_problems(place: _Place, live: Found, found: HostFindings) -> Iterator[Problem]:
    for container in place.network.containers:
        below = _ROLE_KEYS[container.role]
        if container.name in found.containers:
            yield place.problem(
                f"a container {container.name}, created manually, already exists",
                "Docker would refuse a second one of this name.",
                f"run `docker rename {container.name} {container.name}-by-hand` on the host: it"
                " keeps running; or remove it; or remove it from the stack",
                below,
            )
        yield from _address_problems(place, live, container, below)


def _address_problems(
    place: _Place, live: Found, container: ContainerPlan, below: str
) -> Iterator[Problem]:
    for address in (container.ipv4, container.ipv6):
        for holder in live.members:
            if address in holder.addresses:
                yield place.problem(
                    f"the container {_plain(holder.name)}, created manually, has {address},"
                    f" which is planned for {container.name}",
                    "Docker would refuse to start the new one.",
                    f"give {container.name} another address (ipv4, ipv6), or stop the other",
                    below,
                )
