"""Drift in iptables and the guard, by line; an update repairs each."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from providers.host.generation import compose
from providers.host.plan import properties
from tests.providers.fake_remote import FakeRemote
from tests.providers.host.site import Drift, Site
from tests.providers.samples import plan

WEB = properties(plan())["networks"]["web"]
MAIL = properties(plan())["networks"]["mail"]
FAMILIES = pytest.mark.parametrize("family", ["ipv4", "ipv6"])


@contextmanager
def repaired(site: Site) -> Iterator[FakeRemote]:
    """Yield the host for manual changes; afterwards an update must repair it."""
    assert site.drift() == {}
    yield site.remote
    site.apply()
    assert site.drift() == {}


def replace(lines: list[str], old: str, *new: str) -> None:
    """Replace a line that exists once."""
    assert lines.count(old) == 1
    at = lines.index(old)
    lines[at : at + 1] = new


def test_a_host_as_it_was_left_has_no_drift(site: Site) -> None:
    """Before Docker has created the networks, and with them."""
    site.apply()
    assert site.drift() == {}
    site.remote.make_networks(plan())
    assert site.drift() == {}


# --- rules ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "role", "chain"),
    [
        ("snat_ipv4", "egress", "WANBOUND-SNAT"),
        ("dnat_ipv4", "ingress tcp", "WANBOUND-DNAT"),
        ("snat_ipv6", "hairpin", "WANBOUND-SNAT"),
        ("snat_ipv6", "egress", "WANBOUND-SNAT"),
    ],
)
def test_a_rule_that_is_gone(up: Site, section: str, role: str, chain: str) -> None:
    """Its role has no line, and nothing else differs."""
    with repaired(up) as remote:
        remote.chain(chain, section[-4:]).remove(WEB[section][role])
        assert up.drift() == {f"web {section} {role}": None}


def test_an_edited_rule(up: Site) -> None:
    """Its role has the changed line, so a reviewer sees both."""
    line = WEB["snat_ipv4"]["egress"]
    edited = line.replace("203.0.113.61", "203.0.113.99")
    with repaired(up) as remote:
        replace(remote.chain("WANBOUND-SNAT"), line, edited)
        assert up.drift() == {"web snat_ipv4 egress": edited}


def test_an_edited_rule_with_a_comment(up: Site) -> None:
    """The comment does not make it ours."""
    line = WEB["dnat_ipv4"]["ingress tcp"]
    edited = line.replace(" -j", ' -m comment --comment "wanbound web ingress" -j')
    with repaired(up) as remote:
        replace(remote.chain("WANBOUND-DNAT"), line, edited)
        assert up.drift() == {"web dnat_ipv4 ingress tcp": edited}


@FAMILIES
@pytest.mark.parametrize("where", ["before", "behind", "end"])
def test_a_rule_that_was_added(up: Site, family: str, where: str) -> None:
    """It has its own key at any place; all of our rules count as in force."""
    other = "-A WANBOUND-FORWARD -j ACCEPT"
    with repaired(up) as remote:
        rules = remote.chain("WANBOUND-FORWARD", family)
        at = {"before": 0, "behind": 1, "end": len(rules)}[where]
        rules.insert(at, other)
        key = f"{family} WANBOUND-FORWARD 1"
        assert up.drift() == {key: f"should not be there: {other}"}


def test_a_rule_that_is_there_twice(up: Site) -> None:
    """The second copy is reported."""
    line = WEB["snat_ipv4"]["egress"]
    with repaired(up) as remote:
        replace(remote.chain("WANBOUND-SNAT"), line, line, line)
        assert up.drift() == {"ipv4 WANBOUND-SNAT 1": f"should not be there: {line}"}


def test_rules_in_another_order(up: Site) -> None:
    """The moved line is missing at its place and superfluous at its new one."""
    line = WEB["snat_ipv4"]["egress"]
    with repaired(up) as remote:
        rules = remote.chain("WANBOUND-SNAT")
        rules.remove(line)
        rules.append(line)
        assert up.drift() == {
            "web snat_ipv4 egress": None,
            "ipv4 WANBOUND-SNAT 1": f"should not be there: {line}",
        }


@FAMILIES
def test_the_drop_of_input_in_front_of_everything(up: Site, family: str) -> None:
    """It locks the operator out, although all lines are there."""
    own = properties(plan())["own"][f"input_{family}"]
    with repaired(up) as remote:
        rules = remote.chain("WANBOUND-INPUT", family)
        rules.insert(0, rules.pop())
        assert up.drift() == {
            f"own input_{family} strangers": None,
            f"{family} WANBOUND-INPUT 1": f"should not be there: {own['strangers']}",
        }


@FAMILIES
def test_the_accept_of_the_mark_is_edited(up: Site, family: str) -> None:
    """It is the host's, for all of its networks; without the mask it matches other packets."""
    line = properties(plan())["own"][f"forward_{family}"]["marked"]
    edited = line.replace("/0x2000000", "")
    with repaired(up) as remote:
        replace(remote.chain("WANBOUND-FORWARD", family), line, edited)
        assert up.drift() == {f"own forward_{family} marked": edited}


