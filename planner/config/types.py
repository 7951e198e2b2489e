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
from planner.config.report import HUGE, JsonSchema, kind_of, refusal, show, written

Address: TypeAlias = IPv4Address | IPv6Address
Subnet: TypeAlias = IPv4Network | IPv6Network
Version: TypeAlias = Literal[4, 6]
VERSIONS: tuple[Version, ...] = (4, 6)

LOAD_BALANCER = "load_balancer"
"""The word for the network's load balancer in `Ingress.to`."""

BY_DOCKER: Literal["docker"] = "docker"
"""The value of `subnet_ipv4` if Docker chooses the subnet."""

SET_COMMAND = "pulumi config set --secret --path 'wanbound:secrets[\"NAME\"]'"
"""The command that sets a secret, for any name."""

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
"""The directory of Let's Encrypt (letsencrypt.org/docs/acme-protocol-updates)."""


@dataclass(frozen=True)
class SecretRef:
    """A reference to the value in `wanbound:secrets` with the name `secret`."""

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
class AddressPair:
    """The fixed addresses of a container that compose or a person starts in a network."""

    ipv4: Address | None = None
    ipv6: Address | None = None

    def __str__(self) -> str:
        return " and ".join(map(str, self.known))

    @property
    def known(self) -> tuple[Address, ...]:
        """The addresses that were written, IPv4 first; at least one."""
        return tuple(each for each in (self.ipv4, self.ipv6) if each is not None)

    def address(self, version: "Version") -> Address | None:
        """Return the address of that family, None where it was not written."""
        return self.ipv4 if version == 4 else self.ipv6


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
    validate = _matcher(pattern, example, longest, kind, why, quoted=quoted)
    return written(validate, {"type": "string", "pattern": _whole(pattern), "maxLength": longest})


def _whole(pattern: str) -> str:
    """Return a pattern that matches whole texts, for JSON Schema: it looks for a part otherwise."""
    return f"^(?:{pattern})$"


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
        raise refusal(f"is {show(word)}, not one of {listed}", "", f"write {listed}")

    return written(validate, {"enum": [*words, *([False] if "no" in words else [])]})


def _only(word: str, why: str, remedy: str) -> PlainValidator:
    """Return the validator for a key that knows one word so far."""

    def validate(value: object) -> str:
        if value != word:
            raise refusal(f"is {show(value)}, not {word}", why, f"write {word}, or {remedy}")
        return word

    return written(validate, {"const": word})


_LINK_LENGTH = 15  # IFNAMSIZ is 16 bytes with the terminating null (linux/if.h).
_RESERVED_LINKS = ("lo", "docker0", "docker_gwbridge", "all", "bonding_masters")
_RESERVED_NETWORKS = (*_RESERVED_LINKS, "bridge", "host", "none", "default", "ingress")


def _link(kind: str, example: str, reserved: tuple[str, ...], because: str) -> PlainValidator:
    """Return the validator for a name that becomes, or is, a network interface."""

    def validate(value: object) -> str:
        remedy = f"write a name of 1 to {_LINK_LENGTH} letters, digits, _, . or -, like {example}"
        if not isinstance(value, str):
            quote = " (put it in quotes if it is meant as text)" if isinstance(value, int) else ""
            raise refusal(f"is {show(value)}, not {kind}", because, remedy + quote)
        if not value:
            raise refusal(f"is empty, not {kind}", because, remedy)
        if len(value) > _LINK_LENGTH:
            why = f"The kernel takes at most {_LINK_LENGTH} characters for an interface."
            raise refusal(f"{show(value)} has {len(value)} characters", why, remedy)
        wrong = re.search(r"[^A-Za-z0-9_.-]", value) or re.match(r"[_.-]", value)
        if wrong is not None:
            place = "begins with" if wrong.start() == 0 else "has"
            why = "The kernel, Docker or iptables would refuse it or misread it."
            raise refusal(f"{show(value)} {place} {show(wrong.group())}", why, remedy)
        if value in reserved:
            why = "Docker or the kernel uses this name itself."
            what, remedy = f"{show(value)} is a reserved name", f"choose another name: {remedy}"
            raise refusal(what, why, remedy)
        return value

    pattern = rf"^[A-Za-z0-9][A-Za-z0-9_.-]{{0,{_LINK_LENGTH - 1}}}$"
    return written(validate, {"type": "string", "pattern": pattern, "not": {"enum": [*reserved]}})


