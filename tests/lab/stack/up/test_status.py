"""`./wanbound status` of the demo, and the same on a host, compared with the real state."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from cli import status
from cli.hosts import read
from lab.stacks import parsed
from planner.config import Stack
from planner.plan import plan
from providers.host.status import Status, parse
from tests.lab.stack.deployed import Deployed

pytestmark = pytest.mark.lab

HOSTS = pytest.mark.parametrize("host", ["test-1", "test-2"])


@pytest.fixture(name="stack", scope="module")
def _stack(deployed: Deployed) -> Stack:
    return parsed(deployed.config, deployed.stack.name)


def _view(stack: Stack, host: str) -> Mapping[str, Any]:
    """Return what `--json` prints of a host, over the tests' operator's login."""
    [found] = read(stack, host, lambda _, remote: parse(remote.status()))
    assert found.found is not None, found.error
    return status.view(stack.name, found.host, found.found)


@HOSTS
def test_every_network_is_in_force_with_its_addresses_and_containers(
    stack: Stack, host: str
) -> None:
    """The host's bridges, flows and Docker agree with the stack file."""
    view = _view(stack, host)
    [planned] = [each for each in plan(stack) if each.name == host]
    assert view["of_this_stack"]
    assert view["watcher"] == "active"
    assert (view["pending"], view["rolled_back"], view["duplicates"]) == ("", [], [])
    assert view["loaded"] >= view["changed"] > "2026"
    for network in planned.networks:
        [seen] = [each for each in view["networks"] if each["name"] == network.name]
        assert seen["state"] == "in force"
        assert set(seen["leaves_as"]) == set(network.owns.addresses.values())
        names = {each.name for each in network.containers}
        assert names <= {each["name"] for each in seen["containers"]}
        assert [each["leaves_elsewhere"] for each in seen["containers"]] == [
            [] for _ in seen["containers"]
        ]
        assert seen["packets_out"] > 0
        assert seen["packets_in"] > 0


@HOSTS
def test_the_host_says_the_same_without_an_operator(deployed: Deployed, host: str) -> None:
    """The installed script has the same form."""
    said = parse(deployed.lab.host(host).run("wanbound status").stdout)
    assert isinstance(said, Status)
    assert said.current == deployed.lab.host(host).run("readlink /etc/wanbound/current").stdout[:-1]
    assert {each.name for each in said.bridges} >= {"web", "mail", "special"}


@contextmanager
def _trapped(deployed: Deployed, host: str) -> Iterator[None]:
    """Run a container as compose makes one: in our network and in one of its project.

    That one has both families, too: Docker prefers a network with gateways of both.
    """
    lab = deployed.lab.host(host)
    lab.run(
        "set -e; docker network create --ipv6 --subnet fd99:1::/64 a-project >/dev/null\n"
        "image=$(docker inspect -f '{{.Config.Image}}' whoami-web)\n"
        'docker create --name a-service --network a-project "$image" >/dev/null\n'
        "docker network connect web a-service; docker start a-service"
    )
    try:
        yield
    finally:
        lab.run("docker rm -f a-service; docker network rm a-project", check=False)


@HOSTS
def test_a_container_that_leaves_by_another_network_is_told(
    deployed: Deployed, stack: Stack, host: str
) -> None:
    """The trap of compose: the network whose name sorts first gets the default route."""
    with _trapped(deployed, host):
        [web] = [each for each in _view(stack, host)["networks"] if each["name"] == "web"]
        [service] = [each for each in web["containers"] if each["name"] == "a-service"]
        [link] = service["leaves_elsewhere"]
        assert link.startswith("br-")


@HOSTS
def test_a_forged_packet_counts_by_its_reason(deployed: Deployed, stack: Stack, host: str) -> None:
    """A container sends with a foreign source, and the guard drops and counts the packets."""
    lab = deployed.lab.host(host)
    before = _dropped(_view(stack, host))
    lab.run(
        "pid=$(docker inspect -f '{{.State.Pid}}' whoami-web);"
        ' inside="nsenter -t $pid -n"; $inside ip addr add 10.9.9.9/32 dev lo;'
        " for n in 1 2 3; do $inside python3 -c 'import socket\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        's.bind(("10.9.9.9", 0)); s.sendto(b"x", ("198.51.100.1", 9))\'; done;'
        " $inside ip addr del 10.9.9.9/32 dev lo"
    )
    assert _dropped(_view(stack, host)) == before + 3


def _dropped(view: Mapping[str, Any]) -> int:
    [web] = [each for each in view["networks"] if each["name"] == "web"]
    return sum(each["packets"] for each in web["drops"] if each["chain"] == "source-web")


@HOSTS
def test_a_repair_of_the_watcher_is_told(deployed: Deployed, stack: Stack, host: str) -> None:
    """The report names what differed."""
    before = len(_view(stack, host)["repairs"])
    deployed.lab.host(host).run(
        "iptables -t nat -F WANBOUND-SNAT;"
        " for n in $(seq 100); do iptables -t nat -S WANBOUND-SNAT | grep -q SNAT.--to && break;"
        " sleep 0.1; done; wanbound mend"
    )
    repairs = _view(stack, host)["repairs"]
    assert len(repairs) > before
    assert "ipv4" in repairs[-1]["parts"]


def test_the_program_prints_both_hosts(
    deployed: Deployed, stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    """As JSON and as text, with status 0."""
    assert status.print_status(stack, None, as_json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["host"] for each in found["hosts"]] == ["test-1", "test-2"]
    assert status.print_status(stack, None, as_json=False) == 0
    assert "host test-2" in capsys.readouterr().out
    # Fails on any change: the status must have made none.
    deployed.stack.preview("--refresh", "--expect-no-changes")


def test_a_host_that_does_not_answer_is_an_error(stack: Stack) -> None:
    """The other host is read all the same."""
    [first, second] = stack.hosts
    wrong = first.model_copy(update={"ssh": first.ssh.model_copy(update={"port": 1})})
    broken = stack.model_copy(update={"hosts": (wrong, second)})
    found = read(broken, None, lambda _, remote: parse(remote.status()))
    assert [each.found is None for each in found] == [True, False]
    assert "host test-1: " in found[0].error


def test_the_answers_do_not_differ_from_what_nft_counts(deployed: Deployed) -> None:
    """Every rule that has dropped packets is reported, and no other."""
    said = deployed.lab.host("test-1").run(
        "nft list table inet wanbound | grep -c 'counter packets [1-9]' || true; wanbound status"
    )
    count, _, answer = said.stdout.partition("\n")
    drops = parse(answer).drops
    assert drops is not None and len(drops) == int(count)
