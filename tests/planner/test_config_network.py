"""Combinations that one network cannot have; one error each."""

from ipaddress import ip_network

import pytest

from planner.addresses import container_address
from tests.planner.samples import (
    ABSENT,
    EDGE_2_WEB,
    HOST,
    MAIL,
    WEB,
    Edits,
    check_only_problem,
)

_WEB = "wanbound:hosts[0].networks[0]"
_MAIL = "wanbound:hosts[0].networks[1]"
_EDGE_2_WEB = "wanbound:hosts[1].networks[0]"
_SSH_IS_WEB = (f"{HOST}.ssh.address", "203.0.113.10")
_PAIR: dict[object, object] = {"ipv4": "172.20.2.25", "ipv6": "fd5c:1b2a:77f0:2::25"}
_WORKER = str(container_address(ip_network("172.20.2.0/24"), "worker"))

# Edits of the sample, the key of the one error, words of what is wrong, words of the remedy.
_CASES: dict[str, tuple[Edits, str, str, str]] = {
    "neither family": (
        [("hosts.1.networks.0", {"name": "web"})],
        _EDGE_2_WEB,
        "neither public_ipv4 nor public_ipv6",
        "add public_ipv4, public_ipv6 or both",
    ),
    "subnet without public address": (
        [(f"{EDGE_2_WEB}.subnet_ipv6", "fd5c::/64")],
        f"{_EDGE_2_WEB}.subnet_ipv6",
        "set without public_ipv6",
        "add public_ipv6, or remove this",
    ),
    "load balancer without public address": (
        [(f"{EDGE_2_WEB}.load_balancer", {"ipv6": "fd5c::5"})],
        f"{_EDGE_2_WEB}.load_balancer.ipv6",
        "set without public_ipv6",
        "add public_ipv6, or remove this",
    ),
    "container without public address": (
        [(f"{EDGE_2_WEB}.containers", [{"name": "app", "image": "app", "ipv6": "fd5c::5"}])],
        f"{_EDGE_2_WEB}.containers[0].ipv6",
        "set without public_ipv6",
        "add public_ipv6, or remove this",
    ),
    "bridge is the wan interface": (
        [(f"{WEB}.bridge", "wan0")],
        f"{_WEB}.bridge",
        "wan0 is the name of the host's wan interface",
        "another name",
    ),
    "network is the wan interface": (
        [(f"{HOST}.wan.interface", "web")],
        f"{_WEB}.name",
        "web is the name of the host's wan interface",
        "another name",
    ),
    "load balancer outside": (
        [(f"{WEB}.load_balancer.ipv4", "172.20.2.254")],
        f"{_WEB}.load_balancer.ipv4",
        "outside 172.20.1.0/24",
        "from 172.20.1.2 to 172.20.1.254",
    ),
    "load balancer is the gateway": (
        [(f"{WEB}.load_balancer.ipv6", "fd5c:1b2a:77f0:1::1")],
        f"{_WEB}.load_balancer.ipv6",
        "the gateway of",
        "from fd5c:1b2a:77f0:1::2 to",
    ),
    "load balancer is the network": (
        [(f"{WEB}.load_balancer.ipv4", "172.20.1.0")],
        f"{_WEB}.load_balancer.ipv4",
        "the address of the subnet",
        "from 172.20.1.2 to",
    ),
    "load balancer is the broadcast address": (
        [(f"{WEB}.load_balancer.ipv4", "172.20.1.255")],
        f"{_WEB}.load_balancer.ipv4",
        "the broadcast address of",
        "from 172.20.1.2 to",
    ),
    "container outside": (
        [(f"{MAIL}.containers.0.ipv6", "fd5c:1b2a:77f0:1::10")],
        f"{_MAIL}.containers[0].ipv6",
        "outside fd5c:1b2a:77f0:2::/64",
        "from fd5c:1b2a:77f0:2::2 to",
    ),
    "container has the load balancer's default address": (
        [(f"{MAIL}.containers.0.ipv4", "172.20.2.254")],
        f"{_MAIL}.containers[0].ipv4",
        "172.20.2.254 is the address of the load balancer",
        "a free one",
    ),
    "two containers have one address": (
        [(f"{MAIL}.containers.1.ipv4", "172.20.2.10")],
        f"{_MAIL}.containers[1].ipv4",
        "172.20.2.10 is the address of container turn",
        "a free one",
    ),
    "subnet with too little room": (
        [
            (f"{EDGE_2_WEB}.subnet_ipv4", "172.20.1.0/30"),
            (f"{EDGE_2_WEB}.containers", [{"name": "app", "image": "app"}]),
        ],
        f"{_EDGE_2_WEB}.subnet_ipv4",
        "room for 2 addresses, and 3 are needed",
        "larger",
    ),
    "subnet contains the SSH address": (
        [(f"{HOST}.ssh.address", "172.20.1.99")],
        f"{_WEB}.subnet_ipv4",
        "172.20.1.0/24 contains 172.20.1.99, the host's ssh.address",
        "another subnet",
    ),
    # the host's own SSH
    "all TCP of the SSH address": (
        [_SSH_IS_WEB],
        f"{_WEB}.public_ipv4",
        "the address that SSH uses, and all TCP to it is forwarded",
        "list the ingress ports without 22. Set manage_addresses: false too",
    ),
    "all TCP of the SSH address, said": (
        [_SSH_IS_WEB, (f"{WEB}.manage_addresses", False), (f"{WEB}.ingress", [{"ports": "all"}])],
        f"{_WEB}.public_ipv4",
        "all TCP to it is forwarded",
        "without 22.",
    ),
    "all TCP of the SSH address, IPv6": (
        [(f"{HOST}.ssh.address", "2001:DB8::10")],
        f"{_WEB}.public_ipv6",
        "2001:db8::10 is the address that SSH uses",
        "list the ingress ports",
    ),
    "SSH port in a list": (
        [
            _SSH_IS_WEB,
            (f"{HOST}.ssh.port", 2222),
            (f"{WEB}.manage_addresses", False),
            (f"{WEB}.ingress", [{"ports": [443]}, {"ports": ["2200-2300"]}]),
        ],
        f"{_WEB}.ingress[1].ports",
        "forwards port 2222 of 203.0.113.10",
        "remove 2222 from the list",
    ),
    "SSH address that would be managed": (
        [_SSH_IS_WEB, (f"{WEB}.ingress", [{"ports": [443]}])],
        f"{_WEB}.public_ipv4",
        "wanbound would manage it",
        "manage_addresses: false",
    ),
    # ingress
    "ingress to an unknown container": (
        [(f"{MAIL}.ingress", [{"ports": [25], "to": "turm"}])],
        f"{_MAIL}.ingress[0].to",
        "turm is no container of this network",
        "did you mean turn?",
    ),
    "ingress to a container without addresses": (
        [(f"{MAIL}.ingress", [{"ports": [25], "to": "worker"}])],
        f"{_MAIL}.ingress[0].to",
        "worker has no fixed ipv4 and no ipv6 address",
        "give worker ipv4 and ipv6",
    ),
    "ingress to a container with half an address": (
        [
            (f"{MAIL}.ingress", [{"ports": [25], "to": "turn"}]),
            (f"{MAIL}.containers.0.ipv6", ABSENT),
        ],
        f"{_MAIL}.ingress[0].to",
        "turn has no fixed ipv6 address",
        "give turn ipv6",
    ),
    "ingress to a load balancer that is off": (
        [(f"{WEB}.load_balancer", False), (f"{WEB}.ingress", [{"ports": "all"}])],
        f"{_WEB}.ingress[0].to",
        "load balancer, which is off",
        "remove load_balancer: false",
    ),
    "ingress to an address outside": (
        [(f"{MAIL}.ingress", [{"ports": [25], "to": {**_PAIR, "ipv4": "172.20.9.25"}}])],
        f"{_MAIL}.ingress[0].to",
        "172.20.9.25 is outside 172.20.2.0/24",
        "write a free one from 172.20.2.2",
    ),
    "ingress to the gateway": (
        [(f"{MAIL}.ingress", [{"ports": [25], "to": {**_PAIR, "ipv6": "fd5c:1b2a:77f0:2::1"}}])],
        f"{_MAIL}.ingress[0].to",
        "the gateway of",
        "write a free one",
    ),
    "ingress to the address of a declared container": (
        [(f"{MAIL}.ingress", [{"ports": [25], "to": {**_PAIR, "ipv4": "172.20.2.10"}}])],
        f"{_MAIL}.ingress[0].to",
        "172.20.2.10 is the address of container turn",
        "name that container in to, if you mean that one, or write a free one",
    ),
    "ingress to the address of the load balancer": (
        [(f"{MAIL}.ingress", [{"ports": [25], "to": {**_PAIR, "ipv4": "172.20.2.254"}}])],
        f"{_MAIL}.ingress[0].to",
        "172.20.2.254 is the address of the load balancer",
        "name that container",
    ),
    "ingress to the derived address of a declared container": (
        [(f"{MAIL}.ingress", [{"ports": [25], "to": {**_PAIR, "ipv4": _WORKER}}])],
        f"{_MAIL}.containers[1].ipv4",
        f"{_WORKER} is the address of the container of ingress[0]",
        "write ipv4: 172.20.2.",
    ),
    "ingress to half a pair": (
        [(f"{MAIL}.ingress", [{"ports": [25], "to": {"ipv4": "172.20.2.25"}}])],
        f"{_MAIL}.ingress[0].to",
        "is 172.20.2.25, without ipv6",
        "add ipv6: with the container's address",
    ),
    "ingress to a family that the network lacks": (
        [
            (
                f"{EDGE_2_WEB}.ingress",
                [{"ports": [25], "to": {"ipv4": "10.140.1.9", "ipv6": "fd5c::9"}}],
            ),
            (f"{EDGE_2_WEB}.subnet_ipv4", "10.140.1.0/24"),
        ],
        f"{_EDGE_2_WEB}.ingress[0].to",
        "fd5c::9 is set without public_ipv6",
        "add public_ipv6, or remove this",
    ),
    "ingress to one address in two pairs": (
        [
            (
                f"{MAIL}.ingress",
                [
                    {"ports": [25], "to": _PAIR},
                    {"ports": [26], "to": {**_PAIR, "ipv6": "fd5c:1b2a:77f0:2::26"}},
                ],
            )
        ],
        f"{_MAIL}.ingress[1].to",
        "172.20.2.25 is in 172.20.2.25 and fd5c:1b2a:77f0:2::26 here",
        "write the same pair in both",
    ),
    "a subnet without room for what ingress names": (
        [
            (f"{EDGE_2_WEB}.subnet_ipv4", "172.20.1.0/30"),
            (f"{EDGE_2_WEB}.ingress", [{"ports": [25], "to": {"ipv4": "172.20.1.2"}}]),
            (f"{EDGE_2_WEB}.load_balancer", False),
            (f"{EDGE_2_WEB}.containers", [{"name": "app", "image": "app"}]),
        ],
        f"{_EDGE_2_WEB}.subnet_ipv4",
        "room for 2 addresses, and 3 are needed",
        "larger",
    ),
    "all UDP": (
        [(f"{WEB}.ingress", [{"protocol": "udp", "ports": "all"}])],
        f"{_WEB}.ingress[0].ports",
        "all is for TCP only",
        "list the UDP ports",
    ),
    "port twice in a list": (
        [(f"{WEB}.ingress", [{"ports": [443, 80, "440-450"]}])],
        f"{_WEB}.ingress[0].ports",
        "tcp port 443 is forwarded twice",
        "list 443 once",
    ),
    "port in two entries": (
        [(f"{WEB}.ingress", [{"ports": ["80-90"]}, {"ports": [85]}])],
        f"{_WEB}.ingress[1].ports",
        "tcp port 85 is forwarded twice",
        "list 85 once",
    ),
    "a port besides all": (
        [(f"{WEB}.ingress", [{"ports": "all"}, {"ports": [85]}])],
        f"{_WEB}.ingress[1].ports",
        "more than one entry has tcp ports, and one of them has all",
        "instead of all",
    ),
    "whoami without load balancer": (
        [
            (f"{WEB}.load_balancer", False),
            (f"{WEB}.whoami", {"domain": "a.example.com"}),
            ("echo", {"ipv4": "http://192.0.2.1", "ipv6": "http://[2001:db8::1]/"}),
        ],
        f"{_WEB}.whoami",
        "the load balancer is off",
        "remove whoami",
    ),
    # containers
    "container name twice on a host": (
        [(f"{WEB}.containers", [{"name": "turn", "image": "app"}])],
        f"{_MAIL}.containers[0].name",
        "turn is the name of a container in network web",
        "another name",
    ),
    "container named as another network's load balancer": (
        [(f"{MAIL}.containers.1.name", "web_lb")],
        f"{_MAIL}.containers[1].name",
        "web_lb is the name of the load balancer of network web",
        "another name",
    ),
    "container named as the word for the load balancer": (
        [(f"{MAIL}.containers.1.name", "load_balancer")],
        f"{_MAIL}.containers[1].name",
        "load_balancer is a reserved name",
        "another name",
    ),
    "two volumes at one place": (
        [(f"{MAIL}.containers.0.volumes", ["a1:/data", "b1:/data"])],
        f"{_MAIL}.containers[0].volumes[1]",
        "/data is mounted twice",
        "its own target",
    ),
    "unknown secret": (
        [
            (f"{MAIL}.containers.0.environment.A", {"secret": "TURN_SECRT"}),
            ("secrets", {"TURN_SECRET": "hidden"}),
        ],
        f"{_MAIL}.containers[0].environment.A",
        "refers to a secret that is not in wanbound:secrets",
        "did you mean TURN_SECRET?",
    ),
    "secret where there are none": (
        [(f"{MAIL}.containers.0.environment.A", {"secret": "PASSWORD"})],
        f"{_MAIL}.containers[0].environment.A",
        "refers to a secret that is not in wanbound:secrets",
        "pulumi config set --secret",
    ),
}


@pytest.mark.parametrize(("edits", "key", "what", "remedy"), _CASES.values(), ids=_CASES)
def test_one_error_names_key_and_remedy(edits: Edits, key: str, what: str, remedy: str) -> None:
    """One mistake gives one error, at the key that the operator would change."""
    check_only_problem(edits, key, what, remedy)