def _flag(value: object) -> bool:
    # `pulumi config set wanbound:verify true` stores text.
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return value == "true"
    raise refusal(f"is {show(value)}, neither true nor false", "", "write true or false")


def _text(value: object) -> str:
    """Return free text, which goes to Docker's API only; a number becomes its digits."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < HUGE:
        return str(value)
    if isinstance(value, bool | int | float):
        why = "YAML converts it, and the original text is lost."
        kind = f"a boolean, {show(value)}" if isinstance(value, bool) else "a number"
        raise refusal(f"is {kind}, not text", why, "put quotes around it")
    raise refusal(f"is {show(value)}, not text", "", "write text, in quotes")


_check_seed = _matcher(".+", '"3f1c9a5e77d0"', 256, "a text", "IPv6 subnets are derived from it.")
_DOMAIN_NAME = rf"(?:{_LABEL}\.)+[A-Za-z](?:[A-Za-z0-9-]{{0,61}}[A-Za-z0-9])?"
_check_domain = _matcher(
    _DOMAIN_NAME,
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
        why = "Docker ignores the /, but targets are compared as they are written."
        raise refusal(f"{show(value)} has a target that ends in /", why, "remove the / at its end")
    if not _path(target):
        why = "The target is an absolute path in the container, without .. and other than /."
        raise refusal(f"{show(value)} has no valid target", why, remedy)
    if colon and mode not in ("ro", "rw"):
        raise refusal(f"{show(value)} ends in {show(mode)}, neither ro nor rw", "", remedy)
    if not _path(source) and not re.fullmatch("[A-Za-z0-9][A-Za-z0-9_.-]{1,127}", source):
        why = (
            "The source is the name of a volume (two characters or more, letters, digits, _ . -)"
            " or an absolute path on the host, without .. and other than /."
        )
        raise refusal(f"{show(value)} has no valid source", why, remedy)
    return Volume(source, target, mode == "ro")


def _path(text: str) -> bool:
    if not re.fullmatch(r"(/[A-Za-z0-9_.@+-]+)+", text) or len(text) > 1024:
        return False
    return not {".", ".."} & set(text.split("/"))


Protocol: TypeAlias = Literal["tcp", "udp"]
Restart: TypeAlias = Literal["no", "on-failure", "always", "unless-stopped"]
Persist: TypeAlias = Literal["iptables-files"]
Firewall: TypeAlias = Literal["iptables", "nftables"]
"""The program that loads rules: a host's, or Docker's own."""
Mode: TypeAlias = Literal["nat", "snat", "masquerade"]
"""How a network's traffic is translated: both ways by wanbound; only outgoing; only outgoing, while
Docker publishes the containers' ports on the public addresses."""

ProtocolWord = Annotated[Protocol, _one_of("tcp", "udp")]
RestartWord = Annotated[Restart, _one_of("no", "on-failure", "always", "unless-stopped")]
ModeWord = Annotated[Mode, _one_of("nat", "snat", "masquerade")]
ChallengeWord = Annotated[Literal["tls-alpn", "http"], _one_of("tls-alpn", "http")]
SocketWord = Annotated[Literal["proxy", "direct"], _one_of("proxy", "direct")]
FirewallWord = Annotated[Firewall, _one_of("iptables", "nftables")]
PersistWord = Annotated[
    Persist,
    _only(
        "iptables-files",
        "wanbound can copy its rules only to rules.v4 and rules.v6 in /etc/iptables.",
        "remove the key",
    ),
]
Ipv6NatWord = Annotated[
    Literal["container"],
    _only(
        "container",
        "docker-ipv6nat runs in its own container, as in the recipe.",
        "remove the key; a docker-ipv6nat that already runs can stay",
    ),
]
_FLAG = {"type": ["boolean", "string"], "pattern": "^(?:true|false)$"}
_TEXT = {"type": ["string", "integer"]}
_DOMAIN = {"type": "string", "pattern": _whole(_DOMAIN_NAME), "maxLength": 253}
_VOLUME = {"type": "string", "pattern": "^[^:]+:/[^:]+(?::r[ow])?$"}

