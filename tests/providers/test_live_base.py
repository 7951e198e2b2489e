"""What a refresh makes of the host itself: captured from real hosts, then changed in one place."""

import re

import pytest

from providers.base_fragment import BASE_NAME, BASE_SECTIONS, base_fragment
from providers.fragment import digest
from providers.live import parse
from providers.live_base import live_base
from tests.providers.drift import Edit, drift_of, in_section, on_both, replacing, without
from tests.providers.samples import RuleMaps, base, captured, samples

JUMP = "-A INPUT -j WANBOUND-INPUT"


def base_drift(host: str, edit: Edit) -> dict[tuple[str, str], str | None]:
    """Return the drift of the host itself after `edit`; no network of it may have any."""
    text = edit(captured(host))
    assert text != captured(host), "the edit changed nothing"
    for name, sample in samples(host).items():
        assert drift_of(sample, text) == {}, name
    found = _found(host, text)
    again = live_base(found, None, parse(text), digest(base_fragment(base(host), None)))
    assert again is not None
    assert not any(role.count("drift") > 1 for lines in again.values() for role in lines)
    return {
        (section, role): found[section].get(role)
        for section, wanted in base(host).items()
        for role in sorted(wanted.keys() | found[section].keys())
        if found[section].get(role) != wanted.get(role)
    }


def _found(host: str, text: str) -> RuleMaps:
    found = live_base(base(host), None, parse(text))
    assert found is not None
    assert tuple(found) == BASE_SECTIONS
    return found


@on_both
def test_a_host_as_it_was_left_has_no_drift(host: str) -> None:
    """The planner's text is what ip, sysctl and iptables-save print, in all of their versions."""
    assert _found(host, captured(host)) == base(host)


# --- routes --------------------------------------------------------------------------------------


def _route(version: int, host: str) -> str:
    (line,) = re.findall(rf"\n(ipv{version} default .*)\n", captured(host))
    return str(line)


@on_both
@pytest.mark.parametrize("version", [4, 6])
def test_the_default_route_is_gone(host: str, version: int) -> None:
    """Its role is gone."""
    drift = base_drift(host, without(_route(version, host)))
    assert drift == {("routes", f"ipv{version}"): None}


@on_both
@pytest.mark.parametrize("version", [4, 6])
def test_the_default_route_goes_elsewhere(host: str, version: int) -> None:
    """Another gateway, or another interface: the line that is there."""
    line = _route(version, host)
    for old, new in ((r"via \S+", f"via {'203.0.113.9' if version == 4 else 'fe80::9'}"),
                     ("dev wan0", "dev host0")):  # fmt: skip
        other = re.sub(old, new, line)
        drift = base_drift(host, replacing(f"\n{line}\n", f"\n{other}\n"))
        assert drift == {("routes", f"ipv{version}"): other.split(" ", 1)[1].strip()}


@on_both
@pytest.mark.parametrize("version", [4, 6])
def test_another_default_route(host: str, version: int) -> None:
    """Before ours it takes all packets; behind it, with a higher metric, it is nobody's matter."""
    line = _route(version, host)
    gateway = "203.0.113.9" if version == 4 else "fe80::9"
    other = f"ipv{version} default via {gateway} dev host0 proto dhcp metric 1"
    drift = base_drift(host, replacing(f"\n{line}\n", f"\n{other}\n{line}\n"))
    assert drift == {("routes", f"drift ipv{version} 1"): other.split(" ", 1)[1]}
    behind = replacing(f"\n{line}\n", f"\n{line}\n{other.replace('metric 1', 'metric 9000')}\n")
    assert base_drift(host, behind) == {}


@on_both
def test_who_set_a_route_does_not_matter(host: str) -> None:
    """Only where it goes: metric, protocol and flags are the affair of whoever set it."""
    line = _route(4, host)
    other = "ipv4 default via 203.0.113.1 dev wan0 proto dhcp src 203.0.113.101 metric 100 onlink"
    assert base_drift(host, replacing(f"\n{line}\n", f"\n{other} \n")) == {}
    nearly = "ipv4 default via 203.0.113.1 dev wan01 "
    drift = base_drift(host, replacing(f"\n{line}\n", f"\n{nearly}\n"))
    assert drift == {("routes", "ipv4"): "default via 203.0.113.1 dev wan01"}


