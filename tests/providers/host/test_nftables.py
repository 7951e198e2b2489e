"""A host with nftables: refusals, drift, and the change from iptables."""

from dataclasses import replace

import pytest

from providers.errors import HostError
from providers.host.plan import properties
from tests.providers.host.site import Site
from tests.providers.samples import nftables_plan, plan

WEB = properties(nftables_plan())["networks"]["web"]
OWN = properties(nftables_plan())["own"]


@pytest.fixture
def nft(site: Site) -> Site:
    """A host with the nftables plan, and with Docker's rules in iptables."""
    site.up(nftables_plan())
    assert site.drift(nftables_plan()) == {}
    return site


def test_iptables_is_refused_where_docker_uses_nftables(site: Site) -> None:
    """The error names the setting; the other dialect is accepted."""
    site.remote.docker = "docker 29.0.1 nftables"
    with pytest.raises(HostError, match=r"29\.0\.1 uses its nftables") as said:
        site.apply(plan())
    assert "set firewall: nftables" in str(said.value)
    assert "unchanged; it was only read" in str(said.value)
    site.apply(nftables_plan())


def test_iptables_is_refused_where_a_docker_that_is_stopped_uses_nftables(site: Site) -> None:
    """Docker's tables in the kernel show it, because Docker cannot be asked."""
    site.remote.docker = "docker (stopped) nftables"
    with pytest.raises(HostError, match=r"Docker \(stopped\) uses its nftables"):
        site.apply(plan())
    site.apply(nftables_plan())


def test_one_change_leads_to_the_other_dialect_and_back(site: Site) -> None:
    """Nothing of the old dialect is left, and nothing counts as drift."""
    site.up(plan())
    before = site.remote.iptables["ipv4"].saved()
    site.apply(nftables_plan())
    assert site.drift(nftables_plan()) == {}
    saved = "\n".join(site.remote.iptables["ipv4"].saved())
    assert "NAT --to" not in saved
    assert "WANBOUND-INPUT" not in saved
    assert saved.count("WANBOUND-FORWARD") == 3
    site.apply(plan())
    assert site.drift(plan()) == {}
    assert site.remote.iptables["ipv4"].saved() == before


@pytest.mark.parametrize(
    ("section", "role"),
    [
        ("chain dnat-web", "ingress ipv4 tcp"),
        ("chain snat-web", "egress ipv6"),
        ("chain snat-web", "hairpin ipv4"),
    ],
)
def test_a_rule_that_is_gone_or_edited(nft: Site, section: str, role: str) -> None:
    """The drift has its role, like that of an iptables rule."""
    assert nft.remote.guard is not None
    rules, line = nft.remote.guard.chains[section.removeprefix("chain ")], WEB[section][role]
    edited = line.replace(" to ", " to 10.9.8.7 ")
    rules[rules.index(line)] = edited
    assert nft.drift(nftables_plan()) == {f"web {section} {role}": edited}
    rules.remove(edited)
    assert nft.drift(nftables_plan()) == {f"web {section} {role}": None}
    nft.apply(nftables_plan())
    assert nft.drift(nftables_plan()) == {}


@pytest.mark.parametrize(("name", "role"), [("dnat-ipv4", "own"), ("snat-ipv6", "own")])
def test_an_element_that_is_gone(nft: Site, name: str, role: str) -> None:
    """The elements that lead to the nat rules are compared like the guard's."""
    assert nft.remote.guard is not None
    nft.remote.guard.maps[name].remove(WEB[f"map {name}"][role])
    assert nft.drift(nftables_plan()) == {f"web map {name} {role}": None}


def test_missing_lines_with_and_without_a_role_are_drift(nft: Site) -> None:
    """An open port has a role; a line of a base chain has none and is reported in words."""
    assert nft.remote.guard is not None
    chains = nft.remote.guard.chains
    chains["input"].remove(OWN["chain input"]["open tcp 9100"])
    chains["nat-output"].remove("ip daddr vmap @dnat-ipv4")
    assert nft.drift(nftables_plan()) == {
        "own chain input open tcp 9100": None,
        "guard nat-output lacks 1": "ip daddr vmap @dnat-ipv4 is gone",
    }


def test_where_docker_has_no_rules_of_iptables_none_of_ours_is_missed(site: Site) -> None:
    """None is loaded there; a leftover chain of the accept is drift."""
    for each in site.remote.iptables.values():
        for chain in ("FORWARD", "DOCKER-FORWARD"):
            each.chain(chain).clear()
    site.up(nftables_plan())
    assert site.drift(nftables_plan()) == {}
    assert "WANBOUND" not in "\n".join(site.remote.iptables["ipv4"].saved())
    site.remote.iptables["ipv4"].tables["filter"]["WANBOUND-FORWARD"] = []
    [said] = site.drift(nftables_plan()).values()
    assert said == "the chain WANBOUND-FORWARD should not be there"


def test_the_accept_is_missed_where_docker_has_rules(nft: Site) -> None:
    """There the accept lets the networks' traffic pass."""
    nft.remote.chain("WANBOUND-FORWARD").clear()
    role = "marked, where Docker uses iptables"
    assert nft.drift(nftables_plan()) == {f"own forward_ipv4 {role}": None}


def test_a_network_that_leaves_keeps_the_dialect_that_it_has(site: Site) -> None:
    """Until its bridge is gone the old rules translate it, beside the new ones of the others."""
    site.up(plan())
    rest = nftables_plan()
    networks = {name: each for name, each in rest.networks.items() if name != "old"}
    site.apply(replace(rest, networks=networks))
    saved = "\n".join(site.remote.iptables["ipv4"].saved())
    assert "--to-source 203.0.113.63" in saved
    assert "--to-source 203.0.113.61" not in saved
    assert site.remote.guard is not None
    assert "snat-web" in site.remote.guard.chains


def test_copies_of_iptables_go_with_the_dialect(site: Site) -> None:
    """The next boot would load a copy in /etc/iptables beside the nftables rules."""
    site.up(replace(plan(), persist="iptables-files"))
    assert "WANBOUND-SNAT" in site.remote.files["/etc/iptables/rules.v4"]
    site.apply(nftables_plan())
    assert "WANBOUND" not in site.remote.files.get("/etc/iptables/rules.v4", "")
