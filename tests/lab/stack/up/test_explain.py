"""Every answer of explain is true of real packets: the matrix, ports, and the seen sources."""

from ipaddress import ip_address

import pytest

from lab.checks import Check, Result
from lab.images import probe_program
from lab.stacks import parsed
from planner.config import Protocol, Stack
from planner.explain import Answer, Explainer, Target
from planner.plan import plan
from tests.lab.stack.configs import TCP_CLOSED, TCP_OPEN, UDP_CLOSED, UDP_OPEN
from tests.lab.stack.deployed import Deployed

pytestmark = pytest.mark.lab

HOSTS = pytest.mark.parametrize("host", ["test-1", "test-2"])
FAMILIES = pytest.mark.parametrize("family", [4, 6])


@pytest.fixture(name="stack", scope="module")
def _stack(deployed: Deployed) -> Stack:
    return parsed(deployed.config, deployed.stack.name)


@pytest.fixture(name="results", scope="module")
def _results(deployed: Deployed) -> list[Result]:
    return deployed.results()


def _private(stack: Stack, check: Check) -> str:
    """Return the address of the asking container in the family of the check."""
    for host in plan(stack):
        for network in host.networks:
            for container in network.containers:
                asking = (host.name, container.name)
                if asking == (check.question.origin.host, check.question.origin.container):
                    found = container.ipv4 if check.family == 4 else container.ipv6
                    if found is not None:
                        return found
                    # Docker chooses an address in the subnet that is reserved for it.
                    [inner] = [
                        each.inner_subnet
                        for one in stack.hosts
                        for each in one.networks
                        if (one.name, each.name) == (host.name, network.name)
                    ]
                    assert inner is not None
                    return str(inner[200])
    raise LookupError(f"no container asks: {check}")


def _of_host(answers: tuple[Answer, ...], host: str, caller: str = "") -> Answer:
    """Return one host's answer; `caller` is the caller's host, as private subnets are alike."""
    [found] = [
        each for each in answers if each.host == host and each.caller in ("", caller or host)
    ]
    return found


def _explained(stack: Stack, check: Check) -> Answer:
    """Return what explain says of a check's request."""
    question, origin = check.question, check.question.origin
    to = ip_address(question.address)
    if check.kind == "egress":
        return Explainer(stack).leaving(check.host, check.network, to)
    hosts = {host.name: host.ssh.address for host in stack.hosts}
    source = None
    if origin.container:
        source = ip_address(_private(stack, check))
    elif origin.host and not origin.stranger:
        source = ip_address(hosts[origin.host])
    answers = Explainer(stack).arriving(
        Target(to, 443 if question.tls else question.port, "tcp"), source
    )
    answering = {each.host for each in answers}
    at = check.host if check.host in answering else next(iter(answering))
    return _of_host(answers, at, origin.host)


SEEN = ("egress", "ingress", "own address", "other networks")
NOTHING = ("private", "stranger", "socket")


@HOSTS
@FAMILIES
@pytest.mark.parametrize("kind", SEEN)
def test_the_address_that_is_seen_is_the_one_that_explain_names(
    stack: Stack, results: list[Result], host: str, family: int, kind: str
) -> None:
    """As the echo service and whoami see it: the caller's own where explain names none."""
    of = [
        each
        for each in results
        if (each.check.host, each.check.family, each.check.kind) == (host, family, kind)
    ]
    assert of
    for result in of:
        answer = _explained(stack, result.check)
        if answer.verdict == "dropped":
            assert result.seen == "no answer", str(result)
        elif answer.sees:
            assert answer.sees == result.seen, str(result)
        else:
            assert kind == "ingress"
            assert result.seen == result.check.expected, str(result)


@HOSTS
@pytest.mark.parametrize("kind", NOTHING)
def test_what_explain_calls_dropped_gets_no_answer(
    stack: Stack, results: list[Result], host: str, kind: str
) -> None:
    """From other networks, from a neighbour, and to the proxy before Docker's socket."""
    of = [each for each in results if (each.check.host, each.check.kind) == (host, kind)]
    # A ping has no port, so explain is asked about port 80 of the same address.
    assert of
    for result in of:
        assert _explained(stack, result.check).verdict == "dropped", str(result)
        assert result.ok, str(result)


