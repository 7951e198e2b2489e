"""What the operator may write: every key, its type, why it is there and an example of it.

Reason and example stand in the errors, too. Networks are validated one by one (see shape.py), so
that a mistake in one does not hide the mistakes in another: hence the lists of plain objects.
"""

from typing import Annotated

from pydantic import BeforeValidator

from planner.config.daemonjson import DaemonSettings, Mirrors
from planner.config.edge_spec import LoadBalancerSpec, on_off
from planner.config.ip import (
    AddressV4,
    AddressV6,
    GatewayV4,
    GatewayV6,
    PoolV4,
    PublicV4,
    PublicV6,
    SourceRange,
    SubnetV6,
)
from planner.config.model import LOAD_BALANCER, Address, Images, Version
from planner.config.publish import (
    Entrances,
    Ipv6NatWord,
    ModeWord,
    PublishedPorts,
    SubnetV4OrDocker,
)
from planner.config.refusal import refusal
from planner.config.scalars import (
    BridgeName,
    ContainerName,
    Domain,
    EchoV4,
    EchoV6,
    EnvironmentName,
    EnvironmentValue,
    Flag,
    HostKey,
    HostName,
    ImageRef,
    IngressTarget,
    InterfaceName,
    LabelKey,
    NetworkName,
    OpenPorts,
    PersistWord,
    Port,
    Ports,
    ProtocolWord,
    RestartWord,
    Seconds,
    Secret,
    Seed,
    SshAddress,
    Text,
    UserName,
    VolumeText,
)
from planner.config.spec_base import Spec
from planner.config.spec_base import key as _key


def _some(value: object) -> object:
    if isinstance(value, list) and not value:
        raise refusal("is an empty list", "There would be nothing to do.", "add an entry to it")
    return value


def _some_sources(value: object) -> object:
    if isinstance(value, list) and not value:
        why = "SSH would be closed to everybody, and nobody could log in to the host any more."
        remedy = "list the ranges that you log in from, or remove baseline"
        raise refusal("is an empty list", why, remedy)
    return value


class JumpSpec(Spec):
    """`jump` of a host's `ssh`."""

    example = "{address: 192.0.2.1, user: admin}"

    address: SshAddress = _key("192.0.2.10", "The host is reached there.")
    port: Port = _key("22", "The host's SSH server listens there.", 22)
    user: UserName = _key("root", "SSH logs in as this user.", "root")
    host_key: HostKey | None = _key('"ssh-ed25519 AAAA…"', "It proves that it is the host.", None)


class SshSpec(JumpSpec):
    """`ssh` of a host."""

    example = "{address: 192.0.2.10, user: root}"

    jump: JumpSpec | None = _key(JumpSpec.example, "The host is reached through it.", None)
    key: Secret | None = _key("{secret: edge-key}", "SSH logs in with it.", None)
    key_passphrase: Secret | None = _key("{secret: edge-phrase}", "It opens the key.", None)


class WanSpec(Spec):
    """`wan` of a host."""

    example = "{interface: eth0}"

    interface: InterfaceName = _key(
        "eth0",
        "The public addresses are put on the interface towards the internet"
        " (ip route show default names it), and nothing else tells which one that is.",
    )
    gateway_ipv4: GatewayV4 | None = _key("203.0.113.1", "The default route goes there.", None)
    gateway_ipv6: GatewayV6 | None = _key('"fe80::1"', "The default route goes there.", None)

    def gateway(self, version: Version) -> Address | None:
        """Return the gateway of that family."""
        return self.gateway_ipv4 if version == 4 else self.gateway_ipv6


class WhoamiSpec(Spec):
    """`whoami` of a network."""

    example = "{domain: whoami.mail.example.com}"

    domain: Domain = _key("whoami.mail.example.com", "Whoami is reached by this name.")


class IngressSpec(Spec):
    """An entry of `ingress` of a network."""

    example = "{protocol: tcp, ports: [25, 465], to: mailserver}"

    protocol: ProtocolWord = _key("tcp", "Ports belong to a protocol.", "tcp")
    ports: Ports = _key('[443, "1000-1010"]', "Only what is listed (or all TCP) is forwarded.")
    to: IngressTarget = _key(
        LOAD_BALANCER, "The ports are forwarded to its address.", LOAD_BALANCER
    )
    addresses: Entrances | None = _key(
        '[203.0.113.21, "2001:db8::21"]', "What comes to these addresses is forwarded.", None
    )


