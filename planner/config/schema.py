"""The keys of the configuration: what the operator may write, and what the rest of wanbound sees.

Each key has its type, an example and why it is there, which stand in the errors, too. There is one
model for each mapping: as it was written it has the keys alone; resolve.py fills in what was left
out and what follows, without changing anything that is there.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, ip_address
from typing import Annotated

from pydantic import BeforeValidator, PlainValidator
from pydantic_core import PydanticKnownError

from planner.config import types
from planner.config.daemonjson import DaemonSettings, Mirrors
from planner.config.report import Model, Resolved, refusal, show, written
from planner.config.types import (
    BY_DOCKER,
    LOAD_BALANCER,
    VERSIONS,
    Address,
    Flag,
    Subnet,
    Version,
)

IPV6NAT = "ipv6nat"
"""The name of docker-ipv6nat's container."""

BALANCED = (80, 443)
"""The ports of a load balancer that Docker publishes in mode masquerade (the recipe's -p)."""

POOL = IPv4Network("10.200.0.0/14")
"""Where IPv4 subnets come from unless `ipv4_pool` says otherwise."""

SOCKET_POOL = IPv4Network("10.204.0.0/20")
"""Where the subnets between load balancers and Docker's socket come from: 512 of them.

A pool of their own, so that no network's subnet depends on whether another has a load balancer.
"""


def _later(value: object) -> tuple[()]:
    """Take a list of hosts or networks, which are validated one by one.

    A mistake in one then hides none in another, nor in how the others relate (resolve.py).
    """
    if not isinstance(value, list):
        raise PydanticKnownError("list_type")
    if not value:
        raise refusal("is an empty list", "There would be nothing to do.", "add an entry to it")
    return ()


def _some_sources(value: object) -> object:
    if isinstance(value, list) and not value:
        why = "SSH would be closed to everybody, and nobody could log in to the host any more."
        remedy = "list the ranges that you log in from, or remove baseline"
        raise refusal("is an empty list", why, remedy)
    return value


def _on_off(value: object) -> object:
    """Turn false into None (off) and true into the defaults."""
    if isinstance(value, bool):
        return {} if value else None
    if not isinstance(value, dict):
        what = f"is {show(value)}, neither false nor a mapping"
        why = "The load balancer is on unless it is turned off."
        remedy = "write false to have none, or {ipv4: …, ipv6: …, image: …}, or remove the key"
        raise refusal(what, why, remedy)
    return value


class Jump(Model):
    """`jump` of a host's `ssh`: a host through which the other is reached.

    `host_key` is `type base64` without comment, None means known_hosts.
    """

    example = "{address: 192.0.2.1, user: admin}"

    address: types.SshAddress = written("192.0.2.10", "The host is reached there.")
    port: types.Port = written("22", "The host's SSH server listens there.", 22)
    user: types.UserName = written("root", "SSH logs in as this user.", "root")
    host_key: types.HostKey | None = written(
        '"ssh-ed25519 AAAA…"', "It proves that it is the host.", None
    )


class Ssh(Jump):
    """`ssh` of a host: how to reach it.

    `key` is a private key, None means the agent and the user's ssh config; `key_passphrase` opens
    it, or the key files of that config.
    """

    example = "{address: 192.0.2.10, user: root}"

    jump: Jump | None = written(Jump.example, "The host is reached through it.", None)
    key: types.Secret | None = written("{secret: edge-key}", "SSH logs in with it.", None)
    key_passphrase: types.Secret | None = written(
        "{secret: edge-phrase}", "It opens the key.", None
    )

    @property
    def ip(self) -> Address | None:
        """The address that SSH uses, None where it is a DNS name."""
        try:
            return ip_address(self.address)
        except ValueError:
            return None


class Wan(Model):
    """`wan` of a host: its way to the internet; `interface` carries the public addresses.

    Where a gateway is given, the default route of its family is managed.
    """

    example = "{interface: eth0}"

    interface: types.InterfaceName = written(
        "eth0",
        "The public addresses are put on the interface towards the internet"
        " (ip route show default names it), and nothing else tells which one that is.",
    )
    gateway_ipv4: types.GatewayV4 | None = written(
        "203.0.113.1", "The default route goes there.", None
    )
    gateway_ipv6: types.GatewayV6 | None = written(
        '"fe80::1"', "The default route goes there.", None
    )

    def gateway(self, version: Version) -> Address | None:
        """Return the gateway of that family, None where its route is left alone."""
        return self.gateway_ipv4 if version == 4 else self.gateway_ipv6


