"""Whether two things of a host would have one name in Docker or in the kernel.

Some names are written, others come from those of networks (names.py). The latter never meet each
other, but for a few: `whoami-a_lb` is whoami of `a_lb` and the load balancer of `whoami-a`. All of
them may meet what is written.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from planner.config import names
from planner.config.report import Loc, Problems
from planner.config.resolve import HostDraft, NetworkDraft
from planner.config.schema import IPV6NAT

_Kind: TypeAlias = Literal["network", "interface", "container", "volume"]

_KINDS: dict[_Kind, tuple[str, str]] = {
    "network": ("Docker and Pulumi identify networks by name.", "choose another name"),
    "interface": (
        "Interface names are unique, and the rules match interfaces by name.",
        "give this network's bridge another name (key bridge)",
    ),
    "container": (
        "Container names are unique on a host.",
        "choose another name",
    ),
    "volume": (
        "Two Traefiks that write one file overwrite each other's certificates.",
        "give each network a volume of its own",
    ),
}
"""What names are of, with the reason why two things cannot share one, and what to do."""


@dataclass(frozen=True)
class _Named:
    """A thing with a name, and the key to change for another one.

    `source` is the network's or bridge's name that it is built from, None if it was written itself.
    """

    kind: _Kind
    name: str
    what: str
    key: Loc
    source: str | None = None


def check(host: HostDraft) -> Problems:
    """Refuse every duplicate name; the error is reported at the name that was written."""
    seen: dict[tuple[_Kind, str], _Named] = {}
    for thing in sorted(_all(host), key=lambda each: each.source is None):
        other = seen.setdefault((thing.kind, thing.name), thing)
        # Names built from a duplicate name are duplicates too, which is one error.
        if other is thing or (thing.source is not None and thing.source == other.source):
            continue
        why, remedy = _KINDS[thing.kind]
        what = f"{thing.name} is the name of {other.what}"
        if thing.source not in (None, thing.name):
            what = f"is {thing.source}: {thing.what} is called {thing.name}, and so is {other.what}"
            if thing.kind == "container":
                remedy = "rename one of the two networks"
        yield thing.key, what, why, remedy


def _all(host: HostDraft) -> Iterator[_Named]:
    if host.host is not None:
        # These two come first and belong to no network, so no error is reported at them.
        wan = host.host.wan.interface
        yield _Named("interface", wan, "the host's wan interface", host.loc, "")
        if host.host.ipv6nat is not None:
            yield _Named("container", IPV6NAT, "docker-ipv6nat's container", host.loc, "")
    for draft in host.networks:
        name = draft.network.name
        yield _Named("network", name, "another network of this host", (*draft.loc, "name"))
        yield from _of_network(draft)
        for place, container in enumerate(draft.network.containers):
            key = (*draft.loc, "containers", place, "name")
            yield _Named("container", container.name, f"a container in network {name}", key)


def _of_network(draft: NetworkDraft) -> Iterator[_Named]:
    """Yield what a network has besides itself and the containers that are listed in it."""
    network, balancer = draft.network, draft.network.load_balancer
    name, bridge = network.name, network.bridge
    by_name = (*draft.loc, "name")
    by_bridge = (*draft.loc, "bridge") if draft.written.bridge else by_name
    own = None if draft.written.bridge else name
    yield _Named("interface", bridge, f"the bridge of network {name}", by_bridge, own)
    if network.whoami is not None:
        yield _Named("container", network.whoami.name, f"whoami of network {name}", by_name, name)
    if balancer is None:
        return
    what = f"the load balancer of network {name}"
    yield _Named("container", balancer.name, what, by_name, name)
    if (acme := balancer.acme) is not None:
        key = (*draft.loc, "load_balancer", "acme", "volume")
        what = f"the volume where network {name} keeps its certificates"
        own = name if acme.volume == names.volume_name(name) else None
        yield _Named("volume", acme.volume, what, key, own)
    if balancer.docker_socket == "proxy":
        what = f"the socket proxy of network {name}"
        yield _Named("container", balancer.socket_name, what, by_name, name)
        what = f"the network between {name}'s load balancer and Docker"
        yield _Named("network", names.socket_network(name), what, by_name, name)
        what = f"the bridge between {name}'s load balancer and Docker"
        yield _Named("interface", names.socket_bridge(bridge), what, by_bridge, bridge)