Flag = Annotated[bool, written(_flag, _FLAG)]
Text = Annotated[str, written(_text, _TEXT)]
Seed = Annotated[str, written(lambda value: _check_seed(_text(value)), _TEXT | {"minLength": 1})]
Domain = Annotated[str, written(lambda value: _check_domain(value).lower(), _DOMAIN)]
VolumeText = Annotated[Volume, written(_volume, _VOLUME)]
MetricsFile = Annotated[
    str,
    _matching(
        r"(?:/[A-Za-z0-9_][A-Za-z0-9_.@+-]*)+\.prom",
        "/var/lib/prometheus/node-exporter/wanbound.prom",
        200,
        "an absolute path that ends in .prom",
        "The host writes this file, and node_exporter reads only files with this ending.",
    ),
]
NetworkName = Annotated[
    str,
    _link("a network's name", "mail", _RESERVED_NETWORKS, "Docker knows the network by this name."),
]
BridgeName = Annotated[
    str, _link("a bridge's name", "mail", _RESERVED_NETWORKS, "The kernel's bridge has this name.")
]
InterfaceName = Annotated[
    str,
    _link("an interface's name", "eth0", _RESERVED_LINKS, "The public addresses are added to it."),
]

_COMPONENT = "[a-z0-9]+(?:(?:[.]|_{1,2}|-+)[a-z0-9]+)*"
_IMAGE = (  # The grammar of distribution/reference: [host[:port]/]path[:tag][@digest].
    rf"(?:{DNS}(?::[0-9]{{1,5}})?/)?{_COMPONENT}(?:/{_COMPONENT})*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
_CONTAINER = "[A-Za-z0-9][A-Za-z0-9_.-]+"
_target_name = _matcher(
    _CONTAINER,
    LOAD_BALANCER,
    63,
    "load_balancer, the name of a container or {ipv4, ipv6}",
    "The ports are forwarded to its address.",
)
# Before the @ a Dot-string of RFC 5321, without quotes and without `.
_LOCAL_PART = r"[A-Za-z0-9!#$%&'*+/=?^_{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_{|}~-]+)*"

# A table: pattern, example and longest; what it is, and why.
# fmt: off
HostName = Annotated[str, _matching("[a-z0-9][a-z0-9-]*", "edge-1", 63,
    "a host name of lower-case letters, digits and -", "It names the host's resources in Pulumi.")]
UserName = Annotated[str, _matching("[A-Za-z_][A-Za-z0-9_.-]*", "root", 32,
    "a user name", "SSH logs in as this user.", quoted=False)]
ContainerName = Annotated[str, _matching("[A-Za-z0-9][A-Za-z0-9_.-]+", "turn", 63,
    "a container name (two characters or more: letters, digits, _, . and -)",
    "Docker refuses other names.")]
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
        why = "Ports are numbers from 1 to 65535."
        raise refusal(f"{show(port)} is not a port", why, "write a number from 1 to 65535")
    return port


_MARKS: Mapping[str, int] = {
    "Kubernetes": 0xC000,
    "wg-quick": 0xCA6C,
    # Calico begins there, too: by default it takes bits of 0xffff0000, from the lowest on.
    "Tailscale": 0xFF0000,
}
"""Bits of the packet mark that other programs use, as they document it."""


def _mark(value: object) -> int:
    remedy = "write one bit like 0x02000000, or remove the key"
    mark = value
    if isinstance(value, str) and re.fullmatch("0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20}", value):
        mark = int(value, 16 if value[:2] in ("0x", "0X") else 10)
    if not isinstance(mark, int) or isinstance(mark, bool):
        raise refusal(f"is {show(value)}, not one bit of a packet's mark", "", remedy)
    why = "wanbound marks allowed packets with one bit and leaves the others unchanged."
    if not 0 <= mark < 1 << 32:
        raise refusal(f"is {show(value)}, and a packet's mark has 32 bits", why, remedy)
    if mark.bit_count() != 1:
        raise refusal(f"is 0x{mark:08x}, which has {mark.bit_count()} bits", why, remedy)
    for name, taken in _MARKS.items():
        if mark & taken:
            why = "Two programs that use one bit would misread each other's marks."
            raise refusal(f"is 0x{mark:08x}, a bit that {name} uses", why, remedy)
    return mark


def _seconds(value: object) -> int:
    seconds = _number(value)
    if seconds is None or not 5 <= seconds <= 600:
        why = (
            "The host waits this long for the confirmation of a change, and then rolls it back."
            " Less may be too short to log in; more would leave you locked out for longer."
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
        raise refusal(f"has {show(item)}, which is not a port", "", remedy)
    first, last = (int(ends[1]), int(ends[2])) if ends is not None else (number or 0, number or 0)
    if not (1 <= first <= 65535 and 1 <= last <= 65535):
        what = f"has {show(item)}, which is outside 1 to 65535"
        raise refusal(what, "Ports are numbers from 1 to 65535.", remedy)
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
        why = "It would open SSH, and every service that is started later, to every address."
        raise refusal("is all, which would open every port of the host", why, f"write {_PORTS}")
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
            why = "A published port has the number of the port that the container listens on."
            raise refusal(f"has {show(item)}, which maps one port to another", why, _PUBLISHED)
        if (slash and not word) or word not in _PROTOCOLS:
            what = f"has {show(item)}, whose protocol is neither tcp nor udp"
            raise refusal(what, "", _PUBLISHED)
    return Published(_PROTOCOLS[word], _range(ports, _PUBLISHED))


def _digits(least: int, most: int, pattern: str = "[0-9]{1,6}") -> JsonSchema:
    """Return the schema of a number, or of a text in its place."""
    bounds = {"minimum": least, "maximum": most}
    return {"type": ["integer", "string"], **bounds, "pattern": _whole(pattern)}


def _ports_schema(item: str, alone: str = "") -> JsonSchema:
    """Return the schema of a list of ports, or of a single one; `item` and `alone` are patterns."""
    items = {"items": _digits(1, 65535, item), "minItems": 1}
    single = _digits(1, 65535, f"{item}|{alone}" if alone else item)
    return single | {"type": ["array", "integer", "string"]} | items


_PORTS_ITEM = "[0-9]{1,6}(?: ?- ?[0-9]{1,6})?"
_PUBLISHED_ITEM = f"{_PORTS_ITEM}(?:/(?:tcp|udp))?"
_BIT = _digits(1, 1 << 31, "0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20}")

Port = Annotated[int, written(_port, _digits(1, 65535))]
Mark = Annotated[int, written(_mark, _BIT)]
Seconds = Annotated[int, written(_seconds, _digits(5, 600))]
Ports = Annotated[
    Literal["all"] | tuple[PortRange, ...], written(_ports, _ports_schema(_PORTS_ITEM, "all"))
]
"""Sorted; "all" only with tcp."""
OpenPorts = Annotated[tuple[PortRange, ...], written(_open_ports, _ports_schema(_PORTS_ITEM))]
PublishedPorts = Annotated[
    tuple[Published, ...], written(_published, _ports_schema(_PUBLISHED_ITEM))
]

# --- addresses and subnets -----------------------------------------------------------------------

_EXAMPLE = {4: "203.0.113.10", 6: '"2001:db8::10"'}
_SUBNETS = {4: "172.20.0.0/24", 6: '"fd5c:1b2a:77f0:1::/64"'}
_INSIDE = {4: "172.20.0.25", 6: '"fd5c:1b2a:77f0:1::25"'}
_GATEWAYS = {4: "203.0.113.1", 6: '"fe80::1"'}
_MAPPED = "An IPv4-mapped address is another notation of an IPv4 address; no packet has it."
_RESERVED = tuple(map(ip_network, ("0.0.0.0/8", "240.0.0.0/4", "::/8")))
_UNSPECIFIED = tuple(map(ip_network, ("0.0.0.0/32", "::/128")))
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
        why = "wanbound sets the prefix length itself."
        raise refusal(f"{show(value)} has a prefix length", why, f"write {bare} alone")
    if "%" in value:
        why = "Such an address is only valid on one link."
        raise refusal(f"{show(value)} has a zone", why, remedy)
    try:
        address = ip_address(value)
    except ValueError:
        why = ""
        if re.fullmatch(r"[0-9]+(\.[0-9]+){3}", value) and re.search(r"(^|\.)0[0-9]", value):
            why = "Some programs read a leading zero as octal, and others ignore it."
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
        why = "The internet does not route this address, so no connection would work."
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

    return written(validate, _address_schema(version))


def _address_schema(version: Version) -> JsonSchema:
    return {"type": "string", "format": f"ipv{version}"}


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
"""resolv.conf(5), MAXNS; Docker's own resolver has the same limit."""


def _servers(value: object) -> tuple[Address, ...]:
    remedy = 'write a list like [198.51.100.53, "2001:db8:ffff::53"]'
    if not isinstance(value, list | tuple):
        raise refusal(f"is {show(value)}, not a list of DNS servers", "", remedy)
    if not value:
        why = "Containers could not look up names."
        raise refusal("lists no server", why, "list DNS servers, or remove the key")
    if len(value) > _MOST_SERVERS:
        why = f"Resolvers ask the first {_MOST_SERVERS} and ignore the rest."
        raise refusal(f"lists {len(value)} servers", why, f"list at most {_MOST_SERVERS}")
    found: list[Address] = []
    for item in value:
        address = _parse(item, "dns", _version_of(item))
        if (kind := _unusable(address)) is not None:
            why = "Containers send their queries to it, and no server answers there."
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
        why = "No packet has such a source address, so the entry would have no effect."
        if subnet in _UNSPECIFIED:
            remedy = f'for all addresses write ["0.0.0.0/0", "::/0"]; else {remedy}'
        raise refusal(f"{subnet} is not a range of source addresses", why, remedy)
    return subnet


def _allowed(value: object) -> tuple[Subnet, ...]:
    """Return the ranges that may reach a port; none of them lies in another."""
    remedy = "list ranges, or remove the key to let in every source"
    items = _items(value, "lists no range", "No source could reach these ports.", remedy)
    found: list[Subnet] = []
    for subnet in map(_source_range, items):
        for other in found:
            if overlaps(subnet, other):
                inner, outer = sorted((subnet, other), key=lambda each: -each.prefixlen)
                what = f"has {inner}, which lies in {outer}"
                why = "One of the two is probably a mistake."
                raise refusal(what, why, f"correct it, or list {outer} alone")
        found.append(subnet)
    return tuple(found)


def _trusted(value: object) -> tuple[Subnet, ...]:
    if not isinstance(value, list | tuple):
        remedy = 'write a list like ["172.20.0.0/24"], or [] to trust none'
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
            why = f"Smaller than /{longest}, it has too few addresses."
            raise refusal(f"{subnet} is too small", why, remedy)
        for end in (subnet.network_address, subnet.broadcast_address):
            if (kind := _unusable(end)) is not None:
                why = f"It contains {end}, which is {kind}."
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
            "A subnet is written with its first address. iptables-save would print that one,"
            " and not the text written here."
        )
        raise refusal(f"{show(value)} has host bits set", why, f"write {subnet}")
    return subnet


# A gateway and one more address have to fit: /30 with its two usable ones, /126 with three.
_check_subnet_ipv4 = _subnet(4, 30)


def _subnet_or_docker(value: object, info: ValidationInfo) -> object:
    return BY_DOCKER if value == BY_DOCKER else _check_subnet_ipv4(value, info)


def _target(value: object) -> str | AddressPair:
    if isinstance(value, AddressPair):
        return value
    if not isinstance(value, Mapping):
        return _target_name(value)
    remedy = 'write {ipv4: 172.20.0.25, ipv6: "fd5c:1b2a:77f0:1::25"}, or one of the two'
    unknown = sorted(set(value) - {"ipv4", "ipv6"})
    if unknown or not value:
        what = f"has the key {show(unknown[0])}" if unknown else "has no address"
        raise refusal(what, "The ports are forwarded to the addresses of one container.", remedy)
    four, six = value.get("ipv4"), value.get("ipv6")
    return AddressPair(
        None if four is None else _parse(four, "ipv4", 4, _INSIDE),
        None if six is None else _parse(six, "ipv6", 6, _INSIDE),
    )


def _subnet_schema(pattern: str) -> JsonSchema:
    return {"type": "string", "pattern": _whole(pattern)}


_PREFIX_V4 = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}/[0-9]{1,3}"
_SUBNET_V4 = _subnet_schema(_PREFIX_V4)
_SUBNET_V6 = _subnet_schema("[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*/[0-9]{1,3}")
_RANGE = _subnet_schema("[0-9A-Fa-f:.]+(?:/[0-9]{1,3})?")
_RANGES = {"anyOf": [{"type": "array", "items": _RANGE, "minItems": 1}, _RANGE]}
_ADDRESS = {"anyOf": [_address_schema(4), _address_schema(6)]}
_ENTRANCES = {"anyOf": [{"type": "array", "items": _ADDRESS, "minItems": 1}, _ADDRESS]}
_SERVERS = {"type": "array", "items": _ADDRESS, "minItems": 1, "maxItems": _MOST_SERVERS}

