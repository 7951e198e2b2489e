"""The arguments of what Docker is to make: networks and containers, as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
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


@dataclass(frozen=True)
class Ipam:
    """A subnet of a Docker network and the address of its bridge."""

    subnet: str
    gateway: str


@dataclass(frozen=True)
class DockerNetwork:
    """The arguments of a Docker network of the bridge driver; an `internal` one has no way out.

    `ipv4_by_docker` says that its IPv4 subnet is not among them: Docker chooses one. `defaults` are
    the names of options that daemon.json may give to new networks.
    """

    name: str
    ipv6: bool
    ipam: tuple[Ipam, ...]
    options: Mapping[str, str]
    internal: bool = False
    ipv4_by_docker: bool = False
    defaults: tuple[str, ...] = ()

    @property
    def ignored(self) -> tuple[str, ...]:
        """The options that may differ on the host, or be there without being declared."""
        return (*UNIMPORTANT, *self.defaults)


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
    """Return the network on a host whose daemon.json may give new networks more options.

    Docker never changes the options of a network, so these do not count as a change of it.
    """
    defaults = {} if engine is None else engine.settings.get("default-network-opts", {})
    of_bridges = defaults.get("bridge", {}) if isinstance(defaults, Mapping) else {}
    added = {*of_bridges} - {*network.options, *network.ignored}
    return replace(network, defaults=tuple(sorted(added)))