@pytest.mark.parametrize("chain", ["unmark", "pass"])
def test_a_chain_of_the_mark_is_flushed(up: Site, chain: str) -> None:
    """Then a foreign mark counts, or no packet is marked."""
    [role] = properties(plan())["own"][f"chain {chain}"]
    with repaired(up) as remote:
        remote.table.chains[chain].clear()
        assert up.drift() == {f"own chain {chain} {role}": None}


@FAMILIES
@pytest.mark.parametrize("section", ["input", "forward"])
def test_a_rule_of_the_host_itself(up: Site, family: str, section: str) -> None:
    """It is gone or edited: it belongs to no network, although its chain is shared."""
    line = properties(plan())["own"][f"{section}_{family}"]["strangers"]
    chain, key = f"WANBOUND-{section.upper()}", f"own {section}_{family} strangers"
    with repaired(up) as remote:
        remote.chain(chain, family).remove(line)
        assert up.drift() == {key: None}
    edited = line.replace("-j DROP", "-j ACCEPT")
    with repaired(up) as remote:
        replace(remote.chain(chain, family), line, edited)
        assert up.drift() == {key: edited}


def test_many_rules_that_were_added(up: Site) -> None:
    """The first 20 are shown, with the number of the others."""
    with repaired(up) as remote:
        others = [f"-A WANBOUND-SNAT -s 10.{n >> 8}.{n & 255}.0/24 -j ACCEPT" for n in range(5000)]
        remote.chain("WANBOUND-SNAT").extend(others)
        drift = up.drift()
        assert drift.pop("ipv4 WANBOUND-SNAT more") == "and 4980 lines more"
        assert drift == {
            f"ipv4 WANBOUND-SNAT {n}": f"should not be there: {line}"
            for n, line in enumerate(others[:20], 1)
        }


@FAMILIES
@pytest.mark.parametrize("chain", ["WANBOUND-SNAT", "WANBOUND-FORWARD", "WANBOUND-INPUT"])
def test_a_chain_that_is_gone(up: Site, family: str, chain: str) -> None:
    """After `iptables -F` every line is missing, after `iptables -X` also the jump."""
    wanted = compose(plan()).chains
    (lines,) = (x for (f, _, name), x in wanted.items() if (f, name) == (family, chain))
    roles: Drift = {
        f"{x.place.network or 'own'} {x.place.section} {x.place.role}": None for x in lines
    }
    with repaired(up) as remote:
        remote.chain(chain, family).clear()
        assert up.drift() == roles
    hook = {"SNAT": "POSTROUTING", "FORWARD": "DOCKER-USER", "INPUT": "INPUT"}[chain[9:]]
    jump = f"-A {hook} -j {chain}"
    with repaired(up) as remote:
        remote.chain(hook, family).remove(jump)
        tables = remote.iptables[family].tables
        del tables["nat" if chain in tables["nat"] else "filter"][chain]
        assert up.drift() == {**roles, f"{family} jump {hook}": f"{jump} is gone"}


