"""From a raw configuration to validated pieces, each with its place; pydantic's errors end here."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from planner.config.model import Address, Family, Subnet, Version
from planner.config.publish import BY_DOCKER
from planner.config.refusal import REFUSAL
from planner.config.report import Loc, Report, show
from planner.config.scan import Scan
from planner.config.spec import HostSpec, IngressSpec, NetworkSpec, StackSpec
from planner.config.spec_base import Spec

S = TypeVar("S", bound=Spec)
_CONFIDENTIAL = frozenset({"environment", "labels", "command", "dashboard"})
"""Keys below which a value may be a password: it is never quoted."""
VERSIONS: tuple[Version, ...] = (4, 6)
_HTTP3 = 443


def _has_http3(entry: IngressSpec) -> bool:
    if entry.protocol != "udp" or entry.ports == "all":
        return False
    return any(ports.first <= _HTTP3 <= ports.last for ports in entry.ports)


@dataclass
class NetworkDraft:
    """A network whose own text is valid; resolve.py adds the families whose subnet is known."""

    loc: Loc
    spec: NetworkSpec
    families: dict[Version, Family] = field(default_factory=dict)
    inner_ipv4: IPv4Network | None = None
    socket_subnet: IPv4Network | None = None

    def public(self, version: Version) -> Address | None:
        """Return the public address of that family, None where the network lacks it."""
        return self.spec.public_ipv4 if version == 4 else self.spec.public_ipv6

    def subnet(self, version: Version) -> Subnet | None:
        """Return the subnet that the operator wrote."""
        if version == 6:
            return self.spec.subnet_ipv6
        return None if self.spec.subnet_ipv4 == BY_DOCKER else self.spec.subnet_ipv4

    @property
    def by_docker(self) -> bool:
        """Whether Docker is to choose the IPv4 subnet."""
        return self.spec.subnet_ipv4 == BY_DOCKER

    @property
    def extras(self) -> tuple[Address, ...]:
        """The public addresses beside its own that something comes in by."""
        own = {self.public(version) for version in VERSIONS}
        named = (each for entry in self.spec.ingress or () for each in entry.addresses or ())
        return tuple(dict.fromkeys(address for address in named if address not in own))

    @property
    def versions(self) -> tuple[Version, ...]:
        """The families that the network has."""
        return tuple(version for version in VERSIONS if self.public(version) is not None)

    @property
    def bridge(self) -> str:
        """The name of the kernel's bridge."""
        return self.spec.bridge or self.spec.name

    @property
    def ingress(self) -> tuple[IngressSpec, ...]:
        """What is forwarded: where nothing is said, all TCP to the load balancer.

        In a mode other than nat nothing is: there Docker does it, or nobody. HTTP/3 adds its UDP
        port, unless that is listed.
        """
        if self.spec.mode != "nat":
            return ()
        balancer = self.spec.load_balancer
        found = self.spec.ingress
        if found is None:
            found = () if balancer is None else (IngressSpec(ports="all"),)
        found = (*found, *(entry for _, entry in self.published()))
        if balancer is not None and balancer.http3 and not any(map(_has_http3, found)):
            found = (*found, IngressSpec.model_validate({"protocol": "udp", "ports": [_HTTP3]}))
        return found

    def published(self) -> Iterator[tuple[Loc, IngressSpec]]:
        """Yield the ports of each container as entries of the ingress, with its place."""
        for place, container in enumerate(self.spec.containers):
            for protocol in ("tcp", "udp"):
                ports = [str(each.ports) for each in container.ports if each.protocol == protocol]
                if ports:
                    entry = {"protocol": protocol, "ports": ports, "to": container.name}
                    yield (*self.loc, "containers", place), IngressSpec.model_validate(entry)

    def entrances(self, entry: IngressSpec) -> tuple[Address, ...]:
        """Return the public addresses that an entry of the ingress is for."""
        own = (self.public(version) for version in self.versions)
        return entry.addresses or tuple(address for address in own if address is not None)


@dataclass
class HostDraft:
    """A host; `spec` is None where its own keys are not valid, `networks` lacks invalid ones."""

    loc: Loc
    spec: HostSpec | None
    networks: list[NetworkDraft]


@dataclass
class StackDraft:
    """A stack; `spec` is None where a key beside the hosts is not valid.

    `secrets` are the names that may be referred to, None where they could not be read. Their
    values are for checks that no error quotes.
    """

    spec: StackSpec | None
    hosts: list[HostDraft]
    secrets: frozenset[str] | None
    secret_values: Mapping[str, object] = field(default_factory=dict, repr=False)

    def networks(self) -> Iterator[tuple[HostDraft, NetworkDraft]]:
        """Yield every network with its host, in the order of the configuration."""
        for host in self.hosts:
            for network in host.networks:
                yield host, network


