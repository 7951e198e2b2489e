"""Types of the single values of the configuration, with the reasons why some cannot be used.

Every pattern is an allow-list: no value can end a rule, a file name or a word of a shell early.
Validators take what YAML and JSON can express. `PortRange`, source ranges and `SecretRef` are also
accepted as objects, so that Python code can construct models.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated, Literal, TypeAlias

from pydantic import PlainValidator, ValidationInfo

from planner.addresses import overlaps
from planner.config.report import HUGE, kind_of, refusal, show

Address: TypeAlias = IPv4Address | IPv6Address
Subnet: TypeAlias = IPv4Network | IPv6Network
Version: TypeAlias = Literal[4, 6]
VERSIONS: tuple[Version, ...] = (4, 6)

LOAD_BALANCER = "load_balancer"
"""The word that stands for the network's load balancer in `Ingress.to`."""

BY_DOCKER: Literal["docker"] = "docker"
"""What stands in `subnet_ipv4` where Docker is to choose the subnet."""

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
"""The directory of Let's Encrypt (letsencrypt.org/docs/acme-protocol-updates)."""


@dataclass(frozen=True)
class SecretRef:
    """A value that stands in `wanbound:secrets` under the name `secret`."""

    secret: str


@dataclass(frozen=True)
class PortRange:
    """Ports `first` to `last`, both included; equal for a single port."""

    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"

    def __contains__(self, port: int) -> bool:
        return self.first <= port <= self.last


@dataclass(frozen=True)
class Published:
    """Ports of a container that the world reaches at the network's public addresses."""

    protocol: "Protocol"
    ports: PortRange


@dataclass(frozen=True)
class Volume:
    """A mount: `source` is a volume's name or, where it begins with "/", a path on the host."""

    source: str
    target: str
    read_only: bool

    @property
    def is_path(self) -> bool:
        """Whether `source` is a path on the host."""
        return self.source.startswith("/")


# --- words and names -----------------------------------------------------------------------------

_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
DNS = rf"(?:{_LABEL}\.)*{_LABEL}"
"""A DNS name, of one label or more, in a regular expression."""


def _matching(
    pattern: str, example: str, longest: int, kind: str, why: str, *, quoted: bool = True
) -> PlainValidator:
    """Return the validator for text that matches `pattern` as a whole (an allow-list).

    A value that may be a secret in the wrong place is not `quoted` in an error.
    """
    return PlainValidator(_matcher(pattern, example, longest, kind, why, quoted=quoted))


def _matcher(
    pattern: str, example: str, longest: int, kind: str, why: str, *, quoted: bool = True
) -> Callable[[object], str]:
    compiled = re.compile(pattern)

    def validate(value: object) -> str:
        if not isinstance(value, str):
            found = show(value) if quoted else kind_of(value)
            raise refusal(f"is {found}, not {kind}", why, f"write {kind} like {example}")
        if not value:
            raise refusal(f"is empty, not {kind}", why, f"write {kind} like {example}")
        if len(value) > longest:
            what = f"has {len(value)} characters"
            raise refusal(what, why, f"write {kind} of at most {longest} characters")
        if not compiled.fullmatch(value):
            what = f"{show(value)} is not {kind}" if quoted else f"is not {kind}"
            raise refusal(what, why, f"write {kind} like {example}")
        return value

    return validate


def _one_of(*words: str) -> PlainValidator:
    """Return the validator for one of a few words."""
    listed = f"{', '.join(words[:-1])} or {words[-1]}"

    def validate(value: object) -> str:
        # YAML 1.1 reads a bare no as false.
        word = "no" if value is False and "no" in words else value
        if isinstance(word, str) and word in words:
            return word
        raise refusal(f"is {show(word)}, which is none of {listed}", "", f"write {listed}")

    return PlainValidator(validate)


def _only(word: str, why: str, remedy: str) -> PlainValidator:
    """Return the validator for a key that knows one word so far."""

    def validate(value: object) -> str:
        if value != word:
            raise refusal(f"is {show(value)}, not {word}", why, f"write {word}, or {remedy}")
        return word

    return PlainValidator(validate)


_LINK_LENGTH = 15  # IFNAMSIZ is 16 bytes with the terminating null (linux/if.h).
_RESERVED_LINKS = ("lo", "docker0", "docker_gwbridge", "all", "bonding_masters")
_RESERVED_NETWORKS = (*_RESERVED_LINKS, "bridge", "host", "none", "default", "ingress")


