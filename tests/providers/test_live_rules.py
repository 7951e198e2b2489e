"""What a refresh makes of a host's state: captured from real hosts, then changed in one place."""

import re

import pytest

from providers.base_fragment import BASE_NAME, base_fragment
from providers.live import parse
from providers.live_base import live_base
from tests.providers.drift import (
    MAIL,
    OLD,
    WEB,
    address_line,
    drift_of,
    found_in,
    in_section,
    on_both,
    only_in,
    public_of,
    replacing,
    table_of,
    without,
)
from tests.providers.fake_host import FakeHost
from tests.providers.samples import Sample, base, captured, samples


@on_both
def test_a_host_as_it_was_left_has_no_drift(host: str) -> None:
    """The planner's text is what iptables-save, ip and nft print, in all of their versions here."""
    for sample in samples(host).values():
        assert found_in(sample, captured(host)) == sample.rules


@on_both
@pytest.mark.parametrize(
    ("section", "role"),
    [
        ("nat_ipv4", "egress"),
        ("nat_ipv4", "ingress tcp"),
        ("nat_ipv6", "hairpin"),
        ("forward_ipv4", "replies"),
        ("forward_ipv6", "ingress load_balancer"),
    ],
)
def test_a_missing_line(host: str, section: str, role: str) -> None:
    """Its role is gone, and nothing else is said."""
    line = samples(host)[WEB].rules[section][role]
    edit = in_section(table_of(section), without(line))
    assert only_in(WEB, host, edit) == {(section, role): None}


@on_both
def test_an_edited_line(host: str) -> None:
    """Its role holds the line that stands in its place, so that a reviewer sees both."""
    line = samples(host)[WEB].rules["nat_ipv4"]["egress"]
    edited = re.sub(r"--to-source .*", "--to-source 203.0.113.99", line)
    edit = replacing(f"\n{line}\n", f"\n{edited}\n")
    assert only_in(WEB, host, edit) == {("nat_ipv4", "egress"): edited}


@on_both
def test_an_edited_line_whose_comment_was_kept(host: str) -> None:
    """Whoever goes by the comment takes it for the old one."""
    line = samples(host)[WEB].rules["nat_ipv4"]["ingress tcp"]
    comment = '-m comment --comment "wanbound web ingress"'
    edited = line.replace(" -p tcp -j DNAT", f" -p tcp {comment} -j DNAT").replace(".254", ".253")
    edit = replacing(f"\n{line}\n", f"\n{edited}\n")
    assert only_in(WEB, host, edit) == {("nat_ipv4", "ingress tcp"): edited}


@on_both
def test_lines_in_another_order(host: str) -> None:
    """The first that stands too early is named."""
    rules = samples(host)[WEB].rules["forward_ipv4"]
    first, last = rules["egress"], rules["replies"]

    def edit(text: str) -> str:
        text = in_section("ipv4 filter", without(last))(text)
        return in_section("ipv4 filter", replacing(f"\n{first}\n", f"\n{last}\n{first}\n"))(text)

    assert only_in(WEB, host, edit) == {
        ("forward_ipv4", "drift order WANBOUND-FORWARD"): f"too early: {last}"
    }


@on_both
def test_an_extra_line(host: str) -> None:
    """What nobody applied and is about this network has a role of its own."""
    public = "203.0.113.62" if host == "edge-1" else "203.0.113.72"
    line = f"-A WANBOUND-DNAT -d {public}/32 -p sctp -j DNAT --to-destination 10.0.0.1"
    first = samples(host)[MAIL].rules["nat_ipv4"]["ingress tcp 25"]
    drift = only_in(MAIL, host, replacing(f"\n{first}\n", f"\n{first}\n{line}\n"))
    assert drift == {("nat_ipv4", "drift 1"): line}


@on_both
def test_a_line_that_is_there_twice(host: str) -> None:
    """Once is right, twice is not."""
    line = samples(host)[WEB].rules["forward_ipv4"]["egress"]
    drift = only_in(WEB, host, replacing(f"\n{line}\n", f"\n{line}\n{line}\n"))
    assert drift == {("forward_ipv4", "drift 1"): line}


@on_both
def test_a_line_of_nobody_in_our_chains_is_everybodys(host: str) -> None:
    """It decides on every network's packets, so every network has it as drift."""
    line = "-A WANBOUND-FORWARD -j ACCEPT"
    first = samples(host)[MAIL].rules["forward_ipv4"]["egress"]
    text = replacing(f"\n{first}\n", f"\n{line}\n{first}\n")(captured(host))
    for sample in samples(host).values():
        assert drift_of(sample, text) == {("forward_ipv4", "drift 1"): line}


