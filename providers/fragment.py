"""The file that holds all one network wants on its host, made from rule lines. Pure.

`Rules` is a network's lines as a provider's properties have them: section → role → line.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import TypeAlias

Rules: TypeAlias = Mapping[str, Mapping[str, str]]

SECTIONS = ("addresses", "nat_ipv4", "forward_ipv4", "nat_ipv6", "forward_ipv6", "guard")
"""The sections of `Rules`, in the order in which the file has them."""

_PREFIXES = {
    "nat_ipv4": "ipv4 nat",
    "forward_ipv4": "ipv4 filter",
    "nat_ipv6": "ipv6 nat",
    "forward_ipv6": "ipv6 filter",
    "guard": "guard",
}


def fragment(network: str, bridge: str, rules: Rules) -> str:
    """Return the text of /etc/wanbound/`network`.rules; providers/wanbound.sh has its format.

    Lines stand in the order of their roles: state keeps maps without an order of their own.
    """
    lines = [
        f"# wanbound, network {network}: written by `pulumi up`, loaded by `wanbound apply`.",
        "# Changes made here by hand are drift: the next `pulumi up --refresh` undoes them.",
        *(f"claim {kind} {value}" for kind, value in claims(bridge, rules)),
    ]
    for section in SECTIONS:
        for role, line in sorted(rules.get(section, {}).items()):
            if section == "addresses":
                quick = " nodad" if line.endswith(" nodad") else ""
                lines.append(f"address {role.split()[0]} {line.split()[1]}{quick}")
            else:
                lines.append(f"{_PREFIXES[section]} {line}")
    return "".join(f"{line}\n" for line in lines)


def claims(bridge: str, rules: Rules) -> Iterator[tuple[str, str]]:
    """Yield what no second network of the host may have: (kind, value)."""
    yield "bridge", bridge
    for section in ("nat_ipv4", "nat_ipv6"):
        lines = rules.get(section, {})
        own = ""
        if found := re.search(r" -s (\S+) .* --to-source (\S+)", lines.get("egress", "")):
            own = found[2]
            # Of one that Docker chooses nobody knows anything yet.
            if not found[1].startswith("@"):
                yield "subnet", found[1]
            yield "address", own
        # By these something comes in, too.
        comes = (re.search(r"-A WANBOUND-DNAT -d ([^/]+)/", line) for line in lines.values())
        yield from (("address", a) for a in sorted({each[1] for each in comes if each} - {own}))


def subnets(rules: Rules) -> list[str]:
    """Return the subnets of the Docker network, which cannot change while it lives."""
    return [value for kind, value in claims("", rules) if kind == "subnet"]


def digest(text: str) -> str:
    """Return the SHA-256 of a fragment, by which a later read knows it again."""
    # What a host says may have any character, also such as no file can have.
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
