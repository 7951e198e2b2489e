"""A host's own keys: one error for each value that is false or would lock the operator out."""

import pytest

from tests.planner.samples import (
    ABSENT,
    EDGE_2_WEB,
    HOST,
    MAIL,
    WEB,
    Edits,
    check_only_problem,
    only_problem,
    problems,
)

_KEY = "wanbound:hosts[0]"
_FROM = (f"{HOST}.baseline.ssh_from", ["198.51.100.0/24"])
_JUMP = f"{HOST}.ssh.jump"
_OPEN = f"{HOST}.baseline.open"
_V4, _V6 = f"{HOST}.wan.gateway_ipv4", f"{HOST}.wan.gateway_ipv6"
_SOURCES = f"{HOST}.baseline.ssh_from"


def _sources(*ranges: object) -> tuple[str, object]:
    return (_SOURCES, list(ranges))


# Edits of the sample, the key of the one error, words of what is wrong, words of the remedy.
_CASES: dict[str, tuple[Edits, str, str, str]] = {
    # gateways
    "gateway of the other family": (
        [(_V4, "fe80::1")],
        f"{_KEY}.wan.gateway_ipv4",
        "is IPv6, not IPv4",
        "give this one as gateway_ipv6",
    ),
    "gateway with a zone": (
        [(_V6, "fe80::1%wan0")],
        f"{_KEY}.wan.gateway_ipv6",
        "has a zone",
        '"fe80::1"',
    ),
    "gateway with a prefix": (
        [(_V4, "203.0.113.1/24")],
        f"{_KEY}.wan.gateway_ipv4",
        "prefix length",
        "203.0.113.1 alone",
    ),
    "gateway multicast": (
        [(_V6, "ff02::2")],
        f"{_KEY}.wan.gateway_ipv6",
        "a multicast address",
        "router",
    ),
    "gateway unspecified": (
        [(_V4, "0.0.0.0")],
        f"{_KEY}.wan.gateway_ipv4",
        "the unspecified address",
        "router, like 203.0.113.1",
    ),
    "gateway loopback": ([(_V4, "127.0.0.1")], f"{_KEY}.wan.gateway_ipv4", "loopback", "router"),
    "gateway that another host's network has": (
        [(_V4, "203.0.113.110")],
        "wanbound:hosts[1].networks[0].public_ipv4",
        "203.0.113.110 is the gateway of host edge-1",
        "an address of this host's own",
    ),
    "public address that another host has": (
        [("hosts.1.networks.0.public_ipv4", "192.0.2.10")],
        "wanbound:hosts[1].networks[0].public_ipv4",
        "192.0.2.10 is the ssh.address of host edge-1",
        "an address of this host's own",
    ),
    "gateway that is the host": (
        [(_V4, "192.0.2.10")],
        f"{_KEY}.wan.gateway_ipv4",
        "the host's own address, its ssh.address",
        "your provider's router",
    ),
    "ssh.address IPv4-mapped": (
        [(f"{HOST}.ssh.address", "::ffff:203.0.113.101")],
        f"{_KEY}.ssh.address",
        "IPv4-mapped",
        "write 203.0.113.101",
    ),
    "ssh.address with a user": (
        [(f"{HOST}.ssh.address", "root@edge-1")],
        f"{_KEY}.ssh.address",
        "has an @ in it",
        "ssh.user",
    ),
    "jump host in a subnet": (
        [(_JUMP, {"address": "172.20.1.9"}), (f"{WEB}.subnet_ipv4", "172.20.1.0/24")],
        f"{_KEY}.networks[0].subnet_ipv4",
        "contains 172.20.1.9, the host's ssh.jump.address",
        "another subnet",
    ),
    "gateway broadcast": (
        [(_V4, "255.255.255.255")],
        f"{_KEY}.wan.gateway_ipv4",
        "a reserved address",
        "router",
    ),
    "gateway mapped": (
        [(_V6, "::ffff:203.0.113.1")],
        f"{_KEY}.wan.gateway_ipv6",
        "IPv4-mapped",
        "write 203.0.113.1 as gateway_ipv4",
    ),
    "gateway is a network's public IPv4": (
        [(_V4, "203.0.113.20")],
        f"{_KEY}.wan.gateway_ipv4",
        "203.0.113.20 is the public address of network mail",
        "your provider's router",
    ),
    "gateway is a network's public IPv6": (
        [(_V6, "2001:db8:0::0010")],
        f"{_KEY}.wan.gateway_ipv6",
        "2001:db8::10 is the public address of network web",
        "your provider's router",
    ),
    "gateway is behind a bridge": (
        [(_V4, "172.20.1.254")],
        f"{_KEY}.wan.gateway_ipv4",
        "172.20.1.254 lies in 172.20.1.0/24, the subnet of web",
        "another subnet",
    ),
    # SSH sources
    "baseline without sources": (
        [(f"{HOST}.baseline", {})],
        f"{_KEY}.baseline.ssh_from",
        "is missing",
        'add ssh_from: ["198.51.100.0/24"',
    ),
    "no source at all": (
        [_sources()],
        f"{_KEY}.baseline.ssh_from",
        "is an empty list",
        "list the ranges that you log in from",
    ),
    "source is no list": (
        [(_SOURCES, "198.51.100.0/24")],
        f"{_KEY}.baseline.ssh_from",
        "not a list",
        'write ssh_from: ["198.51.100.0/24"',
    ),
    "source with host bits": (
        [_sources("198.51.100.7/24")],
        f"{_KEY}.baseline.ssh_from[0]",
        "has host bits set",
        "write 198.51.100.0/24",
    ),
    "source IPv6 with host bits": (
        [_sources("198.51.100.0/24", "2001:db8:77::1/48")],
        f"{_KEY}.baseline.ssh_from[1]",
        "has host bits set",
        "write 2001:db8:77::/48",
    ),
    "source is a name": (
        [_sources("office.example.com")],
        f"{_KEY}.baseline.ssh_from[0]",
        "not a range of addresses",
        "198.51.100.0/24",
    ),
    "source with options": (
        [_sources("198.51.100.0/24 -j ACCEPT")],
        f"{_KEY}.baseline.ssh_from[0]",
        "not a range of addresses",
        "198.51.100.0/24",
    ),
    "source with an impossible prefix": (
        [_sources("198.51.100.0/33")],
        f"{_KEY}.baseline.ssh_from[0]",
        "no possible prefix length",
        "198.51.100.0/24",
    ),
    "source with a netmask": (
        [_sources("198.51.100.0/255.255.255.0")],
        f"{_KEY}.baseline.ssh_from[0]",
        "not a range of addresses",
        "198.51.100.0/24",
    ),
    "source that is multicast": (
        [_sources("198.51.100.0/24", "224.0.0.0/8")],
        f"{_KEY}.baseline.ssh_from[1]",
        "not a range of source addresses",
        "198.51.100.0/24",
    ),
    "source unspecified, not everybody": (
        [_sources("0.0.0.0")],
        f"{_KEY}.baseline.ssh_from[0]",
        "not a range of source addresses",
        'for all addresses write ["0.0.0.0/0", "::/0"]; else write ranges',
    ),
    "source unspecified, IPv6": (
        [_sources("198.51.100.0/24", "::")],
        f"{_KEY}.baseline.ssh_from[1]",
        "not a range of source addresses",
        'for all addresses write ["0.0.0.0/0", "::/0"]',
    ),
    "source twice": (
        [_sources("198.51.100.7", "2001:db8:77::/48", "198.51.100.7/32")],
        f"{_KEY}.baseline.ssh_from[2]",
        "198.51.100.7/32 is listed twice",
        "remove it",
    ),
    "no source of the family of SSH, IPv4": (
        [_sources("2001:db8:77::/48")],
        f"{_KEY}.baseline.ssh_from",
        "has no IPv4 range, but SSH connects to 192.0.2.10",
        "add the IPv4 range",
    ),
    "no source of the family of SSH, IPv6": (
        [(f"{HOST}.ssh.address", "2001:db8:1::9"), _sources("0.0.0.0/0")],
        f"{_KEY}.baseline.ssh_from",
        "has no IPv6 range, but SSH connects to 2001:db8:1::9",
        "add the IPv6 range",
    ),
    # open ports
    "everything open": (
        [_FROM, (_OPEN, [{"ports": "all"}])],
        f"{_KEY}.baseline.open[0].ports",
        "is all, which would open every port of the host",
        "a list of ports",
    ),
    "nothing open": (
        [_FROM, (_OPEN, [{"ports": []}])],
        f"{_KEY}.baseline.open[0].ports",
        "lists no port",
        "remove this entry",
    ),
    "SSH open to everybody": (
        [_FROM, (_OPEN, [{"protocol": "udp", "ports": [22]}, {"ports": ["20-25"]}])],
        f"{_KEY}.baseline.open[1].ports",
        "20-25 opens port 22, the host's SSH, to every address",
        "remove 22",
    ),
    "open twice in one entry": (
        [_FROM, (_OPEN, [{"ports": ["5000-5010", 5005]}])],
        f"{_KEY}.baseline.open[0].ports",
        "tcp port 5005 is opened twice",
        "list 5005 once",
    ),
    "open twice in two entries": (
        [_FROM, (_OPEN, [{"ports": [80]}, {"ports": ["79-90"]}])],
        f"{_KEY}.baseline.open[1].ports",
        "tcp port 80 is opened twice",
        "list 80 once",
    ),
    "open port of no kind": (
        [_FROM, (_OPEN, [{"ports": ["http"]}])],
        f"{_KEY}.baseline.open[0].ports",
        'has "http", which is not a port',
        "write a list of ports",
    ),
    # connections to the host
    "jump host is the host": (
        [(_JUMP, {"address": "192.0.2.10"})],
        f"{_KEY}.ssh.jump.address",
        "192.0.2.10 port 22 is the host itself",
        "or remove jump",
    ),
    "jump host without address": (
        [(_JUMP, {"user": "admin"})],
        f"{_KEY}.ssh.jump.address",
        "is missing",
        "add address: 192.0.2.10",
    ),
    "jump host as text": (
        [(_JUMP, "bastion.example.com")],
        f"{_KEY}.ssh.jump",
        "not a mapping",
        "write jump: {address: 192.0.2.1",
    ),
    "jump host with a command": (
        [(_JUMP, {"address": "-oProxyCommand=reboot"})],
        f"{_KEY}.ssh.jump.address",
        "not an address, a DNS name or a name in ~/.ssh/config",
        "192.0.2.10",
    ),
    "key that is not there": (
        [("secrets", {"edge-key": 1}), (f"{HOST}.ssh.key", {"secret": "edge-kye"})],
        f"{_KEY}.ssh.key",
        "refers to a secret that is not in wanbound:secrets",
        "did you mean edge-key? Otherwise add it: pulumi config set --secret",
    ),
    "passphrase that is not there": (
        [(f"{HOST}.ssh.key_passphrase", {"secret": "phrase"})],
        f"{_KEY}.ssh.key_passphrase",
        "refers to a secret that is not in wanbound:secrets",
        "pulumi config set --secret",
    ),
    "key in clear": (
        [(f"{HOST}.ssh.key", "hunter2")],
        f"{_KEY}.ssh.key",
        "is not {secret: NAME}",
        "ssh config",
    ),
    # the rest
    "too few seconds": (
        [(f"{HOST}.confirm_seconds", 4)],
        f"{_KEY}.confirm_seconds",
        "is 4, not 5 to 600 seconds",
        "like 30",
    ),
    "too many seconds": (
        [(f"{HOST}.confirm_seconds", "601")],
        f"{_KEY}.confirm_seconds",
        "not 5 to 600 seconds",
        "like 30",
    ),
    "seconds in words": (
        [(f"{HOST}.confirm_seconds", "1m")],
        f"{_KEY}.confirm_seconds",
        "not 5 to 600 seconds",
        "like 30",
    ),
    "persist elsewhere": (
        [(f"{HOST}.persist", "nftables")],
        f"{_KEY}.persist",
        'is "nftables", not iptables-files',
        "or remove the key",
    ),
    "adopt some": ([(f"{HOST}.adopt", "some")], f"{_KEY}.adopt", "neither true nor false", "true"),
    "no guard": (
        [(f"{HOST}.guard", False)],
        f"{_KEY}.guard",
        "is no key any more: every host has the guard",
        "remove the key; the host needs nftables",
    ),
    "guard, as it always is": (
        [(f"{HOST}.guard", True)],
        f"{_KEY}.guard",
        "is no key any more",
        "remove the key",
    ),
}


