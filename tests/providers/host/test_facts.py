"""The facts that a host prints, as data, and answers that are refused."""

import copy
import json
import time
from collections.abc import Callable
from itertools import product

import pytest

from providers.host.drift import found
from providers.host.facts import Container, ParseError, parse
from providers.host.generation import compose
from providers.host.plan import NOTHING, Plan, to_json
from tests.providers.fake_kernel import BESIDE, Guard, print_rules
from tests.providers.fake_remote import docker_network
from tests.providers.host.site import Site
from tests.providers.samples import HOST, many, plan
from tests.providers.shell import run

LIMIT = 10.0
"""Seconds of this process for one answer, however long it is."""


@pytest.fixture
def text(up: Site) -> str:
    """The answer of a host with every part."""
    up.remote.files["/etc/iptables/rules.v4"] = "*nat\nCOMMIT\n# \udcff"
    return up.remote.facts(drift=True)


def drifts(text: str, wanted: Plan) -> dict[str, object]:
    """Return the drift in an answer. Raises ParseError."""
    facts = parse(text, drift=True)
    known = facts.plan or wanted
    return found(HOST, known, compose(known), facts)


# --- the fake prints what a real host prints -----------------------------------------------------


def test_the_fake_prints_rules_as_the_script_does(up: Site) -> None:
    """Otherwise tests with the fake would prove nothing."""
    odd = "-A POSTROUTING -s 192.0.2.0/24 -j ACCEPT"
    up.remote.chain("POSTROUTING").insert(0, odd)
    up.remote.chain("INPUT", "ipv6").append("-A INPUT -j ACCEPT")
    up.remote.chain("FORWARD", "ipv6").pop(0)
    for each in up.remote.iptables.values():
        empty = copy.deepcopy(each)
        empty.chain("FORWARD").clear()
        for saved, beside in product((each.saved(), empty.saved()), (False, True)):
            stdin = "".join(f"{line}\n" for line in saved)
            program = (
                "newline='\n'\nwork=$(mktemp -d)\ncat >$work/ipv4.saved\n"
                f"printf '%s' '{BESIDE if beside else ''}' >$work/ipv4.rules\n"
                "print_rules $work ipv4\nrm -r $work"
            )
            printed = run(f"\n{program}\n", "onhost/live.sh", stdin=stdin).splitlines()
            assert printed == print_rules(saved, beside=beside)


def test_the_fake_prints_the_guard_as_the_script_does(up: Site) -> None:
    """nft lists maps on several lines."""
    listed = "\n".join(up.remote.table.listed())
    nft = f"nft() {{ cat <<'END'\n{listed}\nEND\n}}"
    program = f"\n{nft}\nwork=$(mktemp -d)\nprint_guard\nrm -r $work\n"
    assert run(program, "onhost/live.sh").splitlines() == up.remote.table.printed()


def test_what_the_fake_took_is_what_it_lists(up: Site) -> None:
    """It lists every rule and element of the generation once."""
    generation = compose(plan())
    guard = Guard.parse(generation.files["guard.nft"])
    assert {k: [x.text for x in v] for k, v in generation.elements.items()} == guard.maps
    for chain, rules in generation.guard.items():
        assert guard.chains[chain] == [x.text for x in rules]


# --- valid answers -------------------------------------------------------------------------------


def test_a_host_with_everything(up: Site, text: str) -> None:
    """Every part is read as data."""
    facts = parse(text, drift=True)
    assert facts.current == up.remote.current
    assert facts.owner == "acme/wanbound/test"
    assert facts.plan == plan()
    assert facts.has_generation
    assert facts.edited == {}
    assert ("wan0", "inet 203.0.113.61/32 scope host wan0") in facts.addresses
    assert ("ipv4", "default via 203.0.113.1 dev wan0 proto static") in facts.routes
    assert facts.links["web"] == "up"
    assert facts.sysctls["net.ipv4.ip_forward"] == "1"
    assert facts.files == {"/etc/iptables/rules.v4": "*nat\nCOMMIT\n# \udcff"}
    assert not any(line.startswith("-A WANBOUND-") for line in facts.others["ipv4"])
    assert "-A POSTROUTING -j WANBOUND-SNAT" in facts.others["ipv4"]
    assert facts.live == facts.loaded
    assert facts.docker is not None
    assert (facts.docker.version, facts.docker.backend) == ("28.5.2", "iptables")
    (web,) = (each for each in facts.docker.networks if each.name == "web")
    assert (web.label, web.bridge) == ("edge-1/web", "web")
    assert web.subnets == ("172.29.11.0/24", "fd5c:1b2a:77f0:11::/64")


