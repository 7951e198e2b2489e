"""What a mode cannot do, and impossible ports and addresses; one error each."""

import pytest

from tests.planner.samples import (
    ABSENT,
    EDGE_2_WEB,
    HOST,
    WEB,
    Edits,
    check_only_problem,
    problems,
)

_WEB = "wanbound:hosts[0].networks[0]"
_MAIL = "wanbound:hosts[0].networks[1]"
_EDGE_2_WEB = "wanbound:hosts[1].networks[0]"
_FIXED = {"name": "app", "image": "app", "ipv4": "172.20.1.9", "ipv6": "fd5c:1b2a:77f0:1::9"}
_ONLY_HTTP = (f"{WEB}.ingress", [{"ports": [80, 443]}])
_TWO: list[dict[str, object]] = [
    {"name": "one", "image": "app"},
    {"name": "two", "image": "app", "ports": [25]},
]


def _ports(*ports: object) -> tuple[str, object]:
    return (f"{WEB}.containers", [{**_FIXED, "ports": list(ports)}])


# Edits of the sample, the key of the one error, words of what is wrong, words of the remedy.
_CASES: dict[str, tuple[Edits, str, str, str]] = {
    "no mode": (
        [(f"{WEB}.mode", "bridge")],
        f"{_WEB}.mode",
        "not one of nat, snat or masquerade",
        "nat, snat or masquerade",
    ),
    "port 0": (
        [_ONLY_HTTP, _ports(0)],
        f"{_WEB}.containers[0].ports",
        "has 0, which is outside 1 to 65535",
        "3478/udp",
    ),
    "port 65536": (
        [_ONLY_HTTP, _ports("65536/udp")],
        f"{_WEB}.containers[0].ports",
        '"65536", which is outside 1 to 65535',
        "3478/udp",
    ),
    "a port to another": (
        [_ONLY_HTTP, _ports("8080:80")],
        f"{_WEB}.containers[0].ports",
        "maps one port to another",
        "a list of ports",
    ),
    "another protocol": (
        [_ONLY_HTTP, _ports("25/sctp")],
        f"{_WEB}.containers[0].ports",
        "neither tcp nor udp",
        "3478/udp",
    ),
    "no protocol behind the slash": (
        [_ONLY_HTTP, _ports("25/")],
        f"{_WEB}.containers[0].ports",
        "neither tcp nor udp",
        "3478/udp",
    ),
    "no port at all": (
        [_ONLY_HTTP, _ports()],
        f"{_WEB}.containers[0].ports",
        "lists no port",
        "remove it",
    ),
    "a port twice": (
        [_ONLY_HTTP, _ports(25, "20-30")],
        f"{_WEB}.containers[0].ports",
        "tcp port 25 is forwarded twice",
        "list 25 once",
    ),
    "a port of the ingress": (
        [_ONLY_HTTP, _ports(443)],
        f"{_WEB}.containers[0].ports",
        "tcp port 443 is forwarded twice",
        "list 443 once",
    ),
    "ports besides all TCP": (
        [_ports(25)],
        f"{_WEB}.containers[0].ports",
        "the load balancer gets all TCP",
        "ingress: [{ports: [80, 443]}]",
    ),
    "ports without a fixed address": (
        [_ONLY_HTTP, (f"{WEB}.containers", [{"name": "app", "image": "app", "ports": [25]}])],
        f"{_WEB}.containers[0].ports",
        "container app has no fixed ipv4 and no ipv6 address",
        "give app ipv4 and ipv6",
    ),
    "the port of the host's SSH": (
        [
            _ONLY_HTTP,
            _ports(22),
            (f"{HOST}.ssh.address", "203.0.113.10"),
            (f"{WEB}.manage_addresses", False),
        ],
        f"{_WEB}.containers[0].ports",
        "forwards port 22 of 203.0.113.10",
        "remove 22",
    ),
    # several addresses
    "an address of another network": (
        [(f"{WEB}.ingress", [{"ports": [443], "addresses": ["203.0.113.20"]}])],
        f"{_MAIL}.public_ipv4",
        "203.0.113.20 is the public address of network web",
        "of its own",
    ),
    "an address of another host's network": (
        [(f"{EDGE_2_WEB}.ingress", [{"ports": [443], "addresses": ["203.0.113.10"]}])],
        f"{_EDGE_2_WEB}.ingress[0].addresses[0]",
        "203.0.113.10 is the public address of network web on host edge-1",
        "of its own",
    ),
    "an address twice": (
        [(f"{WEB}.ingress", [{"ports": [443], "addresses": ["203.0.113.9", "203.0.113.9"]}])],
        f"{_WEB}.ingress[0].addresses",
        "has 203.0.113.9 twice",
        "once",
    ),
    "no address": (
        [(f"{WEB}.ingress", [{"ports": [443], "addresses": []}])],
        f"{_WEB}.ingress[0].addresses",
        "lists no address",
        "remove the key",
    ),
    "an address that is none": (
        [(f"{WEB}.ingress", [{"ports": [443], "addresses": ["mail.example.com"]}])],
        f"{_WEB}.ingress[0].addresses",
        "not an IPv4 address",
        "203.0.113.10",
    ),
    "an address of a family that is not there": (
        [(f"{EDGE_2_WEB}.ingress", [{"ports": [443], "addresses": ["2001:db8::9"]}])],
        f"{_EDGE_2_WEB}.ingress[0].addresses[0]",
        "2001:db8::9 is set without public_ipv6",
        "add public_ipv6",
    ),
    "an address in a subnet": (
        [(f"{WEB}.ingress", [{"ports": [443], "addresses": ["172.20.2.9"]}])],
        f"{_WEB}.ingress[0].addresses[0]",
        "172.20.2.9 lies in the subnet of network mail",
        "another subnet",
    ),
    "a port of one address twice": (
        [(f"{WEB}.ingress", [{"ports": [443]}, {"ports": [443], "addresses": ["203.0.113.10"]}])],
        f"{_WEB}.ingress[1].ports",
        "tcp port 443 is forwarded twice",
        "list 443 once",
    ),
    "an address that is the gateway": (
        [
            (f"{WEB}.ingress", [{"ports": [443], "addresses": ["203.0.113.1"]}]),
            (f"{HOST}.wan.gateway_ipv4", "203.0.113.1"),
        ],
        "wanbound:hosts[0].wan.gateway_ipv4",
        "203.0.113.1 is the public address of network web",
        "your provider's router",
    ),
    "all TCP of an address that is SSH's": (
        [
            (f"{WEB}.ingress", [{"ports": "all", "addresses": ["203.0.113.9"]}]),
            (f"{HOST}.ssh.address", "203.0.113.9"),
        ],
        f"{_WEB}.ingress",
        "the address that SSH uses",
        "manage_addresses: false",
    ),
    # modes
    "ingress where nothing comes in": (
        [(f"{WEB}.mode", "snat"), (f"{WEB}.ingress", [{"ports": [25], "to": "turn"}])],
        f"{_WEB}.ingress",
        "the network's mode is snat",
        "mode: nat",
    ),
    "a load balancer where nothing comes in": (
        [(f"{WEB}.mode", "snat"), (f"{WEB}.load_balancer", {"image": "traefik:v3.7"})],
        f"{_WEB}.load_balancer",
        "the network's mode is snat",
        "remove it",
    ),
    "ports where nothing comes in": (
        [(f"{WEB}.mode", "snat"), _ports(25)],
        f"{_WEB}.containers[0].ports",
        "publishes ports, and the network's mode is snat",
        "mode: nat",
    ),
    "ingress where Docker publishes": (
        [(f"{WEB}.mode", "masquerade"), (f"{WEB}.ingress", [{"ports": [25]}])],
        f"{_WEB}.ingress",
        "the network's mode is masquerade",
        "write ports at the containers",
    ),
    "two containers publish a port": (
        [
            (f"{WEB}.mode", "masquerade"),
            (f"{WEB}.containers", [{**_TWO[0], "ports": ["20-30"]}, _TWO[1]]),
        ],
        f"{_WEB}.containers[1].ports",
        "tcp port 25 is published by one already",
        "list 25 once",
    ),
    "a container publishes the load balancer's port": (
        [(f"{WEB}.mode", "masquerade"), _ports(443)],
        f"{_WEB}.containers[0].ports",
        "tcp port 443 is published by the load balancer already",
        "list 443 once",
    ),
    "a container publishes the port of HTTP/3": (
        [
            (f"{WEB}.mode", "masquerade"),
            (f"{WEB}.load_balancer", {"acme": {"email": "bob@example.com"}, "http3": True}),
            _ports("443/udp"),
        ],
        f"{_WEB}.containers[0].ports",
        "udp port 443 is published by the load balancer already",
        "list 443 once",
    ),
    "a process for each of very many ports": (
        [(f"{WEB}.mode", "masquerade"), _ports("1000-2000")],
        f"{_WEB}.containers[0].ports",
        "publishes 1001 ports",
        "mode: nat",
    ),
    # docker-ipv6nat
    "docker-ipv6nat as something else": (
        [(f"{HOST}.ipv6nat", True)],
        "wanbound:hosts[0].ipv6nat",
        "is true, not container",
        "write container",
    ),
    "docker-ipv6nat's name": (
        [
            (f"{HOST}.ipv6nat", "container"),
            (f"{WEB}.containers", [{"name": "ipv6nat", "image": "app"}]),
        ],
        f"{_WEB}.containers[0].name",
        "ipv6nat is the name of docker-ipv6nat's container",
        "another name",
    ),
    # a subnet that Docker chooses
    "a subnet of Docker's choosing where something comes in": (
        [(f"{EDGE_2_WEB}.subnet_ipv4", "docker")],
        f"{_EDGE_2_WEB}.subnet_ipv4",
        "is docker, and the network's mode is nat",
        "mode: snat",
    ),
    "a subnet of Docker's choosing without IPv4": (
        [
            (f"{WEB}.mode", "snat"),
            (f"{WEB}.subnet_ipv4", "docker"),
            (f"{WEB}.public_ipv4", ABSENT),
        ],
        f"{_WEB}.subnet_ipv4",
        "without public_ipv4",
        "add public_ipv4",
    ),
    "an address in a subnet of Docker's choosing": (
        [
            (f"{WEB}.mode", "snat"),
            (f"{WEB}.subnet_ipv4", "docker"),
            (f"{WEB}.containers", [_FIXED]),
        ],
        f"{_WEB}.containers[0].ipv4",
        "Docker chooses the subnet",
        "remove it",
    ),
}


