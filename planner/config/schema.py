"""The keys of the configuration: what the operator may write, and what the rest of wanbound sees.

Each key has a type, an example and a reason; errors quote the last two. There is one model for each
mapping of the configuration. resolve.py fills in what the operator left out and the `Resolved`
fields; it changes no value that was written.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, ip_address
from typing import Annotated, NoReturn

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticKnownError

from planner.config import report
from planner.config import types as t
from planner.config.daemonjson import DaemonSettings, Mirrors
from planner.config.report import Model, Resolved, key, refusal, show
from planner.config.types import (
    BY_DOCKER,
    LOAD_BALANCER,
    VERSIONS,
    Address,
    AddressPair,
    Flag,
    Subnet,
    Version,
)

IPV6NAT = "ipv6nat"
"""The name of docker-ipv6nat's container."""

BALANCED = (80, 443)
"""The ports of a load balancer that Docker publishes in mode masquerade (the recipe's -p)."""

POOL = IPv4Network("10.128.0.0/9")
"""Where IPv4 subnets come from unless `ipv4_pool` says otherwise: 32,768 of them.

Two of 20 networks get the same one with a probability of 0.6 %.
"""

SOCKET_POOL = IPv4Network("10.64.0.0/10")
"""Where the subnets between load balancers and Docker's socket come from: 524,288 of them.

Two of 20 load balancers get the same one with a probability of 0.04 %. The pool is apart from
`POOL`, or they could also be in the subnet of a network.
"""


MARK = 0x02000000
"""The bit of the packet mark that the guard sets, unless `mark` says another."""


def _later(value: object) -> tuple[()]:
    """Check that there is a list of hosts or networks; resolve.py validates its entries one by one.

    An invalid entry then does not hide problems of the others, or between them.
    """
    if not isinstance(value, list):
        raise PydanticKnownError("list_type")
    if not value:
        raise refusal("is an empty list", "There would be nothing to do.", "add an entry to it")
    return ()


def _entries(kind: type[Model]) -> PlainValidator:
    """Return the validator of a list whose entries are checked later."""
    some = Annotated[tuple[kind, ...], Field(min_length=1)]  # type: ignore[valid-type]
    return PlainValidator(_later, json_schema_input_type=some)


def _some_sources(value: object) -> object:
    if isinstance(value, list) and not value:
        why = "SSH would be closed to every address, and you could no longer log in to the host."
        remedy = "list the ranges that you log in from, or remove baseline"
        raise refusal("is an empty list", why, remedy)
    return value


def _no_guard(_: object) -> NoReturn:
    why = (
        "What the guard marks is all that is forwarded: without it there would be no traffic, and"
        " packets could leave with a private source."
    )
    remedy = "remove the key; the host needs nftables (Debian package nftables)"
    raise refusal("is no key any more: every host has the guard", why, remedy)


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

    address: t.SshAddress = key("192.0.2.10", "SSH connects to this address.")
    port: t.Port = key("22", "The SSH server listens on this port.", 22)
    user: t.UserName = key("root", "SSH logs in as this user.", "root")
    host_key: t.HostKey | None = key('"ssh-ed25519 AAAA…"', "The server's host key.", None)

    @property
    def ip(self) -> Address | None:
        """The address that SSH uses, None where it is a DNS name."""
        try:
            return ip_address(self.address)
        except ValueError:
            return None


class Ssh(Jump):
    """`ssh` of a host: how to reach it.

    `key` is a private key, None means the agent and the user's ssh config; `key_passphrase` opens
    it, or the key files of that config.
    """

    example = "{address: 192.0.2.10, user: root}"

    jump: Jump | None = key(Jump.example, "SSH goes through this host.", None)
    key: t.Secret | None = key("{secret: edge-key}", "SSH logs in with this key.", None)
    # By its full name: `key` is the field above from here on.
    key_passphrase: t.Secret | None = report.key("{secret: edge-phrase}", "Decrypts the key.", None)


class Wan(Model):
    """`wan` of a host: its way to the internet; `interface` carries the public addresses.

    Where a gateway is given, the default route of its family is managed.
    """

    example = "{interface: eth0}"

    interface: t.InterfaceName = key(
        "eth0",
        "The public addresses are put on the interface towards the internet"
        " (ip route show default names it), and nothing else tells which one that is.",
    )
    gateway_ipv4: t.GatewayV4 | None = key("203.0.113.1", "The default route's router.", None)
    gateway_ipv6: t.GatewayV6 | None = key('"fe80::1"', "The default route's router.", None)

    def gateway(self, version: Version) -> Address | None:
        """Return the gateway of that family, None where its route is left alone."""
        return self.gateway_ipv4 if version == 4 else self.gateway_ipv6