@on_both
def test_a_route_with_several_next_hops(host: str) -> None:
    """It is one route, printed on several lines (ip-route(8))."""
    line = _route(4, host)
    hops = "nexthop via 203.0.113.1 dev wan0 weight 1", "nexthop via 10.98.0.1 dev host0 weight 1"
    text = "ipv4 default \n" + "\n".join(f"ipv4 \t{hop} " for hop in hops)
    drift = base_drift(host, replacing(f"\n{line}\n", f"\n{text}\n"))
    assert drift == {("routes", "ipv4"): " ".join(["default", *hops])}


# --- links and kernel parameters -----------------------------------------------------------------


@on_both
def test_the_link_is_down_or_gone(host: str) -> None:
    """`ip link set wan0 down`; a card that was taken out."""
    drift = base_drift(host, in_section("links", replacing("wan0 up", "wan0 down")))
    assert drift == {("link", "wan0"): "wan0 down"}
    drift = base_drift(host, in_section("links", without("wan0 up")))
    assert drift == {("link", "wan0"): None}


@on_both
def test_a_kernel_parameter_that_was_turned(host: str) -> None:
    """The line as sysctl prints it now."""
    for role, line in base(host)["sysctls"].items():
        turned = re.sub(r"\d$", "7", line)
        drift = base_drift(host, in_section("sysctls", replacing(line, turned)))
        assert drift == {("sysctls", role): turned}


@on_both
def test_a_kernel_parameter_that_is_gone(host: str) -> None:
    """With its interface, for one."""
    line = base(host)["sysctls"]["rp_filter"]
    drift = base_drift(host, in_section("sysctls", without(line)))
    assert drift == {("sysctls", "rp_filter"): None}


@on_both
def test_a_parameter_that_the_host_was_not_asked_for(host: str) -> None:
    """Its line was taken out of the file: that is said, and nothing about the parameter."""
    line = base(host)["sysctls"]["rp_filter"]
    written = f"sysctl {line.replace(' = ', ' ')}"

    def edit(text: str) -> str:
        return without(written)(in_section("sysctls", without(line))(text))

    assert base_drift(host, edit) == {
        ("link", "drift file"): "/etc/wanbound/_host.rules was edited",
        ("link", "drift file 1"): f"lacks: {written}",
    }


# --- the filter ----------------------------------------------------------------------------------

SECTIONS = pytest.mark.parametrize("version", [4, 6])


def _in_filter(version: int, edit: Edit) -> Edit:
    return in_section(f"ipv{version} filter", edit)


@on_both
@SECTIONS
def test_an_input_line_is_gone(host: str, version: int) -> None:
    """Its role is gone, and no network hears of it."""
    line = base(host)[f"input_ipv{version}"]["open udp 51820"]
    drift = base_drift(host, _in_filter(version, without(line)))
    assert drift == {(f"input_ipv{version}", "open udp 51820"): None}


@on_both
@SECTIONS
def test_an_input_line_was_edited(host: str, version: int) -> None:
    """Its role has the line that is there."""
    line = base(host)[f"input_ipv{version}"]["open udp 51820"]
    edited = line.replace("51820", "53")
    drift = base_drift(host, _in_filter(version, replacing(f"\n{line}\n", f"\n{edited}\n")))
    assert drift == {(f"input_ipv{version}", "open udp 51820"): edited}


@on_both
@SECTIONS
def test_an_input_line_that_nobody_applied(host: str, version: int) -> None:
    """Whatever it is about, also a network's own address: this chain is the host's alone."""
    strangers = base(host)[f"input_ipv{version}"]["strangers"]
    public = samples(host)["tst-web"].rules["addresses"][f"wan0 ipv{version}"].split()[1]
    for line in ("-A WANBOUND-INPUT -j ACCEPT", f"-A WANBOUND-INPUT -d {public} -j ACCEPT",
                 "-A WANBOUND-INPUT -i tst-web -j ACCEPT"):  # fmt: skip
        edit = _in_filter(version, replacing(f"\n{strangers}\n", f"\n{line}\n{strangers}\n"))
        assert base_drift(host, edit) == {(f"input_ipv{version}", "drift 1"): line}


@on_both
@SECTIONS
def test_input_lines_in_another_order(host: str, version: int) -> None:
    """The drop in front of everything shuts the operator out, though all lines are there."""
    lines = base(host)[f"input_ipv{version}"]
    first, last = min(lines.items())[1], lines["strangers"]

    def edit(text: str) -> str:
        text = _in_filter(version, without(last))(text)
        return _in_filter(version, replacing(f"\n{first}\n", f"\n{last}\n{first}\n"))(text)

    drift = base_drift(host, edit)
    assert drift == {(f"input_ipv{version}", "drift order WANBOUND-INPUT"): f"too early: {last}"}