_TARGET_NAME = {"type": "string", "pattern": _whole(_CONTAINER), "maxLength": 63}
_PAIR = {
    "type": "object",
    "properties": {"ipv4": _address_schema(4), "ipv6": _address_schema(6)},
    "minProperties": 1,
    "additionalProperties": False,
}

PublicV4 = Annotated[IPv4Address, _at_its_key(_public_address, 4)]
PublicV6 = Annotated[IPv6Address, _at_its_key(_public_address, 6)]
AddressV4 = Annotated[IPv4Address, _at_its_key(_parse, 4)]
AddressV6 = Annotated[IPv6Address, _at_its_key(_parse, 6)]
IngressTarget = Annotated[
    str | AddressPair,
    written(_target, {"anyOf": [_TARGET_NAME, _PAIR]}),
]
GatewayV4 = Annotated[IPv4Address, _at_its_key(_gateway, 4)]
GatewayV6 = Annotated[IPv6Address, _at_its_key(_gateway, 6)]
SubnetV4OrDocker = Annotated[
    IPv4Network | Literal["docker"],
    written(_subnet_or_docker, _subnet_schema(f"{_PREFIX_V4}|{BY_DOCKER}")),
]
SubnetV4 = Annotated[IPv4Network, written(_check_subnet_ipv4, _SUBNET_V4)]
SocketSubnet = Annotated[IPv4Network, written(_subnet(4, 29), _SUBNET_V4)]
SubnetV6 = Annotated[IPv6Network, written(_subnet(6, 126), _SUBNET_V6)]
PoolV4 = Annotated[IPv4Network, written(_subnet(4, 24), _SUBNET_V4)]
SourceRange = Annotated[Subnet, written(_source_range, _RANGE)]
TrustedRanges = Annotated[tuple[Subnet, ...], written(_trusted, {"type": "array", "items": _RANGE})]
AllowedSources = Annotated[tuple[Subnet, ...], written(_allowed, _RANGES)]
Entrances = Annotated[tuple[Address, ...], written(_entrances, _ENTRANCES)]
Servers = Annotated[tuple[Address, ...], written(_servers, _SERVERS)]