class ContainerSpec(Spec):
    """An entry of `containers` of a network."""

    example = "{name: turn, image: coturn/coturn:4.6}"

    name: ContainerName = _key("turn", "Docker knows the container by this name.")
    image: ImageRef = _key("coturn/coturn:4.6", "It is what the container runs.")
    command: tuple[Text, ...] = _key('["--verbose"]', "The command is a list of words.", ())
    labels: dict[LabelKey, Text] = _key("{traefik.enable: 'true'}", "Labels are key: text.", {})
    environment: dict[EnvironmentName, EnvironmentValue] = _key(
        "{TURN_REALM: example.com}", "The environment is NAME: text.", {}
    )
    volumes: tuple[VolumeText, ...] = _key('["data:/data:ro"]', "Volumes are a list.", ())
    ipv4: AddressV4 | None = _key("172.20.0.10", "It is the container's fixed address.", None)
    ipv6: AddressV6 | None = _key(
        '"fd5c:1b2a:77f0:1::10"', "It is the container's fixed address.", None
    )
    restart: RestartWord = _key("unless-stopped", "Docker restarts by it.", "unless-stopped")
    ports: PublishedPorts = _key(
        '[25, "3478/udp"]', "The world reaches it at these ports of the public addresses.", ()
    )

    def of(self, version: Version) -> Address | None:
        """Return the address of that family."""
        return self.ipv4 if version == 4 else self.ipv6


class NetworkSpec(Spec):
    """An entry of `networks` of a host."""

    example = '{name: mail, public_ipv4: 203.0.113.20, public_ipv6: "2001:db8::20"}'

    name: NetworkName = _key("mail", "Docker knows the network by this name.")
    bridge: BridgeName | None = _key("mail", "The kernel's bridge has this name.", None)
    public_ipv4: PublicV4 | None = _key("203.0.113.20", "The network owns this address.", None)
    public_ipv6: PublicV6 | None = _key('"2001:db8::20"', "The network owns this address.", None)
    mode: ModeWord = _key("nat", "It says how traffic is translated.", "nat")
    subnet_ipv4: SubnetV4OrDocker | None = _key(
        "172.20.0.0/24", "Containers have addresses in it.", None
    )
    subnet_ipv6: SubnetV6 | None = _key(
        '"fd5c:1b2a:77f0:1::/64"', "Containers have addresses in it.", None
    )
    allow_public_subnet: Flag = _key("true", "It allows subnets outside private space.", False)
    manage_addresses: Flag = _key("false", "false leaves the public addresses alone.", True)
    load_balancer: Annotated[LoadBalancerSpec | None, BeforeValidator(on_off)] = _key(
        "false", "The load balancer is on unless turned off.", LoadBalancerSpec()
    )
    whoami: WhoamiSpec | None = _key(WhoamiSpec.example, "Whoami needs a domain.", None)
    ingress: tuple[IngressSpec, ...] | None = _key(
        f"[{IngressSpec.example}]", "Ingress is a list of what is forwarded.", None
    )
    containers: tuple[ContainerSpec, ...] = _key(
        f"[{ContainerSpec.example}]", "Containers are a list.", ()
    )


class OpenSpec(Spec):
    """An entry of `open` of a host's `baseline`."""

    example = "{protocol: tcp, ports: [9100]}"

    protocol: ProtocolWord = _key("tcp", "Ports belong to a protocol.", "tcp")
    ports: OpenPorts = _key('[9100, "5000-5010"]', "Only what is listed is open to everybody.")


class BaselineSpec(Spec):
    """`baseline` of a host."""

    example = "{ssh_from: [198.51.100.0/24]}"

    ssh_from: Annotated[tuple[SourceRange, ...], BeforeValidator(_some_sources)] = _key(
        '["198.51.100.0/24", "2001:db8:77::/48"]',
        "SSH is let in from there alone, and without it you could not log in any more.",
    )
    open: tuple[OpenSpec, ...] = _key(f"[{OpenSpec.example}]", "Everything else is closed.", ())


