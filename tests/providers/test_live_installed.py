"""What a refresh makes of script, units and Docker network: captured from real hosts."""

import hashlib
import re

import pytest

from providers.installed import installed
from providers.live import parse
from providers.live_installed import live_docker, live_installed, unlabelled
from providers.ssh.remote import host_script
from tests.providers.drift import WEB, Edit, in_section, on_both, replacing, without
from tests.providers.samples import captured, samples

UNITS = ("wanbound.service", "wanbound-docker.service", "wanbound-watch.service")


def _wanted(host: str) -> dict[str, str]:
    """What is installed where a version of back then has been: its script is not this one."""
    (digest,) = re.findall(r"\nscript (\S{12})\S{52}\n", captured(host))
    return {**installed(), "script": f"/usr/local/sbin/wanbound {digest}"}


def _drift(host: str, edit: Edit) -> dict[str, str]:
    wanted = _wanted(host)
    found = live_installed(wanted, parse(in_section("units", edit)(captured(host))))
    assert found.keys() == wanted.keys()
    return {role: line for role, line in found.items() if line != wanted[role]}


def test_what_is_wanted_is_what_this_version_brings() -> None:
    """The script by its digest: with another version of it a preview has something to show."""
    digest = hashlib.sha256(host_script().encode()).hexdigest()
    assert installed() == {
        "script": f"/usr/local/sbin/wanbound {digest[:12]}",
        "wanbound.service": "enabled",
        "wanbound-docker.service": "enabled",
        "wanbound-watch.service": "enabled, active",
    }


@on_both
def test_a_host_as_it_was_left_has_no_drift(host: str) -> None:
    """Everything is enabled, and the watcher runs."""
    assert _drift(host, lambda text: text) == {}


@on_both
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(
    ("found", "said"),
    [
        ("disabled written", "disabled"),
        ("enabled edited", "enabled, edited"),
        ("missing edited", "missing"),
    ],
)
def test_a_unit(host: str, unit: str, found: str, said: str) -> None:
    """`systemctl disable`, an editor, `rm`."""
    watch = ", active" if "watch" in unit and said != "missing" else ""
    edit = replacing(f"\n{unit} enabled written", f"\n{unit} {found}")
    assert _drift(host, edit) == {unit: said + watch}


@on_both
def test_the_watcher_was_stopped(host: str) -> None:
    """Nothing mends a flush then."""
    edit = replacing("written active", "written inactive")
    assert _drift(host, edit) == {"wanbound-watch.service": "enabled, inactive"}


@on_both
def test_a_unit_that_is_not_spoken_of(host: str) -> None:
    """A version that did not know it has written the others."""
    edit = without("wanbound-watch.service enabled written active")
    assert _drift(host, edit) == {"wanbound-watch.service": "missing"}


@on_both
def test_the_script(host: str) -> None:
    """Edited or gone."""
    line = re.findall(r"\n(script \S+)\n", captured(host))[0]
    edited = "script 0123456789ab" + "0" * 52
    drift = _drift(host, replacing(line, edited))
    assert drift == {"script": "/usr/local/sbin/wanbound 0123456789ab"}
    drift = _drift(host, replacing(line, "script missing"))
    assert drift == {"script": "/usr/local/sbin/wanbound is missing"}


@on_both
def test_without_systemd_nothing_can_be_enabled(host: str) -> None:
    """So units are taken to be as wanted; the script is looked at all the same."""

    def edit(text: str) -> str:
        return re.sub(r"\nwanbound\S*\.service .*", "", text).rstrip("\n") + "\nno systemd\n"

    assert _drift(host, edit) == {}


# --- the Docker network --------------------------------------------------------------------------


def _docker(host: str, edit: Edit, taken_over: str = "", section: str = "docker") -> dict[str, str]:
    sample = samples(host)[WEB]
    live = parse(in_section(section, edit)(captured(host)))
    label, subnets = f"{host}/{WEB}", sample.props["subnets"]
    return live_docker(WEB, label, taken_over, sample.bridge, subnets, live)