def test_a_chain_of_ours_that_we_never_made(up: Site) -> None:
    """Only its name shows that it is ours."""
    with repaired(up) as remote:
        other = "-A WANBOUND-OTHER -j ACCEPT"
        remote.iptables["ipv4"].tables["filter"]["WANBOUND-OTHER"] = [other]
        assert up.drift() == {
            "ipv4 WANBOUND-OTHER": "the chain WANBOUND-OTHER should not be there",
            "ipv4 WANBOUND-OTHER 1": f"should not be there: {other}",
        }


# --- jumps ---------------------------------------------------------------------------------------

JUMPS = pytest.mark.parametrize(
    ("table", "hook", "chain"),
    [
        ("nat", "PREROUTING", "WANBOUND-DNAT"),
        ("nat", "OUTPUT", "WANBOUND-DNAT"),
        ("nat", "POSTROUTING", "WANBOUND-SNAT"),
        ("filter", "DOCKER-USER", "WANBOUND-FORWARD"),
        ("filter", "INPUT", "WANBOUND-INPUT"),
    ],
)


@FAMILIES
@JUMPS
def test_a_jump(up: Site, family: str, table: str, hook: str, chain: str) -> None:
    """It is gone, doubled, or has a foreign rule on the wrong side."""
    jump, other = f"-A {hook} -j {chain}", f"-A {hook} -s 192.0.2.0/24 -j ACCEPT"
    end, key = "last" if hook == "INPUT" else "first", f"{family} jump {hook}"
    with repaired(up) as remote:
        remote.iptables[family].tables[table][hook].remove(jump)
        assert up.drift() == {key: f"{jump} is gone"}
    with repaired(up) as remote:
        replace(remote.iptables[family].tables[table][hook], jump, jump, jump)
        assert up.drift() == {key: f"{jump} is there 2 times"}
    with repaired(up) as remote:
        # A chain of the same name in another table is not shown.
        tables = remote.iptables[family].tables
        mangle = {"mangle": {hook: [f"-A {hook} -j ACCEPT"]}}
        remote.iptables[family].tables = tables | mangle if hook == "INPUT" else mangle | tables
        rules = tables[table][hook]
        replace(rules, jump, *((jump, other) if end == "last" else (other, jump)))
        assert up.drift() == {
            key: f"{jump} is not the {end} rule",
            f"{key}, the {end} is": other,
        }
    # On the other side a rule is allowed.
    rules = up.remote.iptables[family].tables[table][hook]
    replace(rules, other)
    rules.insert(0 if end == "last" else len(rules), other)
    assert up.drift() == {}


def test_a_jump_where_none_should_be(up: Site) -> None:
    """Every packet would pass the chain twice."""
    jump = "-A FORWARD -j WANBOUND-FORWARD"
    with repaired(up) as remote:
        remote.chain("FORWARD").append(jump)
        key = "ipv4 jump FORWARD WANBOUND-FORWARD"
        assert up.drift() == {key: f"{jump} should not be there"}


def test_the_forward_jump_is_looked_for_where_docker_lets_it_be(up: Site) -> None:
    """It is in DOCKER-USER if FORWARD jumps there, otherwise in FORWARD (IPv6 on Docker 20.10)."""
    up.remote.chain("FORWARD").remove("-A FORWARD -j DOCKER-USER")
    assert up.drift() == {
        "ipv4 jump FORWARD": "-A FORWARD -j WANBOUND-FORWARD is gone",
        "ipv4 jump DOCKER-USER WANBOUND-FORWARD": (
            "-A DOCKER-USER -j WANBOUND-FORWARD should not be there"
        ),
    }
    up.remote.chain("DOCKER-USER").clear()
    up.remote.chain("FORWARD").insert(0, "-A FORWARD -j WANBOUND-FORWARD")
    assert up.drift() == {}