@on_both
@pytest.mark.parametrize(
    "line",
    [
        "-A WANBOUND-SNAT -o wan0 -j MASQUERADE",
        "-A WANBOUND-SNAT -s 10.9.0.0/16 -j SNAT --to-source 203.0.113.9",
        "-A WANBOUND-DNAT -i docker0 -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8080",
    ],
)
def test_a_line_about_what_no_network_has_is_everybodys(host: str, line: str) -> None:
    """Else nobody would hear of it."""
    first = samples(host)[MAIL].rules["nat_ipv4"]["egress"]
    text = replacing(f"\n{first}\n", f"\n{line}\n{first}\n")(captured(host))
    for sample in samples(host).values():
        assert drift_of(sample, text) == {("nat_ipv4", "drift 1"): line}


@on_both
def test_a_line_in_a_family_that_the_network_does_not_have(host: str) -> None:
    """It names the network's bridge: whose else should it be?"""
    line = "-A WANBOUND-FORWARD -i tst-old.0 -j ACCEPT"
    first = samples(host)[MAIL].rules["forward_ipv6"]["egress"]
    edit = replacing(f"\n{first}\n", f"\n{line}\n{first}\n")
    assert only_in(OLD, host, edit) == {("forward_ipv6", "drift 1"): line}


@on_both
def test_many_lines_that_nobody_put(host: str) -> None:
    """Whoever reads it sees the first, and how many there are."""
    egress = samples(host)[WEB].rules["nat_ipv4"]["egress"]
    for count, more in ((100, "80"), (100_000, "at least 480")):
        lines = [egress.replace("203.0.113.", f"10.{n >> 8}.") + str(n & 255) for n in range(count)]
        edit = replacing(f"\n{egress}\n", "\n".join(["", egress, *lines, ""]))
        drift = only_in(WEB, host, edit)
        assert drift.pop(("nat_ipv4", "drift more")) == f"and {more} lines more"
        assert drift == {("nat_ipv4", f"drift {n}"): line for n, line in enumerate(lines[:20], 1)}


@on_both
def test_a_jump_where_none_should_be(host: str) -> None:
    """Docker's chains would come first, or every packet would go through the chain twice."""
    jump = "-A FORWARD -j WANBOUND-FORWARD"
    text = replacing("-A FORWARD -j DOCKER-USER\n", f"-A FORWARD -j DOCKER-USER\n{jump}\n")
    edited = in_section("ipv4 filter", text)(captured(host))
    wanted = {("forward_ipv4", "drift jump FORWARD FORWARD"): f"{jump} should not be there"}
    assert drift_of(samples(host)[WEB], edited) == wanted


@on_both
@pytest.mark.parametrize("chain", ["PREROUTING", "OUTPUT", "POSTROUTING"])
def test_a_jump_that_is_gone(host: str, chain: str) -> None:
    """Without it no line behind it counts; it belongs to every network of the family."""
    target = "SNAT" if chain == "POSTROUTING" else "DNAT"
    jump = f"-A {chain} -j WANBOUND-{target}"
    text = captured(host).replace(f"\n{jump}\n", "\n", 1)
    for sample in samples(host).values():
        assert drift_of(sample, text) == {("nat_ipv4", f"drift jump {chain}"): f"{jump} is gone"}


@on_both
def test_a_jump_that_is_there_twice(host: str) -> None:
    """Every packet would go through the chain twice."""
    jump = "-A POSTROUTING -j WANBOUND-SNAT"
    text = captured(host).replace(f"\n{jump}\n", f"\n{jump}\n{jump}\n", 1)
    wanted = {("nat_ipv4", "drift jump POSTROUTING"): f"{jump} is there 2 times"}
    assert drift_of(samples(host)[OLD], text) == wanted


@on_both
def test_a_jump_that_is_not_first(host: str) -> None:
    """What stands before it decides first: Docker's masquerade, for example."""
    jump, other = "-A POSTROUTING -j WANBOUND-SNAT", "-A POSTROUTING -o wan0 -j MASQUERADE"
    text = captured(host).replace(f"\n{jump}\n", f"\n{other}\n{jump}\n", 1)
    wanted = {
        ("nat_ipv4", "drift jump POSTROUTING"): f"{jump} is not the first rule",
        ("nat_ipv4", "drift jump POSTROUTING behind"): other,
    }
    assert drift_of(samples(host)[WEB], text) == wanted


@on_both
def test_the_forward_jump_is_looked_for_where_docker_lets_it_stand(host: str) -> None:
    """In DOCKER-USER where that is jumped to, else in FORWARD itself (IPv6 on Docker 20.10)."""
    parts = captured(host).split("== ipv6 filter")
    both = {4: parts[0], 6: parts[1]}
    for version, part in both.items():
        docker_user = "\n-A FORWARD -j DOCKER-USER\n" in part
        assert docker_user == (version == 4 or host == "edge-2")
        chain = "DOCKER-USER" if docker_user else "FORWARD"
        jump = f"-A {chain} -j WANBOUND-FORWARD"
        text = captured(host).replace(part, part.replace(f"\n{jump}\n", "\n", 1))
        wanted = {(f"forward_ipv{version}", f"drift jump {chain}"): f"{jump} is gone"}
        assert drift_of(samples(host)[WEB], text) == wanted


