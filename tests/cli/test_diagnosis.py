"""The doctor's findings about a host: a table of readings with their findings."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from cli import hosts
from cli.diagnosis import Finding, Reading, diagnose
from cli.doctor import print_findings
from planner.config import Stack
from planner.plan import plan
from providers.engine.state import EngineState
from providers.errors import HostError
from providers.host.doctor import Inspection, Listener
from providers.host.facts import STOPPED, Docker, DockerNetwork, Facts
from providers.host.plan import NOTHING
from tests.planner.samples import HOST, MAIL, edited
from tests.providers.host.test_doctor import ANSWER

INSPECTION = Inspection(
    programs=frozenset(
        {"awk", "conntrack", "curl", "docker", "dockerd", "flock", "ip", "ip6tables", "iptables"}
        | {"nft", "ss", "systemd"}
    ),
    firewalls=frozenset(),
    listeners=(),
    sysctls={
        "net/ipv4/ip_forward": "1",
        "net/ipv4/conf/all/rp_filter": "0",
        "net/ipv4/conf/wan0/rp_filter": "1",
        "net/ipv6/conf/all/forwarding": "1",
        "net/ipv6/conf/all/disable_ipv6": "0",
        "net/ipv6/conf/wan0/accept_ra": "1",
    },
    routes=(
        ("ipv4", "default via 203.0.113.1 dev wan0 proto static "),
        ("ipv6", "default via fe80::1 dev wan0 proto static metric 1024 pref medium"),
    ),
)

FACTS = Facts(
    current="none",
    owner="",
    version="",
    plan=NOTHING,
    edited={},
    live={},
    loaded={},
    owned_table="",
    others={"ipv4": (), "ipv6": ()},
    addresses=(("wan0", "inet 203.0.113.2/24 scope global wan0"),),
    routes=(),
    links={"lo": "up", "wan0": "up"},
    renamed={},
    sysctls={},
    units={},
    script=None,
    ipv6nat=False,
    files={},
    docker=Docker("28.5.2", "iptables", ()),
    containers={},
)

ENGINE = EngineState(
    version="28.5.2",
    programs=INSPECTION.programs,
    apparmor=False,
    runs=True,
    config="",
    doing="",
    info={"ServerVersion": "28.5.2", "ContainersRunning": 2},
    containers=(("always", "shop"), ("no", "job")),
    file=None,
    record=None,
)

READING = Reading(0.4, INSPECTION, FACTS)


def _found(reading: Reading, *changes: tuple[str, object]) -> list[Finding]:
    """Return the findings about edge-1; only problems and warnings have a fix."""
    stack = Stack.parse(edited(*changes), "any")
    found = list(diagnose(stack, plan(stack)[0], reading))
    assert all(bool(each.fix) == (each.level != "ok") for each in found), found
    return found


def _bad(reading: Reading, *changes: tuple[str, object]) -> list[Finding]:
    return [each for each in _found(reading, *changes) if each.level != "ok"]


def _host(**values: object) -> Reading:
    inspection = replace(INSPECTION, **values)  # type: ignore[arg-type]  # fields of it
    return replace(READING, inspection=inspection)


def _facts(**values: object) -> Reading:
    facts = replace(FACTS, **values)  # type: ignore[arg-type]  # fields of it
    return replace(READING, facts=facts)


def _sysctl(key: str, value: str) -> Reading:
    return _host(sysctls={**INSPECTION.sysctls, key: value})


def _without(*programs: str) -> Reading:
    return _host(programs=INSPECTION.programs - set(programs))


def _listens(protocol: str, port: int, program: str, *versions: int) -> Reading:
    return _host(listeners=(Listener(protocol, port, versions, program),))


def _docker_network(name: str, subnet: str, label: str | None = None) -> Reading:
    network = DockerNetwork(name, "1" * 64, label, "br-1111", (subnet,))
    return _facts(docker=Docker("28.5.2", "iptables", (network,)))


def test_a_host_where_all_is_well_has_no_bad_line() -> None:
    """Each subject has a line with level ok."""
    found = _found(READING)
    assert {each.level for each in found} == {"ok"}
    text = "\n".join(each.what for each in found)
    for subject in ("SSH", "Docker 28.5.2", "programs", "firewall", "forwarding", "rp_filter",
                    "no port", "addresses, subnets"):  # fmt: skip
        assert subject in text


def test_the_dialect_decides_which_engine_and_which_programs_are_right() -> None:
    """Docker with nftables needs no iptables if the host uses nftables; otherwise it is refused."""
    docker = Docker("29.3.0", "nftables", ())
    inspection = replace(INSPECTION, programs=INSPECTION.programs - {"iptables", "ip6tables"})
    reading = replace(READING, inspection=inspection, facts=replace(FACTS, docker=docker))
    assert _bad(reading, (f"{HOST}.firewall", "nftables")) == []
    refused = _bad(replace(READING, facts=replace(FACTS, docker=docker)))
    assert [each.level for each in refused] == ["problem"]
    assert "firewall: nftables" in refused[0].fix
    # A mismatch that `up` corrects before any other change is not a problem.
    back = (f"{HOST}.engine", {"firewall_backend": "iptables"})
    engine = replace(ENGINE, version="29.3.0")
    again = replace(reading, inspection=INSPECTION, engine=engine)
    assert {each.level for each in _bad(again, back)} <= {"warning"}


def test_curl_is_missed_by_the_egress_check_alone() -> None:
    """With `verify`, an `up` would end with an error."""
    without = _without("curl")
    assert _bad(without) == []
    echo = {"ipv4": "http://198.51.100.1/", "ipv6": "http://[2001:db8:ffff::1]/"}
    [finding] = _bad(without, ("verify", True), ("echo", echo))
    assert (finding.level, finding.fix) == ("problem", "run `apt-get install curl` on the host")
    assert _bad(READING, ("verify", True), ("echo", echo)) == []


def test_conflicts_are_found_beside_docker_with_nftables_too() -> None:
    """A subnet in use by another network is a conflict with nftables too."""
    network = DockerNetwork("shop", "1" * 64, None, "br-1111", ("172.20.0.0/16",))
    docker = Docker("29.3.0", "nftables", (network,))
    reading = replace(READING, facts=replace(FACTS, docker=docker))
    bad = _bad(reading, (f"{HOST}.firewall", "nftables"))
    assert [each for each in bad if "Docker network shop" in each.what], bad


def test_tables_of_a_docker_that_is_stopped_are_no_docker() -> None:
    """The finding is to start it, as without tables."""
    docker = Docker(STOPPED, "nftables", ())
    bad = _bad(replace(READING, facts=replace(FACTS, docker=docker)))
    assert [each.what for each in bad] == ["Docker does not run"]


RA = ("ipv6", "default via fe80::1 dev wan0 proto ra metric 1024 expires 1799sec")

WRONG: dict[str, tuple[Reading, str, str]] = {
    "a login that takes longer than the confirmation": (
        replace(READING, seconds=31), "problem", "every change would be rolled back"),
    "a login that is slow": (replace(READING, seconds=11), "warning", "slower connection"),
    "an engine that is too old": (
        _facts(docker=Docker("19.03.1", "iptables", ())), "problem", "older than 20.10"),
    "an engine that is stopped": (_facts(docker=None), "problem", "Docker does not run"),
    "a missing nft": (_without("nft"), "problem", "nft is missing (Debian package nftables)"),
    "a missing iptables": (
        _without("iptables", "ip6tables"), "problem", "iptables, ip6tables is missing"),
    "a missing flock": (_without("flock"), "problem", "Debian package util-linux"),
    "a missing conntrack": (_without("conntrack"), "warning", "keep their old address"),
    "no systemd": (_without("systemd"), "warning", "rules are not loaded at boot"),
    "ufw": (_host(firewalls=frozenset({"ufw"})), "warning", "`ufw deny` has no effect"),
    "firewalld": (_host(firewalls=frozenset({"firewalld"})), "warning", "firewalld is active"),
    "fail2ban": (_host(firewalls=frozenset({"fail2ban"})), "warning", "fail2ban is active"),
    "nftables.conf": (
        _host(firewalls=frozenset({"nftables.conf"})), "warning", "has `flush ruleset`"),
    "forwarding that is off": (
        _sysctl("net/ipv4/ip_forward", "0"), "warning", "off (net.ipv4.ip_forward)"),
    "forwarding of IPv6 that is off": (
        _sysctl("net/ipv6/conf/all/forwarding", "0"), "warning", "net.ipv6.conf.all.forwarding"),
    "IPv6 that is turned off": (
        _sysctl("net/ipv6/conf/all/disable_ipv6", "1"), "problem", "IPv6 turned off"),
    "a route by advertisement": (
        _host(routes=(INSPECTION.routes[0], RA)), "problem", "would lose its IPv6 default route"),
    "a strict filter and another uplink": (
        _host(routes=(("ipv4", "default via 192.0.2.1 dev wan01"), INSPECTION.routes[1])),
        "problem",
        "IPv4 default route does not use wan0: default via 192.0.2.1 dev wan01",
    ),
    "another uplink of IPv6": (
        _host(routes=(INSPECTION.routes[0], ("ipv6", "default via fe80::1 dev wan1"))),
        "warning",
        "IPv6 default route does not use wan0",
    ),
    "no default route": (
        _host(routes=(INSPECTION.routes[0],)),
        "warning",
        "there is no default route for IPv6",
    ),
    "an udp port at every address": (
        _listens("udp", 53, "named", 4, 6), "warning",
        "udp port 53 (named) listens at every address, and so at 203.0.113.10, 2001:db8::10"),
    "another stack's host": (
        _facts(owner="organization/wanbound/other"), "problem", "belongs to stack"),
    "a stack of that name in another project": (
        _facts(owner="organization/other/any"), "problem", "to stack organization/other/any"),
    "a login that may not use Docker": (
        _host(denied="deploy"), "problem", "deploy (ssh.user) may not use Docker"),
    "no such interface": (
        _facts(links={"lo": "up", "eth0": "up"}), "problem", "no interface wan0: it has eth0, lo"),
    "an interface that is down": (_facts(links={"wan0": "down"}), "warning", "wan0 is down"),
    "a subnet in use": (
        _docker_network("shop", "172.20.0.0/16"), "problem", "Docker network shop"),
    "a network of that name": (
        _docker_network("web", "172.31.0.0/16"), "problem", "there is a Docker network web"),
    "an address in use": (
        _facts(addresses=(("wan0", "inet 203.0.113.10/24 scope global wan0"),)), "problem",
        "203.0.113.10 is the host's own already"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_has_a_line_and_what_to_do(name: str) -> None:
    """All findings are about this."""
    reading, level, words = WRONG[name]
    bad = _bad(reading)
    assert [each for each in bad if each.level == level and words in each.what], bad
    assert {each.level for each in bad} == {level}


FINE: dict[str, Reading] = {
    "a tcp port that goes to the load balancer": _listens("tcp", 22, "sshd", 4, 6),
    "no ip6tables, on a host of IPv4 alone": _without("ip6tables"),
    "a route by advertisement that is kept": _host(
        routes=(INSPECTION.routes[0], RA),
        sysctls={**INSPECTION.sysctls, "net/ipv6/conf/wan0/accept_ra": "2"},
    ),
    "this stack's host": _facts(owner="organization/wanbound/any"),
    "our own Docker network": _docker_network("web", "172.20.1.0/24", "edge-1/web"),
}

ONLY_IPV4 = [{"name": "web", "public_ipv4": "203.0.113.10", "subnet_ipv4": "172.20.1.0/24"}]


@pytest.mark.parametrize("name", FINE)
def test_what_does_no_harm_is_no_finding(name: str) -> None:
    """Needless warnings would be ignored."""
    changes = [(f"{HOST}.networks", ONLY_IPV4)] if "IPv4 alone" in name else []
    assert _bad(FINE[name], *changes) == []


BASELINE = (f"{HOST}.baseline", {"ssh_from": ["198.51.100.0/24"]})


def test_a_baseline_takes_care_of_parameters_and_ports() -> None:
    """It turns on forwarding, keeps the route, and closes ports that listen at every address."""
    reading = _host(
        routes=(INSPECTION.routes[0], RA),
        sysctls={**INSPECTION.sysctls, "net/ipv4/ip_forward": "0"},
        listeners=(Listener("udp", 53, (4, 6), "named"),),
    )
    assert len(_bad(reading)) == 3
    assert _bad(reading, BASELINE) == []


def test_a_port_that_docker_publishes_is_found_beside_a_baseline() -> None:
    """A baseline filters what comes to the host itself, and not what Docker forwards."""
    for changes in ([], [BASELINE]):
        [finding] = _bad(_listens("udp", 53, "docker-proxy", 4, 6), *changes)
        assert finding.what.endswith(
            "and so at 203.0.113.10, 2001:db8::10, 203.0.113.20, 2001:db8::20"
        )
        assert '("HOST-ADDRESS:53:CONTAINER-PORT/udp" in the compose file)' in finding.fix
        assert finding.fix.endswith("; baseline does not close ports that Docker publishes")


def test_the_group_docker_is_created_where_docker_is_not_installed() -> None:
    """Its package creates it later."""
    [finding] = _bad(_host(denied="deploy"))
    assert finding.fix.endswith("docker: `usermod -aG docker deploy` as root on the host")
    reading = _host(denied="deploy", programs=INSPECTION.programs - {"dockerd"})
    fixes = [each.fix for each in _bad(replace(reading, facts=replace(FACTS, docker=None)))]
    assert any("`groupadd -rf docker && usermod -aG docker deploy`" in each for each in fixes)


def test_the_owner_is_told_with_its_organization() -> None:
    """`up` compares the full name; which organization a stack is in only its backend knows."""
    what = [each.what for each in _found(_facts(owner="acme/wanbound/any"))]
    assert any(
        each.startswith("the host belongs to stack acme/wanbound/any") and each.endswith(" acme")
        for each in what
    )
    assert not any("belongs to" in each.what for each in _found(READING))


def test_what_cannot_be_read_is_a_warning_and_not_ok() -> None:
    """Neither "no port answers" nor "no other firewall is active" is reported."""
    for reading, words in (
        (_host(listeners=None), "`ss` is missing or fails"),
        (_host(firewalls=frozenset({"ufw unreadable"})), "`ufw status` fails"),
    ):
        [finding] = _bad(reading)
        assert (finding.level, words in finding.what) == ("warning", True)
        text = "\n".join(each.what for each in _found(reading))
        assert ("no port of the host" in text) == (reading.inspection.listeners is not None)
        assert ("no other firewall" in text) == (not reading.inspection.firewalls)


def test_an_address_that_a_network_shares_with_the_host_is_meant_to_answer() -> None:
    """The host's own ports already answered there."""
    shared = [
        (f"{HOST}.networks", [{**ONLY_IPV4[0], "manage_addresses": False, "mode": "snat"}]),
        (f"{HOST}.ssh.address", "203.0.113.10"),
    ]
    assert _bad(_listens("tcp", 22, "sshd", 4), *shared) == []


