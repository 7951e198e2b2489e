"""providers/host reads the facts that a host prints, and an unchanged host has no drift."""

import re
from dataclasses import replace

import pytest

from providers.host.drift import found
from providers.host.facts import parse
from providers.host.generation import compose
from providers.host.installed import installed, live_installed
from providers.host.plan import NOTHING
from tests.providers.onhost.box import Box
from tests.providers.onhost.generations import STACK, files, plan_of


@pytest.mark.parametrize(
    "case", ["dual-stack", "baseline", "several-networks", "snat-docker", "log-drops", "metrics"]
)
def test_what_was_loaded_is_no_drift(host: Box, case: str) -> None:
    """Every line is found where it was loaded."""
    host.deploy(files(case), "a1")
    facts = parse(host.run("facts", "drift").out, drift=True)
    plan = plan_of(case)
    live = found("edge-1", plan, compose(plan), facts)
    assert not live.get("drift"), live["drift"]
    assert (facts.current, facts.owner, facts.plan, facts.edited) == ("a1", STACK, plan, {})
    assert facts.units is not None
    units = {name for name in facts.units if name != "wanbound-watch.service"}
    for name in units:
        how = "static" if name == "wanbound-metrics.service" else "enabled"
        assert facts.units[name] == (how, "written")
    assert facts.docker is None
    # systemd does not run in the box.
    watch = {"wanbound-watch.service": "enabled, inactive"}
    digest = {"script": live_installed(plan, facts)["script"]}
    assert live_installed(plan, facts) == installed(plan) | watch | digest


def test_the_version_is_that_of_the_last_change(host: Box) -> None:
    """An operator on the host and the next run can read it."""
    unknown = host.run("version")
    host.deploy(files("dual-stack"), "a1")
    said = host.out("wanbound version")
    assert re.fullmatch(r"wanbound 1\.2\.3, script [0-9a-f]{12}\n", said)
    facts = parse(host.run("facts").out)
    assert (facts.version, facts.script is not None) == ("1.2.3", True)
    assert f"script {str(facts.script)[:12]}" in said
    (host.etc / "a1/version").unlink()
    assert host.out("wanbound version").startswith("wanbound unknown, script ")
    assert parse(host.run("facts").out).version is None
    assert unknown.code != 0


def test_a_change_needs_no_drift(host: Box) -> None:
    """Facts without drift have everything else."""
    host.deploy(files("several-networks"), "a1")
    facts = parse(host.run("facts", "drift").out, drift=True)
    assert facts.live
    assert facts.live == facts.loaded
    assert parse(host.run("facts").out) == replace(facts, live={}, loaded={}, owned_table="")


def test_a_host_without_wanbound_has_facts(host: Box) -> None:
    """The first change needs them."""
    host.out("ip route add default via 203.0.113.9 dev wan0 metric 5; ip link set wan1 down")
    facts = parse(host.run("facts", "drift").out, drift=True)
    assert (facts.current, facts.owner, facts.plan) == ("none", "", NOTHING)
    assert not facts.has_generation
    assert ("ipv4", "default via 203.0.113.9 dev wan0 metric 5") in facts.routes
    assert facts.links["wan1"] == "down"
    assert any(line.startswith("inet 203.0.113.101/24") for _, line in facts.addresses)


@pytest.mark.parametrize("fails", ["-o addr show", "-o -4 route show default"])
def test_what_cannot_be_read_is_not_empty(host: Box, fails: str) -> None:
    """A refresh must not report all addresses as gone."""
    host.deploy(files("dual-stack"), "a1")
    host.shim("ip", f'[ "$*" != "{fails}" ] || exit 2\nexec "$real" "$@"')
    done = host.run("facts")
    assert done.code == 10
    assert "cannot read the" in done.err


def test_an_edited_file_is_told(host: Box) -> None:
    """A flushed chain is reported too."""
    host.deploy(files("dual-stack"), "a1")
    with (host.etc / "a1/ipv4.rules").open("a") as file:
        file.write("# by an operator")
    host.out("iptables -t nat -F WANBOUND-SNAT; iptables -N MINE; iptables -A MINE -j ACCEPT")
    facts = parse(host.run("facts", "drift").out, drift=True)
    assert facts.edited["ipv4.rules"].endswith("# by an operator\n")
    assert facts.live["ipv4"] != facts.loaded["ipv4"]
    assert facts.live["ipv6"] == facts.loaded["ipv6"]
    assert "-A MINE -j ACCEPT" in facts.others["ipv4"]


def test_what_was_not_loaded_in_this_boot_is_not_known_to_be_ours(host: Box) -> None:
    """The units were disabled or have failed."""
    host.deploy(files("dual-stack"), "a1")
    host.reboot()
    facts = parse(host.run("facts", "drift").out, drift=True)
    assert facts.current == "a1"
    assert not any(facts.loaded.values())


def test_edited_disabled_and_missing_units_are_reported(host: Box) -> None:
    """Edited, disabled and missing units are reported."""
    host.deploy(files("dual-stack"), "a1")
    units = host.root / "etc/systemd/system"
    (units / "wanbound.service").write_text("[Unit]\n")
    (units / "docker.service.wants/wanbound-docker.service").unlink()
    (units / "wanbound-watch.service").unlink()
    found_units = parse(host.run("facts", "drift").out, drift=True).units
    assert found_units is not None
    assert found_units["wanbound.service"] == ("enabled", "edited")
    assert found_units["wanbound-docker.service"] == ("disabled", "written")
    assert found_units["wanbound-watch.service"][0] == "missing"


def test_a_stopped_docker_is_not_asked(host: Box) -> None:
    """Its socket would start it."""
    host.docker(ran=False)
    said = host.run("facts").out.splitlines()
    assert said[-3:] == ["docker stopped", "== containers", "== end"]