# --- places on the network -----------------------------------------------------------------------


_PART = "[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_ALIAS = rf"(?:{_PART}\.)*{_PART}"
"""A DNS name, or a name in ~/.ssh/config: it cannot be a pattern there, an option or shell code."""


def _ssh_address(value: object) -> str:
    """Return an address in its canonical text, or a DNS name or alias as it is written."""
    remedy = "write the host's address or DNS name, like 192.0.2.10, or its name in ~/.ssh/config"
    if not isinstance(value, str):
        raise refusal(f"is {show(value)}, not an address", "", remedy)
    if "@" in value:
        why = "The part before the @ is a user, which has its own key."
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
            what = f"{show(value)} is not an address, a DNS name or a name in ~/.ssh/config"
            raise refusal(what, why, remedy) from None
        # As it is: ~/.ssh/config tells names apart by their case.
        return value
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        raise refusal(f"{show(value)} is IPv4-mapped", _MAPPED, f"write {address.ipv4_mapped}")
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        why = "A zone is an interface of your own machine, and differs on other machines."
        raise refusal(f"{show(value)} has a zone", why, remedy)
    if address.is_unspecified or address.is_multicast:
        what = f"{address} is {_unusable(address)}"
        raise refusal(what, "No SSH connection can be made to it.", remedy)
    return str(address)


