"""Listed TCP and UDP ports are forwarded to named containers; others are not."""

import pytest

from lab.api import Lab
from lab.images import probe_program
from lab.settings import ROUTER_IPV4, ROUTER_IPV6
from tests.lab.stack.configs import TCP_CLOSED, TCP_OPEN, UDP_CLOSED, UDP_OPEN
from tests.lab.stack.deployed import Deployed

pytestmark = pytest.mark.lab

ADDRESSES = {
    ("test-1", 4): "203.0.113.60",
    ("test-1", 6): "2001:db8::60",
    ("test-2", 4): "203.0.113.160",
    ("test-2", 6): "2001:db8::160",
}
PLACES = pytest.mark.parametrize(("host", "family"), list(ADDRESSES))


def _target(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _ask_from_outside(
    lab: Lab, protocol: str, address: str, port: int, seconds: int = 1
) -> str | None:
    """The answer of the server: the address that it sees; None where there is none."""
    program = str(probe_program(lab.settings.cache))
    words = [program, f"ask-{protocol}", "-timeout", f"{seconds}s", _target(address, port)]
    done = lab.internet.run(words, check=False)
    return done.stdout.strip() if done.status == 0 else None


def _ask_from(lab: Lab, place: tuple[str, str], protocol: str, address: str, port: int) -> str:
    """Ask from inside the network `ports`, by a real container's own process.

    `place` is the host and the container.
    """
    host, container = place
    ask = f"docker exec {container} /probe ask-{protocol} -timeout 5s {_target(address, port)}"
    done = lab.host(host).run(ask, check=False)
    return done.stdout.strip() or done.stderr.strip()


@PLACES
def test_listed_ports_are_reached_with_the_clients_own_address(
    deployed: Deployed, host: str, family: int
) -> None:
    """For TCP and UDP, single ports and ranges, the container sees the client's address."""
    client = ROUTER_IPV4 if family == 4 else ROUTER_IPV6
    address = ADDRESSES[host, family]
    asked = [("tcp", port) for port in TCP_OPEN] + [("udp", port) for port in UDP_OPEN]
    seen = {ask: _ask_from_outside(deployed.lab, ask[0], address, ask[1], 10) for ask in asked}
    assert seen == dict.fromkeys(asked, client)


@PLACES
def test_other_ports_are_not_reached(deployed: Deployed, host: str, family: int) -> None:
    """No other port of the same container answers, and no listed port by the other protocol."""
    address = ADDRESSES[host, family]
    asked = [("tcp", port) for port in TCP_CLOSED] + [("udp", port) for port in UDP_CLOSED]
    asked += [("tcp", UDP_OPEN[0]), ("udp", TCP_OPEN[0])]
    seen = {ask: _ask_from_outside(deployed.lab, ask[0], address, ask[1]) for ask in asked}
    assert seen == dict.fromkeys(asked, None)


@PLACES
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_networks_see_each_others_public_address(
    deployed: Deployed, host: str, family: int, protocol: str
) -> None:
    """A network asks its own public address and the other host's, with its own as the source."""
    asking = "udp-server" if protocol == "tcp" else "tcp-server"
    port = TCP_OPEN[0] if protocol == "tcp" else UDP_OPEN[0]
    asked = (ADDRESSES["test-1", family], ADDRESSES["test-2", family])
    seen = [_ask_from(deployed.lab, (host, asking), protocol, each, port) for each in asked]
    assert seen == [ADDRESSES[host, family]] * 2


@PLACES
def test_a_container_reaches_itself_by_the_public_address(
    deployed: Deployed, host: str, family: int
) -> None:
    """The container behind a listed port calls the network's public address.

    With br_netfilter, which Docker loads up to 27.2, it has no answer: the bridge translates the
    packet itself and does not send it back to the port that it came from. Ports have the hairpin
    flag only where the engine runs with userland-proxy: false.
    """
    own = ADDRESSES[host, family]
    tool = "iptables" if family == 4 else "ip6tables"
    seen = deployed.lab.host(host).run(f"sysctl -n net.bridge.bridge-nf-call-{tool}").stdout
    said = _ask_from(deployed.lab, (host, "tcp-server"), "tcp", own, TCP_OPEN[0])
    assert (host, seen) in (("test-1", "1\n"), ("test-2", "0\n"))
    assert (said == own) == (seen == "0\n")


@PLACES
def test_the_host_keeps_the_ports_that_are_not_listed(
    deployed: Deployed, host: str, family: int
) -> None:
    """The host's sshd answers on the network's public address: no container gets port 22."""
    banner = f"head -c 8 </dev/tcp/{ADDRESSES[host, family]}/22"
    said = deployed.lab.internet.run(["timeout", "10", "bash", "-c", banner], check=False).stdout
    assert said.startswith("SSH-2.0-")
