"""A stack as the rest of wanbound sees it: validated, every default filled in, every address known.

What the operator may write is in spec.py; resolve.py makes these models from it.
"""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

Address: TypeAlias = IPv4Address | IPv6Address
Subnet: TypeAlias = IPv4Network | IPv6Network
Version: TypeAlias = Literal[4, 6]
Protocol: TypeAlias = Literal["tcp", "udp"]
Restart: TypeAlias = Literal["no", "on-failure", "always", "unless-stopped"]
Persist: TypeAlias = Literal["iptables-files"]
Ipv6Nat: TypeAlias = Literal["container"]
Mode: TypeAlias = Literal["nat", "snat", "masquerade"]
"""How a network's traffic is translated: both ways by wanbound; only what goes out; what goes out,
while Docker publishes the containers' ports on the public addresses."""
Challenge: TypeAlias = Literal["tls-alpn", "http"]
DockerSocket: TypeAlias = Literal["proxy", "direct"]

LOAD_BALANCER = "load_balancer"
"""The word that stands for the network's load balancer in `Ingress.to`."""

IPV6NAT = "ipv6nat"
"""The name of docker-ipv6nat's container."""

BALANCED = (80, 443)
"""The ports of a load balancer that Docker publishes in mode masquerade (the recipe's -p)."""


class Model(BaseModel):
    """Base of all models here: they cannot be changed and know no further keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SecretRef(Model):
    """A value that stands in `wanbound:secrets` under the name `secret`."""

    secret: str


class Jump(Model):
    """A host through which another is reached; `host_key` as in `Ssh`."""

    address: str
    port: int = 22
    user: str = "root"
    host_key: str | None = None


class Ssh(Model):
    """How to reach a host; `host_key` is `type base64` without comment, None means known_hosts.

    `key` is a private key, None means the agent and the user's ssh config; `key_passphrase` opens
    it, or the key files of that config.
    """

    address: str
    port: int = 22
    user: str = "root"
    host_key: str | None = None
    jump: Jump | None = None
    key: SecretRef | None = None
    key_passphrase: SecretRef | None = None


class Wan(Model):
    """The host's way to the internet; `interface` carries the public addresses.

    Where a gateway is given, the default route of its family is managed.
    """

    interface: str
    gateway_ipv4: IPv4Address | None = None
    gateway_ipv6: IPv6Address | None = None


class PortRange(Model):
    """Ports `first` to `last`, both included; equal for a single port."""

    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


class Ingress(Model):
    """What is forwarded from the network's public addresses, and to whom.

    `ports` is sorted and without overlaps, or "all" (only with tcp). `to` is `LOAD_BALANCER` or
    the name of a container of the network that has a fixed address in each of its families.
    `addresses` are the public addresses that it is for; none stands for the network's own.
    """

    protocol: Protocol
    ports: Literal["all"] | tuple[PortRange, ...]
    to: str
    addresses: tuple[Address, ...] = ()


class Published(Model):
    """Ports of a container that the world reaches at the network's public addresses."""

    protocol: Protocol
    ports: PortRange


class Volume(Model):
    """A mount: `source` is a volume's name or, where it begins with "/", a path on the host."""

    source: str
    target: str
    read_only: bool = False

    @property
    def is_path(self) -> bool:
        """Whether `source` is a path on the host."""
        return self.source.startswith("/")


class Container(Model):
    """A further container of a network."""

    name: str
    image: str
    command: tuple[str, ...] = ()
    labels: Mapping[str, str] = {}
    environment: Mapping[str, str | SecretRef] = {}
    volumes: tuple[Volume, ...] = ()
    ipv4: IPv4Address | None = None
    ipv6: IPv6Address | None = None
    restart: Restart = "unless-stopped"
    ports: tuple[Published, ...] = ()

    def address(self, version: Version) -> Address | None:
        """Return the fixed address of that family, None where Docker is to choose one."""
        return self.ipv4 if version == 4 else self.ipv6


class Acme(Model):
    """Where certificates come from (RFC 8555) and where they are kept.

    `ca_certificates` is PEM text by which `ca_server` is known, None for those of the image.
    `volume` is a Docker volume; with `keep_volume` it stays when everything else goes.
    """

    email: str
    ca_server: str
    ca_certificates: SecretRef | None
    challenge: Challenge
    volume: str
    keep_volume: bool


class Dashboard(Model):
    """The load balancer's own pages, at `domain`, behind a user and the hash of a password."""

    domain: str
    user: str
    password_hash: SecretRef


class LoadBalancer(Model):
    """The network's Traefik; its addresses are in each `Family`.

    Without `acme` it speaks plain HTTP. Who is in `trusted_ips` may say for whom it asks
    (X-Forwarded-For). `socket_image` is the proxy's between it and Docker's socket, which is in
    the subnet `socket_subnet` with it; both are None where the socket itself is mounted.
    """

    name: str
    image: str
    acme: Acme | None = None
    dashboard: Dashboard | None = None
    http3: bool = False
    trusted_ips: tuple[Subnet, ...] = ()
    socket_name: str = ""
    socket_image: str | None = None
    socket_subnet: IPv4Network | None = None


