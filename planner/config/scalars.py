"""Types for the single values of the configuration that are no addresses.

Every pattern is an allow-list: no value can end a rule, a file name or a word of a shell early.
"""

import re
from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address
from typing import Annotated, Literal

from pydantic import PlainValidator, ValidationInfo

from planner.config.hostkey import host_key
from planner.config.ip import unusable
from planner.config.model import Persist, PortRange, Protocol, Restart, SecretRef, Volume
from planner.config.refusal import matching, one_of, refusal
from planner.config.report import show

_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
DNS = rf"(?:{_LABEL}\.)*{_LABEL}"
"""A DNS name, of one label or more, in a regular expression."""

_LINK_LENGTH = 15  # IFNAMSIZ is 16 bytes with the terminating null (linux/if.h).
_RESERVED_LINKS = ("lo", "docker0", "docker_gwbridge", "all", "bonding_masters")
_RESERVED_NETWORKS = (*_RESERVED_LINKS, "bridge", "host", "none", "default", "ingress")


def _link(kind: str, example: str, reserved: tuple[str, ...], because: str) -> PlainValidator:
    """Return a validator for a name that becomes, or is, a network interface."""

    def validate(value: object) -> str:
        remedy = f"write a name of 1 to {_LINK_LENGTH} letters, digits, _, . or -, like {example}"
        if not isinstance(value, str):
            quoted = (
                " (quote it where it is meant as text)" if isinstance(value, bool | int) else ""
            )
            raise refusal(f"is {show(value)}, not {kind}", because, remedy + quoted)
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
            raise refusal(
                f"{show(value)} is a reserved name", why, f"choose another name: {remedy}"
            )
        return value

    return PlainValidator(validate)


def _flag(value: object) -> bool:
    # `pulumi config set wanbound:verify true` stores text.
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return value == "true"
    raise refusal(f"is {show(value)}, neither true nor false", "", "write true or false")


def _port(value: object) -> int:
    port = _number(value)
    if port is None:
        raise refusal(f"is {show(value)}, not a port", "", "write a number from 1 to 65535")
    if not 1 <= port <= 65535:
        why = "A port has 16 bits and 0 is none."
        raise refusal(f"{show(port)} is no port", why, "write a number from 1 to 65535")
    return port