_PATH = r"(?:/[A-Za-z0-9._~=%-]*)*"
_SITE = rf"({DNS}|\[[0-9A-Fa-f:.]+\])(?::([0-9]{{1,5}}))?{_PATH}"


def _echo(version: Version) -> PlainValidator:
    example = '"http://198.51.100.1/"' if version == 4 else '"http://[2001:db8:ffff::1]/"'
    remedy = f"write an IP-echo service like {example}, which returns the caller's address as text"

    def validate(value: object) -> str:
        text = value if isinstance(value, str) and len(value) <= 300 else ""
        if (found := re.fullmatch(rf"https?://{_SITE}", text)) is None:
            # Not shown, here as below: there may be a password or a token in it.
            raise refusal("is not an http:// or https:// URL", "", remedy)
        if found[2] is not None and not 1 <= int(found[2]) <= 65535:
            what = f"has the port {found[2]}"
            raise refusal(what, "Ports are numbers from 1 to 65535.", remedy)
        why = "Containers would send the request to it, and no server answers there."
        address = echo_address(text)
        if address is None:
            if found[1].lower() == "localhost":
                raise refusal(f"{found[1]} is the container itself", why, remedy)
            if found[1].startswith("[") or found[1].rpartition(".")[2].isdigit():
                raise refusal(f"{found[1]} is not a valid address", "", remedy)
            return text
        if address.version != version:
            why = f"A request over IPv{address.version} does not show the IPv{version} address."
            what = f"{address} is IPv{address.version}, not IPv{version}"
            raise refusal(what, why, remedy)
        if (kind := _unusable(address)) is not None:
            raise refusal(f"{address} is {kind}", why, remedy)
        return text

    return written(validate, _site("https?"))


