"""A network removed from the configuration keeps its lines until Docker has removed its bridge."""

from dataclasses import replace

import pytest

from providers.host.generation import compose
from providers.host.leaving import leaving
from tests.providers.onhost.box import Box
from tests.providers.onhost.generations import plan_of

OLD = plan_of("several-networks")
KEPT, *GONE = sorted(OLD.networks)


def _files() -> tuple[dict[str, str], dict[str, str]]:
    wanted = replace(OLD, networks={KEPT: OLD.networks[KEPT]})
    bridges = {bridge for name in GONE for bridge in OLD.networks[name].bridges.values()}
    plan = replace(wanted, leaving=leaving(OLD, wanted, bridges))
    assert plan.leaving
    return dict(compose(plan).files), dict(compose(wanted).files)


@pytest.fixture
def bridges(host: Box) -> list[str]:
    """The bridges of the removed networks; the change is confirmed."""
    found = [bridge for name in GONE for bridge in OLD.networks[name].bridges.values()]
    host.deploy(dict(compose(OLD).files), "a1")
    for bridge in found:
        host.bridge(bridge)
    new, then = _files()
    host.deploy(new, "a2", then)
    return found


def test_a_leaving_network_stays_as_long_as_its_bridge(host: Box, bridges: list[str]) -> None:
    """All of its rules stay until its last bridge is gone."""
    host.docker()
    gone = OLD.networks["web"].addresses["ipv4"]
    for bridge in bridges:
        assert host.run("mend").code == 0
        assert host.current == "a2"
        assert f"--to-source {gone}" in host.kernel
        host.out(f"ip link del {bridge}")
    done = host.run("mend")
    assert (done.code, host.current, host.confirmed) == (0, "a2-then", "a2-then")
    assert f"--to-source {gone}" not in host.kernel
    assert f"{gone}/32" not in host.kernel
    assert [name for name in host.files if name.startswith("etc/a")] == ["etc/a2-then"]
    assert host.run("mend").err == ""


def test_before_docker_has_run_a_bridge_may_still_come(host: Box, bridges: list[str]) -> None:
    """After a boot there are no bridges at first."""
    host.reboot()
    assert host.run("apply").code == 0
    assert host.current == "a2"
    host.docker()
    assert host.run("apply").code == 0
    assert host.current == "a2-then"


def test_the_next_change_starts_from_the_next_generation(host: Box, bridges: list[str]) -> None:
    """The watcher has moved to the next generation alone, and the next change sees that."""
    host.docker()
    for bridge in bridges:
        host.out(f"ip link del {bridge}")
    host.run("mend")
    host.deploy(_files()[1], "a3")
    assert host.current == "a3"


SECOND_LINK = """\
case "$*" in */etc/wanbound/*.next*)
    echo x >>/mnt/links
    [ "$(wc -l </mnt/links)" != 2 ] || kill -9 0
esac
exec "$real" "$@"
"""


def test_a_kill_between_both_links_is_repaired(host: Box, bridges: list[str]) -> None:
    """The next repair sets both; without that, no later change could be undone."""
    host.docker()
    for bridge in bridges:
        host.out(f"ip link del {bridge}")
    host.shim("mv", SECOND_LINK)
    assert host.run("mend").code != 0
    host.no_shims()
    assert host.run("mend").code == 0
    assert (host.current, host.confirmed) == ("a2-then", "a2-then")
    kernel = host.kernel
    assert host.change(_files()[1], "a3").code == 0
    host.overdue()
    assert host.run("undo", "a3").code == 0
    assert (host.current, host.kernel) == ("a2-then", kernel)


def test_what_is_confirmed_stays_on_disk(host: Box) -> None:
    """Also when the current generation is another one and no undo is armed."""
    host.deploy(dict(compose(OLD).files), "a1")
    host.deploy(_files()[1], "a2")
    host.out("cp -a /etc/wanbound/a2 /etc/wanbound/a3; ln -sfn a3 /etc/wanbound/current")
    assert host.run("apply").code == 0
    assert (host.current, host.confirmed) == ("a3", "a2")
    host.out("test -e /etc/wanbound/confirmed/guard.nft")


def test_a_change_that_is_not_confirmed_may_go_on_and_is_undone(host: Box) -> None:
    """The undo returns to the generation with the removed networks."""
    host.deploy(dict(compose(OLD).files), "a1")
    old, names = host.kernel, host.files
    new, then = _files()
    assert host.change(new, "a2", then=then).code == 0
    host.docker()
    assert host.run("mend").code == 0
    assert (host.current, host.confirmed) == ("a2-then", "a1")
    host.overdue()
    assert host.run("undo", "a2").code == 0
    assert (host.kernel, host.files) == (old, names)


def test_a_change_that_has_gone_on_can_be_confirmed(host: Box) -> None:
    """The loaded generation is confirmed."""
    host.deploy(dict(compose(OLD).files), "a1")
    new, then = _files()
    assert host.change(new, "a2", then=then).code == 0
    host.docker()
    host.run("mend")
    assert host.confirm("a2").code == 0
    assert (host.current, host.confirmed, host.armed) == ("a2-then", "a2-then", False)
