"""What a network keeps while its bridge still exists, and what a later plan takes from it."""

import copy
from collections.abc import Collection
from dataclasses import replace
from ipaddress import ip_address
from itertools import combinations
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from planner.errors import ConfigError
from providers.host.generation import compose
from providers.host.leaving import leaving
from providers.host.plan import NOTHING, Network, Plan, from_json, overlap, to_json
from tests.planner.nft import Packet, guard_in
from tests.planner.strategies import Raw, stacks
from tests.providers.host.planned import case, network, plans

SETTINGS = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    derandomize=True,
)

WEB = network(
    "web",
    bridges={"own": "web", "socket": "web-sock"},
    subnets={"ipv4": "172.20.1.0/24", "ipv6": "fd00:1::/64", "socket": "10.204.0.0/29"},
    addresses={"ipv4": "203.0.113.10", "ipv6": "2001:db8::10"},
)
MAIL = network(
    "mail",
    subnets={"ipv4": "172.20.2.0/24"},
    addresses={"ipv4": "203.0.113.20"},
)
OUTSIDE = ip_address("198.51.100.77")


def _plan(*networks: Network, left: tuple[Network, ...] = ()) -> Plan:
    return Plan("a/b/c", "wan0", {each.name: each for each in networks}, leaving=left)


def _after(old: Plan, new: Plan, links: Collection[str] | None = None) -> Plan:
    """Return the new plan with what is leaving; `links` defaults to the old plan's bridges."""
    return replace(new, leaving=leaving(old, new, old.bridges if links is None else links))


def _is_closed(plan: Plan, bridge: str) -> bool:
    """Return whether the guard of a plan's generation drops everything through a bridge."""
    guard = guard_in(compose(plan).files["guard.nft"])
    inside = ip_address("172.20.1.7")
    packets = [
        Packet(*way, source, source, OUTSIDE, dnat=dnat)
        for way in ((bridge, "wan0"), (bridge, "docker0"), ("wan0", bridge), ("docker0", bridge))
        for source in (inside, OUTSIDE, ip_address("fd00:1::7"))
        for dnat in (True, False)
    ]
    return {guard.verdict("forward", packet) for packet in packets} == {"drop"}


def test_a_leaving_network_without_a_conflict_is_kept_whole() -> None:
    """Its containers still run and still send with the network's address."""
    after = _after(_plan(WEB, MAIL), _plan(MAIL))
    assert after.leaving == (WEB,)


def test_a_real_network_that_is_kept_whole_keeps_all_its_rules() -> None:
    """The generation is the same as before, except for the files about leaving networks."""
    old = case("several-networks")
    new = replace(old, networks={n: each for n, each in old.networks.items() if n != "web"})
    before, now = compose(old).files, compose(_after(old, new)).files
    changed = {name for name, text in now.items() if before[name] != text}
    assert changed == {"leaving", "plan.json"}
    assert now["leaving"] == "web\nweb-sock\n"
    assert now["flows"] == before["flows"]


def test_a_network_whose_bridges_are_gone_is_dropped() -> None:
    """Without its bridges, nothing can send any more."""
    assert _after(_plan(WEB, MAIL), _plan(MAIL), ["mail", "docker0", "wan0"]).leaving == ()


def test_what_is_wanted_is_not_leaving() -> None:
    """It is the same network, whatever else of it changes."""
    changed = replace(WEB, addresses={"ipv4": "203.0.113.11"}, subnets={"ipv4": "172.20.9.0/24"})
    assert _after(_plan(WEB), _plan(changed)).leaving == ()


def test_an_address_that_another_network_claims_closes_the_old_one() -> None:
    """Otherwise two networks would send with one address; the subnets stay guarded."""
    new = _plan(replace(MAIL, addresses={"ipv4": "203.0.113.10"}))
    after = _after(_plan(WEB, MAIL), new)
    (gone,) = after.leaving
    assert (gone.name, gone.bridges, gone.addresses) == ("web", WEB.bridges, {})
    assert gone.subnets == WEB.subnets
    assert _is_closed(after, "web")
    assert _is_closed(after, "web-sock")
    assert not [s for s in gone.lines if not s.startswith(("map ", "chain "))]


