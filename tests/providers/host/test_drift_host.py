"""Drift beside the rules: addresses, links, routes, files, units, Docker."""

from dataclasses import replace

import pytest

from providers.host.drift import renewable
from providers.host.installed import installed
from providers.host.plan import NOTHING, properties
from tests.providers.fake_remote import UNITS, docker_network
from tests.providers.host.site import Drift, Site
from tests.providers.samples import only, plan

WEB4, WEB6 = ("wan0", "inet 203.0.113.61/32 scope host wan0"), (
    "wan0",
    "inet6 2001:db8::61/128 scope global deprecated",
)  # fmt: skip
VERSIONS = pytest.mark.parametrize(("version", "line"), [(4, WEB4), (6, WEB6)])


def repaired(site: Site) -> None:
    """An update must repair the drift."""
    site.apply()
    assert site.drift() == {}


# --- addresses -----------------------------------------------------------------------------------


@VERSIONS
def test_an_address_that_is_gone(up: Site, version: int, line: tuple[str, str]) -> None:
    """Its role has no line."""
    up.remote.addresses.remove(line)
    assert up.drift() == {f"web addresses ipv{version}": None}
    repaired(up)


@VERSIONS
def test_an_address_on_another_interface(up: Site, version: int, line: tuple[str, str]) -> None:
    """It is missing on its interface, and the drift names the other one."""
    up.remote.addresses.remove(line)
    moved = line[1].replace("wan0", "eth1")
    up.remote.addresses.append(("eth1", moved))
    address = line[1].split()[1].partition("/")[0]
    assert up.drift() == {
        f"web addresses ipv{version}": None,
        f"address {address} on eth1": moved,
    }
    repaired(up)


def test_an_address_on_two_interfaces(up: Site) -> None:
    """The correct address does not hide the other one."""
    moved = WEB4[1].replace("wan0", "eth1")
    up.remote.addresses.append(("eth1", moved))
    assert up.drift() == {"address 203.0.113.61 on eth1": moved}
    repaired(up)


def test_an_address_with_another_prefix(up: Site) -> None:
    """A /24 adds a route."""
    other = WEB4[1].replace("/32", "/24")
    up.remote.addresses[up.remote.addresses.index(WEB4)] = ("wan0", other)
    assert up.drift() == {"web addresses ipv4": other}
    repaired(up)


@pytest.mark.parametrize("before", [True, False])
def test_an_address_that_is_there_with_a_second_prefix(up: Site, before: bool) -> None:
    """The kernel accepts both; the correct one does not hide the other."""
    other = WEB4[1].replace("/32", "/24")
    at = up.remote.addresses.index(WEB4)
    up.remote.addresses.insert(at if before else at + 1, ("wan0", other))
    assert up.drift() == {"address 203.0.113.61 again": other}
    repaired(up)


def test_an_address_that_the_host_would_use_itself(up: Site) -> None:
    """Without `deprecated` it may become the source of the host's own connections."""
    preferred = WEB6[1].removesuffix(" deprecated")
    up.remote.addresses[up.remote.addresses.index(WEB6)] = ("wan0", preferred)
    assert up.drift() == {"web addresses ipv6": preferred}
    repaired(up)


def test_an_address_that_another_machine_has(up: Site) -> None:
    """After duplicate address detection found it, the kernel does not use it."""
    failed = WEB6[1] + " dadfailed"
    up.remote.addresses[up.remote.addresses.index(WEB6)] = ("wan0", f"{failed} tentative")
    assert up.drift() == {
        "web addresses ipv6": failed,
        "address 2001:db8::61": "another machine on the link uses it;"
        " no connection with it works here",
    }
    repaired(up)


def test_an_address_of_another_scope(up: Site) -> None:
    """It may become the source of the host's own connections."""
    scoped = WEB4[1].replace("scope host", "scope global")
    up.remote.addresses[up.remote.addresses.index(WEB4)] = ("wan0", scoped)
    assert up.drift() == {"web addresses ipv4": scoped}
    repaired(up)


@pytest.mark.parametrize("flags", ["tentative", "dynamic noprefixroute", "nodad", "optimistic"])
def test_flags_and_lifetimes_of_an_address_are_no_drift(up: Site, flags: str) -> None:
    """An address is tentative for a second, and lifetimes may be set by others."""
    up.remote.addresses[up.remote.addresses.index(WEB6)] = ("wan0", f"{WEB6[1]} {flags}")
    assert up.drift() == {}


def test_an_address_that_was_added_without_a_look(site: Site) -> None:
    """It is added with `nodad`, which is never printed later."""
    web = plan().networks["web"]
    lines = {**web.lines, "addresses": {"ipv6": f"{WEB6[1]} nodad"}}
    wanted = replace(plan(), networks={"web": replace(web, lines=lines)})
    site.up(wanted)
    assert site.drift(wanted) == {}