def _link(kind: str, example: str, reserved: tuple[str, ...], because: str) -> PlainValidator:
    """Return the validator for a name that becomes, or is, a network interface."""

    def validate(value: object) -> str:
        remedy = f"write a name of 1 to {_LINK_LENGTH} letters, digits, _, . or -, like {example}"
        if not isinstance(value, str):
            quote = " (quote it where it is meant as text)" if isinstance(value, int) else ""
            raise refusal(f"is {show(value)}, not {kind}", because, remedy + quote)
        if not value:
            raise refusal(f"is empty, not {kind}", because, remedy)
        if len(value) > _LINK_LENGTH:
            why = f"The kernel takes at most {_LINK_LENGTH} characters for an interface."
            raise refusal(f"{show(value)} has {len(value)} characters", why, remedy)
        wrong = re.search(r"[^A-Za-z0-9_.-]", value) or re.match(r"[_.-]", value)
        if wrong is not None:
            place = "begins with" if wrong.start() == 0 else "has"
            why = "The kernel, Docker or iptables would refuse it or take it for something else."
            raise refusal(f"{show(value)} {place} {show(wrong.group())}", why, remedy)
        if value in reserved:
            why = "Docker or the kernel uses this name itself."
            what, remedy = f"{show(value)} is a reserved name", f"choose another name: {remedy}"
            raise refusal(what, why, remedy)
        return value

    return PlainValidator(validate)


def _flag(value: object) -> bool:
    # `pulumi config set wanbound:verify true` stores text.
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return value == "true"
    raise refusal(f"is {show(value)}, neither true nor false", "", "write true or false")


def _text(value: object) -> str:
    """Return free text, which goes to Docker's API only; a number stands for its digits."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < HUGE:
        return str(value)
    if isinstance(value, bool | int | float):
        why = "YAML reads it as a value, and the text that it came from is lost."
        kind = f"a boolean, {show(value)}" if isinstance(value, bool) else "a number"
        raise refusal(f"is {kind}, not text", why, "put quotes around it")
    raise refusal(f"is {show(value)}, not text", "", "write text, in quotes")


_check_seed = _matcher(
    ".+", '"3f1c9a5e77d0"', 256, "a text", "IPv6 subnets are derived from it, for ever."
)
_check_domain = _matcher(
    rf"(?:{_LABEL}\.)+[A-Za-z](?:[A-Za-z0-9-]{{0,61}}[A-Za-z0-9])?",
    "whoami.mail.example.com",
    253,
    "a DNS name",
    "The load balancer routes requests by this name.",
)


def _volume(value: object) -> Volume:
    remedy = "write source:/target or source:/target:ro, like data:/var/lib/data"
    if not isinstance(value, str):
        raise refusal(f"is {show(value)}, not a volume", "", remedy)
    source, _, rest = value.partition(":")
    target, colon, mode = rest.partition(":")
    if target.endswith("/") and _path(target[:-1]):
        why = "Docker would mount the same, and targets are compared as they are written."
        raise refusal(f"{show(value)} has a target that ends in /", why, "remove the / at its end")
    if not _path(target):
        why = "The target is an absolute path in the container, without .. and other than /."
        raise refusal(f"{show(value)} has no such target", why, remedy)
    if colon and mode not in ("ro", "rw"):
        raise refusal(f"{show(value)} ends in {show(mode)}, neither ro nor rw", "", remedy)
    if not _path(source) and not re.fullmatch("[A-Za-z0-9][A-Za-z0-9_.-]{1,127}", source):
        why = (
            "The source is the name of a volume (two characters or more, letters, digits, _ . -)"
            " or an absolute path on the host, without .. and other than /."
        )
        raise refusal(f"{show(value)} has no such source", why, remedy)
    return Volume(source, target, mode == "ro")


def _path(text: str) -> bool:
    if not re.fullmatch(r"(/[A-Za-z0-9_.@+-]+)+", text) or len(text) > 1024:
        return False
    return not {".", ".."} & set(text.split("/"))


Protocol: TypeAlias = Literal["tcp", "udp"]
Restart: TypeAlias = Literal["no", "on-failure", "always", "unless-stopped"]
Persist: TypeAlias = Literal["iptables-files"]
Mode: TypeAlias = Literal["nat", "snat", "masquerade"]
"""How a network's traffic is translated: both ways by wanbound; only what goes out; what goes out,
while Docker publishes the containers' ports on the public addresses."""