def _number(value: object) -> int | None:
    if isinstance(value, str) and re.fullmatch("[0-9]{1,6}", value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _seconds(value: object) -> int:
    seconds = _number(value)
    if seconds is None or not 5 <= seconds <= 600:
        why = (
            "For so long a host waits until a change is confirmed over a new connection, and then"
            " undoes it: less may be too short to log in, more leaves you locked out for longer."
        )
        raise refusal(f"is {show(value)}, not 5 to 600 seconds", why, "write a number like 30")
    return seconds


_PORTS = 'a list of ports and ranges like [443, "1000-1010"]'


def _ports(value: object) -> Literal["all"] | tuple[PortRange, ...]:
    if value == "all":
        return "all"
    items = value if isinstance(value, list | tuple) else [value]
    if not items:
        why = "Nothing would be forwarded."
        raise refusal("lists no port", why, "list ports, or remove this ingress entry")
    return tuple(port_range(item, f"write all, or {_PORTS}") for item in items)


def _open_ports(value: object) -> tuple[PortRange, ...]:
    if value == "all":
        why = "It would open the host's SSH to everybody, and whatever is started later."
        raise refusal("is all, which no host should have open", why, f"write {_PORTS}")
    items = value if isinstance(value, list | tuple) else [value]
    if not items:
        raise refusal("lists no port", "Nothing would be open.", "list ports, or remove this entry")
    return tuple(port_range(item, f"write {_PORTS}") for item in items)


def port_range(item: object, remedy: str) -> PortRange:
    """Return a port, or a range of ports, as it is written. Raises the refusal of anything else."""
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
    return PortRange(first=first, last=last)


def _ssh_address(value: object) -> str:
    """Return an address in its canonical text, or a DNS name in lower case."""
    remedy = "write the host's address or DNS name, like 192.0.2.10"
    if not isinstance(value, str):
        raise refusal(f"is {show(value)}, no address", "", remedy)
    if len(value) > 253:
        what = f"has {len(value)} characters"
        raise refusal(what, "A DNS name has at most 253 (RFC 1035).", remedy)
    try:
        address = ip_address(value)
    except ValueError:
        # A last label of digits alone makes it an address (RFC 1123 2.1), and a malformed one.
        if not re.fullmatch(DNS, value) or value.rpartition(".")[2].isdigit():
            why = "No SSH connection can be made to it."
            raise refusal(f"{show(value)} is neither address nor DNS name", why, remedy) from None
        return value.lower()
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        why = "The zone is a name on your own machine, another one may have it otherwise."
        raise refusal(f"{show(value)} has a zone", why, remedy)
    if address.is_unspecified or address.is_multicast:
        kind = unusable(address)
        raise refusal(f"{address} is {kind}", "No SSH connection can be made to it.", remedy)
    return str(address)


def _volume(value: object) -> Volume:
    remedy = "write source:/target or source:/target:ro, like data:/var/lib/data"
    if not isinstance(value, str):
        raise refusal(f"is {show(value)}, not a volume", "", remedy)
    source, _, rest = value.partition(":")
    target, colon, mode = rest.partition(":")
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
    return Volume(source=source, target=target, read_only=mode == "ro")


def _path(text: str) -> bool:
    if not re.fullmatch(r"(/[A-Za-z0-9_.@+-]+)+", text) or len(text) > 1024:
        return False
    return not {".", ".."} & set(text.split("/"))


def _text(value: object) -> str:
    """Return free text, which goes to Docker's API only; a number stands for its digits."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**20:
        return str(value)
    if isinstance(value, bool | int | float):
        why = "YAML reads it as a value, and the text that it came from is lost."
        kind = f"a boolean, {show(value)}" if isinstance(value, bool) else "a number"
        raise refusal(f"is {kind}, not text", why, "put quotes around it")
    raise refusal(f"is {show(value)}, not text", "", "write text, in quotes")


def _environment(value: object) -> str | SecretRef:
    if not isinstance(value, Mapping):
        return _text(value)
    if set(value) != {"secret"}:
        what = "is a mapping with other keys than secret"
        why = "A value is text, or refers to an entry of wanbound:secrets."
        raise refusal(what, why, "write {secret: NAME}, or the text itself")
    return SecretRef(secret=_secret_name(value["secret"]))


def secret_reference(value: object, why: str, remedy: str) -> SecretRef:
    """Return what `{secret: NAME}` refers to; never quotes what stands there instead."""
    if not isinstance(value, Mapping) or set(value) != {"secret"}:
        raise refusal("is not {secret: NAME}", why, remedy)
    return SecretRef(secret=_secret_name(value["secret"]))


def _secret(value: object) -> SecretRef:
    # Somebody may have written the key itself.
    return secret_reference(
        value,
        "What opens a host is no text for a file that others read.",
        "write {secret: NAME} and put the value into wanbound:secrets; a key file needs no key"
        " here: name it in your ssh config, or give it to your agent",
    )


def _persist(value: object) -> Persist:
    if value != "iptables-files":
        why = "Only rules.v4 and rules.v6 in /etc/iptables are known, besides wanbound's own files."
        remedy = "write iptables-files, or remove the key"
        raise refusal(f"is {show(value)}, not iptables-files", why, remedy)
    return "iptables-files"


def _seed(value: object) -> str:
    return _check_seed(_text(value))


def _restart(value: object) -> str:
    # YAML 1.1 reads a bare no as false.
    return _restart_word("no" if value is False else value)


def _echo(version: Literal[4, 6]) -> PlainValidator:
    url = re.compile(
        rf"(https?)://({DNS}|\[[0-9A-Fa-f:.]+\])(:[0-9]{{1,5}})?((?:/[A-Za-z0-9._~=%-]*)*)"
    )
    example = '"http://198.51.100.1/"' if version == 4 else '"http://[2001:db8:ffff::1]/"'
    remedy = f"write an address like {example} that answers the caller's own address as text"

    def validate(value: object, info: ValidationInfo) -> str:
        found = url.fullmatch(value) if isinstance(value, str) and len(value) <= 300 else None
        if found is None:
            raise refusal(f"is {show(value)}, no http:// or https:// address", "", remedy)
        name = found[2].strip("[]")
        literal: int | None
        try:
            literal = ip_address(name).version
        except ValueError:
            literal = None
        if literal is None and (found[2].startswith("[") or name.rpartition(".")[2].isdigit()):
            raise refusal(f"{show(value)} has no valid address in it", "", remedy)
        if literal not in (None, version):
            why = f"Asked over IPv{literal}, it would say nothing about IPv{version}."
            raise refusal(f"{show(value)} is IPv{literal}, not IPv{version}", why, remedy)
        return found.group()

    return PlainValidator(validate)


def _domain(value: object) -> str:
    return _check_domain(value).lower()


_check_domain = matching(
    rf"(?:{_LABEL}\.)+[A-Za-z](?:[A-Za-z0-9-]{{0,61}}[A-Za-z0-9])?",
    "a DNS name",
    "The load balancer routes requests by this name.",
    "whoami.mail.example.com",
    253,
)
_check_seed = matching(
    ".+", "a text", "IPv6 subnets are derived from it, for ever.", '"3f1c9a5e77d0"', 256
)
_restart_word = one_of("no", "on-failure", "always", "unless-stopped")
_secret_name = matching(
    "[A-Za-z_][A-Za-z0-9_.-]*", "the name of a secret", "", "DATABASE_PASSWORD", 128
)
_component = "[a-z0-9]+(?:(?:[.]|_{1,2}|-+)[a-z0-9]+)*"

HostName = Annotated[
    str,
    PlainValidator(
        matching(
            "[a-z0-9][a-z0-9-]*",
            "a host name of lower-case letters, digits and -",
            "It names the host's resources in Pulumi.",
            "edge-1",
            63,
        )
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
    _link(
        "an interface's name", "eth0", _RESERVED_LINKS, "It is where the public addresses are put."
    ),
]
UserName = Annotated[
    str,
    PlainValidator(
        matching("[A-Za-z_][A-Za-z0-9_.-]*", "a user name", "SSH logs in with it.", "root", 32)
    ),
]
ContainerName = Annotated[
    str,
    PlainValidator(
        matching(
            "[A-Za-z0-9][A-Za-z0-9_.-]+",
            "a container name (two characters or more: letters, digits, _, . and -)",
            "Docker refuses other names.",
            "turn",
            63,
        )
    ),
]
# The grammar of distribution/reference: [host[:port]/]path[:tag][@digest].
ImageRef = Annotated[
    str,
    PlainValidator(
        matching(
            rf"(?:{DNS}(?::[0-9]{{1,5}})?/)?{_component}(?:/{_component})*"
            r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?",
            "an image reference (repository in lower case, then :tag or @sha256:digest)",
            "Docker could not pull it.",
            "traefik:v3.7",
            400,
        )
    ),
]
EnvironmentName = Annotated[
    str,
    PlainValidator(
        matching(
            "[A-Za-z_][A-Za-z0-9_.-]*",
            "the name of an environment variable",
            "A = or a space in it would end the name.",
            "TURN_REALM",
            255,
        )
    ),
]
LabelKey = Annotated[
    str,
    PlainValidator(
        matching(
            r"[A-Za-z0-9][A-Za-z0-9._/\[\]-]*",
            "the key of a label (letters, digits, . _ / - [ ])",
            "Docker and Traefik read labels by such keys.",
            "traefik.enable",
            255,
        )
    ),
]
Seed = Annotated[str, PlainValidator(_seed)]
SshAddress = Annotated[str, PlainValidator(_ssh_address)]
HostKey = Annotated[str, PlainValidator(host_key)]
Port = Annotated[int, PlainValidator(_port)]
Ports = Annotated[Literal["all"] | tuple[PortRange, ...], PlainValidator(_ports)]
OpenPorts = Annotated[tuple[PortRange, ...], PlainValidator(_open_ports)]
Seconds = Annotated[int, PlainValidator(_seconds)]
Secret = Annotated[SecretRef, PlainValidator(_secret)]
PersistWord = Annotated[Persist, PlainValidator(_persist)]
ProtocolWord = Annotated[Protocol, PlainValidator(one_of("tcp", "udp"))]
RestartWord = Annotated[Restart, PlainValidator(_restart)]
Flag = Annotated[bool, PlainValidator(_flag)]
VolumeText = Annotated[Volume, PlainValidator(_volume)]
Text = Annotated[str, PlainValidator(_text)]
EnvironmentValue = Annotated[str | SecretRef, PlainValidator(_environment)]
EchoV4 = Annotated[str, _echo(4)]
EchoV6 = Annotated[str, _echo(6)]
Domain = Annotated[str, PlainValidator(_domain)]
IngressTarget = Annotated[
    str,
    PlainValidator(
        matching(
            "[A-Za-z0-9][A-Za-z0-9_.-]+",
            "load_balancer or the name of a container",
            "The ports are forwarded to its address.",
            "load_balancer",
            63,
        )
    ),
]
