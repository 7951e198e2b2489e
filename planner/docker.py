"""The arguments of what Docker is to make: networks and containers, as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from planner.config import Engine, Restart, SecretRef, Volume
from planner.publish import Port

OPTION = "com.docker.network"
"""The first part of the names of Docker's own options of networks."""

UNIMPORTANT = (
    # Docker's rule comes after ours, and the guard drops what it would translate.
    f"{OPTION}.bridge.enable_ip_masquerade",
    # The name of an interface inside of containers: no rule has it.
    f"{OPTION}.container_iface_prefix",
    # The largest packet is the operator's choice.
    f"{OPTION}.driver.mtu",
)
"""Options that may differ on the host from what is declared: no guarantee needs them."""

_GIVEN = tuple(
    f"{OPTION}.{name}"
    for name in (
        "bridge.enable_icc",
        "bridge.gateway_mode_ipv4",
        "bridge.gateway_mode_ipv6",
        "bridge.inhibit_ipv4",
        "bridge.trusted_host_interfaces",
        "host_ipv4",
        "host_ipv6",
    )
)
"""Options that Docker gives a new network where daemon.json says so (`default-network-opts`).

Docker never changes those of a network, so a change of daemon.json must not replace any.
"""


@dataclass(frozen=True)
class Ipam:
    """A subnet of a Docker network and the address of its bridge."""

    subnet: str
    gateway: str


@dataclass(frozen=True)
class DockerNetwork:
    """The arguments of a Docker network of the bridge driver; an `internal` one has no way out.

    `ipv4_by_docker` says that its IPv4 subnet is not among them: Docker chooses one. `defaults` are
    the options that the host's daemon.json gives to new networks, besides `options`.
    """

    name: str
    ipv6: bool
    ipam: tuple[Ipam, ...]
    options: Mapping[str, str]
    internal: bool = False
    ipv4_by_docker: bool = False
    defaults: Mapping[str, str] = field(default_factory=dict)

    @property
    def declared(self) -> Mapping[str, str]:
        """All options of a new network."""
        return {**self.defaults, **self.options}

    @property
    def ignored(self) -> tuple[str, ...]:
        """The options that may differ on an existing network, and are no reason to replace it."""
        given = sorted({*_GIVEN, *self.defaults} - {*self.options})
        return tuple(dict.fromkeys((*UNIMPORTANT, *given)))


@dataclass(frozen=True)
class Upload:
    """A file put into a container before it starts; `content` is its parts, joined."""

    path: str
    content: tuple[str | SecretRef, ...]


@dataclass(frozen=True)
class HealthCheck:
    """The health check of a container; times as Go writes them (`30s`)."""

    test: tuple[str, ...]
    interval: str
    timeout: str
    retries: int
    start_period: str


@dataclass(frozen=True)
class ContainerPlan:
    """The arguments of one container; `role` says what it is to the network.

    `socket_ipv4` is its address in the network that a load balancer and its socket proxy have to
    themselves. `capabilities` are those it keeps, None for Docker's own choice; `user` is None for
    the image's. `dns` are the servers that it asks for names, none for Docker's own choice.
    """

    role: Literal["load_balancer", "whoami", "container", "socket_proxy"]
    name: str
    image: str
    command: tuple[str, ...]
    labels: Mapping[str, str]
    environment: Mapping[str, str | SecretRef]
    volumes: tuple[Volume, ...]
    ipv4: str | None
    ipv6: str | None
    restart: Restart
    socket_ipv4: str | None = None
    uploads: tuple[Upload, ...] = ()
    health: HealthCheck | None = None
    capabilities: tuple[str, ...] | None = None
    user: str | None = None
    ports: tuple[Port, ...] = ()
    dns: tuple[str, ...] = ()


@dataclass(frozen=True)
class SocketPlan:
    """A load balancer's access to Docker: a proxy, and a network with only these two members."""

    docker: DockerNetwork
    proxy: ContainerPlan


@dataclass(frozen=True)
class VolumePlan:
    """A named Docker volume; with `keep` it stays on the host when everything else is removed."""

    name: str
    keep: bool


def with_defaults(network: DockerNetwork, engine: Engine | None) -> DockerNetwork:
    """Return the network on a host whose daemon.json may give new networks more options."""
    defaults = {} if engine is None else engine.settings.get("default-network-opts", {})
    of_bridges = defaults.get("bridge", {}) if isinstance(defaults, Mapping) else {}
    if not isinstance(of_bridges, Mapping):
        return network
    added = {str(key): str(value) for key, value in sorted(of_bridges.items())}
    return replace(
        network,
        defaults={key: value for key, value in added.items() if key not in network.options},
    )
