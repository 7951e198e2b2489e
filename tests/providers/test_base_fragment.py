"""The host's own file: every line of a plan in it once, in the kinds that the host script reads."""

from hypothesis import HealthCheck, given, settings

from planner.base import BasePlan
from planner.config import Stack
from planner.plan import plan
from providers.base_fragment import BASE_NAME, BASE_SECTIONS, base_fragment
from tests.planner import golden
from tests.planner.samples import WEB, only_problem
from tests.planner.strategies import Raw, stacks

SETTINGS = settings(
    max_examples=35, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


def _text(base: BasePlan) -> str:
    return base_fragment({s: getattr(base, s) for s in BASE_SECTIONS}, base.persist)


def test_the_whole_file() -> None:
    """As a reviewer finds it on the host."""
    (host,) = plan(Stack.parse(golden.config("baseline-ipv4"), "test"))
    assert host.base is not None
    lines = _text(host.base).splitlines()
    assert all(line.startswith("# ") for line in lines[:2])
    assert [line for line in lines[2:] if "icmp" not in line] == [
        "sysctl net.ipv4.ip_forward 1",
        "sysctl net.ipv4.conf.eth0/42.rp_filter 2",
        "ipv4 filter -A WANBOUND-INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "ipv4 filter -A WANBOUND-INPUT -i lo -j ACCEPT",
        "ipv4 filter -A WANBOUND-INPUT -p tcp -m tcp --dport 22 -j ACCEPT",
        "ipv4 filter -A WANBOUND-INPUT -j DROP",
        "ipv4 filter -A WANBOUND-FORWARD -i eth0.42"
        " -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP",
        "ipv6 filter -A WANBOUND-INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "ipv6 filter -A WANBOUND-INPUT -s fe80::/10 -p udp -m udp --sport 547 --dport 546"
        " -j ACCEPT",
        "ipv6 filter -A WANBOUND-INPUT -i lo -j ACCEPT",
        "ipv6 filter -A WANBOUND-INPUT -j DROP",
        "ipv6 filter -A WANBOUND-FORWARD -i eth0.42"
        " -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP",
    ]


def test_routes_links_and_options() -> None:
    """The kinds that a host without a filter has."""
    (host,) = plan(Stack.parse(golden.config("baseline"), "test"))
    assert host.base is not None
    lines = _text(host.base).splitlines()
    assert lines[2:5] == [
        "link wan0 up",
        "route ipv4 default via 203.0.113.1 dev wan0",
        "route ipv6 default via fe80::1 dev wan0",
    ]
    assert lines[-1] == "option persist iptables-files"
    assert "option" not in base_fragment({}, None)


@given(stacks())
@SETTINGS
def test_every_line_is_in_it_once(raw: Raw) -> None:
    """And none that the plan does not have; one statement a line, all of it printable."""
    for host in plan(Stack.parse(raw, "any")):
        if host.base is None:
            continue
        lines = _text(host.base).splitlines()
        wanted = [line for s in BASE_SECTIONS for line in getattr(host.base, s).values()]
        found = [line for line in lines if not line.startswith(("# ", "option "))]
        assert len(found) == len(wanted)
        assert all(line.isascii() and line.isprintable() for line in lines)
        for line in wanted:
            assert any(each.endswith(line.replace(" = ", " ")) for each in found)


def test_no_network_can_have_its_name() -> None:
    """Or its fragment would be the host's."""
    problem = only_problem((f"{WEB}.name", BASE_NAME))
    assert 'begins with "_"' in problem.what