def test_a_host_with_nothing_of_ours(site: Site) -> None:
    """Its plan is NOTHING."""
    facts = parse(site.remote.facts(drift=True), drift=True)
    assert (facts.current, facts.owner, facts.plan) == ("none", "", NOTHING)
    assert not facts.has_generation


def test_a_generation_whose_plan_is_gone(up: Site) -> None:
    """Its plan is unknown, not empty: the bridges of the networks may still exist."""
    up.remote.disk[up.remote.current]["plan.json"] = ""
    facts = parse(up.remote.facts(drift=True), drift=True)
    assert facts.has_generation
    assert facts.plan is None


@pytest.mark.parametrize("said", ["docker absent", "docker stopped"])
def test_a_host_whose_docker_does_not_run(up: Site, said: str) -> None:
    """It has no Docker then."""
    up.remote.docker = said
    assert parse(up.remote.facts(drift=True), drift=True).docker is None


def test_a_network_without_options_labels_or_containers(up: Site) -> None:
    """Docker prints null for empty values, and names the bridge after the id."""
    network = docker_network("foo", "x", None)
    for key in ("Options", "Labels", "Containers", "IPAM"):
        network[key] = None
    up.remote.networks = [network]
    docker = parse(up.remote.facts(drift=True), drift=True).docker
    assert docker is not None
    (found,) = docker.networks
    assert found.bridge == f"br-{network['Id'][:12]}"
    assert (found.label, found.subnets, found.containers) == (None, (), ())


def test_a_parameter_with_several_values(up: Site, text: str) -> None:
    """The kernel separates them by tabs (net.ipv4.ping_group_range)."""
    line = "net.ipv4.tcp_rmem = 4096\t131072\t6291456"
    facts = parse(text.replace("== sysctls\n", f"== sysctls\n{line}\n"), drift=True)
    assert facts.sysctls["net.ipv4.tcp_rmem"] == "4096 131072 6291456"


def test_what_ends_a_line_elsewhere_does_not_here(text: str) -> None:
    """A comment may have any of these characters."""
    odd = "-A INPUT -m comment --comment \x0b\x0c\x1c\x85\u2028\r -j ACCEPT"
    facts = parse(text.replace("== others ipv4\n", f"== others ipv4\n{odd}\n"), drift=True)
    assert facts.others["ipv4"][0] == odd


def test_addresses_are_what_matters_of_them(text: str) -> None:
    """Labels, broadcast addresses and lifetimes are left out; a peer is not an address."""
    lines = r"""5: eth1    inet 192.0.2.7/24 brd 192.0.2.255 scope global dynamic eth1:1\       v
6: eth1    inet6 2001:db8::7/128 scope global tentative deprecated dadfailed \       v
7: wg0    inet 10.0.0.1 peer 10.0.0.2/32 scope global wg0\       v
8: eth1    link/ether 02:00:00:00:00:01 brd ff:ff:ff:ff:ff:ff \       v
"""
    facts = parse(text.replace("== addresses\n", f"== addresses\n{lines}"), drift=True)
    assert facts.addresses[:3] == (
        ("eth1", "inet 192.0.2.7/24 scope global eth1"),
        ("eth1", "inet6 2001:db8::7/128 scope global deprecated dadfailed"),
        ("wg0", "inet 10.0.0.1 scope global wg0"),
    )


# --- invalid answers -----------------------------------------------------------------------------