@pytest.mark.parametrize(("edits", "key", "what", "remedy"), _CASES.values(), ids=_CASES)
def test_one_error_names_key_and_remedy(edits: Edits, key: str, what: str, remedy: str) -> None:
    """One mistake gives one error, at the key that the operator would change."""
    check_only_problem(edits, key, what, remedy)


# Valid configurations that are similar to the ones above.
_FINE: dict[str, Edits] = {
    "udp besides all TCP": [_ports("3478/udp")],
    "one port in two protocols": [_ONLY_HTTP, _ports(25, "25/udp")],
    "a port of two addresses": [
        (f"{WEB}.ingress", [{"ports": [443]}, {"ports": [443], "addresses": ["203.0.113.9"]}])
    ],
    "one address in two entries": [
        (
            f"{WEB}.ingress",
            [
                {"ports": [443], "addresses": ["203.0.113.9"]},
                {"ports": [80], "addresses": ["203.0.113.9", "203.0.113.10"]},
            ],
        )
    ],
    "certificates where Docker publishes": [
        (f"{WEB}.mode", "masquerade"),
        (f"{WEB}.load_balancer", {"acme": {"email": "bob@example.com"}, "http3": True}),
    ],
    "published without a fixed address": [
        (f"{WEB}.mode", "masquerade"),
        (f"{WEB}.containers", [{"name": "app", "image": "app", "ports": [25, "25/udp"]}]),
    ],
    "no load balancer unasked": [(f"{WEB}.mode", "snat")],
    "an empty ingress": [(f"{WEB}.mode", "snat"), (f"{WEB}.ingress", [])],
    "a subnet of Docker's choosing": [
        (f"{EDGE_2_WEB}.mode", "snat"),
        (f"{EDGE_2_WEB}.subnet_ipv4", "docker"),
    ],
}


@pytest.mark.parametrize("edits", _FINE.values(), ids=_FINE)
def test_what_is_right_is_taken(edits: Edits) -> None:
    """No check refuses a valid configuration."""
    assert [str(problem) for problem in problems(*edits)] == []