def test_a_subnet_that_another_network_claims_closes_the_old_one_without_it() -> None:
    """nft refuses a duplicate subnet; the guard of the new network covers it."""
    new = _plan(replace(MAIL, subnets={"ipv4": "172.20.0.0/16"}))
    after = _after(_plan(WEB, MAIL), new)
    (gone,) = after.leaving
    assert gone.subnets == {"ipv6": "fd00:1::/64", "socket": "10.204.0.0/29"}
    assert gone.addresses == {}
    assert _is_closed(after, "web")
    assert "172.20.1.0/24" not in str(gone.lines)


def test_the_subnets_of_a_closed_network_go_nowhere() -> None:
    """Not even packets with such a source from elsewhere, or with such an original source."""
    after = _after(_plan(WEB, MAIL), _plan(replace(MAIL, addresses=WEB.addresses)))
    guard = guard_in(compose(after).files["guard.nft"])
    public = ip_address("203.0.113.10")
    for inside in ("172.20.1.7", "10.204.0.3", "fd00:1::7"):
        address = ip_address(inside)
        public = ip_address("203.0.113.10" if address.version == 4 else "2001:db8::10")
        for source in (address, public):
            packet = Packet("eth9", "wan0", source, address, OUTSIDE)
            assert guard.verdict("postrouting", packet) == "drop"


def test_a_bridge_that_is_claimed_is_not_leaving() -> None:
    """It has the guard of the new network; the other bridge is closed."""
    new = _plan(network("post", bridges={"own": "web"}, subnets={"ipv4": "172.20.7.0/24"}))
    after = _after(_plan(WEB), new)
    (gone,) = after.leaving
    assert gone.bridges == {"socket": "web-sock"}
    assert _is_closed(after, "web-sock")
    assert after.bridges == {"web": "post", "web-sock": "web"}


def test_a_network_without_its_load_balancer_leaves_the_sockets_bridge_alone() -> None:
    """The network stays; the bridge between load balancer and socket is closed until it is gone."""
    subnets = {role: subnet for role, subnet in WEB.subnets.items() if role != "socket"}
    lines = {name: part for name, part in WEB.lines.items() if "sock" not in name}
    stays = replace(WEB, bridges={"own": "web"}, subnets=subnets, lines=lines)
    stays = replace(stays, lines=network("web").lines)
    after = _after(_plan(WEB), _plan(stays))
    (gone,) = after.leaving
    assert gone.bridges == {"socket": "web-sock"}
    assert gone.subnets == {"socket": "10.204.0.0/29"}
    assert gone.addresses == {}
    assert _is_closed(after, "web-sock")
    files = compose(after).files
    assert files["leaving"] == "web-sock\n"


def test_a_network_that_is_renamed_with_its_bridge_leaves_nothing() -> None:
    """Bridge, subnets and addresses belong to the new name."""
    after = _after(_plan(WEB), _plan(replace(WEB, name="www")))
    assert after.leaving == ()


def test_a_network_that_gets_another_bridge_is_closed_on_the_old_one() -> None:
    """Both bridges exist until Docker has removed the old network; the new one has the address."""
    lines = network("web", bridges={"own": "br0"}).lines
    new = _plan(replace(WEB, name="www", bridges={"own": "br0"}, lines=lines))
    after = _after(_plan(WEB), new)
    (gone,) = after.leaving
    assert gone.bridges == WEB.bridges
    assert gone.subnets == {}
    assert _is_closed(after, "web")


def test_half_of_a_network_that_is_still_there_is_closed() -> None:
    """The rest of it has nothing to send."""
    after = _after(_plan(WEB, MAIL), _plan(MAIL), ["mail", "web-sock"])
    (gone,) = after.leaving
    assert gone.bridges == {"socket": "web-sock"}
    assert _is_closed(after, "web-sock")


def test_what_is_still_leaving_stays_leaving() -> None:
    """The next change comes before Docker has removed the network: its bridge still exists."""
    first = _after(_plan(WEB, MAIL), _plan(MAIL))
    kept = from_json(to_json(first))
    second = _after(kept, _plan())
    assert [each.name for each in second.leaving] == ["mail", "web"]
    assert second.leaving == (MAIL, WEB)
    third = _after(second, _plan(), ["web", "web-sock"])
    assert third.leaving == (WEB,)
    assert _after(third, _plan(), []).leaving == ()


def test_what_is_closed_stays_closed() -> None:
    """The network that claimed its address leaves too, but the address is not given back."""
    claims = replace(MAIL, addresses={"ipv4": "203.0.113.10"})
    first = _after(_plan(WEB, MAIL), _plan(claims))
    second = _after(first, _plan())
    assert [each.name for each in second.leaving] == ["mail", "web"]
    assert second.leaving == (claims, *first.leaving)
    assert _is_closed(second, "web")