def _line(host: str) -> str:
    (line,) = re.findall(rf"\n({WEB} [0-9a-f]{{64}} .*)\n", captured(host))
    return str(line)


@on_both
def test_the_network_that_was_made(host: str) -> None:
    """It has our label."""
    assert _line(host).endswith(f" {host}/{WEB} -")
    assert _docker(host, lambda text: text) == {}


@on_both
def test_a_network_that_was_made_by_hand(host: str) -> None:
    """`docker network rm`, `docker network create`: without a label, or with any."""
    label = f"{host}/{WEB}"
    assert _docker(host, replacing(f" {label} -", " - -")) == {
        "drift network": f"Docker network {WEB} was made by hand (no label wanbound={label})"
    }
    assert _docker(host, replacing(f" {label} -", " ours now -")) == {
        "drift network": f"Docker network {WEB} is another's (label wanbound=ours now, not {label})"
    }


@on_both
def test_a_network_that_was_taken_over(host: str) -> None:
    """It has no label, and cannot get one; made anew by hand it is another."""
    edit = replacing(f" {host}/{WEB} -", " - -")
    old = unlabelled(WEB, parse(edit(captured(host))))
    assert re.fullmatch("[0-9a-f]{64}", old)
    assert _docker(host, edit, taken_over=old) == {}
    assert list(_docker(host, edit, taken_over=old.replace(old[0], "f"))) == ["drift network"]
    assert unlabelled(WEB, parse(captured(host))) == ""


@on_both
def test_two_networks_of_one_name(host: str) -> None:
    """Docker allows it, and takes either of them for what has the name."""
    line = _line(host)
    edit = replacing(f"\n{line}\n", f"\n{line}\n{line}\n")
    assert _docker(host, edit) == {"drift network": f"Docker has 2 networks called {WEB}"}


@on_both
def test_a_network_that_docker_does_not_have(host: str) -> None:
    """Its own resource is what misses it; without Docker there is nothing to be said at all."""
    assert _docker(host, without(_line(host))) == {}
    assert _docker(host, lambda text: "\nno docker\n") == {}


@on_both
def test_a_bridge_that_was_renamed(host: str) -> None:
    """It says where the gateways of the network stand now."""
    text = in_section("links", replacing(f"\n{WEB} up\n", "\nfoo up\n"))(captured(host))
    text = re.sub(rf"\n(\d+): {WEB} (.*) {WEB}\\", r"\n\1: foo \2 foo\\", text)
    text = re.sub(rf"\n(\d+): {WEB} ", r"\n\1: foo ", text)
    sample = samples(host)[WEB]
    subnets = sample.props["subnets"]
    assert live_docker(WEB, f"{host}/{WEB}", "", WEB, subnets, parse(text)) == {
        "drift bridge": f"bridge {WEB} is gone; 172.29.11.1 stands on foo;"
        " fd5c:1b2a:77f0:11::1 stands on foo"
    }


@on_both
def test_a_bridge_that_is_gone_or_down(host: str) -> None:
    """`ip link del web`, `ip link set web down`."""
    assert _docker(host, replacing(f"\n{WEB} up\n", f"\n{WEB} down\n"), section="links") == {
        "drift bridge": f"bridge {WEB} is down"
    }
    text = in_section("links", without(f"{WEB} up"))(captured(host))
    text = re.sub(rf"\n\d+: {WEB} .*", "", text)
    drift = live_docker(WEB, f"{host}/{WEB}", "", WEB, ["172.29.11.0/24"], parse(text))
    assert drift == {"drift bridge": f"bridge {WEB} is gone"}


def test_names_and_labels_with_blanks() -> None:
    """Docker took names with blanks once, and takes any label."""
    text = captured("edge-1")
    line = f"my own net {'a' * 64} a label - b,c"
    live = parse(text.replace("\n== docker\n", f"\n== docker\n{line}\n"))
    assert live.docker is not None
    assert (live.docker[0].name, live.docker[0].label) == ("my own net", "a label -")