def test_addresses_that_are_not_configured_are_no_drift(up: Site) -> None:
    """Gateways on bridges and the host's own addresses are not drift."""
    up.remote.addresses += [("wan0", "inet 198.51.100.7/24 scope global wan0")]
    assert up.drift() == {}


# --- links, routes, kernel parameters ------------------------------------------------------------


def test_the_link_is_down_or_gone(up: Site) -> None:
    """`ip link set wan0 down`, or a network card that was removed."""
    up.remote.links["wan0"] = "down"
    assert up.drift() == {"own links wan0": "wan0 down"}
    repaired(up)
    del up.remote.links["wan0"]
    assert up.drift() == {"own links wan0": None}


ROUTES = pytest.mark.parametrize(
    ("family", "other"),
    [("ipv4", "default via 203.0.113.9 dev wan0"), ("ipv6", "default via fe80::9 dev eth1")],
)


@ROUTES
def test_a_default_route(up: Site, family: str, other: str) -> None:
    """It is missing, or has another gateway."""
    routes = up.remote.routes
    (ours,) = (each for each in routes if each.startswith(family))
    routes.remove(ours)
    assert up.drift() == {f"own routes {family}": None}
    routes.append(f"{family} {other} proto static")
    assert up.drift() == {f"own routes {family}": f"{other} proto static"}
    repaired(up)


@ROUTES
def test_another_default_route(up: Site, family: str, other: str) -> None:
    """Before ours it takes all packets; after ours, with a higher metric, it takes none."""
    up.remote.routes.append(f"{family} {other} metric 9000")
    assert up.drift() == {}
    up.remote.routes.insert(0, f"{family} {other} proto dhcp metric 1")
    assert up.drift() == {f"route {family} before ours 1": f"{other} proto dhcp metric 1"}
    repaired(up)


def test_who_set_a_route_does_not_matter(up: Site) -> None:
    """Only its gateway and interface count; another program may set metric, protocol and flags."""
    ours = "ipv4 default via 203.0.113.1 dev wan0"
    at = up.remote.routes.index(f"{ours} proto static")
    for more in ("", " proto dhcp src 203.0.113.101 metric 100 onlink"):
        up.remote.routes[at] = ours + more
        assert up.drift() == {}
    up.remote.routes[at] = f"{ours}1 proto static"
    assert up.drift() == {"own routes ipv4": "default via 203.0.113.1 dev wan01 proto static"}


def test_a_kernel_parameter(up: Site) -> None:
    """It has another value, or is gone with its interface."""
    for role, line in properties(plan())["own"]["sysctls"].items():
        key = line.partition(" = ")[0]
        up.remote.sysctls[key] = "7"
        assert up.drift() == {f"own sysctls {role}": f"{key} = 7"}
        del up.remote.sysctls[key]
        assert up.drift() == {f"own sysctls {role}": None}
        repaired(up)


# --- files ---------------------------------------------------------------------------------------


def test_a_file_that_was_edited(up: Site) -> None:
    """The loaded rules are correct, but the next boot would load something else."""
    files, path = up.remote.disk[up.remote.current], "/etc/wanbound/current"
    files["host"] = files["host"].replace("link wan0 up", "link wan0 down")
    assert up.drift() == {
        "file host": f"{path}/host was edited",
        "file host 1": "lacks: link wan0 up",
        "file host 2": "has: link wan0 down",
    }
    repaired(up)


def test_a_file_that_is_gone_or_much_longer(up: Site) -> None:
    """The first 20 lines are shown."""
    files, path = up.remote.disk[up.remote.current], "/etc/wanbound/current"
    del files["host"]
    assert up.drift()["file host"] == f"{path}/host was edited"
    repaired(up)
    files, path = up.remote.disk[up.remote.current], "/etc/wanbound/current"
    files["ipv4.rules"] += "".join(f"# {n}\n" for n in range(5000))
    drift = up.drift()
    assert drift["file ipv4.rules"] == f"{path}/ipv4.rules was edited"
    assert drift["file ipv4.rules 1"] == "has: # 0"
    assert len(drift) < 25


def test_the_plan_was_edited_or_is_gone(up: Site) -> None:
    """It cannot be read: the lines are compared with the program's plan, and it is repaired."""
    for text in ("{}\n", "[1]\n", ""):
        before = up.remote.current
        up.remote.disk[before]["plan.json"] = text
        drift = up.drift()
        said = "/etc/wanbound/current/plan.json is missing, or cannot be read"
        assert drift == {"file plan.json": said}
        repaired(up)


# --- script and units ----------------------------------------------------------------------------


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(
    ("found", "said"),
    [
        ("disabled written", "disabled"),
        ("enabled edited", "enabled, edited"),
        ("missing edited", "missing"),
    ],
)
def test_a_unit(up: Site, unit: str, found: str, said: str) -> None:
    """It was disabled, edited or deleted."""
    watch = ", active" if "watch" in unit and said != "missing" else ""
    words = f"{unit} {found}{' active' * ('watch' in unit)}"
    up.remote.units[UNITS.index(unit)] = words
    assert up.drift() == {f"installed {unit}": said + watch}
    up.apply()
    assert up.remote.calls[-1] == "change"