class Acme(Model):
    """`acme` of a load balancer: where certificates come from (RFC 8555) and where they are kept.

    `ca_certificates` is PEM text by which `ca_server` is known, None for those of the image.
    `volume` is a Docker volume; with `keep_volume` it stays when everything else goes.
    """

    example = "{email: bob@example.com}"

    email: types.Email = written(
        "bob@example.com", "The certificate authority wants an address to write to."
    )
    ca_server: types.AcmeUrl = written(
        types.LETS_ENCRYPT, "Certificates are asked for there.", types.LETS_ENCRYPT
    )
    ca_certificates: types.Certificates | None = written(
        "{secret: ca}", "A CA server of your own is known by it.", None
    )
    challenge: types.ChallengeWord = written(
        "http", "By it the authority sees that the name is yours.", "tls-alpn"
    )
    volume: types.VolumeName = written("mail_letsencrypt", "Certificates are kept there.", "")
    keep_volume: Flag = written("true", "It leaves the certificates when the network goes.", False)


class Dashboard(Model):
    """`dashboard` of a load balancer: its own pages, at `domain`, behind a user and a password."""

    example = "{user: bob, password_hash: {secret: dashboard}}"

    domain: types.Domain = written("lb.mail.example.com", "The dashboard has this name.", "")
    user: types.DashboardUser = written("bob", "The dashboard shows all of the network's routes.")
    password_hash: types.PasswordHash = written(
        "{secret: dashboard}", "Nobody should see the dashboard without a password."
    )


class LoadBalancer(Model):
    """`load_balancer` of a network: its Traefik; its addresses are in each `Family`.

    Without `acme` it speaks plain HTTP. Who is in `trusted_ips` may say for whom it asks
    (X-Forwarded-For). `socket_image` is the proxy's between it and Docker's socket, which is in
    the subnet `socket_subnet` with it; both are None where the socket itself is mounted.
    """

    example = "{ipv4: 172.20.0.254}"

    ipv4: types.AddressV4 | None = written("172.20.0.254", "Ingress goes to this address.", None)
    ipv6: types.AddressV6 | None = written(
        '"fd5c:1b2a:77f0:1::fffe"', "Ingress goes to this address.", None
    )
    image: types.ImageRef = written("traefik:v3.7", "It is run as the load balancer.", "")
    domain: types.Domain = written("lb.mail.example.com", "The dashboard is reached by it.", "")
    acme: Acme | None = written(Acme.example, "With it all is answered over https.", None)
    dashboard: Dashboard | None = written(
        Dashboard.example, "Traefik shows there what it does.", None
    )
    http3: Flag = written("true", "HTTP/3 is HTTP over UDP.", False)
    trusted_ips: types.TrustedRanges = written(
        '["172.20.0.0/24"]', "Whose X-Forwarded-For is believed.", ()
    )
    docker_socket: types.SocketWord = written("proxy", "Traefik reads there what runs.", "proxy")

    name: Resolved[str] = ""
    socket_name: Resolved[str] = ""
    socket_image: Resolved[str | None] = None
    socket_subnet: Resolved[IPv4Network | None] = None

    def address(self, version: Version) -> Address | None:
        """Return the written address of that family."""
        return self.ipv4 if version == 4 else self.ipv6

    @property
    def host_name(self) -> str:
        """The dashboard's name, empty where there is no dashboard or it has none."""
        return "" if self.dashboard is None else self.dashboard.domain or self.domain


class Whoami(Model):
    """`whoami` of a network: its container, reached at `domain` through the load balancer."""

    example = "{domain: whoami.mail.example.com}"

    domain: types.Domain = written("whoami.mail.example.com", "Whoami is reached by this name.")

    name: Resolved[str] = ""
    image: Resolved[str] = ""


