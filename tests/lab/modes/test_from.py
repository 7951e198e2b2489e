"""Who reaches a port with `from` on real engines: the internet, the host or another network."""

from collections.abc import Iterator
from typing import Any

import pytest

from lab.api import Host, Lab
from lab.stacks import LabStack
from lab.traffic import PROBE
from tests.lab.modes.networks import ROUTER, Place, asked

pytestmark = pytest.mark.lab

FAMILIES = pytest.mark.parametrize("family", [4, 6])
DB, CALLER = 180, 190
"""The last parts of the networks' public addresses."""

INTERNET, ELSEWHERE, NEIGHBOUR, ITSELF = 5432, 5433, 5434, 5435
"""Ports of the database: open to the internet's router, to no client of this test, to the network
`callers`, and to the database's own public addresses, which the host uses to call them."""


def _config(lab: Lab) -> dict[str, Any]:
    hosts = []
    for number, host in enumerate(lab.hosts.values()):
        ssh = {"address": host.address, "host_key": host.host_key}
        networks = [_db(Place(number)), _callers(Place(number))]
        hosts.append(
            {"name": host.name, "ssh": ssh, "wan": {"interface": "wan0"}, "networks": networks}
        )
    return {"hosts": hosts}


def _db(place: Place) -> dict[str, Any]:
    ranges = {
        INTERNET: list(ROUTER.values()),
        ELSEWHERE: ["192.0.2.0/24", "2001:db8:aa::/48"],
        NEIGHBOUR: [place.ipv4(CALLER), place.ipv6(CALLER)],
        ITSELF: [place.ipv4(DB), place.ipv6(DB)],
    }
    return {
        "name": "limited",
        "public_ipv4": place.ipv4(DB),
        "public_ipv6": place.ipv6(DB),
        "subnet_ipv4": "10.180.0.0/24",
        "subnet_ipv6": "fd18::/64",
        "load_balancer": False,
        "ingress": [{"ports": [port], "to": "db", "from": each} for port, each in ranges.items()],
        "containers": [
            {
                "name": "db",
                "image": PROBE,
                "command": ["serve-tcp", *(f":{port}" for port in ranges)],
                "ipv4": "10.180.0.10",
                "ipv6": "fd18::10",
            }
        ],
    }


def _callers(place: Place) -> dict[str, Any]:
    return {
        "name": "callers",
        "public_ipv4": place.ipv4(CALLER),
        "public_ipv6": place.ipv6(CALLER),
        "subnet_ipv4": "10.190.0.0/24",
        "subnet_ipv6": "fd19::/64",
        "load_balancer": False,
        "ingress": [],
        "containers": [{"name": "caller", "image": PROBE, "command": ["sleep"]}],
    }


@pytest.fixture(scope="module")
def limited(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One stack for all tests, brought up once."""
    stack = LabStack.copy(lab, "from", _config(lab), tmp_path_factory.mktemp("from"))
    try:
        stack.up()
        yield lab
    finally:
        stack.destroy()


def _asks(host: Host, container: str, address: str, port: int) -> str:
    """Return the address that the database sees of a container, "" without an answer."""
    at = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    command = f"docker exec {container} /probe ask-tcp -timeout 3s {at}"
    return host.run(command, check=False).stdout.strip()


def _connects(host: Host, address: str, port: int) -> bool:
    """Whether the host itself can connect."""
    program = f"import socket; socket.create_connection(('{address}', {port}), 3)"
    return host.run(f'python3 -c "{program}"', check=False).status == 0


@FAMILIES
def test_who_reaches_a_port(limited: Lab, family: int) -> None:
    """Only the client that a port is open to reaches it; the drops are counted."""
    for number, host in enumerate(limited.hosts.values()):
        place = Place(number)
        db, caller = (
            place.ipv4(last) if family == 4 else place.ipv6(last) for last in (DB, CALLER)
        )
        ports = (INTERNET, ELSEWHERE, NEIGHBOUR, ITSELF)
        outside = [asked(limited, "tcp", db, port) for port in ports]
        assert outside == [ROUTER[family], "", "", ""], host.name
        inside = [_asks(host, "caller", db, port) for port in ports]
        assert inside == ["", "", caller, ""], host.name
        assert [_connects(host, db, port) for port in ports] == [False, False, False, True]
        assert "ingress-limited " in host.run("wanbound status").stdout
