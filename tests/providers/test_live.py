"""What a host prints, as data; and what it could print instead."""

import time

import pytest

from providers.fragment import fragment
from providers.live import Live, ParseError, parse
from providers.live_rules import live_rules
from tests.providers.drift import in_section, on_both
from tests.providers.fake_host import FakeHost
from tests.providers.samples import HOSTS, captured, samples

SECTIONS = ("addresses", "guard", "routes", "links", "sysctls", "units", "docker")


@on_both
def test_an_answer_that_ends_early_is_refused(host: str) -> None:
    """Cut off after any line, and within the last: what is not there must not pass for gone."""
    lines = captured(host).splitlines(keepends=True)
    for count in range(len(lines)):
        with pytest.raises(ParseError):
            parse("".join(lines[:count]))
    with pytest.raises(ParseError):
        parse(captured(host)[:-1])


@on_both
@pytest.mark.parametrize("section", SECTIONS)
def test_a_part_that_is_missing_or_there_twice_is_refused(host: str, section: str) -> None:
    """Every host runs the script that this version brings."""
    text = captured(host)
    for edited in (
        text.replace(f"== {section}\n", f"== no {section}\n"),
        text.replace(f"== {section}\n", f"== {section}\n== {section}\n"),
        text + f"== {section}\n",
        f"== {section}\n{text}",
    ):
        with pytest.raises(ParseError):
            parse(edited)


def _with(section: str, line: str) -> str:
    text = captured("edge-1")
    return text.replace(f"== {section}\n", f"== {section}\n{line}\n", 1)


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("ipv4 nat", "iptables-save: Permission denied"),
        ("ipv6 filter", "\x00\x01"),
        ("addresses", "3: wan0"),
        ("addresses", r"3: wan0    inet \       valid_lft forever"),
        ("guard", "\tchain forward {"),
        ("guard", "\tmap from {\n\t\telements = { "),
        ("routes", "default via 203.0.113.1 dev wan0"),
        ("links", "wan0"),
        ("links", "wan0 UNKNOWN"),
        ("sysctls", "net.ipv4.ip_forward"),
        ("units", "wanbound.service"),
        ("docker", "web"),
        ("docker", "web 123 - -"),
        ("end", "more"),
    ],
)
def test_a_line_of_no_known_form_is_refused(section: str, line: str) -> None:
    """And the error shows it, in characters that do no harm."""
    with pytest.raises(ParseError) as caught:
        parse(_with(section, line))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Welcome to edge-1!\n== addresses\n== end\n",
        "sh: 1: wanbound: not found\n",
        "== end\n",
        "== addresses\n",
        "\x00\x01\n== end\n",
        "\n" * 2_000_000 + captured("edge-1"),
    ],
)
def test_what_is_no_answer_is_refused(text: str) -> None:
    """Banners and error messages are no state; neither is more than any host has to say."""
    with pytest.raises(ParseError):
        parse(text)


@on_both
def test_a_host_without_docker_or_systemd(host: str) -> None:
    """It says so; the digest of its script it says all the same."""
    text = in_section("docker", lambda _: "\nno docker\n")(captured(host))
    assert parse(text).docker is None
    edit = in_section("units", lambda units: f"{units}no systemd\n")
    live = parse(edit(captured(host)))
    assert live.units is None
    assert live.script == parse(captured(host)).script


def test_a_parameter_with_several_values() -> None:
    """The kernel has tabs between them (net.ipv4.ping_group_range)."""
    live = parse(_with("sysctls", "net.ipv4.tcp_rmem = 4096\t131072\t6291456"))
    assert live.sysctls["net.ipv4.tcp_rmem"] == "4096 131072 6291456"


def test_what_ends_a_line_elsewhere_does_not_here() -> None:
    """A comment may have any of these characters in it."""
    odd = "-A INPUT -m comment --comment \x0b\x0c\x1c\x85\u2028\r -j ACCEPT"
    assert odd in parse(_with("ipv4 filter", odd)).tables["ipv4 filter"]


def test_those_who_read_one_text_share_what_it_says() -> None:
    """A refresh of 100 networks reads it once."""
    assert parse(captured("edge-1")) is parse("".join(captured("edge-1").splitlines(True)))
    first: Live = parse(captured("edge-1"))
    parse(captured("edge-2"))
    assert parse(captured("edge-1")) is first


def test_a_refresh_of_many_networks_takes_no_longer_for_each() -> None:
    """400 networks in twice the time of 200, with room for a busy machine."""
    seconds = {}
    for count in (100, 400):
        host = FakeHost()
        networks = {f"net-{n}": _numbered(n) for n in range(count)}
        host.change({name: fragment(name, name, rules) for name, rules in networks.items()}, [])
        text = host.state()
        started = time.process_time()
        for name, rules in networks.items():
            assert live_rules(name, name, rules, parse(text)) == rules
        seconds[count] = time.process_time() - started
    assert seconds[400] < 10 * seconds[100], seconds


def _numbered(number: int) -> dict[str, dict[str, str]]:
    old = samples()["tst-web"]
    place = f"{number >> 8}.{number & 255}"
    return {
        section: {
            role: line.replace(old.bridge, f"net-{number}")
            .replace("172.29.11.", f"10.{place}.")
            .replace("203.0.113.61", f"198.18.{place}")
            .replace("fd5c:1b2a:77f0:11:", f"fd5c:1b2a:77f0:{number:x}:")
            .replace("2001:db8::61", f"2001:db8::{number + 1:x}")
            for role, line in lines.items()
        }
        for section, lines in old.rules.items()
    }


HUGE = {
    "unknown lines": ("ipv4 nat", "-A WANBOUND-SNAT -s 172.29.11.{} -j SNAT --to-source 10.0.0.1"),
    "unknown rules": ("guard", 'add rule {} "tst-web"'),
    "others' lines": ("ipv4 filter", "-A FORWARD -s 10.0.0.{} -j ACCEPT"),
    "addresses": ("addresses", r"3: wan0    inet 203.0.113.61/{} scope global wan0\       x"),
    "routes": ("routes", "ipv4 default via 10.0.0.{} dev wan0"),
    "networks": ("docker", "tst-web 0123456789ab {} -"),
    "claims": ("fragment tst-mail.rules", "claim subnet 10.0.{}.0/24"),
}


@pytest.mark.parametrize("what", HUGE)
def test_an_answer_of_100000_lines(what: str) -> None:
    """Right or refused, within seconds for all networks."""
    section, line = HUGE[what]
    text = _with(section, "\n".join(line.format(n) for n in range(100_000)))
    started = time.process_time()
    live = parse(text)
    for host in HOSTS:
        for sample in samples(host).values():
            found = live_rules(sample.network, sample.bridge, sample.rules, live)
            assert sum(map(len, (found or {}).values())) < 500
    assert time.process_time() - started < 10