class Whoami(Model):
    """The network's whoami container, reached at `domain` through the load balancer."""

    name: str
    domain: str
    image: str


class Family(Model):
    """One address family of a network; all addresses are of `version`.

    `gateway` is the first address of `subnet` after the network's own. `load_balancer` is None
    where the network has none. `derived` says that the operator left the subnet out.
    """

    version: Version
    public: Address
    subnet: Subnet
    gateway: Address
    load_balancer: Address | None
    derived: bool


class Network(Model):
    """One isolated network: its public addresses, its subnets and what runs in it.

    `inner_ipv4` is the IPv4 subnet of a network without public IPv4, None where it has that:
    Docker gives each bridge network IPv4 whether asked for or not (up to 28), and a subnet that
    nobody named would be another one each time. `docker_ipv4` is the public IPv4 of a network
    whose IPv4 subnet Docker chooses: it has no `ipv4` then, for nobody knows it before it is made.
    """

    name: str
    bridge: str
    mode: Mode
    docker_ipv4: IPv4Address | None
    ipv4: Family | None
    ipv6: Family | None
    inner_ipv4: IPv4Network | None
    allow_public_subnet: bool
    manage_addresses: bool
    load_balancer: LoadBalancer | None
    whoami: Whoami | None
    ingress: tuple[Ingress, ...]
    containers: tuple[Container, ...]

    @property
    def families(self) -> tuple[Family, ...]:
        """The families whose subnet is known, IPv4 first; at least one, or `docker_ipv4`."""
        return tuple(family for family in (self.ipv4, self.ipv6) if family is not None)

    @property
    def publics(self) -> tuple[tuple[Version, Address], ...]:
        """The network's own public addresses by family: all that its traffic goes out with."""
        found: list[tuple[Version, Address]] = [
            (each.version, each.public) for each in self.families
        ]
        return tuple(found) if self.docker_ipv4 is None else ((4, self.docker_ipv4), *found)

    def entrances(self, ingress: Ingress, version: Version) -> tuple[Address, ...]:
        """Return the public addresses of one family that an entry of the ingress is for."""
        if ingress.addresses:
            return tuple(each for each in ingress.addresses if each.version == version)
        return tuple(public for family, public in self.publics if family == version)

    def extras(self, version: Version) -> tuple[Address, ...]:
        """Return the addresses of one family beside its own that something comes in by, sorted."""
        own = {public for _, public in self.publics}
        found = {each for entry in self.ingress for each in self.entrances(entry, version)} - own
        return tuple(sorted(found, key=int))

    def address_of(self, to: str, version: Version) -> Address:
        """Return the private address behind an `Ingress.to` in one of the network's families.

        Raises LookupError for what cannot be an `Ingress.to` of this network.
        """
        found: Address | None = None
        if to == LOAD_BALANCER:
            family = self.ipv4 if version == 4 else self.ipv6
            found = family.load_balancer if family is not None else None
        else:
            for container in self.containers:
                if container.name == to:
                    found = container.address(version)
        if found is None:
            raise LookupError(f"{to} has no fixed IPv{version} address in network {self.name}")
        return found


class Open(Model):
    """Ports of the host itself that everybody may reach; sorted and without overlaps."""

    protocol: Protocol
    ports: tuple[PortRange, ...]


class Baseline(Model):
    """The host's own filter: SSH from `ssh_from`, what is `open`, and nothing else comes in."""

    ssh_from: tuple[Subnet, ...]
    open: tuple[Open, ...] = ()


class Engine(Model):
    """What a host's Docker Engine is to be: `settings` are the keys of its daemon.json.

    `install` says whether it is installed where it is missing, `restart` whether it may be
    restarted where that stops containers.
    """

    settings: Mapping[str, Any]
    install: bool = False
    restart: bool = True


class Host(Model):
    """A Docker host and its networks, in the order of the configuration.

    `confirm_seconds` is for how long the host waits for the confirmation of a change before it
    undoes it, `persist` whether its rules are written to /etc/iptables too, `adopt` whether what
    was set up by hand is taken over, `ipv6nat` whether docker-ipv6nat runs there, as a container.
    `engine` is None where its daemon.json is left alone.
    """

    name: str
    ssh: Ssh
    wan: Wan
    guard: bool
    baseline: Baseline | None
    confirm_seconds: int
    persist: Persist | None
    adopt: bool
    ipv6nat: Ipv6Nat | None
    networks: tuple[Network, ...]
    engine: Engine | None = None


class Echo(Model):
    """Addresses over HTTP that answer with the caller's own address, one per family."""

    ipv4: str | None = None
    ipv6: str | None = None

    def url(self, version: Version) -> str | None:
        """Return the address to ask in that family, None where none is configured."""
        return self.ipv4 if version == 4 else self.ipv6


class Images(Model):
    """The images of the containers that wanbound brings itself."""

    traefik: str = "traefik:v3.7"
    whoami: str = "wanbound/whoami:1"
    ipv6nat: str = "robbertkl/ipv6nat:0.4.4"
    socket_proxy: str = "haproxy:3.2"
