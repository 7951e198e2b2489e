"""A reboot while a change waits for its confirmation, and while a network is leaving."""

import time
from collections import Counter
from dataclasses import replace

import pytest

from lab.api import Host, Lab
from lab.steps import wait_until
from tests.lab.atomic.drill import LONG, Drill
from tests.lab.atomic.hosts import on_both
from tests.lab.atomic.operators import operator
from tests.lab.atomic.plans import Net, base, plan
from tests.lab.atomic.wired import docker, remove

pytestmark = pytest.mark.lab

SENDS, LEAVES = Net("sends", 64), Net("leaves", 80)
MOVED = SENDS.moved(65)


def test_a_reboot_while_armed(lab: Lab) -> None:
    """The host ends in the old state, and no packet of the new one leaves after the boot.

    A network that is leaving gets its lines back as soon as Docker has its bridge again; they go
    with the bridge, as before.
    """
    on_both(lab, lambda host: _reboots(lab, host))


def _reboots(lab: Lab, host: Host) -> None:
    drill = Drill(host)
    bare = drill.look()
    with_both = plan(host, [SENDS, LEAVES], base(1, gateway=1))
    left = with_both.networks["leaves"]
    old, new = (
        replace(plan(host, [net], base(version, gateway=1)), leaving=(left,))
        for net, version in ((SENDS, 1), (MOVED, 2))
    )
    drill.apply(with_both)
    sending = f"ping -q {lab.internet.ipv4} & ping -q {lab.internet.ipv6} & wait"
    with docker(host, [SENDS, LEAVES], sending):
        # Not earlier: without its bridge the network would have been dropped at once.
        drill.apply(old)
        before = drill.look()
        done = operator(drill, LONG, die=True).run(drill, new)
        assert done.error == "died"
        publics = {net: net.publics(host) for net in (SENDS, MOVED, LEAVES)}
        now = drill.ask("ip -o addr show dev wan0")
        assert all(f" {address}/" in now for net in (MOVED, LEAVES) for address in publics[net])
        pings = f"dst host {lab.internet.ipv4} or dst host {lab.internet.ipv6}"
        # Captured on the lab's bridge: a capture on the host's own cable would end with the reboot.
        with lab.internet.capture(pings) as seen:
            boot = host.boot_id
            drill.close()
            host.reboot()
            assert host.boot_id != boot
            booted = _booted(host)
            expected = {each for net in (SENDS, LEAVES) for each in publics[net]}
            wait_until(
                f"{host.name} sends again",
                lambda: expected <= {each.src for each in seen.packets if each.time > booted},
                timeout=60,
            )
        [other] = [each for each in lab.hosts.values() if each.name != host.name]
        theirs = {other.wan_ipv4, other.wan_ipv6}
        theirs |= {address for net in (SENDS, MOVED, LEAVES) for address in net.publics(other)}
        packets = [packet for packet in seen.packets if packet.src not in theirs]
        sources = Counter(packet.src for packet in packets)
        print(host.name, sources)
        late = [each for each in packets if each.src in publics[MOVED] and each.time > booted]
        assert late == []
        after_boot = {each.src for each in packets if each.time > booted}
        for net in (SENDS, LEAVES):
            assert set(publics[net]) <= after_boot
        own = {host.wan_ipv4, host.wan_ipv6}
        assert set(sources) <= {*own, *(each for pair in publics.values() for each in pair)}
        seen_now = drill.look(10)
        assert not seen_now.armed
        # At boot Docker makes its chains again, in another order.
        assert seen_now.ours == before.ours, before.differences(seen_now)
        assert seen_now.lines() == before.lines(), before.differences(seen_now)
        remove(host, LEAVES)
        began = time.monotonic()
        while not drill.generation.endswith("-then"):
            assert time.monotonic() - began < 30, "the lines of the network are still there"
            time.sleep(0.05)
        drill.now = replace(old, leaving=())
        told = operator(drill).run(drill, plan(host, [MOVED], base(2, gateway=1)))
        assert told.error == ""
        assert "was not confirmed before the host was rebooted and was rolled back" in told.notes
        drill.now = plan(host, [MOVED], base(2, gateway=1))
    drill.apply(None)
    after = drill.look()
    drill.close()
    assert after.lines() == bare.lines(), bare.differences(after)


def _booted(host: Host) -> float:
    """Return when the host's systemd began (s, 1970).

    The host is a container: its clock is this machine's, which the capture uses as well.
    """
    shown = host.run("systemctl show --value -p UserspaceTimestampMonotonic").stdout
    return time.time() - time.monotonic() + int(shown) / 1e6
