"""The demo's stack right after `up`: everything is as declared, and no change is left."""

import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from components.ssh import ssh_options
from lab.checks import Result, matrix, resolvers
from lab.checks.ask import ask
from lab.settings import CLIENT_IPV4, CLIENT_IPV6
from lab.stacks import parsed
from planner.config import Stack
from tests.lab.stack.configs import network
from tests.lab.stack.deployed import Deployed

pytestmark = pytest.mark.lab

KINDS = (
    "egress",
    "whoami egress",
    "ingress",
    "own address",
    "other networks",
    "host access",
    "own private",
    "private",
    "stranger",
    "host source",
)


@pytest.fixture(scope="module")
def results(deployed: Deployed) -> list[Result]:
    """The results of all checks."""
    return deployed.results()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("host", ["test-1", "test-2"])
def test_matrix(results: list[Result], host: str, family: int, kind: str) -> None:
    """Every check of every network passes, on each engine, in each family."""
    of = [
        r for r in results if (r.check.host, r.check.family, r.check.kind) == (host, family, kind)
    ]
    assert of, "no such check: the matrix has a hole"
    assert [str(result) for result in of if not result.ok] == []


def test_names_are_asked_for_as_the_network(deployed: Deployed) -> None:
    """On each engine, a DNS server sees each network's own address, never the host's."""
    wanted = parsed(deployed.config, deployed.stack.name)
    results = resolvers(deployed.lab, wanted)
    networks = {(host.name, network.name) for host in wanted.hosts for network in host.networks}
    assert {(each.check.host, each.check.network) for each in results} == networks
    assert [str(result) for result in results if not result.ok] == []


def test_packets_of_strangers_arrive_and_are_not_answered(deployed: Deployed) -> None:
    """Packets of a neighbour with a route reach the host, so it is the host that drops them."""
    checks = matrix(parsed(deployed.config, deployed.stack.name))
    asked = [check.question for check in checks if check.kind == "stranger"]
    private = {question.address for question in asked}
    to_private = " or ".join(f"host {address}" for address in sorted(private))
    with deployed.lab.internet.capture(to_private) as capture:
        ask(deployed.lab, asked)
    assert {packet.dst for packet in capture.packets} == private
    assert {packet.src for packet in capture.packets} == {CLIENT_IPV4, CLIENT_IPV6}


def test_nothing_to_do(deployed: Deployed) -> None:
    """A second preview finds no change, neither in the program nor on the hosts."""
    deployed.stack.preview("--expect-no-changes")
    # With --diff, a failure shows what differs.
    refreshed = deployed.stack.preview("--refresh", "--expect-no-changes", "--diff")
    assert set(refreshed.counts) == {"unchanged"}


def test_a_second_up_changes_nothing(deployed: Deployed) -> None:
    """As `make demo` reports when it is run twice."""
    assert set(deployed.stack.up().counts) == {"unchanged"}


def test_a_plain_preview_contacts_no_host(deployed: Deployed) -> None:
    """Neither the program nor plugins nor ssh open a connection to a host."""
    with _connections(deployed) as seen:
        deployed.stack.preview("--expect-no-changes")
    assert seen == []


@contextmanager
def _connections(deployed: Deployed) -> Iterator[list[str]]:
    """The yielded list has every TCP connection to a host, once the context has ended."""
    settings = deployed.lab.settings
    _end_shared_connections(parsed(deployed.config, deployed.stack.name))
    opening = "tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn"
    words = ["tcpdump", "-n", "-l", "--immediate-mode", "-i", settings.management_bridge, opening]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("w") as out:
            alone = ["setpriv", "--pdeathsig", "KILL", *words]
            tcpdump = subprocess.Popen(alone, stdout=out, stderr=subprocess.STDOUT)
        seen: list[str] = []
        try:
            _await(log, "listening on")
            yield seen
            # The test's own connection comes last: once it is captured, all earlier ones are.
            host = deployed.lab.host("test-1").address
            with socket.create_connection((host, 22), timeout=10) as own:
                port = str(own.getsockname()[1])
                _await(log, f".{port} >")
            found = [line for line in log.read_text().splitlines() if " > " in line]
            seen += [line for line in found if f".{port} >" not in line]
        finally:
            tcpdump.terminate()
            tcpdump.wait(10)


def _await(log: Path, text: str) -> None:
    end = time.monotonic() + 10
    while text not in log.read_text():
        assert time.monotonic() < end, f"tcpdump does not say {text!r}: {log.read_text()}"
        time.sleep(0.05)


def _end_shared_connections(stack: Stack) -> None:
    """Close connections of earlier commands: a reused connection would not be captured."""
    for host in stack.hosts:
        words = ["ssh", *ssh_options(host.ssh), "-O", "exit", f"root@{host.ssh.address}"]
        subprocess.run(words, capture_output=True, timeout=10, check=False)


OLD, NEW = "2001:db8::10", "2001:db8::77"


def test_a_changed_address_shows_its_own_lines_alone(deployed: Deployed) -> None:
    """The preview shows only removed and added lines, as `ip` and `ip6tables-save` print them."""
    changed = deployed.changed()
    network(changed, 1, "web")["public_ipv6"] = NEW
    deployed.stack.configure(changed)
    try:
        shown = deployed.stack.preview("--diff").output
    finally:
        deployed.stack.configure(deployed.config)
    print(shown)
    resources, sections, leaves = _changes(shown)
    assert resources == {"HostNetworking", "Command"}
    assert sections == {
        "networks", "web", "owns", "addresses", "flows", "dnat_ipv6", "snat_ipv6",
        "chain egress-web", "chain public-web", "chain to-web", "map arrives-ipv6",
        "map public-ipv6", "stdin",
    }  # fmt: skip
    wanted = re.compile(rf"{OLD}\b.*|{NEW}\b")
    assert [line for line in leaves if not wanted.search(line)] == []
    assert [line for line in leaves if "..." in line] == [], "a line is cut short"
    for text in (
        f'inet6 {NEW}/128 scope global deprecated"',
        f"-j SNAT --to-source {NEW}",
        f"-A WANBOUND-DNAT -d {NEW}/128 -p tcp -j DNAT --to-destination ",
        f"ip6 saddr != {NEW} counter drop",
        f"ipv6 {NEW}",
    ):
        assert text in shown
    assert "__provider" not in shown
    assert re.search(r"^ +~ 2 to update$", shown, re.MULTILINE)
    assert "to create" not in shown
    assert "to delete" not in shown
    assert "to replace" not in shown


def _changes(shown: str) -> tuple[set[str], set[str], list[str]]:
    """Return types of changed resources, names of changed properties, and changed lines."""
    resources, sections, leaves = set(), set(), []
    for line in shown.splitlines():
        if resource := re.match(r"^ *[-+~]+ \S*:(\w+): \((\w+)\)$", line):
            resources.add(resource[1])
        elif section := re.match(r"^ *[-+~] (\S.*?) *: ?\{?$", line):
            sections.add(section[1])
        elif re.match(r"^ *[-+~]+ ", line) and not re.match(r"^ +~ \d+ to update$", line):
            leaves.append(line)
    return resources, sections, leaves
