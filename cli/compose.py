"""The snippet of a compose file with which services join a network of the stack."""

import json
import re
from collections.abc import Iterator, Sequence
from textwrap import wrap

from cli.picture import NetworkBox, picture
from cli.stack_file import StackFileError
from planner.compose import Service, services
from planner.config import BALANCED, LOAD_BALANCER, Host, LoadBalancer, Network, Stack
from planner.config.names import ROUTING_LABEL
from planner.edge import RESOLVER
from planner.plan import plan

_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]*")
"""A service's name as compose takes it, without those that begin like an option."""
_WIDTH = 98
_ALL = ("all", LOAD_BALANCER, (), ())
"""The entry of a network without the key `ingress`: ports, target, addresses, sources."""
_OFFERED = (443, *range(8443, 8543))
"""Ports for the entry of an ingress that a comment offers; the first free one is taken."""

_GATEWAY = (
    "A container has one default route for all of its networks. gw_priority: 1 makes it this"
    " network's, so that the service leaves with the network's public addresses. It needs Docker 28"
    " and compose 2.33.1. An older compose refuses the key. An older Docker takes the network whose"
    " name comes first."
)
_NO_GATEWAY = (
    "Alone, or beside an internal network, this network has the container's default route. If the"
    " service also joins another network, add gw_priority: 1 here (Docker 28, compose 2.33.1), or"
    " it may leave with the host's address."
)
_BACKEND = (
    "Internal: no default route, no traffic in or out. Only the services above reach a service that"
    " is in no other network."
)


def snippet(
    stack: Stack,
    host: str,
    network: str,
    names: Sequence[str],
    database: str | None = None,
    *,
    default: bool = False,
) -> str:
    """Return YAML for the services `names`; `database` is one that only these may reach.

    With `default` the services stay in the default network of their project as well. Raises
    StackFileError for names that cannot be used, with those that the stack has.
    """
    others = [] if database is None else [database]
    for name in [*names, *others]:
        if not _NAME.fullmatch(name):
            raise StackFileError(f"{json.dumps(name)} is not a service name\n  Fix: {_NAMES}")
    if len({*names, database}) <= len(names):
        raise StackFileError("Two services have one name\n  Fix: name each once")
    found = {
        each.name: (each, planned, box)
        for each, planned, box in zip(stack.hosts, plan(stack), picture(stack), strict=True)
    }
    if host not in found:
        raise StackFileError(
            f"Stack {stack.name} has no host {host}\n  Fix: name one of {', '.join(found)}"
        )
    its_host, planned, box = found[host]
    networks = {
        parts[0].name: parts
        for parts in zip(its_host.networks, planned.networks, box.networks, strict=True)
    }
    if network not in networks:
        raise StackFileError(
            f"Host {host} of stack {stack.name} has no network {network}\n"
            f"  Fix: name one of {', '.join(networks)}"
        )
    one, its_plan, its_box = networks[network]
    try:
        joined = services(one, its_plan, names, others)
    except LookupError as error:
        raise StackFileError(
            f"Network {network} of host {host} is full: {error}\n"
            "  Fix: write a larger subnet for it in the stack file"
        ) from None
    writer = _Writer(stack, its_host, one, its_box, default, database)
    return "\n".join(writer.lines(joined)) + "\n"


_NAMES = "write letters, digits, . _ and -, such as shop"


