"""Which containers send past their network, according to their default routes."""

import pytest

from providers.host.facts import parse
from providers.host.gateways import elsewhere
from tests.providers.fake_remote import docker_network
from tests.providers.host.site import Site
from tests.providers.samples import plan

WEB = plan().networks["web"]


def _gateway(family: str) -> str:
    """Return the gateway of network web: the first address of its subnet."""
    start, _, _ = WEB.subnets[family].partition("/")
    return f"{start.removesuffix('.0')}.1" if family == "ipv4" else f"{start}1"


def _found(up: Site, *routes: str, network: str = "web") -> list[str]:
    """Return the findings about a container of network web with these default routes."""
    (there,) = (each for each in up.remote.networks if each["Name"] == network)
    there["Containers"] = {"1": {"Name": "app"}}
    up.remote.add_network(docker_network("other", "br-o", None, ["172.31.0.0/16", "fd31::/64"]))
    up.remote.containers = ['["/app","","shop","app"]', *routes]
    return [str(each) for each in elsewhere(plan(), parse(up.remote.facts()))]


def test_a_default_route_in_its_network_is_right(up: Site) -> None:
    """A correct default route in each family gives no finding."""
    own = [f"{family} default via {_gateway(family)} dev vweb0" for family in ("ipv4", "ipv6")]
    assert _found(up, *own) == []


def test_without_a_default_route_nothing_leaves(up: Site) -> None:
    """A container of an internal network only has none, and sends nothing to the outside."""
    assert _found(up) == []


@pytest.mark.parametrize(
    ("family", "gateway"), [("ipv4", "172.31.0.1"), ("ipv6", "fd31::1")], ids=["IPv4", "IPv6"]
)
def test_a_default_route_of_another_network_is_told(up: Site, family: str, gateway: str) -> None:
    """The message names the container, the network with the route, and the unused address."""
    other = next(each for each in ("ipv4", "ipv6") if each != family)
    right = f"{other} default via {_gateway(other)} dev vweb0"
    (said,) = _found(up, right, f"{family} default via {gateway} dev eth0")
    assert said.startswith(
        f"network web: the IPv{family[-1]} default route of container app (compose project shop,"
        f" service app) is in network other, so it leaves with the host's address and not with"
        f" {WEB.addresses[family]}. Fix: "
    )


def test_the_first_route_counts(up: Site) -> None:
    """`ip route` prints the one with the best metric first."""
    right = f"ipv4 default via {_gateway('ipv4')} dev vweb0"
    wrong = "ipv4 default via 172.31.0.1 dev eth0 metric 10"
    assert _found(up, right, wrong) == []
    assert len(_found(up, wrong, right)) == 1


def test_a_gateway_of_no_network_is_told(up: Site) -> None:
    """The route was set manually."""
    (said,) = _found(up, "ipv4 default via 192.0.2.9 dev eth0")
    assert "is in no Docker network, so it leaves with the host's address" in said


def test_another_network_of_the_stack_has_an_address_of_its_own(up: Site) -> None:
    """Its traffic leaves with that network's address, not with the host's."""
    start, _, _ = plan().networks["mail"].subnets["ipv4"].partition("/")
    (said,) = _found(up, f"ipv4 default via {start.removesuffix('.0')}.1 dev vmail0")
    assert "is in network mail, so it leaves with the address of network mail" in said


def test_a_family_without_public_address_is_no_matter(up: Site) -> None:
    """The guard drops the network's traffic in this family."""
    (name,) = (n for n, each in plan().networks.items() if "ipv6" not in each.addresses)
    assert _found(up, "ipv6 default via fd31::1 dev eth0", network=name) == []