def test_an_answer_that_ends_early_is_refused(text: str) -> None:
    """Cut after any line or within the last: a missing part must not count as gone."""
    lines = text.splitlines(keepends=True)
    for count in range(len(lines)):
        with pytest.raises(ParseError):
            parse("".join(lines[:count]), drift=True)
    with pytest.raises(ParseError):
        parse(text[:-1], drift=True)


SECTIONS = ("generation", "plan", "live guard", "loaded ipv4", "others ipv6", "addresses",
            "routes", "links", "sysctls", "units", "ipv6nat", "docker")  # fmt: skip


@pytest.mark.parametrize("section", SECTIONS)
def test_a_part_that_is_missing_or_there_twice_is_refused(text: str, section: str) -> None:
    """Every host runs the script of this version."""
    for edited in (
        text.replace(f"== {section}\n", f"== no {section}\n"),
        text.replace(f"== {section}\n", f"== {section}\n== {section}\n"),
        text + f"== {section}\n",
        f"== {section}\n{text}",
    ):
        with pytest.raises(ParseError):
            parse(edited, drift=True)


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("generation", "what"),
        ("addresses", "3: wan0"),
        ("addresses", "3: \x1b[2J\x85\u202e"),
        ("addresses", r"3: wan0    inet \       valid_lft forever"),
        ("routes", "default via 203.0.113.1 dev wan0"),
        ("links", "wan0"),
        ("links", "wan0 UNKNOWN"),
        ("sysctls", "net.ipv4.ip_forward"),
        ("units", "wanbound.service"),
        ("docker", "web"),
        ("docker", "docker"),
        ("docker", "docker 28 iptables more"),
        ("docker", "docker 28 iptables"),
        ("end", "more"),
    ],
)
def test_a_line_of_no_known_form_is_refused(text: str, section: str, line: str) -> None:
    """The error quotes it without control characters."""
    with pytest.raises(ParseError) as caught:
        parse(text.replace(f"== {section}\n", f"== {section}\n{line}\n", 1), drift=True)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "said",
    ["", "[", "{}", "null", "3", '["x"]', "[{}]", '[{"Name": "x"}]', "[" * 100_000, "9" * 10_000],
)
def test_networks_that_are_none_are_refused(text: str, said: str) -> None:
    """A running Docker always lists its networks."""
    head, mark, _ = text.partition("docker 28.5.2 iptables\n")
    try:
        docker = parse(f"{head}{mark}{said}\n== end\n", drift=True).docker
    except ParseError as error:
        assert str(error).isprintable()
        assert len(str(error)) < 1000
    else:
        assert said == "{}"
        assert docker is not None
        assert docker.networks == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Welcome to edge-1!\n== addresses\n== end\n",
        "sh: 1: wanbound: not found\n",
        "== end\n",
        "== addresses\n",
        "\x00\x01\n== end\n",
        "\n" * 2_000_000,
    ],
)
def test_what_is_no_answer_is_refused(text: str) -> None:
    """Banners and error messages are not an answer; an answer also has a maximum length."""
    with pytest.raises(ParseError):
        parse(text, drift=True)


PLANS = [
    "null", "[]", "{}", '{"leaving": [1]}', '{"leaving": {}, "stack": 1}', "x", "[" * 100_000,
    '{"leaving": [], "stack": "a", "wan": "b", "networks": [1]}',
    '{"leaving": [], "stack": "a", "wan": "b", "networks": {"x": 1}}',
    '{"leaving": [], "stack": "a", "wan": "b", "networks": {"x": {"owns": []}}}',
    '{"leaving": [], "stack": "a", "wan": "b", "networks": {"x": {"owns": {}, "s": "r"}}}',
    '{"leaving": [], "stack": "a", "wan": "b", "own": {"order": {"s": {"r": 1e999}}}}',
    '{"leaving": [], "stack": "a", "wan": "b", "own": {"order": {"s": {"r": {}}}}}',
    '{"leaving": [], "stack": "a", "wan": "b", "own": 7}',
    '{"leaving": [{"name": ["x"], "owns": {}}], "stack": "a", "wan": "b"}',
    '{"leaving": [{"name": {}, "owns": {}}], "stack": "a", "wan": "b"}',
    '{"leaving": [], "stack": ["a"], "wan": "b"}',
    '{"leaving": [], "stack": "a", "wan": {}}',
    '{"leaving": [], "stack": "a", "wan": "b", "persist": [1]}',
    '{"leaving": [], "stack": "a", "wan": "b", "taken_over": [1]}',
    '{"leaving": [], "stack": "a\\n", "wan": "b"}',
    '{"leaving": [], "stack": "a", "wan": "b\\ud800"}',
    '{"leaving": [], "stack": "a", "wan": "b", "own": {"routes": {"x": "\\u001b[2J"}}}',
    '{"leaving": [], "stack": "a", "wan": "b", "own": {"routes": {"\u202e": "x"}}}',
]  # fmt: skip