class Acme(Model):
    """`acme` of a load balancer: where certificates come from (RFC 8555) and where they are kept.

    `ca_certificates` is PEM text by which `ca_server` is known, None for those of the image.
    `volume` is a Docker volume; with `keep_volume` it stays when everything else goes.
    """

    example = "{email: bob@example.com}"

    email: t.Email = key("bob@example.com", "The certificate authority sends mail to this address.")
    ca_server: t.AcmeUrl = key(t.LETS_ENCRYPT, "The certificate authority.", t.LETS_ENCRYPT)
    ca_certificates: t.Certificates | None = key(
        "{secret: ca}", "These certificates verify a CA server of your own.", None
    )
    challenge: t.ChallengeWord = key(
        "http", "The authority validates names by this challenge.", "tls-alpn"
    )
    volume: t.VolumeName = key("mail_letsencrypt", "Certificates are kept in this volume.", "")
    keep_volume: Flag = key("true", "true keeps the volume when the network is removed.", False)


class Dashboard(Model):
    """`dashboard` of a load balancer: its own pages, at `domain`, behind a user and a password."""

    example = "{user: bob, password_hash: {secret: dashboard}}"

    domain: t.Domain = key("lb.mail.example.com", "The dashboard's host name.", "")
    user: t.DashboardUser = key("bob", "This user can log in to the dashboard.")
    password_hash: t.PasswordHash = key(
        "{secret: dashboard}", "Without a password the dashboard would be open."
    )


class LoadBalancer(Model):
    """`load_balancer` of a network: its Traefik; its addresses are in each `Family`.

    Without `acme` it serves plain HTTP. X-Forwarded-For is accepted from `trusted_ips` alone.
    `socket_image` is the image of the proxy between it and Docker's socket, `socket_subnet` the
    subnet of these two; both are None where the socket itself is mounted.
    """

    example = "{ipv4: 172.20.0.254}"

    ipv4: t.AddressV4 | None = key("172.20.0.254", "The load balancer's address.", None)
    ipv6: t.AddressV6 | None = key('"fd5c:1b2a:77f0:1::fffe"', "The load balancer's address.", None)
    image: t.ImageRef = key("traefik:v3.7", "The load balancer's image.", "")
    domain: t.Domain = key("lb.mail.example.com", "The dashboard's host name.", "")
    acme: Acme | None = key(Acme.example, "Certificates for HTTPS.", None)
    dashboard: Dashboard | None = key(Dashboard.example, "Traefik's own pages.", None)
    http3: Flag = key("true", "true adds HTTP/3, on UDP port 443.", False)
    trusted_ips: t.TrustedRanges = key(
        '["172.20.0.0/24"]', "X-Forwarded-For is trusted from these ranges.", ()
    )
    docker_socket: t.SocketWord = key("proxy", "How Traefik reaches Docker.", "proxy")
    socket_subnet: t.SocketSubnet | None = key(
        "10.64.0.0/29", "The subnet of the network between load balancer and socket proxy.", None
    )

    name: Resolved[str] = ""
    socket_name: Resolved[str] = ""
    socket_image: Resolved[str | None] = None

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

    domain: t.Domain = key("whoami.mail.example.com", "The host name of whoami.")

    name: Resolved[str] = ""
    image: Resolved[str] = ""


class Ingress(Model):
    """An entry of `ingress` of a network: what is forwarded from public addresses, and to whom.

    `ports` is sorted and without overlaps, or "all" (only with tcp). `to` is `LOAD_BALANCER`, the
    name of a container of the network that has a fixed address in each of its families, or the
    addresses of one that compose or a person starts.
    `addresses` are the public addresses to which it applies; empty means the network's own.
    `sources` are the ranges that reach these ports, of both families; empty means everybody.
    """

    example = "{protocol: tcp, ports: [25, 465], to: mailserver}"

    protocol: t.ProtocolWord = key("tcp", "The protocol of the ports.", "tcp")
    ports: t.Ports = key('[443, "1000-1010"]', "Only the listed ports (or all TCP) are forwarded.")
    to: t.IngressTarget = key(
        LOAD_BALANCER, "The ports are forwarded to this container.", LOAD_BALANCER
    )
    addresses: t.Entrances = key(
        '[203.0.113.21, "2001:db8::21"]', "The entry applies to these public addresses.", ()
    )
    sources: t.AllowedSources = key(
        '[198.51.100.0/24, "2001:db8:aa::/48"]',
        "Only callers in these ranges reach the ports.",
        (),
        "from",
    )

    def has(self, port: int) -> bool:
        """Return whether a port is forwarded."""
        return self.ports == "all" or any(port in ports for ports in self.ports)


