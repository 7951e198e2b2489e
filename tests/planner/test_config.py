"""The models that a valid configuration gives."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import pytest
from pydantic import ValidationError

from planner.config import (
    Baseline,
    Family,
    Host,
    Images,
    Ingress,
    Jump,
    LoadBalancer,
    Open,
    PortRange,
    SecretRef,
    Ssh,
    Stack,
    Volume,
    Wan,
    Whoami,
)
from tests.planner.samples import ABSENT, HOST, MAIL, WEB, edited, parsed, settled


def test_defaults() -> None:
    """The shortest configuration has one host, one network and one family."""
    stack = Stack.parse(
        {
            "hosts": [
                {
                    "name": "edge-1",
                    "ssh": {"address": "192.0.2.10"},
                    "wan": {"interface": "wan0"},
                    "networks": [{"name": "web", "public_ipv4": "203.0.113.10"}],
                }
            ]
        },
        "demo",
    )
    assert (stack.name, stack.seed, stack.verify, stack.echo) == ("demo", None, False, None)
    assert stack.ipv4_pool == IPv4Network("10.128.0.0/9")
    assert stack.images == Images(traefik="traefik:v3.7", whoami="wanbound/whoami:1")
    host = stack.hosts[0]
    assert host.ssh == Ssh(address="192.0.2.10", port=22, user="root", host_key=None)
    assert (host.wan, stack.mark) == (Wan(interface="wan0"), 0x02000000)
    network = host.networks[0]
    assert (network.name, network.bridge) == ("web", "web")
    assert (network.allow_public_subnet, network.manage_addresses) == (False, True)
    assert network.load_balancer == LoadBalancer(image="traefik:v3.7").model_copy(
        update={
            "name": "web_lb",
            "socket_name": "web_socket",
            "socket_image": "haproxy:3.2",
            "socket_subnet": IPv4Network("10.68.7.104/29"),
        }
    )
    assert network.ingress == (Ingress(protocol="tcp", ports="all", to="load_balancer"),)
    assert (network.whoami, network.containers, network.ipv6) == (None, (), None)
    assert network.ipv4 is not None
    assert network.families == (network.ipv4,)
    assert network.ipv4.derived
    assert network.ipv4.subnet.network_address in stack.ipv4_pool


def test_written_subnets_give_gateway_and_load_balancer() -> None:
    """This holds for both families of the first recipe."""
    network = parsed().hosts[0].networks[0]
    assert network.ipv4 == Family(
        version=4,
        public=IPv4Address("203.0.113.10"),
        subnet=IPv4Network("172.20.1.0/24"),
        gateway=IPv4Address("172.20.1.1"),
        load_balancer=IPv4Address("172.20.1.254"),
        derived=False,
    )
    assert network.ipv6 == Family(
        version=6,
        public=IPv6Address("2001:db8::10"),
        subnet=IPv6Network("fd5c:1b2a:77f0:1::/64"),
        gateway=IPv6Address("fd5c:1b2a:77f0:1::1"),
        load_balancer=IPv6Address("fd5c:1b2a:77f0:1::fffe"),
        derived=False,
    )


def test_a_left_out_ipv6_subnet_is_derived_and_stays() -> None:
    """Other networks, before or after, do not move it; another seed does."""
    left_out = (f"{WEB}.subnet_ipv6", ABSENT)
    first = parsed(left_out).hosts[0].networks[0].ipv6
    assert first is not None
    assert first.derived
    assert first.subnet.prefixlen == 64
    assert str(first.subnet).startswith("fd")
    alone = parsed(left_out, (MAIL, ABSENT)).hosts[0].networks[0].ipv6
    other = parsed(left_out, ("seed", "another")).hosts[0].networks[0].ipv6
    assert alone == first
    assert other != first


@pytest.mark.parametrize(
    ("value", "image", "ipv4"),
    [
        (True, "traefik:v3.7", "172.20.1.254"),
        ({}, "traefik:v3.7", "172.20.1.254"),
        ({"ipv4": "172.20.1.9", "image": "traefik:v3.8"}, "traefik:v3.8", "172.20.1.9"),
    ],
)
def test_load_balancer_on(value: object, image: str, ipv4: str) -> None:
    """It is on by default, at fixed addresses, each of which can be set."""
    network = parsed((f"{WEB}.load_balancer", value)).hosts[0].networks[0]
    assert network.load_balancer is not None
    assert (network.load_balancer.name, network.load_balancer.image) == ("web_lb", image)
    assert network.address_of("load_balancer", 4) == ip_address(ipv4)
    assert network.address_of("load_balancer", 6) == ip_address("fd5c:1b2a:77f0:1::fffe")


def test_load_balancer_off() -> None:
    """Then only ingress forwards anything, and no family has a load balancer's address."""
    network = parsed((f"{WEB}.load_balancer", False)).hosts[0].networks[0]
    assert (network.load_balancer, network.ingress) == (None, ())
    assert [family.load_balancer for family in network.families] == [None, None]
    with pytest.raises(LookupError, match="load_balancer has no fixed IPv4 address in network web"):
        network.address_of("load_balancer", 4)