@pytest.mark.parametrize("said", PLANS)
def test_a_plan_that_is_none_is_not_known(text: str, said: str) -> None:
    """It was edited: the lines are compared with the program's plan."""
    facts = parse(text.replace(to_json(plan()), f"{said}\n"), drift=True)
    assert facts.plan is None
    drifts(text.replace(to_json(plan()), f"{said}\n"), plan())


# --- how long it takes ---------------------------------------------------------------------------


def _read(site: Site, wanted: Plan) -> None:
    assert site.drift(wanted) == {}


def _took(act: Callable[[Site, Plan], None], site: Site, wanted: Plan) -> float:
    started = time.process_time()
    act(site, wanted)
    return time.process_time() - started


@pytest.mark.parametrize("act", [_read, Site.apply], ids=["read", "change"])
def test_many_networks_take_no_longer_for_each(act: Callable[[Site, Plan], None]) -> None:
    """Sixteen times as many take 16 times as long, or 30 on a busy machine; not 256."""
    seconds = {}
    for count in (30, 480):
        with pytest.MonkeyPatch.context() as patch:
            site, wanted = Site(patch), many(count)
            site.up(wanted)
            seconds[count] = min(_took(act, site, wanted) for _ in range(3))
    assert seconds[480] < 100 * seconds[30], seconds


HUGE = {
    "rules": ("live ipv4", "-A WANBOUND-SNAT -s 172.29.11.{} -j SNAT --to-source 10.0.0.1"),
    "equal rules": ("live ipv4", "-A WANBOUND-SNAT -j ACCEPT"),
    "chains": ("live ipv4", ":WANBOUND-{}"),
    "jumps": ("live ipv4", "jump nat C{} -j WANBOUND-SNAT"),
    "guard chains": ("live guard", "\tchain a{} {{"),
    "elements": ("live guard", "element from {} : accept"),
    "loaded": ("loaded ipv4", "-A WANBOUND-SNAT -s 172.29.11.{} -j SNAT --to-source 10.0.0.1"),
    "others": ("others ipv4", "-A POSTROUTING -s 10.0.0.{} -j ACCEPT"),
    "addresses": ("addresses", r"3: wan0    inet 203.0.113.61/{} scope global wan0\       x"),
    "devices": ("addresses", r"3: a{}    inet 203.0.113.61/32 scope global wan0\       x"),
    "routes": ("routes", "ipv4 default via 10.0.0.{} dev wan0"),
    "links": ("links", "l{} up"),
}


@pytest.mark.parametrize("what", HUGE)
def test_an_answer_of_100000_lines(text: str, what: str) -> None:
    """It is accepted or refused within seconds, and the output stays short enough to read."""
    section, line = HUGE[what]
    lines = "".join(f"{line.format(n)}\n" for n in range(100_000))
    started = time.process_time()
    props = drifts(text.replace(f"== {section}\n", f"== {section}\n{lines}", 1), plan())
    assert len(json.dumps(props)) < 200_000
    assert time.process_time() - started < LIMIT