def test_a_route_that_the_up_sets_is_no_finding() -> None:
    """With both gateways in the file, the host's current routes do not matter."""
    gateways = {"interface": "wan0", "gateway_ipv4": "203.0.113.1", "gateway_ipv6": "fe80::1"}
    reading = _host(routes=(RA,))
    assert len(_bad(reading)) == 2
    assert _bad(reading, (f"{HOST}.wan", gateways)) == []


def test_a_port_that_docker_is_to_publish_is_taken() -> None:
    """Mode masquerade: the container would not start."""
    changes = [
        (f"{MAIL}.mode", "masquerade"),
        (f"{MAIL}.load_balancer", False),
        (f"{MAIL}.containers.0.ports", [25]),
    ]
    [finding] = _bad(_listens("tcp", 25, "master", 4), *changes)
    assert finding.level == "problem"
    assert finding.what.endswith("Docker cannot publish it at 203.0.113.20")
    # docker-proxy is Docker's own, for a port that is published already.
    assert _bad(_listens("tcp", 25, "docker-proxy", 4), *changes) == []


def test_a_network_that_may_be_taken_over_is_a_warning() -> None:
    """A preview reports whether it is the same."""
    [finding] = _bad(_docker_network("web", "172.20.1.0/24"), (f"{HOST}.adopt", True))
    assert finding.level == "warning"
    assert "Docker network web exists" in finding.what