def test_a_network_that_comes_back_is_not_leaving_any_more() -> None:
    """It has its bridge again."""
    first = _after(_plan(WEB, MAIL), _plan(MAIL))
    assert _after(first, _plan(WEB, MAIL)).leaving == ()


def test_a_host_without_an_owner_has_no_leaving_network() -> None:
    """Bridges that exist already belong to others."""
    assert leaving(NOTHING, _plan(WEB), ["docker0", "web", "br0"]) == ()


_SWAPPED = ("name", "bridge", "public_ipv4", "public_ipv6", "subnet_ipv4", "subnet_ipv6")


@st.composite
def _changes(draw: st.DrawFn, raw: Raw) -> Raw:
    """Draw another configuration of the host: its networks swap names, addresses and more."""
    found = copy.deepcopy(raw)
    networks: list[dict[str, Any]] = found["hosts"][0]["networks"]
    for key in draw(st.sets(st.sampled_from(_SWAPPED))):
        having = [each for each in networks if key in each]
        values = draw(st.permutations([each[key] for each in having]))
        for each, value in zip(having, values, strict=True):
            each[key] = value
    for each in networks:
        if draw(st.integers(0, 3)) == 0:
            each["name"] = f"new-{each['name'][:11]}"
        if draw(st.integers(0, 3)) == 0:
            each["load_balancer"] = False
            each.pop("whoami", None)
    count = draw(st.integers(1, len(networks)))
    found["hosts"][0]["networks"] = draw(st.permutations(networks))[:count]
    return found


@st.composite
def _histories(draw: st.DrawFn) -> tuple[Plan, ...]:
    """Draw consecutive plans of a host."""
    raw = draw(stacks(max_hosts=1, moded=True))
    for each in raw["hosts"][0]["networks"]:
        # They are bound to subnets and addresses that are swapped here.
        each.pop("containers", None)
        each.pop("ingress", None)
    raws = [raw]
    for _ in range(draw(st.integers(1, 3))):
        raws.append(draw(_changes(raw)))
    try:
        return tuple(next(iter(plans(each).values())) for each in raws)
    except ConfigError:
        assume(False)
        raise


@given(_histories(), st.data())
@SETTINGS
def test_nothing_ever_has_two_owners(history: tuple[Plan, ...], data: st.DataObject) -> None:
    """This holds after any sequence of plans and any removal of bridges by Docker in between."""
    current = history[0]
    links = set(current.bridges)
    for new in history[1:]:
        after = _after(current, new, links)
        _check_owners(after)
        _check_leaving(current, new, after, links)
        guard = compose(after).files["guard.nft"]
        table = guard_in(guard) if guard else None
        for name, elements in table.maps.items() if table else ():
            assert len({key for key, _ in elements}) == len(elements), name
            assert all(chain in table.chains for _, chain in elements), name  # type: ignore[union-attr]
        current = from_json(to_json(after))
        links = {*new.bridges, *data.draw(st.sets(st.sampled_from(sorted(links))))}


def _check_owners(plan: Plan) -> None:
    networks = plan.all_networks
    for part in ("bridges", "addresses"):
        found = [value for each in networks for value in getattr(each, part).values()]
        assert len(set(found)) == len(found), part
    subnets = [subnet for each in networks for subnet in each.subnets.values()]
    for one, other in combinations(subnets, 2):
        assert not overlap(one, other), (one, other)


def _check_leaving(old: Plan, new: Plan, after: Plan, links: Collection[str]) -> None:
    """Every existing bridge that is not in the plan is leaving, and has its guard."""
    bridges = {bridge for each in after.leaving for bridge in each.bridges.values()}
    assert bridges == (set(old.bridges) & set(links)) - set(new.bridges)
    for each in after.leaving:
        if each in old.all_networks:
            # It is kept whole.
            continue
        assert each.addresses == {}
        for bridge in each.bridges.values():
            assert f"chain from-{bridge}" in each.lines
            assert f"chain to-{bridge}" in each.lines
            assert _is_closed(after, bridge)
    for each in after.leaving:
        if any(section.startswith("map ") for section in each.lines):
            for bridge in each.bridges.values():
                assert {f"chain source-{bridge}", f"chain to-{bridge}"} <= set(each.lines)