@on_both
@pytest.mark.parametrize("version", [4, 6])
def test_an_address_that_is_gone(host: str, version: int) -> None:
    """Its role is gone."""
    line = address_line(host, public_of(host, version))
    assert only_in(WEB, host, without(line)) == {("addresses", f"wan0 ipv{version}"): None}


@on_both
@pytest.mark.parametrize("version", [4, 6])
def test_an_address_on_another_interface(host: str, version: int) -> None:
    """It is not where it should be, and where it is it is said."""
    line = address_line(host, public_of(host, version))
    moved = line.replace("wan0", "eth1")
    drift = only_in(WEB, host, replacing(f"\n{line}\n", f"\n{moved}\n"))
    assert drift.pop(("addresses", f"wan0 ipv{version}")) is None
    (((section, role), text),) = drift.items()
    assert (section, role) == ("addresses", f"drift eth1 wan0 ipv{version}")
    assert text is not None
    assert text.startswith(f"inet{'6' if version == 6 else ''} {public_of(host, version)}/")
    assert text.endswith("(on eth1)")


@on_both
def test_an_address_with_another_prefix(host: str) -> None:
    """A /24 brings a route of its own with it."""
    public = public_of(host, 4)
    drift = only_in(WEB, host, replacing(f"inet {public}/32 ", f"inet {public}/24 "))
    assert drift == {("addresses", "wan0 ipv4"): f"inet {public}/24 scope global wan0"}


@on_both
def test_an_address_that_is_there_with_a_second_prefix(host: str) -> None:
    """The kernel takes both; the one that is right does not hide the other."""
    line = address_line(host, public_of(host, 4))
    other = line.replace("/32", "/24")
    for pair in (f"\n{line}\n{other}\n", f"\n{other}\n{line}\n"):
        drift = only_in(WEB, host, replacing(f"\n{line}\n", pair))
        assert len(drift) == 1
        assert "/24" in str(drift)


@on_both
def test_an_address_that_the_host_would_use_itself(host: str) -> None:
    """Not deprecated any more, it may become the source of the host's own connections."""
    public = public_of(host, 6)
    line = address_line(host, public)
    preferred = line.replace(" deprecated", "").replace(
        "preferred_lft 0sec", "preferred_lft forever"
    )
    drift = only_in(WEB, host, replacing(f"\n{line}\n", f"\n{preferred}\n"))
    assert drift == {("addresses", "wan0 ipv6"): f"inet6 {public}/128 scope global"}


@on_both
def test_an_address_that_was_just_added_is_no_drift(host: str) -> None:
    """It is tentative for a second (duplicate address detection)."""
    line = address_line(host, public_of(host, 6))
    fresh = line.replace(" tentative", "").replace(" deprecated", " deprecated tentative")
    text = captured(host).replace(line, fresh)
    assert drift_of(samples(host)[WEB], text) == {}


@on_both
@pytest.mark.parametrize("section", ["ipv4 nat", "ipv4 filter", "ipv6 nat", "ipv6 filter"])
def test_a_whole_table_is_gone(host: str, section: str) -> None:
    """`iptables -F`, or no ip6tables at all: every line and every jump of it."""
    pattern = rf"== {section}\n(.*?)(?===)"
    flushed = re.sub(pattern, f"== {section}\n", captured(host), flags=re.S)
    absent = re.sub(pattern, "", captured(host), flags=re.S)
    family, table = section.split()
    key = f"{'nat' if table == 'nat' else 'forward'}_{family}"
    for text in (flushed, absent):
        for sample in samples(host).values():
            drift = drift_of(sample, text)
            lost = {role for (_, role), line in drift.items() if line is None}
            assert {where for where, _ in drift} <= {key}
            assert lost == set(sample.rules[key])
            jumps = {role for (_, role), line in drift.items() if line is not None}
            assert all(role.startswith("drift jump ") for role in jumps)
            assert bool(jumps) == bool(lost)


@on_both
def test_the_fragment_was_edited(host: str) -> None:
    """What is in force is right, but the next boot would load something else."""
    text = replacing("claim bridge tst-web\n", "claim bridge tst-web\n# by hand\n")
    drift = only_in(WEB, host, text)
    assert drift == {
        ("addresses", "drift file"): "/etc/wanbound/tst-web.rules was edited",
        ("addresses", "drift file 1"): "has: # by hand",
    }


