"""Types for addresses and subnets, with the reasons why some cannot be used."""

import re
from collections.abc import Callable, Mapping
from ipaddress import (
    AddressValueError,
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)
from typing import Annotated, TypeAlias

from pydantic import PlainValidator, ValidationInfo

from planner.addresses import overlaps
from planner.config.model import Address, Subnet, Version
from planner.config.refusal import refusal
from planner.config.report import show

Examples: TypeAlias = Mapping[int, str]

_EXAMPLE = {4: "203.0.113.10", 6: '"2001:db8::10"'}
_SUBNETS = {4: "172.20.0.0/24", 6: '"fd5c:1b2a:77f0:1::/64"'}
_GATEWAYS = {4: "203.0.113.1", 6: '"fe80::1"'}
_RESERVED: tuple[Subnet, ...] = (
    IPv4Network("0.0.0.0/8"),
    IPv4Network("240.0.0.0/4"),
    IPv6Network("::/8"),
)
_NO_SOURCES: tuple[Subnet, ...] = (
    *_RESERVED,
    IPv4Network("127.0.0.0/8"),
    IPv4Network("224.0.0.0/4"),
    IPv6Network("ff00::/8"),
)


def unusable(address: Address) -> str | None:
    """Return what kind of address this is when no host can be reached at it, else None."""
    kinds = {
        "a multicast address": address.is_multicast,
        "a loopback address": address.is_loopback,
        "the unspecified address": address.is_unspecified,
        "a link-local address": address.is_link_local,
    }
    found = next((kind for kind, applies in kinds.items() if applies), None)
    if found is None and any(address in subnet for subnet in _RESERVED):
        return "a reserved address"
    return found


def _parse(value: object, field: str, version: Version, examples: Examples = _EXAMPLE) -> Address:
    example = examples[version]
    remedy = f"write an IPv{version} address like {example}"
    if not isinstance(value, str):
        raise refusal(f"is {show(value)}, not an IPv{version} address", "", remedy)
    if "/" in value:
        bare = value.partition("/")[0]
        why = "The prefix length follows from what the address is for."
        raise refusal(f"{show(value)} has a prefix length", why, f"write {bare} alone")
    if "%" in value:
        why = "Such an address is only valid on one link."
        raise refusal(f"{show(value)} has a zone", why, remedy)
    try:
        address = ip_address(value)
    except ValueError:
        why = ""
        if re.fullmatch(r"[0-9]+(\.[0-9]+){3}", value) and re.search(r"(^|\.)0[0-9]", value):
            why = "A leading zero means octal to some programs and nothing to others."
        raise refusal(f"{show(value)} is not an IPv{version} address", why, remedy) from None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        why = "An IPv4-mapped address is never on the wire; it is another way to write an IPv4 one."
        key = _other(field) if version == 6 else field
        remedy = f"write {address.ipv4_mapped} as {key}"
        raise refusal(f"{show(value)} is an IPv4-mapped address", why, remedy)
    _same_family(address.version, value, field, version, remedy)
    return address


def _same_family(found: int, value: str, field: str, wanted: Version, remedy: str) -> None:
    if found != wanted:
        why = f"The value here goes into IPv{wanted} rules."
        if (other := _other(field)) != field:
            remedy = f"{remedy}, or give this one as {other}"
        raise refusal(f"{show(value)} is IPv{found}, not IPv{wanted}", why, remedy)


def _other(field: str) -> str:
    """Return the key for the other family: public_ipv6 for public_ipv4."""
    swap = {"ipv4": "ipv6", "ipv6": "ipv4"}
    return re.sub("ipv[46]", lambda found: swap[found.group()], field)


def _address(version: Version) -> Callable[[object, ValidationInfo], Address]:
    def validate(value: object, info: ValidationInfo) -> Address:
        return _parse(value, info.field_name or "", version)

    return validate


def public_address(value: object, field: str, version: Version) -> Address:
    """Return an address of the internet, written at the key `field`. Raises its refusal."""
    address = _parse(value, field, version)
    kind = unusable(address)
    if kind is not None:
        why = "Nobody on the internet could reach the network there, nor be answered from it."
        remedy = "write an address that your provider routes to this host, like "
        raise refusal(f"{address} is {kind}", why, remedy + _EXAMPLE[version])
    return address


def _public(version: Version) -> Callable[[object, ValidationInfo], Address]:
    def validate(value: object, info: ValidationInfo) -> Address:
        return public_address(value, info.field_name or "", version)

    return validate


