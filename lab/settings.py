"""Names and addresses of one lab. All constants of the lab are here."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from lab.errors import LabError
from planner.config import Firewall

SUITES = ("bookworm", "trixie", "forky")
DEFAULT_HOSTS = "edge-1=bookworm,edge-2=forky"

Backend: TypeAlias = Literal["nft", "legacy"]
"""The backend of iptables; Debian's choice is nft since buster, see update-alternatives(1)."""

Kind: TypeAlias = Literal["", "legacy", "bare", "29", "29nft"]
"""How a host differs from its suite's usual packages; it is written after the suite."""

KINDS: Mapping[Kind, str] = {
    "legacy": "for the legacy iptables",
    "bare": "for a host without Docker",
    "29": "for Docker 29",
    "29nft": "for Docker 29 that speaks nftables",
}

# RFC 5737 and RFC 3849 documentation space: never routed, so it cannot clash with real addresses.
ROUTER_IPV4 = "203.0.113.1"
ROUTER_IPV6 = "2001:db8::1"
ROUTER_LINK_LOCAL = "fe80::1"
# Constant, so that a host's neighbour cache stays valid after a reboot of the lab or the host.
ROUTER_MAC = "02:77:62:00:00:01"
ECHO_IPV4 = "198.51.100.1"
ECHO_IPV6 = "2001:db8:ffff::1"
REGISTRY_IPV4 = "198.51.100.2"
REGISTRY_PORT = 5000
CLIENT_IPV4 = "198.51.100.10"
CLIENT_IPV6 = "2001:db8:ffff::10"
ACME_IPV4 = "198.51.100.14"
ACME_IPV6 = "2001:db8:ffff::14"
ACME_NAME = "acme.example.org"
NAMES_IPV4 = "198.51.100.53"
NAMES_IPV6 = "2001:db8:ffff::53"
SERVICE_ADDRESSES = (
    f"{ECHO_IPV4}/32",
    f"{REGISTRY_IPV4}/32",
    f"{CLIENT_IPV4}/32",
    f"{ACME_IPV4}/32",
    f"{NAMES_IPV4}/32",
    f"{ECHO_IPV6}/128",
    f"{CLIENT_IPV6}/128",
    f"{ACME_IPV6}/128",
    f"{NAMES_IPV6}/128",
)


@dataclass(frozen=True)
class HostSpec:
    """One host: its name, whose final number determines all its addresses, and its suite."""

    name: str
    suite: str
    kind: Kind = ""

    def __str__(self) -> str:
        """Return it in the form of `parse_hosts`."""
        return f"{self.name}={self.system}"

    @property
    def system(self) -> str:
        """Its system: `bookworm`, `bookworm+legacy`, `bookworm+bare`, `forky+29`."""
        return f"{self.suite}+{self.kind}" if self.kind else self.suite

    @property
    def backend(self) -> Backend:
        """The backend of its iptables."""
        return "legacy" if self.kind == "legacy" else "nft"

    @property
    def bare(self) -> bool:
        """Without Docker, iptables, nftables and conntrack, which its apt-get can install."""
        return self.kind == "bare"

    @property
    def docker29(self) -> bool:
        """Whether it has Docker 29 in place of the suite's own."""
        return self.kind in ("29", "29nft")

    @property
    def docker_backend(self) -> Firewall:
        """Its Docker's firewall backend, without a daemon.json of wanbound's."""
        return "nftables" if self.kind == "29nft" else "iptables"

    @property
    def root(self) -> str:
        """The root from which it boots: `bookworm`, `bookworm+bare`."""
        return f"{self.suite}+bare" if self.bare else self.suite

    @property
    def number(self) -> int:
        """1 to 89, from the end of the name."""
        return int(self.name.rpartition("-")[2])

    @property
    def wan_ipv4(self) -> str:
        """The host's own address on wan0, without its prefix length (24)."""
        return f"203.0.113.{100 + self.number}"

    @property
    def wan_ipv6(self) -> str:
        """The host's own address on wan0, without its prefix length (64)."""
        return f"2001:db8::{100 + self.number}"


