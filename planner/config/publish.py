"""Types of what `mode` brings: how a network is translated, and what of it is published."""

from ipaddress import IPv4Network
from typing import Annotated, Literal

from pydantic import PlainValidator, ValidationInfo

from planner.config.ip import public_address, subnet_of
from planner.config.model import Address, Ipv6Nat, Mode, Protocol, Published, Version
from planner.config.refusal import one_of, refusal
from planner.config.report import show
from planner.config.scalars import port_range

BY_DOCKER: Literal["docker"] = "docker"
"""What stands in `subnet_ipv4` where Docker is to choose the subnet."""

_PORTS = 'a list of ports and ranges like [25, "5000-5010", "3478/udp"]'
_PROTOCOLS: dict[str, Protocol] = {"": "tcp", "tcp": "tcp", "udp": "udp"}


def _published(value: object) -> tuple[Published, ...]:
    items = value if isinstance(value, list | tuple) else [value]
    if not items:
        raise refusal("lists no port", "Nothing would be published.", "list ports, or remove it")
    return tuple(_one(item) for item in items)


def _one(item: object) -> Published:
    ports, word = item, ""
    if isinstance(item, str):
        ports, slash, word = item.partition("/")
        if ":" in item:
            why = "The world reaches a container at the port that it listens on, and no other."
            raise refusal(f"has {show(item)}, a port and another one", why, f"write {_PORTS}")
        if (slash and not word) or word not in _PROTOCOLS:
            what = f"has {show(item)}, whose protocol is neither tcp nor udp"
            raise refusal(what, "", f"write {_PORTS}")
    return Published(protocol=_PROTOCOLS[word], ports=port_range(ports, f"write {_PORTS}"))


def _addresses(value: object) -> tuple[Address, ...]:
    items = value if isinstance(value, list | tuple) else [value]
    if not items:
        why = "Nothing would come in."
        raise refusal("lists no address", why, "list public addresses, or remove the key")
    found = tuple(_entrance(item) for item in items)
    for place, address in enumerate(found):
        if address in found[:place]:
            raise refusal(f"has {address} twice", "", f"list {address} once")
    return found


def _entrance(item: object) -> Address:
    version: Version = 6 if isinstance(item, str) and ":" in item else 4
    return public_address(item, "addresses", version)


def _subnet_or_docker(value: object, info: ValidationInfo) -> object:
    return BY_DOCKER if value == BY_DOCKER else subnet_of(4, 30)(value, info)


def _ipv6nat(value: object) -> Ipv6Nat:
    if value != "container":
        why = "It is run as the recipe runs it, in a container of its own."
        remedy = "write container, or remove the key; one that runs already may stay as it is"
        raise refusal(f"is {show(value)}, not container", why, remedy)
    return "container"


ModeWord = Annotated[Mode, PlainValidator(one_of("nat", "snat", "masquerade"))]
Ipv6NatWord = Annotated[Ipv6Nat, PlainValidator(_ipv6nat)]
PublishedPorts = Annotated[tuple[Published, ...], PlainValidator(_published)]
Entrances = Annotated[tuple[Address, ...], PlainValidator(_addresses)]
SubnetV4OrDocker = Annotated[IPv4Network | Literal["docker"], PlainValidator(_subnet_or_docker)]