def _site(scheme: str) -> JsonSchema:
    return {"type": "string", "pattern": f"^{scheme}://{_SITE}$", "maxLength": 300}


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
    why = "Traefik requests certificates there by ACME (RFC 8555), which needs HTTPS."
    remedy = f"write the directory's address, like {LETS_ENCRYPT}, or remove the key to use it"
    raise refusal("is not an https:// URL", why, remedy)


SshAddress = Annotated[
    str, written(_ssh_address, {"type": "string", "pattern": "^[^@\\s]+$", "maxLength": 253})
]
EchoV4 = Annotated[str, _echo(4)]
EchoV6 = Annotated[str, _echo(6)]
AcmeUrl = Annotated[str, written(_ca_server, _site("https"))]

# --- secrets and keys: none is ever quoted -------------------------------------------------------

_REFERENCE = "[A-Za-z_][A-Za-z0-9_.-]*"
_secret_name = _matcher(
    _REFERENCE,
    "DATABASE_PASSWORD",
    128,
    "the name of a secret",
    "secret: takes the name of an entry of wanbound:secrets, which holds the value.",
    quoted=False,
)


_SECRET = {
    "type": "object",
    "properties": {"secret": {"type": "string", "pattern": _whole(_REFERENCE)}},
    "required": ["secret"],
    "additionalProperties": False,
}


