"""`./wanbound doctor` of the demo's hosts, compared with their state and with injected problems."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cli.diagnosis import Finding, diagnose
from cli.doctor import print_findings, reading
from cli.hosts import read
from lab.stacks import parsed
from planner.config import Stack
from tests.lab.stack.configs import network
from tests.lab.stack.deployed import Deployed

pytestmark = pytest.mark.lab

HOSTS = pytest.mark.parametrize("host", ["test-1", "test-2"])


@pytest.fixture(name="stack", scope="module")
def _stack(deployed: Deployed) -> Stack:
    return parsed(deployed.config, deployed.stack.name)


def _findings(stack: Stack, host: str) -> tuple[Finding, ...]:
    [found] = read(stack, host, reading)
    assert found.found is not None, found.error
    return diagnose(stack, found.host, found.found)


def _problems(stack: Stack, host: str) -> list[str]:
    return [each.what for each in _findings(stack, host) if each.level == "problem"]


@HOSTS
def test_a_host_that_is_up_has_no_problem(stack: Stack, host: str) -> None:
    """The doctor recognises the stack's own resources."""
    assert _problems(stack, host) == []
    said = "\n".join(each.what for each in _findings(stack, host) if each.level == "ok")
    assert "Docker 2" in said
    assert "all programs that a change needs are installed" in said
    assert "all addresses, subnets, bridges and network names are free" in said
    assert "forwarding is on" in said


@HOSTS
def test_the_hosts_own_sshd_answers_where_tcp_is_not_forwarded(stack: Stack, host: str) -> None:
    """It warns at the address of the network with listed ports (test_ports.py has the banner)."""
    address = "203.0.113.60" if host == "test-1" else "203.0.113.160"
    [finding] = [each for each in _findings(stack, host) if "tcp port 22 (" in each.what]
    assert finding.level == "warning"
    assert address in finding.what
    assert "203.0.113.10," not in finding.what, "web forwards all TCP to its load balancer"


@contextmanager
def _put(deployed: Deployed, host: str, there: str, gone: str) -> Iterator[None]:
    deployed.lab.host(host).run(there)
    try:
        yield
    finally:
        deployed.lab.host(host).run(gone, check=False)


@HOSTS
def test_what_is_in_use_is_named_with_its_user(deployed: Deployed, host: str) -> None:
    """The error names the user of an address and of a subnet of a new network."""
    changed = deployed.changed()
    number = 1 if host == "test-1" else 2
    base = network(changed, number, "web")
    last = 70 + 100 * (number - 1)
    new = {**base, "name": "new", "public_ipv4": f"203.0.113.{last}", "subnet_ipv4": "10.78.0.0/24"}
    del new["public_ipv6"], new["whoami"]
    changed["hosts"][number - 1]["networks"].append({**new, "load_balancer": False})
    stack = parsed(changed, deployed.stack.name)
    assert _problems(stack, host) == []
    with _put(
        deployed,
        host,
        f"ip addr add 203.0.113.{last}/32 dev lo;"
        " docker network create --subnet 10.78.0.0/16 a-shop",
        f"ip addr del 203.0.113.{last}/32 dev lo; docker network rm a-shop",
    ):
        said = _problems(stack, host)
    assert any(f"203.0.113.{last} is the host's own already" in each for each in said)
    assert any("10.78.0.0/24 is in use: the Docker network a-shop" in each for each in said)


@HOSTS
def test_a_port_at_every_address_and_a_flushing_file_are_warnings(
    deployed: Deployed, stack: Stack, host: str
) -> None:
    """A UDP port of the host answers at every public address, and /etc/nftables.conf flushes."""
    server = (
        "systemd-run --quiet --unit a-server python3 -c 'import socket, time\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        's.bind(("0.0.0.0", 5999)); time.sleep(1000)\''
    )
    there = (
        f"{server}; cp -a /etc/nftables.conf /root/nftables.was 2>/dev/null;"
        " echo 'flush ruleset' >/etc/nftables.conf;"
        " for n in $(seq 50); do ss -Hlnu | grep -q :5999 && break; sleep 0.1; done"
    )
    gone = (
        "systemctl stop a-server; rm /etc/nftables.conf;"
        " mv /root/nftables.was /etc/nftables.conf 2>/dev/null"
    )
    with _put(deployed, host, there, gone):
        found = _findings(stack, host)
    warnings = [each.what for each in found if each.level == "warning"]
    assert any("udp port 5999 (python3" in each for each in warnings)
    assert any("flush ruleset" in each for each in warnings)


def test_it_is_read_only_and_says_by_its_exit_status_what_it_found(
    deployed: Deployed, stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 1 for the warning that both hosts have: the port of their sshd."""
    assert print_findings(stack, None) == 1
    assert capsys.readouterr().out.count("\nhost ") == 1
    deployed.stack.preview("--refresh", "--expect-no-changes")