ProtocolWord = Annotated[Protocol, _one_of("tcp", "udp")]
RestartWord = Annotated[Restart, _one_of("no", "on-failure", "always", "unless-stopped")]
ModeWord = Annotated[Mode, _one_of("nat", "snat", "masquerade")]
ChallengeWord = Annotated[Literal["tls-alpn", "http"], _one_of("tls-alpn", "http")]
SocketWord = Annotated[Literal["proxy", "direct"], _one_of("proxy", "direct")]
PersistWord = Annotated[
    Persist,
    _only(
        "iptables-files",
        "Only rules.v4 and rules.v6 in /etc/iptables are known, besides wanbound's own files.",
        "remove the key",
    ),
]
Ipv6NatWord = Annotated[
    Literal["container"],
    _only(
        "container",
        "It is run as the recipe runs it, in a container of its own.",
        "remove the key; one that runs already may stay as it is",
    ),
]
Flag = Annotated[bool, PlainValidator(_flag)]
Text = Annotated[str, PlainValidator(_text)]
Seed = Annotated[str, PlainValidator(lambda value: _check_seed(_text(value)))]
Domain = Annotated[str, PlainValidator(lambda value: _check_domain(value).lower())]
VolumeText = Annotated[Volume, PlainValidator(_volume)]
NetworkName = Annotated[
    str,
    _link("a network's name", "mail", _RESERVED_NETWORKS, "Docker knows the network by this name."),
]
BridgeName = Annotated[
    str, _link("a bridge's name", "mail", _RESERVED_NETWORKS, "The kernel's bridge has this name.")
]
InterfaceName = Annotated[
    str,
    _link(
        "an interface's name", "eth0", _RESERVED_LINKS, "It is where the public addresses are put."
    ),
]

