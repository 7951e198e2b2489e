"""A network that was removed from the configuration while Docker still has it.

Its lines stay until its bridge is gone; then the host drops them by itself. The host decides
whether the bridge is gone; reports of a plugin have no influence.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import pytest

from lab.api import Host, Lab
from providers.errors import HostError
from tests.lab.atomic.drill import LONG, RUN_UNDO, Drill, Provided, provider
from tests.lab.atomic.hosts import on_both
from tests.lab.atomic.look import Look
from tests.lab.atomic.operators import operator
from tests.lab.atomic.plans import Net, base, plan
from tests.lab.atomic.wired import answers, docker, port, remove, sources, talking

pytestmark = pytest.mark.lab

STAYS, LEAVES = Net("stays", 66), Net("leaves", 80)
HEIR = Net("heir", 80, 81)
"""Another network, with the addresses of the one that leaves."""

DROPPED_SECONDS = 30.0
"""Within which the host has dropped the lines: one second on an idle machine."""

REMOVED_SECONDS = 30.0
"""Within which the host has removed everything: three seconds on an idle machine."""

OURS = """\
ls -d /etc/wanbound /usr/local/sbin/wanbound /etc/systemd/system/*wanbound* \
    /etc/systemd/system/*.wants/*wanbound* 2>/dev/null
systemctl is-active wanbound-watch.service | grep -vx inactive
nft list tables | grep wanbound
true
"""
"""Prints what is on the host of wanbound's."""


@dataclass
class Leaving:
    """A host with both networks, whose containers send continuously."""

    lab: Lab
    host: Host
    drill: Drill
    provided: Provided
    alone: Look
    """The host's state if STAYS were the only network that ever existed."""

    def up(self, *nets: Net) -> None:
        """What `pulumi up` does for the host."""
        self.provided.up(plan(self.host, nets, base(1, gateway=1)))

    def dropped(self) -> float:
        """Wait until the host has dropped the lines; return how many seconds that took."""
        began = time.monotonic()
        while not self.drill.generation.endswith("-then"):
            assert time.monotonic() - began < DROPPED_SECONDS, "its lines are still there"
            time.sleep(0.05)
        took = time.monotonic() - began
        print(f"{self.host.name}: dropped after {took:.2f} s")
        return took

    def is_alone(self) -> None:
        """Assert that the host is as if the network had never existed."""
        seen = self.drill.look()
        # Docker now has lines of its own for STAYS, which `alone` does not have.
        assert seen.ours == self.alone.ours, self.alone.differences(seen)
        assert not seen.armed

    def in_force(self) -> bool:
        """Whether the network's lines are in force: rules, addresses, the guard of its bridge."""
        four, six = LEAVES.publics(self.host)
        shown = self.drill.ask(
            "iptables-save; ip6tables-save; nft list table inet wanbound; ip -o addr show dev wan0"
        )
        wanted = (
            f"-j SNAT --to-source {four}",
            f"-j SNAT --to-source {six}",
            f" {four}/32 ",
            f" {six}/128 ",
            '"leaves" : jump',
        )
        found = [line in shown for line in wanted]
        assert all(found) or not any(found), dict(zip(wanted, found, strict=True))
        return all(found)


@contextmanager
def leaving(lab: Lab, host: Host) -> Iterator[Leaving]:
    """Yield the host with both networks; it is bare again afterwards."""
    drill = Drill(host)
    bare = drill.look()
    with ExitStack() as stack:
        provided = stack.enter_context(provider(host))
        alone = plan(host, [STAYS], base(1, gateway=1))
        provided.up(alone)
        stack.callback(provided.destroy, alone)
        story = Leaving(lab, host, drill, provided, drill.look())
        story.up(STAYS, LEAVES)
        with docker(host, [STAYS, LEAVES]):
            yield story
    after = drill.look()
    drill.close()
    assert after.same(bare), bare.differences(after)


def test_its_lines_stay_until_its_bridge_is_gone(lab: Lab) -> None:
    """The lines stay until then, whatever became of the run that removed the network."""

    def act(host: Host) -> None:
        with leaving(lab, host) as story:
            with (
                talking(lab, host, [STAYS, LEAVES]),
                lab.internet.capture("udp and dst portrange 7100-7399", host.wan_link) as seen,
            ):
                story.up(STAYS)
                assert story.in_force()
                publics = LEAVES.publics(host)
                assert answers(lab, publics) == ["leaves"] * 4
                # Neither another change of the host nor a refresh removes them.
                story.up(STAYS)
                assert story.in_force()
                time.sleep(0.5)
            packets = list(seen.packets)
            for net in (STAYS, LEAVES):
                assert sources(host, packets, net) == set(net.publics(host))
            _docker_has_not_started(story)
            # As after a failed run, or after Docker's plugin has taken an error for "removed".
            remove(host, LEAVES)
            story.dropped()
            story.is_alone()
            assert not story.in_force()

    on_both(lab, act)


def _docker_has_not_started(story: Leaving) -> None:
    """Assert that the lines stay while Docker has not started: it may still make the bridge."""
    drill = story.drill
    drill.ask(
        "systemctl stop docker.socket docker; rm -f /run/wanbound/docker; ip link del leaves;"
        " /usr/local/sbin/wanbound mend; sleep 1.5; /usr/local/sbin/wanbound mend"
    )
    assert story.in_force()
    drill.ask("systemctl start docker.socket docker; timeout 30 docker version >/dev/null")
    # The boot unit that follows Docker runs only after Docker has made the bridge again.
    drill.ask("for i in $(seq 100); do [ ! -e /sys/class/net/leaves ] || break; sleep 0.1; done")
    drill.ask("/usr/local/sbin/wanbound mend")
    assert story.in_force()


def test_a_change_is_undone_while_a_bridge_goes(lab: Lab) -> None:
    """The lines are dropped with the bridge while a change is armed; the undo adds none again."""

    def act(host: Host) -> None:
        with leaving(lab, host) as story:
            drill = story.drill
            story.up(STAYS)
            left = plan(host, [LEAVES]).networks["leaves"]
            drill.now, wanted = (
                replace(plan(host, [STAYS], base(version, gateway=1)), leaving=(left,))
                for version in (1, 2)
            )
            died = operator(drill, LONG, die=True).run(drill, wanted)
            assert died.error == "died"
            remove(host, LEAVES)
            story.dropped()
            assert "loaded" in drill.look().armed
            assert not story.in_force()
            drill.ask(RUN_UNDO)
            assert not drill.look().armed
            story.dropped()
            story.is_alone()
            assert not story.in_force()

    on_both(lab, act)


def test_its_address_goes_to_another_network_at_once(lab: Lab) -> None:
    """Nothing passes the old bridge any more, and the new network alone uses the address."""

    def act(host: Host) -> None:
        with leaving(lab, host) as story, docker(host, [HEIR]):
            with talking(lab, host, [STAYS, LEAVES]):
                story.up(STAYS, HEIR)
                with (
                    talking(lab, host, [HEIR]),
                    lab.internet.capture("udp and dst portrange 7100-7399", host.wan_link) as seen,
                ):
                    time.sleep(1)
                    assert answers(lab, HEIR.publics(host)) == ["heir"] * 4
                packets = list(seen.packets)
                assert [str(each) for each in packets if each.dport == port(host, LEAVES)] == []
                for net in (STAYS, HEIR):
                    assert sources(host, packets, net) == set(net.publics(host))
            remove(host, LEAVES)
            story.dropped()
            remove(host, HEIR)
            story.up(STAYS)
            story.is_alone()

    on_both(lab, act)


def test_a_destroy_is_refused_while_a_bridge_exists(lab: Lab) -> None:
    """The error names the bridge, the network and its containers, and all stays in force."""

    def act(host: Host) -> None:
        with leaving(lab, host) as story:
            drill = story.drill
            both = plan(host, [STAYS, LEAVES], base(1, gateway=1))
            before = drill.look()
            with pytest.raises(HostError) as caught:
                story.provided.destroy(both)
            said = str(caught.value)
            print(said)
            for net in (STAYS, LEAVES):
                assert f"bridge {net.name} of network {net.name} (containers {net.name})" in said
            assert "all rules, addresses and the guard are still in force" in said
            assert drill.look() == before
            # A network that appears while the provider decides: the host itself refuses.
            drill.now = both
            done = operator(drill).run(drill, None)
            assert "still exists" in done.error
            assert "nothing has changed" in done.error
            assert drill.look() == before

    on_both(lab, act)


def test_a_destroy_that_was_killed_at_its_end_is_finished_by_the_watcher(lab: Lab) -> None:
    """The watcher removes script, units and files, and with them itself."""

    def act(host: Host) -> None:
        with leaving(lab, host) as story:
            drill = story.drill
            for net in (STAYS, LEAVES):
                remove(host, net)
            drill.now = plan(host, [STAYS, LEAVES], base(1, gateway=1))
            token = drill.unconfirmed(None)
            # What a confirmation does before it removes the files; then an event.
            drill.ask(
                f"cd /etc/wanbound; ln -sfn {token} confirmed; rm -rf armed /run/wanbound/loaded;"
                f" systemctl stop wanbound-undo-{token}.timer;"
                " ip link add look type bridge; ip link del look"
            )
            began = time.monotonic()
            while (left := drill.ask(OURS)) and time.monotonic() - began < REMOVED_SECONDS:
                time.sleep(0.1)
            assert left == ""
            drill.now = None

    on_both(lab, act)
