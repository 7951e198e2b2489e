"""Combinations that a host or a stack cannot have; one error each."""

import pytest

from tests.planner.samples import (
    ABSENT,
    EDGE_2_WEB,
    HOST,
    MAIL,
    WEB,
    Edits,
    check_only_problem,
    problems,
)

_WEB, _MAIL = "wanbound:hosts[0].networks[0]", "wanbound:hosts[0].networks[1]"
_EDGE_2_WEB = "wanbound:hosts[1].networks[0]"
_SSH_IS_WEB = (f"{HOST}.ssh.address", "203.0.113.10")
_ECHO_4 = ("echo", {"ipv4": "http://198.51.100.1/"})


# Edits of the sample, the key of the one error, words of what is wrong, words of the remedy.
_CASES: dict[str, tuple[Edits, str, str, str]] = {
    # two networks of one host
    "same name": (
        [(f"{MAIL}.name", "web"), (f"{MAIL}.bridge", "mail")],
        f"{_MAIL}.name",
        "web is the name of another network",
        "another name",
    ),
    "same name, nothing derived apart": (
        [
            (f"{MAIL}.name", "web"),
            (f"{MAIL}.subnet_ipv6", ABSENT),
            (f"{WEB}.subnet_ipv6", ABSENT),
            (f"{MAIL}.containers", ABSENT),
        ],
        f"{_MAIL}.name",
        "web is the name of another network",
        "another name",
    ),
    "same bridge": (
        [(f"{MAIL}.bridge", "web")],
        f"{_MAIL}.bridge",
        "web is the name of the bridge of network web",
        "bridge another name",
    ),
    "name is another's bridge": (
        [(f"{WEB}.bridge", "mail")],
        f"{_WEB}.bridge",
        "mail is the name of the bridge of network mail",
        "bridge another name",
    ),
    "same public IPv4": (
        [(f"{MAIL}.public_ipv4", "203.0.113.10")],
        f"{_MAIL}.public_ipv4",
        "203.0.113.10 is the public address of network web",
        "an address of its own",
    ),
    "same public IPv6, written otherwise": (
        [(f"{MAIL}.public_ipv6", "2001:DB8:0::0010")],
        f"{_MAIL}.public_ipv6",
        "2001:db8::10 is the public address of network web",
        "an address of its own",
    ),
    "same subnet": (
        [(f"{WEB}.subnet_ipv4", "172.20.2.0/24")],
        f"{_MAIL}.subnet_ipv4",
        "overlaps 172.20.2.0/24 of network web",
        "subnet of its own",
    ),
    "wider subnet later": (
        [(f"{MAIL}.subnet_ipv4", "172.20.0.0/16"), (f"{MAIL}.containers.0.ipv4", "172.20.9.9")],
        f"{_MAIL}.subnet_ipv4",
        "172.20.0.0/16 overlaps 172.20.1.0/24 of network web",
        "subnet of its own",
    ),
    "wider IPv6 subnet earlier": (
        [(f"{WEB}.subnet_ipv6", "fd5c:1b2a:77f0::/48")],
        f"{_MAIL}.subnet_ipv6",
        "overlaps fd5c:1b2a:77f0::/48 of network web",
        "subnet of its own",
    ),
    # a stack
    "public address on two hosts": (
        [(f"{EDGE_2_WEB}.public_ipv4", "203.0.113.20")],
        f"{_EDGE_2_WEB}.public_ipv4",
        "203.0.113.20 is the public address of network mail on host edge-1",
        "an address of its own",
    ),
    "public address in a subnet of another host": (
        [(f"{EDGE_2_WEB}.public_ipv4", "172.20.1.77")],
        f"{_EDGE_2_WEB}.public_ipv4",
        "172.20.1.77 lies in the subnet of network web",
        "your provider routes here",
    ),
    "host name twice": (
        [("hosts.1.name", "edge-1")],
        "wanbound:hosts[1].name",
        "edge-1 is used twice",
        "rename",
    ),
    "SSH address and port twice": (
        [("hosts.1.ssh.address", "192.0.2.10")],
        "wanbound:hosts[1].ssh.address",
        "192.0.2.10 port 22 is where host edge-1 is reached",
        "right address or port",
    ),
    "no hosts": ([("hosts", [])], "wanbound:hosts", "empty list", "add an entry"),
    "no networks": ([("hosts.1.networks", [])], "wanbound:hosts[1].networks", "empty", "add"),
    "no seed": (
        [("seed", ABSENT), (f"{MAIL}.subnet_ipv6", ABSENT), (f"{MAIL}.containers", ABSENT)],
        "wanbound:seed",
        "network mail has public_ipv6 but no subnet_ipv6",
        "add wanbound:seed: with some random text",
    ),
    "echo in a network of the stack": (
        [("echo", {"ipv4": "http://172.20.1.9/"})],
        "wanbound:echo.ipv4",
        "172.20.1.9 lies in 172.20.1.0/24, the subnet of network web",
        "in no network of this stack",
    ),
    "echo at a public address of the stack": (
        [("echo", {"ipv6": "http://[2001:db8::20]/"})],
        "wanbound:echo.ipv6",
        "2001:db8::20 is a public address of network mail",
        "in no network of this stack",
    ),
    "verify without echo": (
        [("verify", True)],
        "wanbound:echo",
        "is missing, and wanbound:verify is on",
        'add wanbound:echo: {ipv4: "http://198.51.100.1/", ipv6: ',
    ),
    "verify without echo of a family": (
        [("verify", True), _ECHO_4],
        "wanbound:echo.ipv6",
        "network web has IPv6",
        "add ipv6:",
    ),
    "whoami without echo": (
        [(f"{EDGE_2_WEB}.whoami", {"domain": "whoami.example.com"})],
        "wanbound:echo",
        "whoami has to ask",
        'add wanbound:echo: {ipv4: "http://198.51.100.1/"}',
    ),
}


@pytest.mark.parametrize(("edits", "key", "what", "remedy"), _CASES.values(), ids=_CASES)
def test_one_error_names_key_and_remedy(edits: Edits, key: str, what: str, remedy: str) -> None:
    """One mistake gives one error, at the key that the operator would change."""
    check_only_problem(edits, key, what, remedy)


@pytest.mark.parametrize(
    "edits",
    [
        [],
        [(f"{EDGE_2_WEB}.subnet_ipv4", "172.20.1.0/24")],
        [("hosts.1.ssh", {"address": "192.0.2.10", "port": 2222})],
        [(f"{WEB}.subnet_ipv4", "172.10.0.0/24"), (f"{WEB}.allow_public_subnet", True)],
        [(f"{WEB}.subnet_ipv6", "fc00:10:10::/96"), (f"{WEB}.allow_public_subnet", True)],
        [(f"{WEB}.load_balancer", False), (f"{WEB}.ingress", [])],
        [("verify", True), ("echo", {"ipv4": "http://192.0.2.1", "ipv6": "http://[2001:db8::1]/"})],
        [_SSH_IS_WEB, (f"{WEB}.manage_addresses", False), (f"{WEB}.ingress", [{"ports": [443]}])],
        [_SSH_IS_WEB, (f"{WEB}.manage_addresses", False), (f"{WEB}.ingress", [])],
        [(f"{WEB}.ingress", [{"ports": [53]}, {"protocol": "udp", "ports": [53]}])],
        [("secrets", {"P": 1}), (f"{MAIL}.containers.0.environment.A", {"secret": "P"})],
    ],
)
def test_what_is_allowed(edits: Edits) -> None:
    """Similar configurations that are valid."""
    assert problems(*edits) == ()