class Ingress(Model):
    """An entry of `ingress` of a network: what is forwarded from public addresses, and to whom.

    `ports` is sorted and without overlaps, or "all" (only with tcp). `to` is `LOAD_BALANCER` or
    the name of a container of the network that has a fixed address in each of its families.
    `addresses` are the public addresses that it is for; none stands for the network's own.
    """

    example = "{protocol: tcp, ports: [25, 465], to: mailserver}"

    protocol: types.ProtocolWord = written("tcp", "Ports belong to a protocol.", "tcp")
    ports: types.Ports = written(
        '[443, "1000-1010"]', "Only what is listed (or all TCP) is forwarded."
    )
    to: types.IngressTarget = written(
        LOAD_BALANCER, "The ports are forwarded to its address.", LOAD_BALANCER
    )
    addresses: types.Entrances = written(
        '[203.0.113.21, "2001:db8::21"]', "What comes to these addresses is forwarded.", ()
    )

    def has(self, port: int) -> bool:
        """Return whether a port is forwarded."""
        return self.ports == "all" or any(port in ports for ports in self.ports)


class Container(Model):
    """An entry of `containers` of a network, beside what wanbound brings itself."""

    example = "{name: turn, image: coturn/coturn:4.6}"

    name: types.ContainerName = written("turn", "Docker knows the container by this name.")
    image: types.ImageRef = written("coturn/coturn:4.6", "It is what the container runs.")
    command: tuple[types.Text, ...] = written(
        '["--verbose"]', "The command is a list of words.", ()
    )
    labels: dict[types.LabelKey, types.Text] = written(
        "{traefik.enable: 'true'}", "Labels are key: text.", {}
    )
    environment: dict[types.EnvironmentName, types.EnvironmentValue] = written(
        "{TURN_REALM: example.com}", "The environment is NAME: text.", {}
    )
    volumes: tuple[types.VolumeText, ...] = written('["data:/data:ro"]', "Volumes are a list.", ())
    ipv4: types.AddressV4 | None = written(
        "172.20.0.10", "It is the container's fixed address.", None
    )
    ipv6: types.AddressV6 | None = written(
        '"fd5c:1b2a:77f0:1::10"', "It is the container's fixed address.", None
    )
    restart: types.RestartWord = written(
        "unless-stopped", "Docker restarts by it.", "unless-stopped"
    )
    ports: types.PublishedPorts = written(
        '[25, "3478/udp"]', "The world reaches it at these ports of the public addresses.", ()
    )

    def address(self, version: Version) -> Address | None:
        """Return the fixed address of that family, None where Docker is to choose one."""
        return self.ipv4 if version == 4 else self.ipv6