def test_facts_that_cannot_be_read_are_a_problem_of_their_own() -> None:
    """For example if Docker does not answer; all other findings are reported."""
    error = HostError("edge-1", "Docker gave no answer", "as it was", "check `docker info`")
    [finding] = _bad(replace(READING, facts=error))
    assert (finding.level, finding.fix) == ("problem", "check `docker info`")
    assert "Docker gave no answer" in finding.what


# --- engine --------------------------------------------------------------------------------------

MIRROR = (f"{HOST}.engine", {"registry_mirrors": ["https://mirror.example.com"]})
LOGS = (f"{HOST}.engine", {"settings": {"log-driver": "journald"}})
INSTALL = (f"{HOST}.engine", {"install": True})


def test_a_restart_ahead_is_a_warning_that_says_what_stops() -> None:
    """A reload gives no warning."""
    reading = replace(READING, engine=ENGINE)
    assert _bad(reading, MIRROR) == []
    [finding] = _bad(reading, LOGS)
    assert finding.level == "warning"
    assert "2 containers stop and start again, but job stays stopped" in finding.what


def test_an_engine_that_cannot_be_set_is_a_problem() -> None:
    """The finding has the text of the change's error."""
    broken = replace(READING, engine=replace(ENGINE, file="{"))
    [finding] = _bad(broken, LOGS)
    assert finding.level == "problem"
    assert "/etc/docker/daemon.json" in finding.what
    error = HostError("edge-1", "no answer", "as it was", "look")
    assert [each.level for each in _bad(replace(READING, engine=error), LOGS)] == ["problem"]


