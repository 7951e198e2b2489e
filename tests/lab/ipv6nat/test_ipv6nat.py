"""docker-ipv6nat beside wanbound on Docker 20.10: both keep their rules, and every check passes."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from lab.api import RESTART_DOCKER, Host, Lab
from lab.checks import matrix, run
from lab.settings import ROUTER_IPV6
from lab.stacks import Config, LabStack, parsed
from lab.steps import wait_until
from tests.go_module import check_go_module
from tests.lab.ipv6nat.host import IMAGE, STANDIN, bring, config
from tests.lab.ipv6nat.order import first_rule, first_verdict
from tests.lab.modes.networks import asked, seen

PRIVATE = "src net 10.0.0.0/8 or src net 172.16.0.0/12 or src net fc00::/7"

PUBLIC = "2001:db8::70"


@dataclass
class Beside:
    """One host of Docker 20.10 with docker-ipv6nat."""

    lab: Lab
    host: Host
    stack: LabStack
    config: Config

    def wait_for_rules(self) -> None:
        """Wait until it has translated the published ports."""
        wait_until(
            "docker-ipv6nat has its rules",
            lambda: self.host.run("ip6tables-save -t nat").stdout.count(f"-d {PUBLIC}/128") == 2,
            timeout=30,
            every=0.2,
        )


def test_the_stand_in_passes_its_own_checks() -> None:
    """Its tests, `go vet`, and every file as gofmt would write it."""
    check_go_module(STANDIN)


@pytest.fixture(scope="module")
def beside(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beside]:
    """One `up` for all tests."""
    host, _ = lab.hosts.values()
    assert host.docker_version.startswith("20.10.")
    bring(lab, host, tmp_path_factory.mktemp("program"))
    wanted = config(host)
    stack = LabStack.copy(lab, "ipv6nat", wanted, tmp_path_factory.mktemp("ipv6nat"))
    try:
        stack.up()
        found = Beside(lab, host, stack, wanted)
        found.wait_for_rules()
        yield found
    finally:
        stack.destroy()
        # It leaves its chains behind, as the real one does when it is killed.
        host.run(
            f"docker rmi -f {IMAGE}; for table in filter nat; do ip6tables -t $table -F;"
            f" ip6tables -t $table -X; done; {RESTART_DOCKER}",
            check=False,
        )


@pytest.mark.lab
def test_every_acceptance_check_passes(beside: Beside) -> None:
    """All checks of both networks that wanbound translates pass; no private source leaves."""
    with beside.lab.internet.capture(PRIVATE) as capture:
        results = run(beside.lab, matrix(parsed(beside.config, "ipv6nat")))
    assert [str(result) for result in results if not result.ok] == []
    assert len(results) > 40
    assert [str(packet) for packet in capture.packets] == []


@pytest.mark.lab
@pytest.mark.parametrize(("protocol", "port"), [("tcp", 80), ("udp", 3478)])
def test_published_ports_see_the_client(beside: Beside, protocol: str, port: int) -> None:
    """Its purpose: without it the container would see Docker's userland proxy."""
    # Only these two: packets of connections from earlier tests may still arrive.
    with beside.lab.internet.capture(f"host {PUBLIC} and host {ROUTER_IPV6}") as capture:
        assert asked(beside.lab, protocol, PUBLIC, port) == ROUTER_IPV6
    assert {packet.src for packet in capture.packets} == {PUBLIC, ROUTER_IPV6}
    assert seen(beside.host, "posted", 6) == PUBLIC


@pytest.mark.lab
def test_our_rules_stay_first_and_nothing_is_repaired(beside: Beside) -> None:
    """They precede every drop; for eight seconds nothing is repaired or moved."""
    _in_order(beside.host)
    before = _rules(beside.host)
    since = beside.host.run("date +%s").stdout.strip()
    time.sleep(8)
    assert _rules(beside.host) == before
    journal = f"journalctl -u wanbound-watch --since @{since} -o cat"
    assert "repairing" not in beside.host.run(journal).stdout


@pytest.mark.lab
def test_docker_user_is_first_as_with_the_real_one(beside: Beside) -> None:
    """0.4.4 inserts it before isolation, so wanbound's jump is there and not in FORWARD."""
    saved = _rules(beside.host)
    assert first_rule(saved, "filter", "FORWARD") == "-A FORWARD -j DOCKER-USER"
    assert first_rule(saved, "filter", "DOCKER-USER") == "-A DOCKER-USER -j WANBOUND-FORWARD"


@pytest.mark.lab
@pytest.mark.parametrize(
    ("first", "chain"), [("DOCKER-ISOLATION-STAGE-1", "FORWARD"), ("DOCKER-USER", "DOCKER-USER")]
)
def test_in_either_order_what_we_accept_comes_first(beside: Beside, first: str, chain: str) -> None:
    """If isolation precedes DOCKER-USER, wanbound's jump moves to FORWARD; else it moves back."""
    jump = f"FORWARD -j {first}"
    beside.host.run(f"ip6tables -w -D {jump} && ip6tables -w -I {jump}")

    def moved() -> bool:
        jumps = re.findall(r"^-A (\S+) -j WANBOUND-FORWARD$", _rules(beside.host), re.MULTILINE)
        return jumps == [chain] and _quiet(beside.host)

    wait_until(f"our jump is in {chain} alone", moved, timeout=30, every=0.5)
    _in_order(beside.host)
    results = run(beside.lab, matrix(parsed(beside.config, "ipv6nat")))
    assert [str(result) for result in results if not result.ok] == []


