"""The names of Pulumi's resources."""

from typing import Literal, TypeAlias

Kind: TypeAlias = Literal[
    "container",
    "egress_check",
    "image",
    "ipv6nat",
    "load_balancer",
    "network",
    "socket",
    "socket_proxy",
    "volume",
    "whoami",
]
"""What a resource is to its host. `socket` is the network of a load balancer and its proxy."""


def resource_name(host: str, kind: Kind, name: str) -> str:
    """Return the name of a resource of `host`: `HOST/KIND/NAME`.

    `name` is the container's, volume's or image's own; for what wanbound brings to a network, and
    for the network itself, it is the network's. A resource of the host as a whole has no kind: its
    name is the host's.

    Two resources never have one name. A host's name has no `/` and neither has a kind, so what is
    before the first and before the second `/` can be read back, and the rest is the name. (Only an
    image's has `/` in it.) Within a kind, names are unique on a host: the configuration refuses two
    networks, containers or volumes of one name. Joined by `-`, which names may contain, network
    `1-web` of host `edge` and network `web` of host `edge-1` would be one resource.
    """
    return f"{host}/{kind}/{name}"