@on_both
@SECTIONS
def test_the_jump_to_input(host: str, version: int) -> None:
    """Once, and last: gone, there twice, and with a rule behind it."""
    where = (f"input_ipv{version}", "drift jump INPUT")
    drift = base_drift(host, _in_filter(version, without(JUMP)))
    assert drift == {where: f"{JUMP} is gone"}
    twice = replacing(f"\n{JUMP}\n", f"\n{JUMP}\n{JUMP}\n")
    assert base_drift(host, _in_filter(version, twice)) == {where: f"{JUMP} is there 2 times"}
    other = "-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT"
    behind = replacing(f"\n{JUMP}\n", f"\n{JUMP}\n{other}\n")
    assert base_drift(host, _in_filter(version, behind)) == {
        where: f"{JUMP} is not the last rule",
        (where[0], f"{where[1]} before"): other,
    }
    before = replacing(f"\n{JUMP}\n", f"\n{other}\n{JUMP}\n")
    assert base_drift(host, _in_filter(version, before)) == {}


@on_both
@SECTIONS
def test_the_forward_line(host: str, version: int) -> None:
    """Gone, edited: it stands in a chain of the networks, and is the host's matter all the same."""
    section = f"forward_ipv{version}"
    (line,) = base(host)[section].values()
    drift = base_drift(host, _in_filter(version, without(line)))
    assert drift == {(section, "strangers"): None}
    edited = line.replace("-j DROP", "-j ACCEPT")
    drift = base_drift(host, _in_filter(version, replacing(f"\n{line}\n", f"\n{edited}\n")))
    assert drift == {(section, "strangers"): edited}


@on_both
def test_a_line_of_nobody_in_the_networks_chain(host: str) -> None:
    """It lets strangers in, so it is the host's drift, too."""
    (line,) = base(host)["forward_ipv4"].values()
    other = "-A WANBOUND-FORWARD -j ACCEPT"
    text = _in_filter(4, replacing(f"\n{line}\n", f"\n{other}\n{line}\n"))(captured(host))
    assert _found(host, text)["forward_ipv4"] == {"strangers": line, "drift 1": other}


@on_both
def test_a_network_without_its_file_is_not_the_hosts_matter(host: str) -> None:
    """Its lines are still in force, in the chain in which the host has one, too."""
    text = replacing(f"== fragment tst-web.rules\n{samples(host)['tst-web'].fragment}", "")
    assert _found(host, text(captured(host))) == base(host)


# --- the file ------------------------------------------------------------------------------------


@on_both
def test_the_file_was_edited(host: str) -> None:
    """By line: what it lacks, and what it has instead."""
    drift = base_drift(host, replacing("\nlink wan0 up\n", "\nlink wan0 down\n"))
    assert drift == {
        ("link", "drift file"): "/etc/wanbound/_host.rules was edited",
        ("link", "drift file 1"): "lacks: link wan0 up",
        ("link", "drift file 2"): "has: link wan0 down",
    }


@on_both
def test_the_file_is_gone(host: str) -> None:
    """Its lines are in force until the next boot, and still nobody else's."""
    text = base_fragment(base(host), None)
    drift = base_drift(host, replacing(f"== fragment {BASE_NAME}.rules\n{text}", ""))
    assert drift == {("link", "drift file"): "/etc/wanbound/_host.rules is gone"}


@on_both
def test_persist_is_a_part_of_the_file(host: str) -> None:
    """Only there: what is put for it is another file than without."""
    live = parse(captured(host))
    found = live_base(base(host), "iptables-files", live)
    assert found is not None
    assert found["link"]["drift file 1"] == "lacks: option persist iptables-files"


@on_both
def test_nothing_is_there(host: str) -> None:
    """A route that is right by chance does not make it be there; a chain of ours does."""
    text = base_fragment(base(host), None)
    bare = captured(host).replace(f"== fragment {BASE_NAME}.rules\n{text}", "")
    bare = re.sub(r"\n-A (INPUT -j )?WANBOUND-INPUT.*", "", bare)
    assert live_base(base(host), None, parse(bare)) is not None
    bare = re.sub(r"\n-A WANBOUND-FORWARD -i wan0.*", "", bare)
    assert live_base(base(host), None, parse(bare)) is None