class _Writer:
    """Writes one snippet, as lines of text and not as a dump, because it needs comments."""

    def __init__(
        self,
        stack: Stack,
        host: Host,
        network: Network,
        box: NetworkBox,
        default: bool,
        database: str | None,
    ) -> None:
        self.title = f"Network {network.name} of host {host.name}, stack {stack.name}."
        self.network, self.box = network, box
        self.default, self.database = default, database
        self.backend = "internal" if network.name == "backend" else "backend"

    def lines(self, joined: Sequence[Service]) -> Iterator[str]:
        """Yield the lines of the file."""
        yield from _comment(0, f"{self.title} `pulumi up` creates it first.")
        yield "services:"
        for service in joined:
            yield f"  {_key(service.name)}:"
            yield from (f"    {line}" for line in self._service(service))
        if self.database is not None:
            yield f"  {_key(self.database)}:"
            yield f"    networks: [{self.backend}]"
        yield "networks:"
        name = _key(self.network.name)
        yield f"  {name}:"
        yield "    external: true"
        yield f"    name: {name}"
        if self.database is not None:
            yield f"  {self.backend}:"
            yield from _comment(4, _BACKEND)
            yield "    internal: true"

    def _service(self, service: Service) -> Iterator[str]:
        yield from self._ways(service)
        yield "networks:"
        yield f"  {_key(self.network.name)}:"
        if (ipv4 := service.addresses.ipv4) is not None:
            yield f"    ipv4_address: {ipv4}"
        if (ipv6 := service.addresses.ipv6) is not None:
            yield f'    ipv6_address: "{ipv6}"'
        if self.default:
            yield from _comment(4, _GATEWAY)
            yield "    gw_priority: 1"
            yield "  default: {}"
        else:
            yield from _comment(4, _NO_GATEWAY)
        if self.database is not None:
            yield f"  {self.backend}: {{}}"
        if self.network.dns:
            yield from _comment(0, "Docker 28 would ask the host's servers, with its address.")
            yield f"dns: [{', '.join(json.dumps(str(each)) for each in self.network.dns)}]"
        if self.network.load_balancer is not None:
            yield from self._labels(service.name, self.network.load_balancer)

    def _ways(self, service: Service) -> Iterator[str]:
        """Yield what leads to a service from outside, and what to write where nothing does."""
        addresses = set(map(str, service.addresses.known))
        boxes = [each.name for each in self.box.containers if addresses & {*each.addresses}]
        if service.declared:
            for entrance in self.box.entrances:
                for way in entrance.ways:
                    if way.to in boxes:
                        yield from _comment(0, f"{way.ports} of {', '.join(entrance.addresses)}")
        elif self.network.mode == "nat":
            known = service.addresses.known
            pair = ", ".join(
                f'ipv6: "{each}"' if each.version == 6 else f"ipv4: {each}" for each in known
            )
            yield from self._offer(f"to: {{{pair}}}")
        elif self.network.mode == "masquerade":
            publics = ", ".join(str(address) for _, address in self.network.publics)
            yield from _comment(0, f"What it publishes (key ports) is reached at {publics}.")

    def _offer(self, to: str) -> Iterator[str]:
        """Yield what to write into the network's ingress to forward a port to a service."""
        network, balanced = self.network, self.network.load_balancer is not None
        own = {public for _, public in network.publics}
        entries = [
            each
            for each in network.ingress
            if each.protocol == "tcp" and own & network.all_entrances(each)
        ]
        free = [
            port
            for port in _OFFERED
            if not (balanced and port in BALANCED) and not any(each.has(port) for each in entries)
        ]
        port = free[0] if free else _OFFERED[1]
        if free:
            other = "other " if balanced else ""
            yield from _comment(0, f"To forward {other}ports here, add to the network's ingress:")
        elif _ALL in [(each.ports, each.to, each.addresses, each.sources) for each in entries]:
            text = "Traefik gets all TCP. To forward a port here, write both into the network's"
            yield from _comment(0, f"{text} ingress:")
            yield f"# - {{ports: {list(BALANCED)}}}"
        else:
            text = f"An entry of the network's ingress has TCP port {port} already. To forward it"
            yield from _comment(0, f"{text} here, list that entry's ports without it, and add:")
        yield f"# - {{ports: [{port}], {to}}}"

    def _labels(self, service: str, balancer: LoadBalancer) -> Iterator[str]:
        """Yield the labels for the network's Traefik (docs/edge.md)."""
        router = re.sub("[^A-Za-z0-9-]", "-", service)
        rule = f"traefik.http.routers.{router}"
        yield from _comment(0, "For Traefik: the host name, and the port of the service.")
        reached = any(each.to == LOAD_BALANCER for each in self.network.ingress)
        if self.network.mode == "nat" and not reached:
            yield from _comment(0, "The network's ingress forwards no port to Traefik.")
        yield "labels:"
        yield f"  {ROUTING_LABEL}: {_key(self.network.name)}"
        yield f"  {rule}.rule: Host(`{service}.example.com`)"
        if balancer.acme is None:
            yield f"  {rule}.entrypoints: web"
        else:
            yield f"  {rule}.entrypoints: websecure"
            yield f"  {rule}.tls.certresolver: {RESOLVER}"
        yield f'  traefik.http.services.{router}.loadbalancer.server.port: "8080"'


_WORDS = frozenset(("true", "false", "null", "yes", "no", "on", "off", "y", "n"))
"""Texts that some version of YAML reads as another value."""


def _key(name: str) -> str:
    """Return a name as any reader of YAML takes it for a text."""
    plain = re.fullmatch("[A-Za-z_][A-Za-z0-9_.-]*", name) and name.lower() not in _WORDS
    return name if plain else json.dumps(name)


def _comment(indent: int, text: str) -> Iterator[str]:
    start = f"{' ' * indent}# "
    yield from (f"{start}{line}" for line in wrap(text, _WIDTH - len(start) - 4))