SHAPES: dict[str, tuple[Callable[[int], int], Callable[[int], int]]] = {
    "pairs": (lambda n: n % 2, lambda n: n // 2 % 2),
    "threes": (lambda n: n % 3, lambda n: -n % 3),
    "equal": (lambda n: 0, lambda n: n % 2),
    "late": (lambda n: 0 if n % 7 else n, lambda n: 0 if n % 5 else -n),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_lines_that_are_hard_to_align(shape: str) -> None:
    """The loaded lines are alike, and the current ones have another order."""
    wanted = many(400)
    with pytest.MonkeyPatch.context() as patch:
        site = Site(patch)
        site.up(wanted)
        count = len(site.remote.chain("WANBOUND-FORWARD"))
        for texts, kind in ((site.remote.loaded["ipv4"], 0), (None, 1)):
            rules = site.remote.chain("WANBOUND-FORWARD") if texts is None else texts
            lines = [f"-A WANBOUND-FORWARD -s {SHAPES[shape][kind](n)}" for n in range(count)]
            rules[:] = [x for x in rules if not x.startswith("-A WANBOUND-FORWARD")] + lines
        text = site.remote.facts(drift=True)
    started = time.process_time()
    assert json.dumps(drifts(text, wanted))
    assert time.process_time() - started < LIMIT


def test_no_control_character_is_shown(up: Site) -> None:
    """A comment, label, route or file may have one, which a terminal would interpret."""
    evil = "\x1b[2J\x07\x85\u202e\r"
    up.remote.chain("WANBOUND-SNAT").insert(0, f"-A WANBOUND-SNAT -m comment --comment {evil}")
    up.remote.chain("INPUT").append(f"-A INPUT -m comment --comment {evil}")
    up.remote.table.chains["source-web"][0] = evil
    up.remote.table.maps["source"].append(f"{evil} : accept")
    up.remote.routes.insert(0, f"ipv4 default {evil}")
    up.remote.sysctls["net.ipv4.ip_forward"] = evil
    up.remote.disk[up.remote.current]["host"] = f"link {evil} up\n"
    up.remote.addresses.append(("x\x1b[2J", "inet 203.0.113.61/32 scope global x"))
    up.remote.units[0] = f"wanbound.service enabled {evil}"
    up.remote.script = f"{evil} x"
    for network in up.remote.networks:
        network["Labels"] = {"wanbound": f"{evil}\n\ud800"}
    drift = up.drift()
    assert len(drift) > 12
    assert all(x.isprintable() for item in drift.items() for x in item if x is not None)


# --- containers ----------------------------------------------------------------------------------


def test_containers_with_their_default_routes(up: Site) -> None:
    """Routes of both families are read as Docker and ip print them."""
    up.remote.containers = [
        '["/shop-app-1","","shop","app"]',
        "ipv4 default via 172.31.0.1 dev eth0",
        "ipv6 default via fd00:0::1 dev eth1 metric 1024 pref medium",
        '["/lb","edge-1/web","",""]',
        "ipv4 default dev tun0 scope link",
    ]
    assert parse(up.remote.facts()).containers == {
        "shop-app-1": Container(
            "shop-app-1", "", "shop", "app", (("ipv4", "172.31.0.1"), ("ipv6", "fd00::1"))
        ),
        "lb": Container("lb", "edge-1/web"),
    }


@pytest.mark.parametrize(
    "line",
    [
        "",
        "shop",
        "{}",
        "[1, 2, 3, 4]",
        '["a", "b", "c"]',
        "[" * 100_000,
        "ipv4 default via 172.31.0.1 dev eth0",
    ],
)
def test_what_is_no_container_is_refused(up: Site, line: str) -> None:
    """The error says so for any line."""
    up.remote.containers = [line]
    with pytest.raises(ParseError, match=r"(not|without) a container: .{0,100}$"):
        parse(up.remote.facts())


def test_what_is_no_gateway_is_refused(up: Site) -> None:
    """The address is invalid."""
    up.remote.containers = ['["/a","","",""]', "ipv4 default via 999.1.1.1 dev eth0"]
    with pytest.raises(ParseError, match="not a gateway: '999"):
        parse(up.remote.facts())
