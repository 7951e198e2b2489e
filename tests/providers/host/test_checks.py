"""Facts of a host that make a change impossible: refused by name, before anything is changed."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from providers.errors import HostError
from providers.host.checks import refusals
from providers.host.facts import parse
from providers.host.plan import NOTHING, Plan
from tests.providers.fake_remote import docker_network
from tests.providers.host.site import Site
from tests.providers.samples import HOST, only, plan


def refused(site: Site, wanted: Plan | None = None) -> str:
    """Return the error of an update; it may not have changed or renewed anything."""
    before = len(site.remote.changed)
    with pytest.raises(HostError) as caught:
        site.apply(wanted)
    assert len(site.remote.changed) == before
    assert site.remote.calls[-1] == "facts"
    assert site.remote.renewed == []
    said = str(caught.value)
    assert "\n  The host now: unchanged; it was only read\n  Fix: " in said
    return said


def test_a_host_with_nothing_on_it(site: Site) -> None:
    """Neither a fresh host nor one with our own networks is refused."""
    assert refusals(HOST, plan(), NOTHING, parse(site.remote.facts())) == []
    site.up()
    assert refusals(HOST, plan(), plan(), parse(site.remote.facts())) == []
    # Without the state and the host's record, the label shows whose networks they are.
    assert refusals(HOST, plan(), NOTHING, parse(site.remote.facts())) == []


# --- Docker networks -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "words"),
    [(None, "already, created manually"), ("other/web", "already, created for other/web")],
)
def test_a_docker_network_that_is_not_ours(site: Site, label: str | None, words: str) -> None:
    """Rules for our network would cut it off, and Docker would refuse our network."""
    network = docker_network("web", "br-0123456789ab", label)
    site.remote.add_network(network)
    said = refused(site)
    assert said.startswith(f"host edge-1, network web: there is a Docker network web {words}\n")
    assert "set adopt: true" in said
    assert "`docker network rm web`" in said
    if label is None:
        site.apply(replace(plan(), taken_over={"web": network["Id"]}))


def test_a_network_of_another_id_than_was_taken_over(site: Site) -> None:
    """The network was recreated after the program had read it."""
    site.remote.add_network(docker_network("web", "web", None))
    assert "created manually" in refused(site, replace(plan(), taken_over={"web": "f" * 64}))


# --- subnets -------------------------------------------------------------------------------------


def test_a_docker_network_that_compose_made(site: Site) -> None:
    """Docker itself would refuse our network only after our rules are loaded."""
    site.remote.add_network(docker_network("foo", "br-foo", None, ["172.29.0.0/16"]))
    said = refused(site, only("web"))
    assert said == (
        "host edge-1, network web: its subnet 172.29.11.0/24 is in use:"
        " the Docker network foo (172.29.0.0/16)\n"
        "  The host now: unchanged; it was only read\n"
        "  Fix: set subnet_ipv4 to a free subnet, or remove the other one"
    )


def test_every_network_that_it_hits_is_told_at_once(site: Site) -> None:
    """The first with its remedy, the others by name."""
    site.remote.add_network(docker_network("foo", "br-foo", None, ["172.29.0.0/16"]))
    said = refused(site)
    assert said.startswith("host edge-1, network mail: its subnet 172.29.12.0/24 is in use")
    for name, subnet in (("old", "172.29.13.0/24"), ("web", "172.29.11.0/24")):
        assert f"\n  Also (network {name}): its subnet {subnet} is in use: " in said


@pytest.mark.parametrize("docker", ["docker stopped", "docker 28.5.2 iptables"])
@pytest.mark.parametrize(
    ("line", "subnet", "key"),
    [
        ("inet 172.29.11.7/32 scope global wg0", "172.29.11.0/24", "subnet_ipv4"),
        ("inet 172.29.11.1/16 scope global wg0", "172.29.11.0/24", "subnet_ipv4"),
        ("inet6 fd5c:1b2a:77f0:11::7/64 scope global", "fd5c:1b2a:77f0:11::/64", "subnet_ipv6"),
    ],
)
def test_an_interface_with_an_address_in_the_subnet(
    site: Site, docker: str, line: str, subnet: str, key: str
) -> None:
    """WireGuard, a foreign bridge or the host's own network; also if Docker does not run."""
    site.remote.docker = docker
    site.remote.links["wg0"] = "up"
    site.remote.addresses.append(("wg0", line))
    said = refused(site, only("web"))
    place = line.split()[1]
    assert f"network web: its subnet {subnet} is in use: the interface wg0 ({place})" in said
    assert f"Fix: set {key} to a free subnet" in said


def test_the_subnet_of_a_socket_names_its_own_key(site: Site) -> None:
    """In the configuration it is not a network's subnet."""
    socket = plan().networks["web"].subnets["socket"]
    site.remote.add_network(docker_network("foo", "br-foo", None, [socket]))
    said = refused(site)
    assert f"its subnet {socket} is in use: the Docker network foo" in said
    assert "Fix: set load_balancer.socket or socket_pool" in said


def test_what_is_beside_the_subnet_is_no_matter(site: Site) -> None:
    """Another /24 of the same /16 and Docker's default bridge are not a conflict."""
    site.remote.add_network(docker_network("foo", "br-foo", None, ["172.29.99.0/24"]))
    site.remote.addresses.append(("wg0", "inet 172.29.10.255/24 scope global wg0"))
    site.apply()