def draft(raw: Mapping[str, object], report: Report) -> StackDraft:
    """Return all pieces of `raw` that are valid by themselves; the others are in the report."""
    if not isinstance(raw, Mapping):
        report.add((), f"is {show(raw)}, not a mapping", "", "give the stack's configuration")
        return StackDraft(None, [], None)
    secrets: object = raw.get("secrets", {})
    names, values = None, {}
    if isinstance(secrets, Mapping):
        values = dict(secrets)
        names = frozenset(name for name in secrets if isinstance(name, str))
    else:
        remedy = "set each by pulumi config set --secret --path wanbound:secrets.NAME"
        report.add(("secrets",), "is not a mapping of names to secrets", "", remedy)
    # The values of secrets are not for this place: a key has many lines, and no error quotes it.
    scan = Scan({key: value for key, value in raw.items() if key != "secrets"}, report)
    shape = _Shape(report, scan.refused)
    spec = shape.piece(StackSpec, scan.cleaned, ())
    hosts = [shape.host(item, ("hosts", i)) for i, item in _items(scan.cleaned, "hosts")]
    return StackDraft(spec, hosts, names, values)


def _items(value: object, key: str) -> Iterator[tuple[int, object]]:
    items = value.get(key) if isinstance(value, dict) else None
    yield from enumerate(items if isinstance(items, list) else [])


class _Shape:
    def __init__(self, report: Report, refused: list[Loc]) -> None:
        self._report = report
        self._refused = refused

    def host(self, value: object, loc: Loc) -> HostDraft:
        spec = self.piece(HostSpec, value, loc)
        networks = []
        for place, item in _items(value, "networks"):
            at = (*loc, "networks", place)
            network = self.piece(NetworkSpec, item, at)
            if network is not None:
                networks.append(NetworkDraft(at, _without_default_balancer(network)))
        return HostDraft(loc, spec, networks)

    def piece(self, kind: type[S], value: object, loc: Loc) -> S | None:
        """Return `value` as a model, or None after reporting why it is none."""
        try:
            return kind.model_validate(value)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                self._explain(kind, detail, loc)
        return None

    def _explain(self, kind: type[Spec], detail: ErrorDetails, base: Loc) -> None:
        inner, ours = detail["loc"], detail["type"] == REFUSAL
        if ours and inner[-1:] == ("[key]",):  # pydantic's mark for a mapping's key
            inner = inner[:-1]
        loc = (*base, *inner)
        for refused in self._refused:
            if loc[: len(refused)] == refused or (ours and refused[: len(loc)] == loc):
                return
        if ours:
            texts = detail["ctx"]
            self._report.add(loc, texts["what"], texts["why"], texts["remedy"])
        elif detail["type"] == "extra_forbidden":
            self._unknown(_model_at(kind, inner[:-1]), loc)
        else:
            self._misshapen(kind, inner, detail, loc)

    def _unknown(self, kind: type[Spec], loc: Loc) -> None:
        known = list(kind.model_fields)
        near = difflib.get_close_matches(str(loc[-1]), known, n=1)
        remedy = f"remove it; the keys here are {', '.join(known)}"
        if near:
            remedy = f"did you mean {near[0]}? The keys here are {', '.join(known)}"
        why = "A key with no meaning is most often a misspelt one, whose value would be ignored."
        self._report.add(loc, "is an unknown key", why, remedy)

    def _misshapen(self, kind: type[Spec], inner: Loc, detail: ErrorDetails, loc: Loc) -> None:
        """Report a missing value, or one that is a list, mapping or text in place of another."""
        info = _field_at(kind, inner)
        model = _model_at(kind, inner)
        why, example = "", model.example
        if info is not None:
            why, example = info.description or "", (info.examples or [example])[0]
        if detail["type"] == "missing":
            self._report.add(loc, "is missing", why, f"add {loc[-1]}: {example}")
            return
        wanted = {"list_type": "a list", "tuple_type": "a list"}.get(detail["type"], "a mapping")
        remedy = f"write {loc[-1]}: {example}" if info is not None else f"write - {example}"
        found = "text" if _CONFIDENTIAL.intersection(inner) else show(detail["input"])
        self._report.add(loc, f"is {found}, not {wanted}", why, remedy)


def _without_default_balancer(network: NetworkSpec) -> NetworkSpec:
    """Return the same network; where nothing can come in, no load balancer that nobody wrote."""
    if network.mode != "snat" or "load_balancer" in network.model_fields_set:
        return network
    return network.model_copy(update={"load_balancer": None})


def _model_at(kind: type[Spec], inner: Loc) -> type[Spec]:
    """Return the model of the mapping at a place, or of the nearest one around it."""
    for part in inner:
        if isinstance(part, str) and (info := kind.model_fields.get(part)) is not None:
            kind = next(_models(info.annotation), kind)
    return kind


def _field_at(kind: type[Spec], inner: Loc) -> FieldInfo | None:
    """Return what is known about the key at a place, None for an entry of a list or mapping."""
    if not inner or isinstance(inner[-1], int):
        return None
    return _model_at(kind, inner[:-1]).model_fields.get(inner[-1])


def _models(annotation: Any) -> Iterator[type[Spec]]:  # noqa: ANN401 - annotations are anything
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if issubclass(annotation, Spec):
            yield annotation
        return
    for argument in get_args(annotation):
        yield from _models(argument)
