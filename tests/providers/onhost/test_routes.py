"""Default routes, links and kernel parameters of the host are restored to their former state."""

import pytest

from tests.providers.onhost.box import Box
from tests.providers.onhost.generations import files

SECOND = "ip link set wan1 up && ip addr add 198.51.100.2/24 dev wan1"
ROUTES = {
    "none": "",
    "one": "ip route add default via 203.0.113.9 dev wan0",
    "DHCP's": "ip route add default via 203.0.113.9 dev wan0 proto dhcp"
    " src 203.0.113.101 metric 100",
    "on link": "ip route add default via 192.0.2.77 dev wan0 onlink",
    "two": "ip route add default via 203.0.113.9 dev wan0 metric 5"
    " && ip route add default via 198.51.100.1 dev wan1 metric 50",
    "several next hops": "ip route add default proto static"
    " nexthop via 203.0.113.1 dev wan0 weight 1"
    " nexthop via 198.51.100.1 dev wan1 weight 2",
    "IPv6": "ip -6 route add default via 2001:db8::9 dev wan0 metric 1024",
    "IPv6 router": "ip -6 route add default via fe80::9 dev wan0 metric 512 pref high",
    "IPv6 several next hops": "ip -6 route add default nexthop via 2001:db8::8 dev wan0 weight 1"
    " nexthop via fe80::9 dev wan1 weight 1",
}


@pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES)
def test_routes_are_given_back(host: Box, route: str) -> None:
    """An undo and a destroy restore them unchanged."""
    host.out(f"{SECOND}; {route}")
    before = host.kernel
    host.change(files("baseline"), "a1")
    for family, gateway in (("-4", "203.0.113.1"), ("-6", "fe80::1")):
        first = host.out(f"ip -o {family} route show default").splitlines()[0]
        assert first.startswith(f"default via {gateway} dev wan0 "), first
    host.overdue()
    assert host.run("undo", "a1").code == 0
    assert host.kernel == before
    host.deploy(files("baseline"), "a2")
    host.deploy(files("nothing", "baseline", absent=True), "a3")
    assert host.kernel == before


def test_a_route_that_expires_is_one_route(host: Box) -> None:
    """The time until then differs in each reading. An undo must not remove the router's route."""
    host.out("ip -6 route add default via fe80::9 dev wan0 proto ra metric 1024 expires 1800")
    host.change(files("baseline"), "a1")
    host.out("sleep 1.1")
    host.overdue()
    assert host.run("undo", "a1").code == 0
    [route] = host.out("ip -o -6 route show default").splitlines()
    assert route.startswith("default via fe80::9 dev wan0 proto ra metric 1024 expires ")


def test_a_gateway_outside_all_subnets_is_on_link(host: Box) -> None:
    """Some hosters use such gateways."""
    wanted = {**files("baseline"), "host": "route ipv4 default via 192.0.2.77 dev wan0\n"}
    host.deploy(wanted, "a1")
    assert "default via 192.0.2.77 dev wan0 proto static onlink" in host.kernel
    assert host.run("mend").err == ""


def test_a_parameter_is_given_back(host: Box) -> None:
    """The destroy restores the value from before the first change, not that before the last."""
    assert host.out("cat /proc/sys/net/ipv4/ip_forward") == "0\n"
    host.deploy(files("baseline"), "a1")
    assert host.out("cat /proc/sys/net/ipv4/ip_forward") == "1\n"
    host.deploy(files("baseline"), "a2")
    host.deploy(files("nothing", "baseline", absent=True), "a3")
    assert host.out("cat /proc/sys/net/ipv4/ip_forward") == "0\n"


def test_what_is_not_wanted_any_more_is_given_back(host: Box) -> None:
    """A change to a generation without it restores it too."""
    host.out("ip route add default via 203.0.113.9 dev wan0")
    host.deploy(files("baseline"), "a1")
    host.deploy(files("dual-stack", "baseline"), "a2")
    assert "default via 203.0.113.9 dev wan0" in host.kernel
    assert "default via 203.0.113.1 " not in host.kernel
    assert host.out("cat /proc/sys/net/ipv4/ip_forward") == "0\n"


def test_a_route_that_was_lost_is_repaired(host: Box) -> None:
    """A foreign default route that was added before it does not stay the first."""
    host.deploy(files("baseline"), "a1")
    host.out("ip route del default")
    assert "loaded: host\n" in host.run("mend").err
    host.out("ip route replace default via 203.0.113.9 dev wan0")
    assert "repairing" in host.run("mend").err
    assert "default via 203.0.113.1 dev wan0" in host.kernel
    assert host.run("mend").err == ""