# --- interfaces and addresses --------------------------------------------------------------------


def test_an_interface_with_the_bridges_name(site: Site) -> None:
    """Traffic through it would be dropped."""
    site.remote.links["web"] = "up"
    said = refused(site)
    assert "network web: there is an interface web already" in said
    assert "Fix: give the network another bridge name than web" in said


def test_a_bridge_of_ours_after_the_state_was_lost(up: Site) -> None:
    """Its Docker network has our label; without Docker, the host's record names it."""
    up.state = {}
    up.apply()
    up.remote.docker = "docker stopped"
    up.apply()
    assert len(up.remote.changed) == 3


@pytest.mark.parametrize(
    ("device", "place"),
    [("eth1", "203.0.113.61/32"), ("wan0", "203.0.113.61/24"), ("eth1", "2001:db8::61/128")],
)
def test_an_address_that_the_host_has_for_itself(site: Site, device: str, place: str) -> None:
    """Moving it would cut off its connections, most likely SSH."""
    family = "inet6" if ":" in place else "inet"
    site.remote.addresses.append((device, f"{family} {place} scope global {device}"))
    said = refused(site)
    address = place.partition("/")[0]
    assert f"network web: {address} is the host's own already ({place} on {device})" in said
    assert "manage_addresses: false" in said


def test_an_address_that_is_where_it_should_be(site: Site) -> None:
    """It existed before, or was added manually as in the recipe, or ours was moved."""
    site.remote.addresses.append(("wan0", "inet 203.0.113.61/32 scope global wan0"))
    site.up()
    site.remote.addresses.remove(("wan0", "inet 203.0.113.61/32 scope host wan0"))
    site.remote.addresses.append(("eth1", "inet 203.0.113.61/32 scope global eth1"))
    site.apply()
    assert site.drift() == {}


def test_the_only_address_of_the_wan_interface(site: Site) -> None:
    """A managed address is never the host's own source, so the host would have none left."""
    only_one = ("wan0", "inet 203.0.113.61/32 scope global wan0")
    site.remote.addresses = [each for each in site.remote.addresses if each[0] != "wan0"]
    site.remote.addresses.append(only_one)
    said = refused(site)
    assert "network web: 203.0.113.61 is the source address of the host's own connections" in said
    assert "manage_addresses: false" in said
    # As an address of ours it is not the host's source.
    site.remote.addresses.remove(only_one)
    site.up()
    site.apply()


def test_the_host_may_share_its_only_address_with_one_network(site: Site) -> None:
    """After the recipe, the wan interface has only the networks' addresses."""
    site.remote.addresses = [each for each in site.remote.addresses if each[0] != "wan0"]
    for last in (61, 62):
        site.remote.addresses.append(("wan0", f"inet 203.0.113.{last}/32 scope global wan0"))
    assert "network mail: 203.0.113.62 is the source address of the host's own" in refused(site)
    web = plan().networks["web"]
    lines = {name: roles for name, roles in web.lines.items() if name != "addresses"}
    shared = {**plan().networks, "web": replace(web, lines=lines)}
    site.apply(replace(plan(), networks=shared))


def test_an_address_that_wanbound_does_not_manage(site: Site) -> None:
    """manage_addresses: false: it stays on the host as the operator added it."""
    web = plan().networks["web"]
    lines = {name: roles for name, roles in web.lines.items() if name != "addresses"}
    site.remote.addresses.append(("wan0", "inet 203.0.113.61/24 scope global wan0"))
    shared = replace(plan(), networks={"web": replace(web, lines=lines)})
    site.apply(shared)
    # It is still the host's own. An undo could not bring it back with this prefix.
    assert "203.0.113.61 is the host's own already" in refused(site, only("web"))


# --- the Docker Engine ---------------------------------------------------------------------------


@pytest.mark.parametrize("docker", ["docker 19.03.15 iptables", "docker 29.1.0 nftables"])
def test_an_engine_that_does_not_work(site: Site, docker: str) -> None:
    """The error is about the host; without networks of ours nothing is refused."""
    site.remote.docker = docker
    said = refused(site)
    assert said.startswith("host edge-1: ")
    assert "docs/engine.md" in said
    site.apply(only())


# --- foreign networks and links ------------------------------------------------------------------

EDITS: dict[str, Callable[[Site], object]] = {
    "network": lambda site: site.remote.add_network(docker_network("new", "br-new", None)),
    "link": lambda site: site.remote.links.update(br2="up"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_foreign_networks_and_links_without_a_conflict_are_ignored(up: Site, edit: str) -> None:
    """A host may have any number of networks that are not ours."""
    EDITS[edit](up)
    up.apply()
    assert up.drift() == {}


def test_a_bridge_of_ours_that_was_renamed_is_no_foreign_link(site: Site) -> None:
    """The host knows it by its index and renames it back."""
    site.up()
    site.remote.links["by-hand"] = site.remote.links.pop("web")
    site.remote.renamed["by-hand"] = "web"
    gateway = next(iter(plan().networks["web"].subnets.values())).replace(".0/24", ".1/24")
    site.remote.addresses.append(("by-hand", f"inet {gateway} scope global by-hand"))
    assert refusals(HOST, plan(), plan(), parse(site.remote.facts())) == []
    # A destroy and a leaving network still count it as existing.
    with pytest.raises(HostError, match="bridge web of network web"):
        site.destroy()