@dataclass(frozen=True)
class Family:
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
    """An entry of `networks` of a host: its public addresses, its subnets and what runs in it.

    `inner_ipv4` is the IPv4 subnet of a network without public IPv4, None where it has that:
    Docker gives each bridge network IPv4 whether asked for or not (up to 28), and a subnet that
    nobody named would be another one each time.
    """

    example = '{name: mail, public_ipv4: 203.0.113.20, public_ipv6: "2001:db8::20"}'

    name: types.NetworkName = written("mail", "Docker knows the network by this name.")
    bridge: types.BridgeName = written("mail", "The kernel's bridge has this name.", "")
    public_ipv4: types.PublicV4 | None = written(
        "203.0.113.20", "The network owns this address.", None
    )
    public_ipv6: types.PublicV6 | None = written(
        '"2001:db8::20"', "The network owns this address.", None
    )
    mode: types.ModeWord = written("nat", "It says how traffic is translated.", "nat")
    subnet_ipv4: types.SubnetV4OrDocker | None = written(
        "172.20.0.0/24", "Containers have addresses in it.", None
    )
    subnet_ipv6: types.SubnetV6 | None = written(
        '"fd5c:1b2a:77f0:1::/64"', "Containers have addresses in it.", None
    )
    allow_public_subnet: Flag = written("true", "It allows subnets outside private space.", False)
    manage_addresses: Flag = written("false", "false leaves the public addresses alone.", True)
    load_balancer: Annotated[LoadBalancer | None, BeforeValidator(_on_off)] = written(
        "false", "The load balancer is on unless turned off.", LoadBalancer()
    )
    whoami: Whoami | None = written(Whoami.example, "Whoami needs a domain.", None)
    ingress: tuple[Ingress, ...] = written(
        f"[{Ingress.example}]", "Ingress is a list of what is forwarded.", ()
    )
    containers: tuple[Container, ...] = written(
        f"[{Container.example}]", "Containers are a list.", ()
    )

    ipv4: Resolved[Family | None] = None
    ipv6: Resolved[Family | None] = None
    inner_ipv4: Resolved[IPv4Network | None] = None

    @property
    def families(self) -> tuple[Family, ...]:
        """The families whose subnet is known, IPv4 first; at least one, or `docker_ipv4`."""
        return tuple(family for family in (self.ipv4, self.ipv6) if family is not None)

    @property
    def publics(self) -> tuple[tuple[Version, Address], ...]:
        """The network's own public addresses by family: all that its traffic goes out with."""
        found = ((version, self.public(version)) for version in VERSIONS)
        return tuple((version, address) for version, address in found if address is not None)

    @property
    def docker_ipv4(self) -> IPv4Address | None:
        """The public IPv4 of a network whose IPv4 subnet Docker chooses.

        It has no `ipv4` then, for nobody knows the subnet before the network is made.
        """
        return self.public_ipv4 if self.subnet_ipv4 == BY_DOCKER else None

    def public(self, version: Version) -> Address | None:
        """Return the public address of that family, None where the network lacks it."""
        return self.public_ipv4 if version == 4 else self.public_ipv6

    def subnet(self, version: Version) -> Subnet | None:
        """Return the subnet that the operator wrote for that family."""
        if version == 6:
            return self.subnet_ipv6
        return None if self.subnet_ipv4 == BY_DOCKER else self.subnet_ipv4

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
    """An entry of `open` of a baseline: ports of the host itself that everybody may reach.

    `ports` is sorted and without overlaps.
    """

    example = "{protocol: tcp, ports: [9100]}"

    protocol: types.ProtocolWord = written("tcp", "Ports belong to a protocol.", "tcp")
    ports: types.OpenPorts = written(
        '[9100, "5000-5010"]', "Only what is listed is open to everybody."
    )


class Baseline(Model):
    """`baseline` of a host: its own filter lets in SSH from `ssh_from`, and what is `open`."""

    example = "{ssh_from: [198.51.100.0/24]}"

    ssh_from: Annotated[tuple[types.SourceRange, ...], BeforeValidator(_some_sources)] = written(
        '["198.51.100.0/24", "2001:db8:77::/48"]',
        "SSH is let in from there alone, and without it you could not log in any more.",
    )
    open: tuple[Open, ...] = written(f"[{Open.example}]", "Everything else is closed.", ())


class Engine(Model):
    """`engine` of a host: what its Docker Engine is to be.

    `settings` has all keys of daemon.json by their names there, those that are keys here, too.
    `install` says whether it is installed where it is missing, `restart` whether it may be
    restarted where that stops containers.
    """

    example = "{registry_mirrors: [https://mirror.example.com]}"

    ipv6: Flag | None = written("true", "It gives the default bridge IPv6.", None)
    fixed_cidr_v6: types.SubnetV6 | None = written(
        '"fd5c:1b2a:77f0:d0::/64"', "The default bridge has IPv6 addresses in it.", None
    )
    ip6tables: Flag | None = written("true", "Docker then loads IPv6 rules of its own.", None)
    live_restore: Flag | None = written("true", "Containers go on while Docker restarts.", None)
    registry_mirrors: Mirrors | None = written(
        '["https://mirror.example.com"]', "Images of Docker Hub are asked for there first.", None
    )
    settings: DaemonSettings = written(
        "{log-driver: journald}", "They are further keys of daemon.json.", {}
    )
    install: Flag = written("true", "It installs Docker from the distribution.", False)
    restart: Flag = written("false", "false refuses what would stop containers.", True)