@pytest.mark.lab
def test_a_start_of_docker_brings_both_back(beside: Beside) -> None:
    """docker-ipv6nat inserts its rules at the head again; wanbound's precede them again, once."""
    for _ in range(2):
        since = beside.host.run("date +%s").stdout.strip()
        with beside.lab.internet.capture(PRIVATE) as capture:
            beside.host.run(RESTART_DOCKER, timeout=120)
            beside.wait_for_rules()
            wait_until("it is quiet", lambda: _quiet(beside.host), timeout=30, every=0.5)
            _in_order(beside.host)
            assert seen(beside.host, "posted", 6) == PUBLIC
            assert asked(beside.lab, "tcp", PUBLIC, 80) == ROUTER_IPV6
        assert [str(packet) for packet in capture.packets] == []
        said = beside.host.run(f"journalctl -u wanbound-watch --since @{since} -o cat").stdout
        # Docker and every container cause a few bursts; a conflict would repair without end.
        assert said.count("repairing") < 15, said
    results = run(beside.lab, matrix(parsed(beside.config, "ipv6nat")))
    assert [str(result) for result in results if not result.ok] == []


@pytest.mark.lab
def test_a_refresh_finds_nothing(beside: Beside) -> None:
    """docker-ipv6nat's rules are no drift."""
    beside.stack.preview("--refresh", "--expect-no-changes")


@pytest.mark.lab
def test_a_second_ipv6nat_is_refused(
    beside: Beside, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """If one was started manually, the change is refused with an error and starts no second one."""
    host, stack = beside.host, beside.stack
    without = {**beside.config, "hosts": [dict(beside.config["hosts"][0])]}
    del without["hosts"][0]["ipv6nat"]
    stack.configure(without)
    stack.up()
    host.run(
        "docker run -d --name by-hand --cap-add NET_ADMIN --network host"
        f" -v /var/run/docker.sock:/var/run/docker.sock:ro {IMAGE}"
    )
    try:
        changed = {**without["hosts"][0], "confirm_seconds": 31, "ipv6nat": "container"}
        changed["networks"] = [dict(each) for each in changed["networks"]]
        changed["networks"][0]["ingress"] = [{"ports": [80, 443]}]
        stack.configure({**without, "hosts": [changed]})
        refused = stack.up(check=False)
        assert refused.status != 0
        assert "docker-ipv6nat already runs on this host" in refused.output
        # It is detected wherever IPv6 rules are loaded.
        assert "docker-ipv6nat runs here: its rules stay" in refused.output
        assert "ipv6nat" not in host.run("docker ps -a --format '{{.Names}}'").stdout.split()
    finally:
        host.run("docker rm -f by-hand")
    stack.configure(beside.config)
    stack.up()
    beside.wait_for_rules()


@pytest.mark.lab
def test_an_engine_that_does_it_itself_is_refused(
    lab: Lab, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """On Docker 28 it would flush the engine's own chains."""
    _, host = lab.hosts.values()
    wanted = config(host)
    network = wanted["hosts"][0]["networks"][0]
    wanted["hosts"][0]["networks"] = [network]
    # The other host already has the configured addresses.
    network |= {
        "load_balancer": False,
        "public_ipv4": "203.0.113.59",
        "public_ipv6": "2001:db8::59",
    }
    del network["whoami"]
    stack = LabStack.copy(lab, "refused", wanted, tmp_path_factory.mktemp("refused"))
    try:
        refused = stack.up(check=False)
        assert refused.status != 0
        assert "translates IPv6 itself here" in refused.output
        assert "ipv6nat" not in host.run("docker ps -a --format '{{.Names}}'").stdout.split()
    finally:
        stack.destroy()


def _rules(host: Host) -> str:
    return re.sub(r"^[#:].*\n", "", host.run("ip6tables-save").stdout, flags=re.MULTILINE)


def _quiet(host: Host) -> bool:
    before = _rules(host)
    time.sleep(1)
    return _rules(host) == before


def _in_order(host: Host) -> None:
    saved = _rules(host)
    for chain, own in (
        ("PREROUTING", "WANBOUND-DNAT"),
        ("OUTPUT", "WANBOUND-DNAT"),
        ("POSTROUTING", "WANBOUND-SNAT"),
    ):
        assert first_rule(saved, "nat", chain) == f"-A {chain} -j {own}"
    # In whichever chain our jump is, its accepts precede every drop.
    assert first_verdict(saved, "FORWARD").endswith(" -j WANBOUND-FORWARD"), saved