@pytest.mark.parametrize(("edits", "key", "what", "remedy"), _CASES.values(), ids=_CASES)
def test_one_error_names_key_and_remedy(edits: Edits, key: str, what: str, remedy: str) -> None:
    """One mistake gives one error, at the key that the operator would change."""
    check_only_problem(edits, key, what, remedy)


@pytest.mark.parametrize(
    "edits",
    [
        [(_V4, "203.0.113.1"), (_V6, "2001:DB8::1")],
        [(_V6, "fe80::1")],
        [(_V4, "169.254.0.1")],  # hosters use such gateways
        [(_V4, "192.0.2.10"), (f"{HOST}.ssh.port", 2222)],  # the router forwards it to the host
        [_sources("0.0.0.0/0", "::/0")],
        [_sources("198.51.100.7", "10.0.0.0/8", "10.1.0.0/16")],
        [(f"{HOST}.ssh.address", "edge-1.example.com"), _sources("2001:db8:77::/48")],
        [_FROM, (f"{HOST}.ssh.port", 2222), (_OPEN, [{"ports": [22]}])],
        [_FROM, (_OPEN, [{"ports": [53]}, {"protocol": "udp", "ports": [53]}])],
        [(_JUMP, {"address": "192.0.2.10", "port": 2222})],
        # The same private address behind two jump hosts, and with and without a jump host.
        [
            ("hosts.1.ssh", {"address": "192.0.2.10", "jump": {"address": "192.0.2.99"}}),
            (f"{_JUMP}.address", "192.0.2.98"),
        ],
        [("hosts.1.ssh", {"address": "192.0.2.10", "jump": {"address": "192.0.2.99"}})],
        [(f"{WEB}.public_ipv6", ABSENT), (f"{WEB}.subnet_ipv6", ABSENT)],
        [(f"{HOST}.confirm_seconds", 5), ("hosts.1.confirm_seconds", "600")],
        [("secrets", {"p": 1}), (f"{HOST}.ssh.key_passphrase", {"secret": "p"})],
        [("hosts.0.name", "edge"), ("hosts.1.name", "edge-1")],
        # A network and a container may share a name.
        [("hosts.0.name", "edge"), (f"{MAIL}.containers.1.name", "2-web")],
    ],
)
def test_what_is_allowed(edits: Edits) -> None:
    """Similar configurations that are valid."""
    assert problems(*edits) == ()