@HOSTS
def test_the_host_itself_is_seen_as_explain_says(
    stack: Stack, results: list[Result], host: str
) -> None:
    """The host calls each network's public IPv4 address."""
    of = [
        each
        for each in results
        if (each.check.host, each.check.kind, each.check.family) == (host, "host access", 4)
    ]
    assert of
    for result in of:
        assert _explained(stack, result.check).sees == result.seen, str(result)


@HOSTS
@FAMILIES
def test_listed_ports_lead_where_explain_says(
    deployed: Deployed, stack: Stack, host: str, family: int
) -> None:
    """The named container's server answers; other ports are the host's."""
    last = 60 if host == "test-1" else 160
    public = f"203.0.113.{last}" if family == 4 else f"2001:db8::{last}"
    program = str(probe_program(deployed.lab.settings.cache))
    protocols: tuple[Protocol, Protocol] = ("tcp", "udp")
    for protocol in protocols:
        of = TCP_OPEN if protocol == "tcp" else UDP_OPEN
        for port in (*TCP_OPEN, *TCP_CLOSED, *UDP_OPEN, *UDP_CLOSED):
            target = Target(ip_address(public), port, protocol)
            answer = _of_host(Explainer(stack).arriving(target), host)
            asked = str(target).partition("/")[0]
            words = [program, f"ask-{protocol}", "-timeout", "10s" if port in of else "1s", asked]
            status = deployed.lab.internet.run(words, check=False).status
            expected = "container" if port in of else "host"
            assert answer.verdict == expected, str(target)
            if expected == "container":
                assert answer.container == f"{protocol}-server"
            # A container's server listens on the open ports alone, and the host on none.
            assert (status == 0) == (port in of), str(target)


@HOSTS
def test_a_port_of_the_host_is_answered_by_the_host(
    deployed: Deployed, stack: Stack, host: str
) -> None:
    """Its SSH server answers at a network's address that does not forward port 22."""
    address = "203.0.113.60" if host == "test-1" else "203.0.113.160"
    target = Target(ip_address(address), 22, "tcp")
    assert _of_host(Explainer(stack).arriving(target), host).verdict == "host"
    banner = f"head -c 8 </dev/tcp/{address}/22"
    said = deployed.lab.internet.run(["timeout", "10", "bash", "-c", banner], check=False).stdout
    assert said.startswith("SSH-2.0-")


@HOSTS
def test_a_container_that_calls_itself_is_told_of_br_netfilter(
    deployed: Deployed, stack: Stack, host: str
) -> None:
    """The rules let it pass; on the first host the bridge does not, and explain warns of that."""
    address = "203.0.113.60" if host == "test-1" else "203.0.113.160"
    target = Target(ip_address(address), TCP_OPEN[0], "tcp")
    answer = _of_host(Explainer(stack).arriving(target, ip_address("10.77.0.10")), host)
    assert answer.sees == address
    assert "br_netfilter" in "".join(answer.notes)
    ask = f"docker exec tcp-server /probe ask-tcp -timeout 3s {address}:{TCP_OPEN[0]}"
    said = deployed.lab.host(host).run(ask, check=False).stdout.strip()
    assert said == ("" if host == "test-1" else address)


@HOSTS
def test_the_lines_that_explain_names_are_in_force(
    deployed: Deployed, stack: Stack, host: str
) -> None:
    """Each is a line that iptables, ip6tables, nft or ip prints on the host."""
    printed = deployed.lab.host(host).run(
        "iptables-save; ip6tables-save; nft -s list table inet wanbound; ip addr show dev wan0"
    )
    words = " ".join(printed.stdout.split())
    answers = []
    [configured] = [each for each in stack.hosts if each.name == host]
    for network in configured.networks:
        for _, public in network.publics:
            target = Target(public, 443, "tcp")
            answers.append(_of_host(Explainer(stack).arriving(target), host))
            to = "198.51.100.1" if public.version == 4 else "2001:db8:ffff::1"
            answers.append(Explainer(stack).leaving(host, network.name, ip_address(to)))
    lines = {line.text for each in answers for line in each.lines}
    assert lines
    assert [line for line in lines if line not in words] == []