def test_what_is_installed_by_the_up_is_no_problem() -> None:
    """Only with engine.install and apt-get."""
    lacking = {"dockerd", "docker", "nft", "conntrack"}
    programs = INSPECTION.programs - lacking
    bare = replace(_facts(docker=None), inspection=replace(INSPECTION, programs=programs))
    assert {each.level for each in _bad(bare)} == {"problem", "warning"}
    with_apt = replace(bare, inspection=replace(INSPECTION, programs=programs | {"apt-get"}))
    engine = replace(ENGINE, version=None, runs=False, programs=programs | {"apt-get"}, info={})
    assert _bad(replace(with_apt, engine=engine), INSTALL) == []


# --- what is printed -----------------------------------------------------------------------------


class _Remote:
    def __init__(self, answer: str) -> None:
        self._answer = answer

    def close(self) -> None:
        """There is nothing to close."""

    def doctor(self, wan: str) -> str:
        assert wan == "wan0"
        return self._answer

    def facts(self) -> str:
        raise HostError("edge-1", "\x1b[2Jno answer", "as it was", "look")


Say = Callable[[str], None]


@pytest.fixture(name="answer")
def _answer(monkeypatch: pytest.MonkeyPatch) -> Say:
    """Sets the answer of every host."""

    def say(text: str) -> None:
        monkeypatch.setattr(hosts, "connect", lambda host, secrets: _Remote(text))

    return say