def _secret(why: str, remedy: str) -> PlainValidator:
    """Return the validator for `{secret: NAME}`; the value may be the secret itself by mistake."""

    def validate(value: object) -> SecretRef:
        if isinstance(value, SecretRef):
            return value
        if not isinstance(value, Mapping) or set(value) != {"secret"}:
            raise refusal("is not {secret: NAME}", why, f"write {{secret: NAME}} and put {remedy}")
        return SecretRef(_secret_name(value["secret"]))

    return written(validate, _SECRET)


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
        return "begins with a user name, like a whole line of htpasswd"
    if any(pattern.fullmatch(value.strip()) for pattern in _HASHES):
        return "has a space or a line break at its end or beginning"
    if any(pattern.fullmatch(value.replace("$$", "$")) for pattern in _HASHES):
        return "has each $ doubled, which only Docker Compose expects"
    return "is not a hash that Traefik knows"


_POINTS = {"nistp256": 65, "nistp384": 97, "nistp521": 133}
_CURVES = {f"ecdsa-sha2-{curve}": curve for curve in _POINTS}
_KEY_TYPES = ("ssh-ed25519", *_CURVES, "ssh-rsa")


def _host_key(value: object) -> str:
    """Return `type base64` of a public key line; a comment behind it is dropped.

    The value is never quoted in an error: it may be the private key, pasted by mistake.
    """
    why = "wanbound refuses to connect if the host key differs, and no host has this key."
    remedy = (
        "take type and key from /etc/ssh/ssh_host_ed25519_key.pub on the host, for example"
        ' "ssh-ed25519 AAAAC3Nza…"; or remove the key to use known_hosts'
    )
    if not isinstance(value, str):
        raise refusal("is not an SSH host key", why, remedy)
    if "PRIVATE KEY" in value:
        raise refusal("is a private key", "Everyone who can read this file could use it.", remedy)
    kind, _, rest = value.strip().partition(" ")
    if kind not in _KEY_TYPES:
        if any(f" {known} " in f" {value}" for known in _KEY_TYPES):
            what = "has something before the type of the key (a host name, as in known_hosts?)"
        elif re.match(r"(SHA256|MD5):", value):
            what = "is a fingerprint, not a key"
        else:
            what = f"is not an SSH host key of a known type ({', '.join(_KEY_TYPES)})"
        raise refusal(what, why, remedy)
    text = next(iter(rest.split(maxsplit=1)), "")
    try:
        blob = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise refusal(f"has no valid base64 after {kind}", why, remedy) from None
    if not _is_key(kind, blob):
        raise refusal(f"has base64 after {kind} that is not such a key", why, remedy)
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


_PUBLIC_KEY = {"type": "string", "pattern": rf"^\s*(?:{'|'.join(_KEY_TYPES)}) +\S"}

HostKey = Annotated[str, written(_host_key, _PUBLIC_KEY)]
EnvironmentValue = Annotated[str | SecretRef, written(_environment, {"anyOf": [_TEXT, _SECRET]})]
Secret = Annotated[
    SecretRef,
    _secret(
        "Everyone who can read this file could log in to the host.",
        "the value into wanbound:secrets; a key file needs no key here: name it in your ssh config,"
        " or add it to your agent",
    ),
]
PasswordHash = Annotated[
    SecretRef,
    _secret(
        "Everyone who can read a hash can try to guess its password.",
        "what `htpasswd -nbB USER PASSWORD` prints after the colon into wanbound:secrets",
    ),
]
Certificates = Annotated[
    SecretRef,
    _secret(
        "A certificate has many lines, and a value here must be one line.",
        f"the PEM text into wanbound:secrets: {SET_COMMAND} <ca.pem",
    ),
]
