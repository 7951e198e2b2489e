"""The names of what wanbound itself brings to a network."""

import hashlib

_LINK_LENGTH = 15
_SOCKET = "-sock"


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

    The kernel takes 15 characters: of a long name the beginning stays, to be recognised by, and
    six of its SHA-256 tell it from others that begin alike.
    """
    room = _LINK_LENGTH - len(_SOCKET)
    if len(bridge) <= room:
        return f"{bridge}{_SOCKET}"
    digest = hashlib.sha256(bridge.encode()).hexdigest()[:6]
    return f"{bridge[: room - 6]}{digest}{_SOCKET}"