class Host(Model):
    """An entry of `hosts`: a Docker host and its networks, in the order of the configuration.

    `confirm_seconds` is for how long the host waits for the confirmation of a change before it
    undoes it, `persist` whether its rules are written to /etc/iptables too, `adopt` whether what
    was set up by hand is taken over, `ipv6nat` whether docker-ipv6nat runs there, as a container.
    `engine` is None where its daemon.json is left alone.
    """

    example = (
        "{name: edge-1, ssh: {address: 192.0.2.10}, wan: {interface: eth0}, networks: [{name: web,"
        " public_ipv4: 203.0.113.10}]}"
    )

    name: types.HostName = written("edge-1", "It names the host's resources in Pulumi.")
    ssh: Ssh = written(Ssh.example, "The host is reached over SSH.")
    wan: Wan = written(Wan.example, "It says where the public addresses are put.")
    guard: Flag = written(
        "true", "The guard is the last stop for packets with another source.", True
    )
    baseline: Baseline | None = written(
        Baseline.example, "It closes the host itself, but for SSH and what it names.", None
    )
    confirm_seconds: types.Seconds = written(
        "30", "A change that nobody confirms is undone after it.", 30
    )
    persist: types.PersistWord | None = written(
        "iptables-files", "Rules are written there as well.", None
    )
    adopt: Flag = written("true", "It takes over what was set up by hand.", False)
    ipv6nat: types.Ipv6NatWord | None = written("container", "It runs docker-ipv6nat there.", None)
    engine: Engine | None = written(
        Engine.example, "It says what is in Docker's daemon.json.", None
    )
    networks: Annotated[tuple[Network, ...], PlainValidator(_later)] = written(
        f"[{Network.example}]", "A host without networks has nothing to do."
    )


class Echo(Model):
    """`echo` of the stack: addresses over HTTP that answer with the caller's own, by family."""

    example = '{ipv4: "http://198.51.100.1/", ipv6: "http://[2001:db8:ffff::1]/"}'

    ipv4: types.EchoV4 | None = written(
        '"http://198.51.100.1/"', "It tells the caller's address.", None
    )
    ipv6: types.EchoV6 | None = written(
        '"http://[2001:db8:ffff::1]/"', "It tells the caller's address.", None
    )

    def url(self, version: Version) -> str | None:
        """Return the address to ask in that family, None where none is configured."""
        return self.ipv4 if version == 4 else self.ipv6


class Images(Model):
    """`images` of the stack: those of the containers that wanbound brings itself."""

    example = "{traefik: traefik:v3.7}"

    traefik: types.ImageRef = written(
        "traefik:v3.7", "It is the load balancers' image.", "traefik:v3.7"
    )
    whoami: types.ImageRef = written(
        "wanbound/whoami:1", "It is whoami's image.", "wanbound/whoami:1"
    )
    ipv6nat: types.ImageRef = written(
        "robbertkl/ipv6nat:0.4.4", "It is docker-ipv6nat's image.", "robbertkl/ipv6nat:0.4.4"
    )
    socket_proxy: types.ImageRef = written(
        "haproxy:3.2", "It stands before Docker's socket.", "haproxy:3.2"
    )


class Root(Model):
    """All keys after `wanbound:`; `secrets` is not looked at here, and stays out of the model."""

    example = "wanbound:hosts"

    seed: types.Seed | None = written("3f1c…", "IPv6 subnets are derived from it.", None)
    ipv4_pool: types.PoolV4 = written("10.200.0.0/14", "IPv4 subnets are taken from it.", POOL)
    socket_pool: types.PoolV4 = written(
        "10.204.0.0/20",
        "The subnets between load balancer and Docker are taken from it.",
        SOCKET_POOL,
    )
    verify: Flag = written("true", "It asks each network for its address after an update.", False)
    echo: Echo | None = written(Echo.example, "It is asked for the caller's address.", None)
    images: Images = written(Images.example, "They are run on the hosts.", Images())
    hosts: Annotated[tuple[Host, ...], PlainValidator(_later)] = written(
        f"[{Host.example}]", "A stack without hosts has nothing to do."
    )
    secrets: object = written("{NAME: {secure: …}}", "Only the names are looked at here.", None)