def test_each_finding_is_one_line_and_the_worst_is_the_exit_status(
    answer: Say, capsys: pytest.CaptureFixture[str]
) -> None:
    """No text from the host reaches the terminal in another form."""
    answer(ANSWER)
    stack = Stack.parse(edited(), "any")
    assert print_findings(stack, "edge-1") == 2
    head, *lines = capsys.readouterr().out.splitlines()
    assert head == "host edge-1"
    assert all(line.split()[0] in ("ok", "warning", "problem") for line in lines)
    assert any("its state cannot be read: \\x1b[2Jno answer. Fix: look" in line for line in lines)
    assert any(line.startswith("  warning ufw is active") for line in lines)


@pytest.mark.parametrize(("level", "status"), [("ok", 0), ("warning", 1), ("problem", 2)])
def test_the_exit_status_is_that_of_the_worst(
    answer: Say, monkeypatch: pytest.MonkeyPatch, level: str, status: int
) -> None:
    """CI uses it."""
    answer(ANSWER)
    found = (Finding("ok", "a"), Finding(level, "b", "c"), Finding("ok", "d"))  # type: ignore[arg-type]  # it is one of three
    monkeypatch.setattr("cli.doctor.diagnose", lambda stack, host, reading: found)
    assert print_findings(Stack.parse(edited(), "any"), None) == status


def test_a_host_that_cannot_be_read_is_a_problem(
    answer: Say, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit status is 2, as for anything that would stop the up."""
    answer("welcome\n")
    assert print_findings(Stack.parse(edited(), "any"), "edge-1") == 2
    out = capsys.readouterr().out
    assert "problem host edge-1: unexpected text before the first section" in out