def _gateway(version: Version) -> Callable[[object, ValidationInfo], Address]:
    def validate(value: object, info: ValidationInfo) -> Address:
        address = _parse(value, info.field_name or "", version, _GATEWAYS)
        kind = unusable(address)
        # IPv6 routers are known by their link-local address (RFC 4861 section 6.1.2).
        if kind is not None and not (version == 6 and address.is_link_local):
            why = "The host's default route goes through it, and no router has such an address."
            remedy = f"write the address of your provider's router, like {_GATEWAYS[version]}"
            raise refusal(f"{address} is {kind}", why, remedy)
        return address

    return validate


def source_range(value: object) -> Subnet:
    """Return a range of source addresses; an address alone is a range of one."""
    remedy = 'write ranges of addresses like ["198.51.100.0/24", "2001:db8:77::/48"]'
    if not isinstance(value, str):
        raise refusal(f"is {show(value)}, not a range of addresses", "", remedy)
    subnet = _range(value, "a range of addresses", remedy)
    if any(overlaps(subnet, none) and subnet.prefixlen >= none.prefixlen for none in _NO_SOURCES):
        why = "No packet comes from there, so the entry would let nobody in."
        raise refusal(f"{subnet} is no range that anybody sends from", why, remedy)
    return subnet


def subnet_of(version: Version, longest: int) -> Callable[[object, ValidationInfo], Subnet]:
    """Return a validator for a subnet whose prefix is at most `longest` bits."""
    example = _SUBNETS[version]

    def validate(value: object, info: ValidationInfo) -> Subnet:
        remedy = f"write an IPv{version} subnet like {example}"
        if not isinstance(value, str):
            raise refusal(f"is {show(value)}, not an IPv{version} subnet", "", remedy)
        if "/" not in value:
            why = "Without it this would be a subnet of one address."
            raise refusal(f"{show(value)} has no prefix length", why, remedy)
        subnet = _range(
            value,
            f"an IPv{version} subnet",
            remedy,
            lambda found: _same_family(found, value, info.field_name or "", version, remedy),
        )
        if subnet.prefixlen > longest:
            why = f"At most /{longest} leaves room for what has to be in it."
            raise refusal(f"{subnet} is too small", why, remedy)
        for end in (subnet.network_address, subnet.broadcast_address):
            if (kind := unusable(end)) is not None:
                why = f"{end} in it is {kind}."
                raise refusal(f"{subnet} cannot be a subnet of containers", why, remedy)
        return subnet

    return validate


def _range(
    value: str, kind: str, remedy: str, check: Callable[[int], None] = lambda found: None
) -> Subnet:
    """Return what `value` is, an address and a prefix length; `check` is asked about its family."""
    text, slash, bits = value.partition("/")
    if "%" in value or (slash and not re.fullmatch("[0-9]{1,3}", bits)):
        raise refusal(f"{show(value)} is not {kind}", "", remedy)
    try:
        address = ip_address(text)
    except ValueError:
        raise refusal(f"{show(value)} is not {kind}", "", remedy) from None
    check(address.version)
    try:
        subnet = _network(address, int(bits) if slash else address.max_prefixlen)
    except (AddressValueError, ValueError):
        what = f"{show(value)} has no possible prefix length"
        raise refusal(what, "", remedy) from None
    if subnet.network_address != address:
        why = (
            "Bits after the prefix say nothing in a subnet, and iptables-save would print"
            " another text than the one written here."
        )
        raise refusal(f"{show(value)} has host bits set", why, f"write {subnet}")
    return subnet


def _network(address: Address, bits: int) -> Subnet:
    if isinstance(address, IPv4Address):
        return IPv4Network((address, bits), strict=False)
    return IPv6Network((address, bits), strict=False)


PublicV4 = Annotated[IPv4Address, PlainValidator(_public(4))]
PublicV6 = Annotated[IPv6Address, PlainValidator(_public(6))]
AddressV4 = Annotated[IPv4Address, PlainValidator(_address(4))]
AddressV6 = Annotated[IPv6Address, PlainValidator(_address(6))]
# A gateway and one more address have to fit: /30 with its two usable ones, /126 with three.
SubnetV4 = Annotated[IPv4Network, PlainValidator(subnet_of(4, 30))]
SubnetV6 = Annotated[IPv6Network, PlainValidator(subnet_of(6, 126))]
GatewayV4 = Annotated[IPv4Address, PlainValidator(_gateway(4))]
GatewayV6 = Annotated[IPv6Address, PlainValidator(_gateway(6))]
SourceRange = Annotated[Subnet, PlainValidator(source_range)]
PoolV4 = Annotated[IPv4Network, PlainValidator(subnet_of(4, 24))]