# --- spelling ------------------------------------------------------------------------------------

SPELLINGS: dict[str, Callable[[str], str]] = {
    "states": lambda x: x.replace("RELATED,ESTABLISHED", "ESTABLISHED,RELATED"),
    "order": lambda x: x.replace(" -m conntrack --ctstate DNAT", " --ctstate DNAT -m conntrack"),
    "number": lambda x: x.replace("-p ipv6-icmp", "-p 58").replace("-p tcp", "-p 6"),
    "guard": lambda x: x.replace("counter drop", "counter packets 0 bytes 0 drop"),
    "maps": lambda x: x.replace("jump egress-", "goto egress-"),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_another_spelling_is_no_drift(site: Site, name: str) -> None:
    """A version of iptables or nft may print a match differently, right after the load too."""
    site.remote.spelling = SPELLINGS[name]
    site.up()
    printed = [line for lines in site.remote.loaded.values() for line in lines]
    assert any(SPELLINGS[name](line) == line != "" for line in printed)
    site.remote.spelling = lambda line: line
    plain = site.remote._live()
    assert any(plain[part] != site.remote.loaded[part] for part in plain)
    site.remote.spelling = SPELLINGS[name]
    assert site.drift() == {}
    # A missing line is still found by its place.
    site.remote.chain("WANBOUND-SNAT").remove(WEB["snat_ipv4"]["egress"])
    assert site.drift() == {"web snat_ipv4 egress": None}


def test_nothing_was_loaded_in_this_boot(up: Site) -> None:
    """Then lines are compared with the plan: all are missing, and none counts as foreign."""
    up.remote.reboot()
    drift = up.drift()
    sections = {key.split()[1] for key in drift if key.startswith("web ")}
    assert {"snat_ipv4", "dnat_ipv6", "chain", "map"} <= sections
    assert all(line is None for key, line in drift.items() if key.startswith(("web ", "mail ")))
    assert drift["guard"] == "the table inet wanbound is gone"
    assert not any("should not be there" in str(line) for line in drift.values())
    up.apply()
    assert up.drift() == {}


def test_what_was_loaded_is_not_known_but_in_force(up: Site) -> None:
    """/run was emptied: the kernel prints the plan's text, so there is no drift."""
    up.remote.loaded = {}
    assert up.drift() == {}


# --- the guard -----------------------------------------------------------------------------------


def test_a_guard_rule_that_is_gone_or_edited(up: Site) -> None:
    """Its role has no line, or the line that is there."""
    line = WEB["chain egress-web"]["ipv4"]
    with repaired(up) as remote:
        remote.table.chains["egress-web"].remove(line)
        assert up.drift() == {"web chain egress-web ipv4": None}
    edited = line.replace("counter drop", "counter accept")
    with repaired(up) as remote:
        replace(remote.table.chains["egress-web"], line, edited)
        assert up.drift() == {"web chain egress-web ipv4": edited}


def test_a_guard_rule_that_was_added(up: Site) -> None:
    """The drift names an accept in a network's own chain."""
    with repaired(up) as remote:
        remote.table.chains["source-web"].insert(0, "accept")
        assert up.drift() == {"guard source-web 1": "should not be there: accept"}


def test_guard_rules_in_another_order(up: Site) -> None:
    """An accept after the final drop has no effect, although both are there."""
    with repaired(up) as remote:
        rules = remote.table.chains["to-web"]
        rules.insert(0, rules.pop())
        line = WEB["chain to-web"]["strangers"]
        assert up.drift() == {
            "web chain to-web strangers": None,
            "guard to-web 1": f"should not be there: {line}",
        }


def test_a_chain_of_the_guard(up: Site) -> None:
    """It is gone with its elements, or is one that we never created."""
    with repaired(up) as remote:
        del remote.table.chains["source-web"]
        remote.table.maps["source"].remove(WEB["map source"]["bridge"])
        roles = [f"web chain source-web {role}" for role in WEB["chain source-web"]]
        assert up.drift() == dict.fromkeys([*roles, "web map source bridge"])
    with repaired(up) as remote:
        remote.table.chains["other"] = []
        assert up.drift() == {"guard other": "the chain other should not be there"}


def test_an_element(up: Site) -> None:
    """It is gone, edited or added; the order of elements does not matter."""
    line = MAIL["map public-ipv4"]["own"]
    with repaired(up) as remote:
        remote.table.maps["public-ipv4"].reverse()
        assert up.drift() == {}
        remote.table.maps["public-ipv4"].remove(line)
        assert up.drift() == {"mail map public-ipv4 own": None}
    edited = line.replace("jump public-br-mail", "accept")
    with repaired(up) as remote:
        replace(remote.table.maps["public-ipv4"], line, edited)
        assert up.drift() == {"mail map public-ipv4 own": edited}
    other = "203.0.113.99 : accept"
    with repaired(up) as remote:
        remote.table.maps["public-ipv4"].append(other)
        assert up.drift() == {"guard map public-ipv4 1": f"should not be there: {other}"}


def test_the_guard_is_gone(up: Site) -> None:
    """The table was deleted: every line is reported, and that the table is gone."""
    with repaired(up) as remote:
        remote.guard = None
        drift = up.drift()
        assert drift.pop("guard") == "the table inet wanbound is gone"
        found = properties(plan())
        lines = [
            f"{name} {section} {role}"
            for name, part in [("own", found["own"]), *found["networks"].items()]
            for section, roles in part.items()
            if section.startswith(("chain ", "map "))
            for role in roles
        ]
        assert drift == dict.fromkeys(lines)


def test_a_base_chain_of_the_guard(up: Site) -> None:
    """It belongs to all networks: a missing line, one before it, and another order."""
    with repaired(up) as remote:
        remote.table.chains["forward"].remove("oifname vmap @to")
        assert up.drift() == {"guard forward lacks 1": "oifname vmap @to is gone"}
    with repaired(up) as remote:
        remote.table.chains["forward"].insert(1, "accept")
        assert up.drift() == {"guard forward 1": "should not be there: accept"}
    with repaired(up) as remote:
        rules = remote.table.chains["postrouting"]
        rules.append(rules.pop(1))
        assert up.drift() == {"guard postrouting": "its rules are in another order"}


def test_a_base_chain_of_the_guard_is_gone(up: Site) -> None:
    """Every line of it is reported, including its hook."""
    with repaired(up) as remote:
        del remote.table.chains["forward"]
        assert set(up.drift()) == {f"guard forward lacks {n}" for n in (1, 2, 3)}


def test_another_hook_or_policy_of_a_base_chain(up: Site) -> None:
    """With another priority the guard sees packets before they are translated."""
    with repaired(up) as remote:
        chain = remote.table.chains["postrouting"]
        was, chain[0] = chain[0], chain[0].replace("priority 150", "priority -150")
        assert up.drift() == {
            "guard postrouting lacks 1": f"{was} is gone",
            "guard postrouting 1": f"should not be there: {chain[0]}",
        }


def test_an_element_in_another_spelling(site: Site) -> None:
    """Its text does not give its role then, but it is reported."""
    site.remote.spelling = SPELLINGS["maps"]
    site.up()
    site.remote.table.maps["subnet-ipv4"].remove(WEB["map subnet-ipv4"]["own"])
    text = WEB["map subnet-ipv4"]["own"].replace("jump", "goto")
    assert site.drift() == {"guard map subnet-ipv4 lacks 1": f"{text} is gone"}