def test_ingress_is_sorted_and_has_addresses() -> None:
    """Ports are sorted, whatever the form and order in which they were written."""
    network = (
        parsed(
            (
                f"{MAIL}.ingress",
                [
                    {"ports": ["1000-1010", 25, "465"]},
                    {"protocol": "udp", "ports": [3478], "to": "turn"},
                ],
            ),
        )
        .hosts[0]
        .networks[1]
    )
    tcp, udp = network.ingress
    assert tcp.ports == (
        PortRange(first=25, last=25),
        PortRange(first=465, last=465),
        PortRange(first=1000, last=1010),
    )
    assert (tcp.to, udp.protocol, udp.to) == ("load_balancer", "udp", "turn")
    assert [str(ports) for ports in tcp.ports] == ["25", "465", "1000-1010"]
    assert network.address_of("turn", 4) == ip_address("172.20.2.10")
    assert network.address_of("turn", 6) == ip_address("fd5c:1b2a:77f0:2::10")
    with pytest.raises(LookupError):
        network.address_of("worker", 4)


def test_containers_and_whoami() -> None:
    """Numbers become text, volumes are split, secrets are references; images have one default."""
    turn = f"{MAIL}.containers.0"
    stack = parsed(
        ("echo", {"ipv4": "http://192.0.2.1/", "ipv6": "http://[2001:db8::1]/"}),
        ("images", {"whoami": "example.com/whoami:2"}),
        ("secrets", {"PASSWORD": "hidden"}),
        (f"{MAIL}.whoami", {"domain": "Whoami.Mail.Example.com"}),
        (f"{turn}.command", ["--port", 3478]),
        (f"{turn}.environment", {"N": 5, "P": {"secret": "PASSWORD"}}),
        (f"{turn}.volumes", ["data:/data", "/etc/ssl:/ssl:ro"]),
        (f"{turn}.restart", False),
    )
    network = stack.hosts[0].networks[1]
    assert network.whoami == Whoami(domain="whoami.mail.example.com").model_copy(
        update={"name": "whoami-mail", "image": "example.com/whoami:2"}
    )
    container = network.containers[0]
    assert container.command == ("--port", "3478")
    assert container.environment == {"N": "5", "P": SecretRef(secret="PASSWORD")}
    assert container.volumes == (
        Volume(source="data", target="/data", read_only=False),
        Volume(source="/etc/ssl", target="/ssl", read_only=True),
    )
    assert [volume.is_path for volume in container.volumes] == [False, True]
    assert container.restart == "no"
    assert stack.echo is not None
    assert stack.echo.url(6) == "http://[2001:db8::1]/"


def test_the_models_cannot_be_changed() -> None:
    """A checked value cannot change afterwards."""
    host = parsed().hosts[0]
    assert isinstance(host, Host)
    with pytest.raises(ValidationError):
        host.name = "other"


def test_subnets_of_two_hundred_networks_do_not_overlap() -> None:
    """Each network of a large stack gets its own subnet."""
    networks = [
        {"name": f"n{i}", "public_ipv4": f"198.51.100.{i}", "public_ipv6": f"2001:db8::{i:x}"}
        for i in range(1, 201)
    ]
    stack = Stack.parse(settled(edited((f"{HOST}.networks", networks))), "any")
    assert len({f.subnet for n in stack.hosts[0].networks for f in n.families}) == 400


def test_a_host_that_says_nothing_of_itself() -> None:
    """Nothing of the host itself is managed, and a confirmation has half a minute."""
    host = parsed().hosts[0]
    assert (host.baseline, host.persist, host.adopt, host.confirm_seconds) == (
        None,
        None,
        False,
        30,
    )
    assert (host.wan.gateway_ipv4, host.wan.gateway_ipv6) == (None, None)
    assert (host.ssh.jump, host.ssh.key, host.ssh.key_passphrase) == (None, None, None)


def test_a_hosts_own_keys() -> None:
    """An address alone becomes a range, ports are sorted."""
    host = parsed(
        ("secrets", {"k": 1, "p": 1}),
        (f"{HOST}.ssh.jump", {"address": "Bastion.Example.com", "port": "2222", "user": "admin"}),
        (f"{HOST}.ssh.key", {"secret": "k"}),
        (f"{HOST}.ssh.key_passphrase", {"secret": "p"}),
        (f"{HOST}.wan.gateway_ipv4", "203.0.113.1"),
        (f"{HOST}.wan.gateway_ipv6", "FE80::0001"),
        (f"{HOST}.baseline.ssh_from", ["198.51.100.7", "2001:DB8:77::/48"]),
        (
            f"{HOST}.baseline.open",
            [{"ports": [9100, "80-90"]}, {"protocol": "udp", "ports": 51820}],
        ),
        (f"{HOST}.confirm_seconds", "45"),
        (f"{HOST}.persist", "iptables-files"),
        (f"{HOST}.adopt", "true"),
        (f"{HOST}.log_drops", "true"),
        (f"{HOST}.metrics", "/srv/wanbound.prom"),
    ).hosts[0]
    assert host.ssh.jump == Jump(address="Bastion.Example.com", port=2222, user="admin")
    assert host.ssh.key == SecretRef(secret="k")
    assert host.ssh.key_passphrase == SecretRef(secret="p")
    assert host.wan.gateway_ipv4 == IPv4Address("203.0.113.1")
    assert host.wan.gateway_ipv6 == IPv6Address("fe80::1")
    assert host.baseline == Baseline(
        ssh_from=(IPv4Network("198.51.100.7/32"), IPv6Network("2001:db8:77::/48")),
        open=(
            Open(
                protocol="tcp",
                ports=(PortRange(first=80, last=90), PortRange(first=9100, last=9100)),
            ),
            Open(protocol="udp", ports=(PortRange(first=51820, last=51820),)),
        ),
    )
    assert (host.confirm_seconds, host.persist, host.adopt) == (45, "iptables-files", True)
    assert (host.log_drops, host.metrics) == (True, "/srv/wanbound.prom")