_COMPONENT = "[a-z0-9]+(?:(?:[.]|_{1,2}|-+)[a-z0-9]+)*"
_IMAGE = (  # The grammar of distribution/reference: [host[:port]/]path[:tag][@digest].
    rf"(?:{DNS}(?::[0-9]{{1,5}})?/)?{_COMPONENT}(?:/{_COMPONENT})*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
# Before the @ a Dot-string of RFC 5321, without quotes and without `.
_LOCAL_PART = r"[A-Za-z0-9!#$%&'*+/=?^_{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_{|}~-]+)*"

# A table: pattern, example and longest; what it is, and why.
# fmt: off
HostName = Annotated[str, _matching("[a-z0-9][a-z0-9-]*", "edge-1", 63,
    "a host name of lower-case letters, digits and -", "It names the host's resources in Pulumi.")]
UserName = Annotated[str, _matching("[A-Za-z_][A-Za-z0-9_.-]*", "root", 32,
    "a user name", "SSH logs in with it.", quoted=False)]
ContainerName = Annotated[str, _matching("[A-Za-z0-9][A-Za-z0-9_.-]+", "turn", 63,
    "a container name (two characters or more: letters, digits, _, . and -)",
    "Docker refuses other names.")]
IngressTarget = Annotated[str, _matching("[A-Za-z0-9][A-Za-z0-9_.-]+", LOAD_BALANCER, 63,
    "load_balancer or the name of a container", "The ports are forwarded to its address.")]
VolumeName = Annotated[str, _matching("[A-Za-z0-9][A-Za-z0-9_.-]+", "mail_letsencrypt", 200,
    "a volume's name (two characters or more: letters, digits, _, . and -)",
    "Docker refuses other names.")]
ImageRef = Annotated[str, _matching(_IMAGE, "traefik:v3.7", 400,
    "an image reference (repository in lower case, then :tag or @sha256:digest)",
    "Docker could not pull it.")]
EnvironmentName = Annotated[str, _matching("[A-Za-z_][A-Za-z0-9_.-]*", "TURN_REALM", 255,
    "the name of an environment variable", "A = or a space in it would end the name.",
    quoted=False)]
LabelKey = Annotated[str, _matching(r"[A-Za-z0-9][A-Za-z0-9._/\[\]-]*", "traefik.enable", 255,
    "the key of a label (letters, digits, . _ / - [ ])",
    "Docker and Traefik read labels by such keys.", quoted=False)]
DashboardUser = Annotated[str, _matching("[A-Za-z0-9._@+-]+", "bob", 64,
    "a user name (letters, digits, . _ @ + -)", "The dashboard asks for it; a : would end it.",
    quoted=False)]
Email = Annotated[str, _matching(rf"{_LOCAL_PART}@{DNS}", "bob@example.com", 254,
    "a mail address",
    "The certificate authority writes there when something is wrong with a certificate.")]
# fmt: on

# --- numbers and ports ---------------------------------------------------------------------------


def _number(value: object) -> int | None:
    if isinstance(value, str) and re.fullmatch("[0-9]{1,6}", value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _port(value: object) -> int:
    port = _number(value)
    if port is None:
        raise refusal(f"is {show(value)}, not a port", "", "write a number from 1 to 65535")
    if not 1 <= port <= 65535:
        why = "A port has 16 bits and 0 is none."
        raise refusal(f"{show(port)} is no port", why, "write a number from 1 to 65535")
    return port


def _seconds(value: object) -> int:
    seconds = _number(value)
    if seconds is None or not 5 <= seconds <= 600:
        why = (
            "For so long a host waits until a change is confirmed over a new connection, and then"
            " undoes it: less may be too short to log in, more leaves you locked out for longer."
        )
        raise refusal(f"is {show(value)}, not 5 to 600 seconds", why, "write a number like 30")
    return seconds


def _items(value: object, what: str, why: str, remedy: str) -> list[object]:
    """Return a list's entries, or the only one; an empty list is refused."""
    items = list(value) if isinstance(value, list | tuple) else [value]
    if not items:
        raise refusal(what, why, remedy)
    return items


def _range(item: object, remedy: str) -> PortRange:
    """Return a port, or a range of ports, as it is written."""
    if isinstance(item, PortRange):
        return item
    number = _number(item)
    ends = re.fullmatch("([0-9]{1,6}) ?- ?([0-9]{1,6})", item) if isinstance(item, str) else None
    if number is None and ends is None:
        raise refusal(f"has {show(item)}, which is no port", "", remedy)
    first, last = (int(ends[1]), int(ends[2])) if ends is not None else (number or 0, number or 0)
    if not (1 <= first <= 65535 and 1 <= last <= 65535):
        what = f"has {show(item)}, which is outside 1 to 65535"
        raise refusal(what, "A port has 16 bits and 0 is none.", remedy)
    if first > last:
        what = f"has {show(item)}, a range that ends before it begins"
        raise refusal(what, "", f'write "{last}-{first}"')
    return PortRange(first, last)


def _ranges(items: list[object], remedy: str) -> tuple[PortRange, ...]:
    return tuple(sorted((_range(item, remedy) for item in items), key=lambda each: each.first))


_PORTS = 'a list of ports and ranges like [443, "1000-1010"]'
_PUBLISHED = 'write a list of ports and ranges like [25, "5000-5010", "3478/udp"]'
_PROTOCOLS: dict[str, Protocol] = {"": "tcp", "tcp": "tcp", "udp": "udp"}


def _ports(value: object) -> Literal["all"] | tuple[PortRange, ...]:
    if value == "all":
        return "all"
    remedy = "list ports, or remove this ingress entry"
    items = _items(value, "lists no port", "Nothing would be forwarded.", remedy)
    return _ranges(items, f"write all, or {_PORTS}")


def _open_ports(value: object) -> tuple[PortRange, ...]:
    if value == "all":
        why = "It would open the host's SSH to everybody, and whatever is started later."
        raise refusal("is all, which no host should have open", why, f"write {_PORTS}")
    remedy = "list ports, or remove this entry"
    return _ranges(
        _items(value, "lists no port", "Nothing would be open.", remedy), f"write {_PORTS}"
    )


def _published(value: object) -> tuple[Published, ...]:
    remedy = "list ports, or remove it"
    return tuple(
        map(_publish, _items(value, "lists no port", "Nothing would be published.", remedy))
    )


def _publish(item: object) -> Published:
    ports, word = item, ""
    if isinstance(item, str):
        ports, slash, word = item.partition("/")
        if ":" in item:
            why = "The world reaches a container at the port that it listens on, and no other."
            raise refusal(f"has {show(item)}, a port and another one", why, _PUBLISHED)
        if (slash and not word) or word not in _PROTOCOLS:
            what = f"has {show(item)}, whose protocol is neither tcp nor udp"
            raise refusal(what, "", _PUBLISHED)
    return Published(_PROTOCOLS[word], _range(ports, _PUBLISHED))


Port = Annotated[int, PlainValidator(_port)]
Seconds = Annotated[int, PlainValidator(_seconds)]
Ports = Annotated[Literal["all"] | tuple[PortRange, ...], PlainValidator(_ports)]
"""Sorted; "all" only with tcp."""
OpenPorts = Annotated[tuple[PortRange, ...], PlainValidator(_open_ports)]
PublishedPorts = Annotated[tuple[Published, ...], PlainValidator(_published)]

# --- addresses and subnets -----------------------------------------------------------------------

_EXAMPLE = {4: "203.0.113.10", 6: '"2001:db8::10"'}
_SUBNETS = {4: "172.20.0.0/24", 6: '"fd5c:1b2a:77f0:1::/64"'}
_GATEWAYS = {4: "203.0.113.1", 6: '"fe80::1"'}
_MAPPED = "An IPv4-mapped address is never on the wire; it is another way to write an IPv4 one."
_RESERVED = tuple(map(ip_network, ("0.0.0.0/8", "240.0.0.0/4", "::/8")))
_NO_SOURCES = (*_RESERVED, *map(ip_network, ("127.0.0.0/8", "224.0.0.0/4", "ff00::/8")))


def _unusable(address: Address) -> str | None:
    """Return what kind of address this is when no host can be reached at it, else None."""
    kinds = {
        "a multicast address": address.is_multicast,
        "a loopback address": address.is_loopback,
        "the unspecified address": address.is_unspecified,
        "a link-local address": address.is_link_local,
        "a reserved address": any(address in subnet for subnet in _RESERVED),
    }
    return next((kind for kind, applies in kinds.items() if applies), None)


def _parse(
    value: object, field: str, version: Version, examples: Mapping[int, str] = _EXAMPLE
) -> Address:
    """Return an address of one family; `field` is the key that it is written at."""
    remedy = f"write an IPv{version} address like {examples[version]}"
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
        key = _other(field) if version == 6 else field
        remedy = f"write {address.ipv4_mapped} as {key}"
        raise refusal(f"{show(value)} is an IPv4-mapped address", _MAPPED, remedy)
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


def _public_address(value: object, field: str, version: Version) -> Address:
    address = _parse(value, field, version)
    if (kind := _unusable(address)) is not None:
        why = "Nobody on the internet could reach the network there, nor be answered from it."
        remedy = "write an address that your provider routes to this host, like "
        raise refusal(f"{address} is {kind}", why, remedy + _EXAMPLE[version])
    return address


def _gateway(value: object, field: str, version: Version) -> Address:
    address = _parse(value, field, version, _GATEWAYS)
    kind = _unusable(address)
    # IPv6 routers are known by their link-local address (RFC 4861 section 6.1.2), and some hosters
    # have one for IPv4 as well (169.254.0.1), for hosts with a single address.
    if kind is not None and not address.is_link_local:
        why = "The host's default route goes through it, and no router has such an address."
        remedy = f"write the address of your provider's router, like {_GATEWAYS[version]}"
        raise refusal(f"{address} is {kind}", why, remedy)
    return address


def _at_its_key(
    parse: Callable[[object, str, Version], Address], version: Version
) -> PlainValidator:
    """Return the validator that tells `parse` the key at which the address is written."""

    def validate(value: object, info: ValidationInfo) -> Address:
        return parse(value, info.field_name or "", version)

    return PlainValidator(validate)


def _version_of(item: object) -> Version:
    return 6 if isinstance(item, str) and ":" in item else 4


def _distinct(addresses: list[Address]) -> tuple[Address, ...]:
    for place, address in enumerate(addresses):
        if address in addresses[:place]:
            raise refusal(f"has {address} twice", "", f"list {address} once")
    return tuple(addresses)


def _entrances(value: object) -> tuple[Address, ...]:
    remedy = "list public addresses, or remove the key"
    found: list[Address] = []
    for item in _items(value, "lists no address", "Nothing would come in.", remedy):
        found.append(_public_address(item, "addresses", _version_of(item)))
    return _distinct(found)


_MOST_SERVERS = 3
"""resolv.conf(5), MAXNS; Docker's own resolver asks no more of them either."""


def _servers(value: object) -> tuple[Address, ...]:
    remedy = 'write a list like [198.51.100.53, "2001:db8:ffff::53"]'
    if not isinstance(value, list | tuple):
        raise refusal(f"is {show(value)}, not a list of DNS servers", "", remedy)
    if not value:
        why = "Nobody would be asked for names."
        raise refusal("lists no server", why, "list DNS servers, or remove the key")
    if len(value) > _MOST_SERVERS:
        why = f"Resolvers ask the first {_MOST_SERVERS} and ignore the rest."
        raise refusal(f"lists {len(value)} servers", why, f"list at most {_MOST_SERVERS}")
    found: list[Address] = []
    for item in value:
        address = _parse(item, "dns", _version_of(item))
        if (kind := _unusable(address)) is not None:
            why = "It is asked from inside a container, and there no server answers at it."
            raise refusal(f"{address} is {kind}", why, remedy)
        found.append(address)
    return _distinct(found)


def _source_range(value: object) -> Subnet:
    """Return a range of source addresses; an address alone is a range of one."""
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    remedy = 'write ranges of addresses like ["198.51.100.0/24", "2001:db8:77::/48"]'
    if not isinstance(value, str):
        raise refusal(f"is {show(value)}, not a range of addresses", "", remedy)
    subnet = _prefix(value, "a range of addresses", remedy)
    if any(overlaps(subnet, none) and subnet.prefixlen >= none.prefixlen for none in _NO_SOURCES):
        why = "No packet comes from there, so the entry would let nobody in."
        raise refusal(f"{subnet} is no range that anybody sends from", why, remedy)
    return subnet


def _trusted(value: object) -> tuple[Subnet, ...]:
    if not isinstance(value, list | tuple):
        remedy = 'write a list like ["172.20.0.0/24"], or [] to trust nobody'
        raise refusal(f"is {show(value)}, not a list of ranges", "", remedy)
    return tuple(dict.fromkeys(map(_source_range, value)))


def _subnet(version: Version, longest: int) -> Callable[[object, ValidationInfo], Subnet]:
    """Return the validator for a subnet whose prefix is at most `longest` bits."""

    def validate(value: object, info: ValidationInfo) -> Subnet:
        remedy = f"write an IPv{version} subnet like {_SUBNETS[version]}"
        if not isinstance(value, str):
            raise refusal(f"is {show(value)}, not an IPv{version} subnet", "", remedy)
        if "/" not in value:
            why = "Without it this would be a subnet of one address."
            raise refusal(f"{show(value)} has no prefix length", why, remedy)
        subnet = _prefix(value, f"an IPv{version} subnet", remedy, version, info.field_name or "")
        if subnet.prefixlen > longest:
            why = f"At most /{longest} leaves room for what has to be in it."
            raise refusal(f"{subnet} is too small", why, remedy)
        for end in (subnet.network_address, subnet.broadcast_address):
            if (kind := _unusable(end)) is not None:
                why = f"{end} in it is {kind}."
                raise refusal(f"{subnet} cannot be a subnet of containers", why, remedy)
        return subnet

    return validate


def _prefix(
    value: str, kind: str, remedy: str, version: Version | None = None, field: str = ""
) -> Subnet:
    """Return what `value` is, an address and a prefix length; of one family where that is given."""
    text, slash, bits = value.partition("/")
    if "%" in value or (slash and not re.fullmatch("[0-9]{1,3}", bits)):
        raise refusal(f"{show(value)} is not {kind}", "", remedy)
    try:
        address = ip_address(text)
    except ValueError:
        raise refusal(f"{show(value)} is not {kind}", "", remedy) from None
    if version is not None:
        _same_family(address.version, value, field, version, remedy)
    try:
        subnet = ip_network((address, int(bits) if slash else address.max_prefixlen), strict=False)
    except ValueError:
        what = f"{show(value)} has no possible prefix length"
        raise refusal(what, "", remedy) from None
    if subnet.network_address != address:
        why = (
            "Bits after the prefix say nothing in a subnet, and iptables-save would print"
            " another text than the one written here."
        )
        raise refusal(f"{show(value)} has host bits set", why, f"write {subnet}")
    return subnet


# A gateway and one more address have to fit: /30 with its two usable ones, /126 with three.
_check_subnet_ipv4 = _subnet(4, 30)


def _subnet_or_docker(value: object, info: ValidationInfo) -> object:
    return BY_DOCKER if value == BY_DOCKER else _check_subnet_ipv4(value, info)


PublicV4 = Annotated[IPv4Address, _at_its_key(_public_address, 4)]
PublicV6 = Annotated[IPv6Address, _at_its_key(_public_address, 6)]
AddressV4 = Annotated[IPv4Address, _at_its_key(_parse, 4)]
AddressV6 = Annotated[IPv6Address, _at_its_key(_parse, 6)]
GatewayV4 = Annotated[IPv4Address, _at_its_key(_gateway, 4)]
GatewayV6 = Annotated[IPv6Address, _at_its_key(_gateway, 6)]
SubnetV4OrDocker = Annotated[IPv4Network | Literal["docker"], PlainValidator(_subnet_or_docker)]
SubnetV6 = Annotated[IPv6Network, PlainValidator(_subnet(6, 126))]
PoolV4 = Annotated[IPv4Network, PlainValidator(_subnet(4, 24))]
SourceRange = Annotated[Subnet, PlainValidator(_source_range)]
TrustedRanges = Annotated[tuple[Subnet, ...], PlainValidator(_trusted)]
Entrances = Annotated[tuple[Address, ...], PlainValidator(_entrances)]
Servers = Annotated[tuple[Address, ...], PlainValidator(_servers)]

# --- places on the network -----------------------------------------------------------------------


_PART = "[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_ALIAS = rf"(?:{_PART}\.)*{_PART}"
"""A DNS name, or a name in ~/.ssh/config: it cannot be a pattern there, an option or a shell's."""


def _ssh_address(value: object) -> str:
    """Return an address in its canonical text, or a DNS name or alias as it is written."""
    remedy = "write the host's address or DNS name, like 192.0.2.10, or its name in ~/.ssh/config"
    if not isinstance(value, str):
        raise refusal(f"is {show(value)}, no address", "", remedy)
    if "@" in value:
        why = "What stands before an @ is a user, and has a key of its own."
        raise refusal(
            "has an @ in it", why, "write the user as ssh.user, and the address alone here"
        )
    if len(value) > 253:
        what = f"has {len(value)} characters"
        raise refusal(what, "A DNS name has at most 253 (RFC 1035).", remedy)
    try:
        address = ip_address(value)
    except ValueError:
        # A last label of digits alone makes it an address (RFC 1123 2.1), and a malformed one.
        if not re.fullmatch(_ALIAS, value) or value.rpartition(".")[2].isdigit():
            why = "No SSH connection can be made to it."
            what = f"{show(value)} is neither address, DNS name nor name in ~/.ssh/config"
            raise refusal(what, why, remedy) from None
        # As it is: ~/.ssh/config tells names apart by their case.
        return value
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        raise refusal(f"{show(value)} is IPv4-mapped", _MAPPED, f"write {address.ipv4_mapped}")
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        why = "The zone is a name on your own machine, another one may have it otherwise."
        raise refusal(f"{show(value)} has a zone", why, remedy)
    if address.is_unspecified or address.is_multicast:
        what = f"{address} is {_unusable(address)}"
        raise refusal(what, "No SSH connection can be made to it.", remedy)
    return str(address)


_PATH = r"(?:/[A-Za-z0-9._~=%-]*)*"
_SITE = rf"({DNS}|\[[0-9A-Fa-f:.]+\])(?::([0-9]{{1,5}}))?{_PATH}"


def _echo(version: Version) -> PlainValidator:
    example = '"http://198.51.100.1/"' if version == 4 else '"http://[2001:db8:ffff::1]/"'
    remedy = f"write an address like {example} that answers the caller's own address as text"

    def validate(value: object) -> str:
        text = value if isinstance(value, str) and len(value) <= 300 else ""
        if (found := re.fullmatch(rf"https?://{_SITE}", text)) is None:
            # Not shown, here as below: there may be a password or a token in it.
            raise refusal("is no http:// or https:// address", "", remedy)
        if found[2] is not None and not 1 <= int(found[2]) <= 65535:
            what = f"has the port {found[2]}"
            raise refusal(what, "A port has 16 bits and 0 is none.", remedy)
        why = "It would be asked from inside a network, and there nothing answers at it."
        address = echo_address(text)
        if address is None:
            if found[1].lower() == "localhost":
                raise refusal(f"{found[1]} is the asking container itself", why, remedy)
            if found[1].startswith("[") or found[1].rpartition(".")[2].isdigit():
                raise refusal(f"{found[1]} is no valid address", "", remedy)
            return text
        if address.version != version:
            why = f"Asked over IPv{address.version}, it would say nothing about IPv{version}."
            what = f"{address} is IPv{address.version}, not IPv{version}"
            raise refusal(what, why, remedy)
        if (kind := _unusable(address)) is not None:
            raise refusal(f"{address} is {kind}", why, remedy)
        return text

    return PlainValidator(validate)


def echo_address(url: str) -> Address | None:
    """Return the address in a valid `echo` URL, None where it has a DNS name."""
    found = re.fullmatch(rf"https?://{_SITE}", url)
    try:
        return None if found is None else ip_address(found[1].strip("[]"))
    except ValueError:
        return None


def _ca_server(value: object) -> str:
    if isinstance(value, str) and len(value) <= 300 and re.fullmatch(f"https://{_SITE}", value):
        return value
    why = "Certificates are asked for there (RFC 8555), and ACME is spoken over https alone."
    remedy = f"write the directory's address, like {LETS_ENCRYPT}, or remove the key to get that"
    raise refusal("is no https:// address", why, remedy)


SshAddress = Annotated[str, PlainValidator(_ssh_address)]
EchoV4 = Annotated[str, _echo(4)]
EchoV6 = Annotated[str, _echo(6)]
AcmeUrl = Annotated[str, PlainValidator(_ca_server)]

# --- secrets and keys: none is ever quoted -------------------------------------------------------

_secret_name = _matcher(
    "[A-Za-z_][A-Za-z0-9_.-]*",
    "DATABASE_PASSWORD",
    128,
    "the name of a secret",
    "Behind secret: stands the name of an entry of wanbound:secrets, and the value stands there.",
    quoted=False,
)


def _secret(why: str, remedy: str) -> PlainValidator:
    """Return the validator for `{secret: NAME}`; somebody may have written the secret itself."""

    def validate(value: object) -> SecretRef:
        if isinstance(value, SecretRef):
            return value
        if not isinstance(value, Mapping) or set(value) != {"secret"}:
            raise refusal("is not {secret: NAME}", why, f"write {{secret: NAME}} and put {remedy}")
        return SecretRef(_secret_name(value["secret"]))

    return PlainValidator(validate)


def _environment(value: object) -> str | SecretRef:
    if not isinstance(value, Mapping):
        return _text(value)
    if set(value) != {"secret"}:
        what = "is a mapping with other keys than secret"
        why = "A value is text, or refers to an entry of wanbound:secrets."
        raise refusal(what, why, "write {secret: NAME}, or the text itself")
    return SecretRef(_secret_name(value["secret"]))


_HASHES = (
    # crypt(5) and htpasswd(1): what Traefik's basic auth compares with.
    re.compile(r"\$2[aby]\$(?:0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}"),
    re.compile(r"\$apr1\$[./A-Za-z0-9]{1,8}\$[./A-Za-z0-9]{22}"),
    re.compile(r"\{SHA\}[A-Za-z0-9+/]{27}="),
)


def why_no_hash(value: str) -> str | None:
    """Return what is wrong with a password's hash, None for a good one. Never quotes it."""
    if any(pattern.fullmatch(value) for pattern in _HASHES):
        return None
    _, colon, rest = value.partition(":")
    if colon and any(pattern.fullmatch(rest.strip()) for pattern in _HASHES):
        return "begins with a user's name, as a whole line of htpasswd does"
    if any(pattern.fullmatch(value.strip()) for pattern in _HASHES):
        return "has a space or a line break at its end or beginning"
    if any(pattern.fullmatch(value.replace("$$", "$")) for pattern in _HASHES):
        return "has each $ doubled, as Docker Compose wants it and nobody else"
    return "is none of the hashes that Traefik knows"


_POINTS = {"nistp256": 65, "nistp384": 97, "nistp521": 133}
_CURVES = {f"ecdsa-sha2-{curve}": curve for curve in _POINTS}
_KEY_TYPES = ("ssh-ed25519", *_CURVES, "ssh-rsa")


def _host_key(value: object) -> str:
    """Return `type base64` of a public key line; a comment behind it is dropped.

    The value is never quoted in an error: somebody may have pasted the private half.
    """
    why = "Nothing is sent to a host whose key is not the pinned one, so this would match no host."
    remedy = (
        "take type and key from /etc/ssh/ssh_host_ed25519_key.pub on the host, for example"
        ' "ssh-ed25519 AAAAC3Nza…"; or remove the key to use known_hosts'
    )
    if not isinstance(value, str):
        raise refusal("is no SSH host key", why, remedy)
    if "PRIVATE KEY" in value:
        raise refusal("is a private key", "It would be readable by all who read this.", remedy)
    kind, _, rest = value.strip().partition(" ")
    if kind not in _KEY_TYPES:
        if any(f" {known} " in f" {value}" for known in _KEY_TYPES):
            what = "has something before the type of the key (a host name, as in known_hosts?)"
        elif re.match(r"(SHA256|MD5):", value):
            what = "is a fingerprint, not a key"
        else:
            what = f"is no SSH host key of a known type ({', '.join(_KEY_TYPES)})"
        raise refusal(what, why, remedy)
    text = next(iter(rest.split(maxsplit=1)), "")
    try:
        blob = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise refusal(f"has no valid base64 behind {kind}", why, remedy) from None
    if not _is_key(kind, blob):
        raise refusal(f"has base64 behind {kind} that is no such key", why, remedy)
    return f"{kind} {text}"


def _is_key(kind: str, blob: bytes) -> bool:
    """Return whether `blob` is a public key of that type (RFC 4253 6.6, RFC 5656 3.1, RFC 8709)."""
    fields = []
    while blob:  # strings behind their lengths
        end = 4 + int.from_bytes(blob[:4])
        if len(blob) < max(end, 4):
            return False
        fields.append(blob[4:end])
        blob = blob[end:]
    match fields:
        case [name, *_] if name != kind.encode():
            return False
        case [_, key] if kind == "ssh-ed25519":
            return len(key) == 32
        case [_, curve, point] if kind in _CURVES:
            return curve == _CURVES[kind].encode() and len(point) == _POINTS[_CURVES[kind]]
        case [_, exponent, modulus] if kind == "ssh-rsa":
            return len(exponent) > 0 and len(modulus) >= 128
    return False


HostKey = Annotated[str, PlainValidator(_host_key)]
EnvironmentValue = Annotated[str | SecretRef, PlainValidator(_environment)]
Secret = Annotated[
    SecretRef,
    _secret(
        "What opens a host is no text for a file that others read.",
        "the value into wanbound:secrets; a key file needs no key here: name it in your ssh config,"
        " or give it to your agent",
    ),
]
PasswordHash = Annotated[
    SecretRef,
    _secret(
        "A hash can be guessed at by whoever reads it, and this file is read by many.",
        "what `htpasswd -nbB USER PASSWORD` prints behind the colon into wanbound:secrets",
    ),
]
Certificates = Annotated[
    SecretRef,
    _secret(
        "A certificate has many lines, and a value here has one.",
        "the PEM text into wanbound:secrets:"
        " pulumi config set --secret --path wanbound:secrets.NAME <ca.pem",
    ),
]
