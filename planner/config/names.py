"""The names of what wanbound itself brings to a network, and those that a network answers to."""

import hashlib
import re
from collections.abc import Iterator, Mapping

ROUTING_LABEL = "lb.net"
"""The label by which a network's Traefik knows its containers; its value is the network's name."""

_LINK_LENGTH = 15
_SOCKET = "-sock"
_RULE = re.compile(r"traefik\.http\.routers\.[^.]+\.rule", re.IGNORECASE)
_HOSTS = re.compile(r"\bHost\(([^()]*)\)")
_QUOTED = re.compile(r"[`\"']([^`\"']+)[`\"']")


def load_balancer_name(network: str) -> str:
    """Return the name of the container that is the network's load balancer."""
    return f"{network}_lb"


def whoami_name(network: str) -> str:
    """Return the name of the network's whoami container."""
    return f"whoami-{network}"


def volume_name(network: str) -> str:
    """Return the name of the Docker volume with the network's certificates, as in the recipe."""
    return f"{network}_letsencrypt"


def socket_proxy(network: str) -> str:
    """Return the name of the container between the network's load balancer and Docker's socket."""
    return f"{network}_socket"


def socket_network(network: str) -> str:
    """Return the name of the Docker network that the two have to themselves."""
    return f"{network}-socket"


def socket_bridge(bridge: str) -> str:
    """Return the name of that network's bridge, from the name of the isolated network's own.

    The kernel takes 15 characters: a long name is cut, and six digits of its SHA-256 distinguish
    it from others that begin alike.
    """
    room = _LINK_LENGTH - len(_SOCKET)
    if len(bridge) <= room:
        return f"{bridge}{_SOCKET}"
    digest = hashlib.sha256(bridge.encode()).hexdigest()[:6]
    return f"{bridge[: room - 6]}{digest}{_SOCKET}"


def host_names_of(labels: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the host names in the rules of Traefik's routers, each behind its label.

    A rule that says more than the host (a path, a header) may share its host with another.
    """
    for label, rule in sorted(labels.items()):
        found = _HOSTS.fullmatch(rule.strip()) if _RULE.fullmatch(label) else None
        for name in _QUOTED.findall(found[1]) if found is not None else ():
            yield label, name.lower()