@on_both
def test_the_fragment_is_gone(host: str) -> None:
    """The lines are still in force, until the next boot; they are nobody else's."""
    fragment = samples(host)[WEB].fragment
    drift = only_in(WEB, host, replacing(f"== fragment tst-web.rules\n{fragment}", ""))
    assert drift == {("addresses", "drift file"): "/etc/wanbound/tst-web.rules is gone"}


@on_both
def test_a_network_of_which_only_the_file_is_left_is_not_gone(host: str) -> None:
    """Everything was flushed; the next boot would bring it back, so the state must keep it."""
    text = re.sub(r"(== ipv\d \w+)\n.*?(?=== )", r"\1\n", captured(host), flags=re.S)
    text = re.sub(r"== (addresses|guard)\n.*?(?=== )", r"== \1\n", text, flags=re.S)
    for sample in samples(host).values():
        found = found_in(sample, text)
        assert found is not None
        assert not any(found[section].keys() & sample.rules[section].keys() for section in found)


def _without_web(elements: re.Match[str]) -> str:
    kept = [element for element in elements[1].split(",") if "tst-web" not in element]
    return f"elements = {{{','.join(kept).rstrip()} }}"


@on_both
def test_a_network_that_is_gone_altogether(host: str) -> None:
    """Neither file nor line: there is nothing left, and the others are as they were."""
    sample = samples(host)[WEB]
    text = captured(host).replace(f"== fragment tst-web.rules\n{sample.fragment}", "")
    for section in ("nat_ipv4", "nat_ipv6", "forward_ipv4", "forward_ipv6"):
        text = in_section(table_of(section), without(*sample.rules[section].values()))(text)
    for version in (4, 6):
        text = without(address_line(host, public_of(host, version)))(text)
    still_guarded = drift_of(sample, text)
    assert {section for section, _ in still_guarded} >= {"addresses", "nat_ipv4", "forward_ipv6"}
    text = re.sub(r"\tchain \S+-tst-web \{\n.*?\n\t\}\n\n", "", text, flags=re.S)
    text = re.sub(r"elements = \{(.*?)\}", _without_web, text, flags=re.S)
    assert found_in(sample, text) is None
    assert drift_of(samples(host)[MAIL], text) == {}


@pytest.mark.parametrize(("mine", "other"), [("web", "my-web"), ("drop", "web"), ("ip", "x")])
def test_a_name_that_is_part_of_other_lines_is_not_blamed(mine: str, other: str) -> None:
    """Bridges may end like another's, or be called like a word of iptables."""
    host = FakeHost()
    one, two = (_renamed(name, number) for number, name in enumerate((mine, other)))
    host.change({each.network: each.fragment for each in (one, two)}, [])
    host.edit = lambda text: text.replace(
        f'\t\tiifname != "{other}" counter drop\n', f'\t\tiifname != "{other}" drop\n'
    )
    assert drift_of(one, host.state()) == {}
    assert set(drift_of(two, host.state())) == {("guard", "strangers")}


def _renamed(name: str, number: int) -> Sample:
    old = next(iter(samples("edge-1" if number else "edge-2").values()))
    rules = {
        section: {
            role: line.replace(old.bridge, name).replace("172.29.11.", f"172.30.{number}.")
            .replace("fd5c:1b2a:77f0:11:", f"fd5c:1b2a:77f0:{number}:")
            for role, line in lines.items()
        }
        for section, lines in old.rules.items()
    }  # fmt: skip
    return Sample("edge-1", name, name, rules)


@on_both
def test_the_fake_host_says_what_a_real_one_says(host: str) -> None:
    """Else what is proven with it would be proven for nothing."""
    fake = FakeHost(host)
    put = {name: sample.fragment for name, sample in samples(host).items()}
    fake.change({**put, BASE_NAME: base_fragment(base(host), None)}, [])
    said, real = parse(fake.state()), parse(captured(host))
    assert said.fragments == real.fragments
    assert sorted(said.guard) == sorted(real.guard)
    for table, lines in said.tables.items():
        # In which order the networks come has no meaning; the order in each is seen below.
        assert sorted(line for line in lines if "-A WANBOUND-" in line) == sorted(
            line for line in real.tables[table] if "-A WANBOUND-" in line
        )
    assert set(said.addresses) - set(real.addresses) == set()
    assert set(said.links.items()) - set(real.links.items()) == {("eth1", "up")}
    assert said.sysctls == real.sysctls
    assert said.units is not None
    assert real.units is not None
    assert said.units.keys() == real.units.keys()
    docker = [{(net.name, net.label) for net in each.docker or ()} for each in (said, real)]
    assert docker[0] - docker[1] == set()
    assert live_base(base(host), None, said) == live_base(base(host), None, real) == base(host)
    for sample in samples(host).values():
        assert found_in(sample, fake.state()) == sample.rules