class EngineSpec(Spec):
    """`engine` of a host; `settings` has further keys of daemon.json by their names there."""

    example = "{registry_mirrors: [https://mirror.example.com]}"

    ipv6: Flag | None = _key("true", "It gives the default bridge IPv6.", None)
    fixed_cidr_v6: SubnetV6 | None = _key(
        '"fd5c:1b2a:77f0:d0::/64"', "The default bridge has IPv6 addresses in it.", None
    )
    ip6tables: Flag | None = _key("true", "Docker then loads IPv6 rules of its own.", None)
    live_restore: Flag | None = _key("true", "Containers go on while Docker restarts.", None)
    registry_mirrors: Mirrors | None = _key(
        '["https://mirror.example.com"]', "Images of Docker Hub are asked for there first.", None
    )
    settings: DaemonSettings = _key(
        "{log-driver: journald}", "They are further keys of daemon.json.", {}
    )
    install: Flag = _key("true", "It installs Docker from the distribution.", False)
    restart: Flag = _key("false", "false refuses what would stop containers.", True)


class HostSpec(Spec):
    """An entry of `hosts`."""

    example = (
        "{name: edge-1, ssh: {address: 192.0.2.10}, wan: {interface: eth0}, networks: [{name: web,"
        " public_ipv4: 203.0.113.10}]}"
    )

    name: HostName = _key("edge-1", "It names the host's resources in Pulumi.")
    ssh: SshSpec = _key(SshSpec.example, "The host is reached over SSH.")
    wan: WanSpec = _key(WanSpec.example, "It says where the public addresses are put.")
    guard: Flag = _key("true", "The guard is the last stop for packets with another source.", True)
    baseline: BaselineSpec | None = _key(
        BaselineSpec.example, "It closes the host itself, but for SSH and what it names.", None
    )
    confirm_seconds: Seconds = _key("30", "A change that nobody confirms is undone after it.", 30)
    persist: PersistWord | None = _key("iptables-files", "Rules are written there as well.", None)
    adopt: Flag = _key("true", "It takes over what was set up by hand.", False)
    ipv6nat: Ipv6NatWord | None = _key("container", "It runs docker-ipv6nat there.", None)
    engine: EngineSpec | None = _key(
        EngineSpec.example, "It says what is in Docker's daemon.json.", None
    )
    networks: Annotated[list[object], BeforeValidator(_some)] = _key(
        f"[{NetworkSpec.example}]", "A host without networks has nothing to do."
    )


class EchoSpec(Spec):
    """`echo` of the stack."""

    example = '{ipv4: "http://198.51.100.1/", ipv6: "http://[2001:db8:ffff::1]/"}'

    ipv4: EchoV4 | None = _key('"http://198.51.100.1/"', "It tells the caller's address.", None)
    ipv6: EchoV6 | None = _key(
        '"http://[2001:db8:ffff::1]/"', "It tells the caller's address.", None
    )

    def of(self, version: Version) -> str | None:
        """Return the server to ask in that family."""
        return self.ipv4 if version == 4 else self.ipv6


class ImagesSpec(Spec):
    """`images` of the stack."""

    example = "{traefik: traefik:v3.7}"

    traefik: ImageRef = _key("traefik:v3.7", "It is the load balancers' image.", Images().traefik)
    whoami: ImageRef = _key("wanbound/whoami:1", "It is whoami's image.", Images().whoami)
    ipv6nat: ImageRef = _key(Images().ipv6nat, "It is docker-ipv6nat's image.", Images().ipv6nat)
    socket_proxy: ImageRef = _key(
        "haproxy:3.2", "It stands before Docker's socket.", Images().socket_proxy
    )


class StackSpec(Spec):
    """All keys after `wanbound:`."""

    example = "wanbound:hosts"

    seed: Seed | None = _key("3f1c…", "IPv6 subnets are derived from it.", None)
    ipv4_pool: PoolV4 | None = _key("10.200.0.0/14", "IPv4 subnets are taken from it.", None)
    socket_pool: PoolV4 | None = _key(
        "10.204.0.0/20", "The subnets between load balancer and Docker are taken from it.", None
    )
    verify: Flag = _key("true", "It asks each network for its address after an update.", False)
    echo: EchoSpec | None = _key(EchoSpec.example, "It is asked for the caller's address.", None)
    images: ImagesSpec = _key(ImagesSpec.example, "They are run on the hosts.", ImagesSpec())
    hosts: Annotated[list[object], BeforeValidator(_some)] = _key(
        f"[{HostSpec.example}]", "A stack without hosts has nothing to do."
    )
    secrets: object = _key("{NAME: {secure: …}}", "Only the names are looked at here.", None)