def test_a_host_behind_the_same_jump_host_twice_is_one_host() -> None:
    """Two configurations for one host would revert each other."""
    jump = {"address": "192.0.2.99"}
    problem = only_problem(
        (_JUMP, jump), ("hosts.1.ssh", {"address": "192.0.2.10", "jump": dict(jump)})
    )
    assert problem.key == "wanbound:hosts[1].ssh.address"
    assert "is where host edge-1 is reached" in problem.what


def test_a_secret_in_the_wrong_place_is_not_printed() -> None:
    """A key in plain text is refused and not printed."""
    for value in ("hunter2", ["hunter2"], {"secret": "a", "text": "hunter2"}):
        problem = only_problem((f"{HOST}.ssh.key", value))
        assert "hunter2" not in str(problem)


def test_all_of_a_hosts_mistakes_are_told_at_once() -> None:
    """An error hides neither another nor those of the networks."""
    found = problems(
        (_V4, "203.0.113.10"),
        _sources("2001:db8:77::/48", "2001:db8:77::/48"),
        (_OPEN, [{"ports": [22]}]),
        (f"{HOST}.ssh.key", {"secret": "nowhere"}),
        (f"{EDGE_2_WEB}.public_ipv4", "203.0.113.20"),
    )
    assert {problem.key for problem in found} == {
        f"{_KEY}.wan.gateway_ipv4",
        f"{_KEY}.baseline.ssh_from[1]",
        f"{_KEY}.baseline.ssh_from",
        f"{_KEY}.baseline.open[0].ports",
        f"{_KEY}.ssh.key",
        "wanbound:hosts[1].networks[0].public_ipv4",
    }