def test_the_watcher_was_stopped(up: Site) -> None:
    """Without it no flush is repaired."""
    up.remote.units[-1] = "wanbound-watch.service enabled written inactive"
    assert up.drift() == {"installed wanbound-watch.service": "enabled, inactive"}


def test_a_unit_that_is_not_reported_is_missing(up: Site) -> None:
    """The other units were written by a version that did not have this one."""
    del up.remote.units[-1]
    assert up.drift() == {"installed wanbound-watch.service": "missing"}


def test_the_script(up: Site) -> None:
    """It was edited or deleted; its digest shows a new version in a preview."""
    up.remote.script = "0123456789ab" + "0" * 52
    assert up.drift() == {"installed script": "/usr/local/sbin/wanbound 0123456789ab"}
    up.remote.script = "missing"
    assert up.drift() == {"installed script": "/usr/local/sbin/wanbound is missing"}


def test_without_systemd_nothing_can_be_enabled(up: Site) -> None:
    """So units count as correct; the script is checked anyway."""
    up.remote.units = ["no systemd"]
    assert up.drift() == {}
    up.remote.script = "missing"
    assert set(up.drift()) == {"installed script"}


def test_what_is_wanted_is_what_this_version_brings() -> None:
    """All three units run or are started at boot; the timer only with `metrics`."""
    assert set(installed(NOTHING)) == {"script", *UNITS}
    metrics = replace(NOTHING, metrics="/srv/wanbound.prom")
    assert set(installed(metrics)) == {"script", *UNITS, "wanbound-metrics.timer"}


# --- Docker --------------------------------------------------------------------------------------


def _network(site: Site, **changes: object) -> dict[str, object]:
    """Return Docker's network web with changes."""
    (found,) = (each for each in site.remote.networks if each["Name"] == "web")
    found.update(changes)
    return found


def test_a_network_made_by_hand(up: Site) -> None:
    """`docker network create` made it after a removal, without our label or with another one."""
    _network(up, Labels={})
    said = "Docker network web was created manually (no label wanbound=edge-1/web)"
    assert up.drift() == {"docker network web": said}
    assert renewable(up.state["drift"]) == {"web"}
    _network(up, Labels={"wanbound": "ours now"})
    said = "Docker network web has the label wanbound=ours now, not edge-1/web"
    assert up.drift() == {"docker network web": said}


def test_a_network_that_was_taken_over(site: Site) -> None:
    """It has no label and cannot get one; a recreated network has another id."""
    by_hand = docker_network("web", "web", None)
    wanted = replace(plan(), taken_over={"web": by_hand["Id"]})
    site.remote.add_network(by_hand)
    site.up(wanted)
    assert site.drift(wanted) == {}
    _network(site, Id="f" * 64)
    assert set(site.drift(wanted)) == {"docker network web"}


def test_two_networks_of_one_name(up: Site) -> None:
    """Docker allows it, and picks either of them by name."""
    up.remote.networks.append(dict(_network(up)))
    assert up.drift() == {"docker network web": "Docker has 2 networks called web"}


def test_a_network_that_docker_does_not_have(up: Site) -> None:
    """Its own resource reports it; without Docker there is no such drift."""
    up.remote.remove_network("web")
    assert up.drift() == {}
    for docker in ("docker stopped", "docker absent"):
        up.remote.docker = docker
        assert up.drift() == {}


def test_a_bridge_that_is_gone_or_down(up: Site) -> None:
    """`ip link del web`, `ip link set web down`."""
    up.remote.links["web"] = "down"
    assert up.drift() == {"bridge web": "bridge web is down"}
    up.remote.drop_link("web")
    assert up.drift() == {"bridge web": "bridge web is gone"}
    assert renewable(up.state["drift"]) == set()


# --- networks that are leaving -------------------------------------------------------------------


def test_a_leaving_network(up: Site) -> None:
    """It is not a property any more; drift of its lines is reported in words."""
    wanted = only("web", "old")
    up.apply(wanted)
    assert up.drift(wanted) == {}
    mail = properties(plan())["networks"]["mail"]
    egress = mail["snat_ipv4"]["egress"]
    up.remote.chain("WANBOUND-SNAT").remove(egress)
    assert up.drift(wanted) == {"mail (leaving) snat_ipv4 egress": "is gone"}
    chain = up.remote.table.chains["source-br-mail"]
    chain[0] = "accept"
    expected: Drift = {
        "mail (leaving) snat_ipv4 egress": "is gone",
        "mail (leaving) chain source-br-mail ipv4": "accept",
    }
    assert up.drift(wanted) == expected
    up.remote.remove_network("mail")
    assert up.drift(wanted) == {}