def parse_hosts(text: str) -> tuple[HostSpec, ...]:
    """`edge-1=bookworm,edge-2=forky,edge-3=bookworm+legacy` as specs."""
    specs: list[HostSpec] = []
    for part in text.split(","):
        name, _, system = part.strip().partition("=")
        suite, plus, word = system.partition("+")
        if not re.fullmatch(r"[a-z][a-z0-9]{0,7}-([1-9]|[1-8][0-9])", name):
            raise LabError(
                f"{name!r} is no host name of the lab: it is a word of at most 8 letters, "
                "a hyphen and a number, as in edge-1"
            )
        if suite not in SUITES:
            raise LabError(f"suite {suite!r} of host {name} is none of {', '.join(SUITES)}")
        kind: Kind = next((kind for kind in KINDS if kind == word), "")
        if plus and not kind:
            known = "; ".join(f"+{kind} {meaning}" for kind, meaning in KINDS.items())
            raise LabError(f"{part.strip()!r}: what may follow the suite is {known}")
        specs.append(HostSpec(name, suite, kind))
    for what in ("name", "number"):
        if len({getattr(spec, what) for spec in specs}) != len(specs):
            raise LabError(f"two hosts have one {what} in {text!r}; addresses come from it")
    return tuple(specs)


def cache_root() -> Path:
    """Return the folder for everything slow to make: $WANBOUND_CACHE, else the user's cache."""
    if path := os.environ.get("WANBOUND_CACHE"):
        return Path(path)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "wanbound"


@dataclass(frozen=True)
class Settings:
    """The location of one lab. Two labs on one machine differ in state, prefix and network."""

    state: Path = field(
        default_factory=lambda: Path(os.environ.get("WANBOUND_LAB", "/run/wanbound-lab"))
    )
    cache: Path = field(default_factory=cache_root)
    prefix: str = field(default_factory=lambda: os.environ.get("WANBOUND_LAB_PREFIX", "wb"))
    management: ipaddress.IPv4Network = field(
        default_factory=lambda: ipaddress.IPv4Network(
            os.environ.get("WANBOUND_LAB_NETWORK", "10.99.0.0/24")
        )
    )

    def __post_init__(self) -> None:
        # A host's link is `wan-PREFIX-NUMBER`, and an interface name has at most 15 characters.
        if not re.fullmatch(r"[a-z][a-z0-9]{0,7}", self.prefix):
            raise LabError(f"WANBOUND_LAB_PREFIX is {self.prefix!r}: use at most 8 letters")

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which a process gets these same settings."""
        return {
            "WANBOUND_LAB": str(self.state),
            "WANBOUND_CACHE": str(self.cache),
            "WANBOUND_LAB_PREFIX": self.prefix,
            "WANBOUND_LAB_NETWORK": str(self.management),
        }

    @property
    def namespace(self) -> str:
        """Name of the internet's network namespace."""
        return f"{self.prefix}-internet"

    @property
    def management_bridge(self) -> str:
        """Name of the bridge between this machine and its hosts."""
        return f"{self.prefix}-mgmt"

    @property
    def management_address(self) -> str:
        """This machine's own address on that bridge, with the prefix length."""
        return f"{self.management[1]}/{self.management.prefixlen}"

    def machine(self, host: HostSpec) -> str:
        """Return the name of the host on this machine: it differs between labs."""
        return f"{self.prefix}-{host.number}"

    def wan_link(self, host: HostSpec) -> str:
        """Return the outer end of the host's wan0, a port of the internet's bridge."""
        return f"wan-{self.machine(host)}"

    def management_link(self, host: HostSpec) -> str:
        """Return the outer end of its host0, a port of the management bridge; nspawn names it."""
        return f"vb-{self.machine(host)}"

    def log(self, host: HostSpec) -> Path:
        """Return the file with the host's console output."""
        return self.logs / f"host-{self.machine(host)}.log"

    def address(self, host: HostSpec) -> str:
        """The host's management address, where its sshd listens."""
        return str(self.management[10 + host.number])

    @property
    def logs(self) -> Path:
        """Folder of the logs of all quiet steps."""
        return self.cache / "logs"

    @property
    def ssh_config(self) -> Path:
        """The configuration of the lab's own ssh calls, in place of the user's."""
        return self.state / "ssh_config"

    def disk(self, host: HostSpec) -> Path:
        """Its own files' folder, removed with the lab. In the cache: /run may be in memory."""
        return self.disks / host.name

    @property
    def disks(self) -> Path:
        """Folder of the disks of all hosts of this lab."""
        return self.cache / "hosts" / self.prefix