class Container(Model):
    """An entry of `containers` of a network, beside what wanbound brings itself."""

    example = "{name: turn, image: coturn/coturn:4.6}"

    name: t.ContainerName = key("turn", "Docker knows the container by this name.")
    image: t.ImageRef = key("coturn/coturn:4.6", "The container's image.")
    command: tuple[t.Text, ...] = key('["--verbose"]', "The command is a list of words.", ())
    labels: dict[t.LabelKey, t.Text] = key("{traefik.enable: 'true'}", "Labels are key: text.", {})
    environment: dict[t.EnvironmentName, t.EnvironmentValue] = key(
        "{TURN_REALM: example.com}", "The environment is NAME: text.", {}
    )
    volumes: tuple[t.VolumeText, ...] = key('["data:/data:ro"]', "Volumes are a list.", ())
    ipv4: t.AddressV4 | None = key("172.20.0.10", "The container's fixed address.", None)
    ipv6: t.AddressV6 | None = key('"fd5c:1b2a:77f0:1::10"', "The container's fixed address.", None)
    restart: t.RestartWord = key("unless-stopped", "The restart policy.", "unless-stopped")
    ports: t.PublishedPorts = key(
        '[25, "3478/udp"]', "These ports of the public addresses lead to the container.", ()
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

    `inner_subnet` is the IPv4 subnet of a network without public IPv4, None where it has that.
    Up to version 28, Docker gives IPv4 to every bridge network, and a subnet that Docker chooses
    would be a different one each time. `dns` has the servers that its containers ask, those of the
    host where it has none of its own, and only of families that the network has.
    """

    example = '{name: mail, public_ipv4: 203.0.113.20, public_ipv6: "2001:db8::20"}'

    name: t.NetworkName = key("mail", "The name of the Docker network.")
    bridge: t.BridgeName = key("mail", "The name of the bridge interface.", "")
    public_ipv4: t.PublicV4 | None = key("203.0.113.20", "The network's public address.", None)
    public_ipv6: t.PublicV6 | None = key('"2001:db8::20"', "The network's public address.", None)
    mode: t.ModeWord = key("nat", "How traffic is translated.", "nat")
    subnet_ipv4: t.SubnetV4OrDocker | None = key(
        "172.20.0.0/24", "Containers get addresses from it.", None
    )
    subnet_ipv6: t.SubnetV6 | None = key(
        '"fd5c:1b2a:77f0:1::/64"', "Containers get addresses from it.", None
    )
    inner_subnet: t.SubnetV4 | None = key(
        "10.128.0.0/24", "Docker gives a network without public_ipv4 an IPv4 subnet too.", None
    )
    allow_public_subnet: Flag = key("true", "true allows subnets outside of private space.", False)
    manage_addresses: Flag = key("false", "false leaves the public addresses alone.", True)
    dns: t.Servers = key("[198.51.100.53]", "The network's containers ask these servers.", ())
    load_balancer: Annotated[
        LoadBalancer | None, BeforeValidator(_on_off, json_schema_input_type=LoadBalancer | bool)
    ] = key("false", "The load balancer is on unless this is false.", LoadBalancer())
    whoami: Whoami | None = key(Whoami.example, "A page that shows the network's addresses.", None)
    ingress: tuple[Ingress, ...] = key(
        f"[{Ingress.example}]", "Ingress is a list of forwarded ports.", ()
    )
    containers: tuple[Container, ...] = key(f"[{Container.example}]", "Containers are a list.", ())

    ipv4: Resolved[Family | None] = None
    ipv6: Resolved[Family | None] = None

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
        """The public IPv4 of a network whose IPv4 subnet Docker chooses, else None.

        Such a network has no `ipv4`: its subnet is not known before Docker creates it.
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

    def all_entrances(self, ingress: Ingress) -> frozenset[Address]:
        """Return the public addresses of both families that an entry of the ingress is for."""
        return frozenset(each for version in VERSIONS for each in self.entrances(ingress, version))

    def forwarding(
        self, entries: Iterable[Ingress], protocol: str, port: int
    ) -> Iterator[tuple[Address, Ingress]]:
        """Yield the public addresses at which one of the entries forwards a port, each with it."""
        for entry in entries:
            if entry.protocol == protocol and entry.has(port):
                for address in self.all_entrances(entry):
                    yield address, entry

    def extras(self, version: Version) -> tuple[Address, ...]:
        """Return the addresses of one family beside its own that something comes in by, sorted."""
        own = {public for _, public in self.publics}
        found = {each for entry in self.ingress for each in self.entrances(entry, version)} - own
        return tuple(sorted(found, key=int))

    @property
    def undeclared(self) -> tuple[AddressPair, ...]:
        """The containers that are started by others and that something is forwarded to."""
        found = (entry.to for entry in self.ingress if isinstance(entry.to, AddressPair))
        return tuple(dict.fromkeys(found))

    def address_of(self, to: str | AddressPair, version: Version) -> Address:
        """Return the private address behind an `Ingress.to` in one of the network's families.

        Raises LookupError for what cannot be an `Ingress.to` of this network.
        """
        found: Address | None = None
        if isinstance(to, AddressPair):
            found = to.address(version)
        elif to == LOAD_BALANCER:
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
    """An entry of `open` of a baseline: ports of the host itself that are open to every source.

    `ports` is sorted and without overlaps.
    """

    example = "{protocol: tcp, ports: [9100]}"

    protocol: t.ProtocolWord = key("tcp", "The protocol of the ports.", "tcp")
    ports: t.OpenPorts = key('[9100, "5000-5010"]', "Only these ports are open to every address.")


class Baseline(Model):
    """`baseline` of a host: its own filter lets in SSH from `ssh_from`, and what is `open`."""

    example = "{ssh_from: [198.51.100.0/24]}"

    ssh_from: Annotated[tuple[t.SourceRange, ...], BeforeValidator(_some_sources)] = key(
        '["198.51.100.0/24", "2001:db8:77::/48"]',
        "SSH is accepted only from these ranges; without them you could not log in.",
    )
    open: tuple[Open, ...] = key(f"[{Open.example}]", "All other ports of the host are closed.", ())


class Engine(Model):
    """`engine` of a host: what its Docker Engine is to be.

    `settings` has all keys for daemon.json by their names there, once resolved including those
    that are keys here. `firewall_backend`: what Docker loads its own rules with, None where it is
    left as it is. `install`: whether Docker is installed where it is missing. `restart`:
    whether it may be restarted where that stops containers. `dns`: whether the host's `dns` is in
    daemon.json, too, for containers that wanbound does not start.
    """

    example = "{registry_mirrors: [https://mirror.example.com]}"

    ipv6: Flag | None = key("true", "true turns on IPv6 on Docker's default bridge.", None)
    fixed_cidr_v6: t.SubnetV6 | None = key(
        '"fd5c:1b2a:77f0:d0::/64"', "The IPv6 subnet of Docker's default bridge.", None
    )
    ip6tables: Flag | None = key("true", "true: Docker loads its own IPv6 rules.", None)
    live_restore: Flag | None = key("true", "Containers keep running while Docker restarts.", None)
    registry_mirrors: Mirrors | None = key(
        '["https://mirror.example.com"]', "Docker tries these first for images of Docker Hub.", None
    )
    firewall_backend: t.FirewallWord | None = key(
        "nftables", "Docker loads its rules with it; a change restarts Docker.", None
    )
    dns: Flag = key("true", "Containers that others start ask the host's dns.", False)
    settings: DaemonSettings = key("{log-driver: journald}", "Further keys of daemon.json.", {})
    install: Flag = key("true", "true installs the distribution's Docker.", False)
    restart: Flag = key("false", "false refuses a change that would stop containers.", True)


class Host(Model):
    """An entry of `hosts`: a Docker host and its networks, in the order of the configuration.

    `confirm_seconds`: how long the host waits for the confirmation of a change before it rolls
    it back. `firewall`: the dialect of its NAT rules and of `baseline`. `persist`: whether its
    rules are also written to /etc/iptables. `log_drops`: whether the kernel logs what the guard
    drops, at a limited rate. `metrics`: the file with the host's counters for Prometheus.
    `adopt`: whether existing Docker networks with the same definition are taken over.
    `ipv6nat`: whether docker-ipv6nat runs there, as a container. `engine`: None where wanbound
    does not touch daemon.json. `dns`: the servers that containers ask for names, empty for
    Docker's own choice.
    """

    example = (
        "{name: edge-1, ssh: {address: 192.0.2.10}, wan: {interface: eth0}, networks: [{name: web,"
        " public_ipv4: 203.0.113.10}]}"
    )

    name: t.HostName = key("edge-1", "The host's resources in Pulumi have this name.")
    ssh: Ssh = key(Ssh.example, "How to reach the host over SSH.")
    wan: Wan = key(Wan.example, "The interface that carries the public addresses.")
    guard: Annotated[None, PlainValidator(_no_guard)] = None
    baseline: Baseline | None = key(
        Baseline.example, "Closes the host's own ports, except SSH and the ports in open.", None
    )
    confirm_seconds: t.Seconds = key("30", "A change not confirmed in time is rolled back.", 30)
    firewall: t.FirewallWord = key("nftables", "The program that loads the rules.", "iptables")
    persist: t.PersistWord | None = key("iptables-files", "Rules also go to /etc/iptables.", None)
    log_drops: Flag = key("true", "The kernel logs what the guard drops.", False)
    metrics: t.MetricsFile | None = key(
        "/var/lib/prometheus/node-exporter/wanbound.prom", "Counters for Prometheus.", None
    )
    adopt: Flag = key("true", "true takes over what was set up manually.", False)
    ipv6nat: t.Ipv6NatWord | None = key("container", "Runs docker-ipv6nat.", None)
    engine: Engine | None = key(Engine.example, "Keys of Docker's daemon.json.", None)
    dns: t.Servers = key("[198.51.100.53]", "Containers ask these DNS servers.", ())
    networks: Annotated[tuple[Network, ...], _entries(Network)] = key(
        f"[{Network.example}]", "A host without networks has nothing to do."
    )


class Echo(Model):
    """`echo` of the stack: URLs, by family, that answer with the caller's address (IP-echo)."""

    example = '{ipv4: "http://198.51.100.1/", ipv6: "http://[2001:db8:ffff::1]/"}'

    ipv4: t.EchoV4 | None = key('"http://198.51.100.1/"', "URL of an IP-echo service.", None)
    ipv6: t.EchoV6 | None = key('"http://[2001:db8:ffff::1]/"', "URL of an IP-echo service.", None)

    def url(self, version: Version) -> str | None:
        """Return the address to ask in that family, None where none is configured."""
        return self.ipv4 if version == 4 else self.ipv6


class Images(Model):
    """`images` of the stack: those of the containers that wanbound brings itself."""

    example = "{traefik: traefik:v3.7}"

    traefik: t.ImageRef = key("traefik:v3.7", "The load balancers' image.", "traefik:v3.7")
    whoami: t.ImageRef = key("wanbound/whoami:1", "The image of whoami.", "wanbound/whoami:1")
    ipv6nat: t.ImageRef = key(
        "robbertkl/ipv6nat:0.4.4", "The image of docker-ipv6nat.", "robbertkl/ipv6nat:0.4.4"
    )
    socket_proxy: t.ImageRef = key(
        "haproxy:3.2", "The image of the proxy in front of Docker's socket.", "haproxy:3.2"
    )


_SECURE = {
    "type": "object",
    "properties": {"secure": {"type": "string"}},
    "required": ["secure"],
    "additionalProperties": False,
}
_SECRETS = {
    "type": "object",
    "additionalProperties": {"anyOf": [{"type": ["string", "number", "boolean"]}, _SECURE]},
}
"""What `pulumi config set` writes: a value in clear, or one that it has encrypted."""


class Root(Model):
    """All keys after `wanbound:`. `secrets` is None: their values stay out of the models."""

    example = "wanbound:hosts"

    seed: t.Seed | None = key("3f1c…", "IPv6 subnets are derived from it.", None)
    ipv4_pool: t.PoolV4 = key(str(POOL), "IPv4 subnets are taken from it.", POOL)
    socket_pool: t.PoolV4 = key(
        str(SOCKET_POOL),
        "The subnets between load balancer and Docker are taken from it.",
        SOCKET_POOL,
    )
    mark: t.Mark = key("0x02000000", "This bit of a packet's mark says that it may pass.", MARK)
    verify: Flag = key("true", "true checks each network's address after a change.", False)
    echo: Echo | None = key(Echo.example, "IP-echo services for verify and whoami.", None)
    images: Images = key(Images.example, "Images that wanbound brings.", Images())
    hosts: Annotated[tuple[Host, ...], _entries(Host)] = key(
        f"[{Host.example}]", "A stack without hosts has nothing to do."
    )
    secrets: Annotated[object, WithJsonSchema(_SECRETS)] = key(
        "{NAME: {secure: …}}", "Secrets by name; each is encrypted alone.", None
    )
