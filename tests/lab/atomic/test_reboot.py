"""A reboot while a change waits for its confirmation."""

import time
from collections import Counter
from collections.abc import Iterator

import pytest

from lab.api import Lab
from lab.settings import ECHO_IPV4, ECHO_IPV6
from tests.lab.atomic import child
from tests.lab.atomic.child import Job
from tests.lab.atomic.drill import Drill, base, target
from tests.lab.atomic.networks import Network
from tests.lab.atomic.test_confirm import ENGINES

pytestmark = pytest.mark.lab

TRAFFIC = f"ping -q {ECHO_IPV4} & ping -q {ECHO_IPV6} & wait"


@pytest.fixture
def drill(lab: Lab, name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Drill]:
    """A host with a network that is sending all the time; bare as before afterwards."""
    monkeypatch.setenv("SSH_AUTH_SOCK", lab.environment()["SSH_AUTH_SOCK"])
    drill = Drill(lab.host(name))
    sends = Network(drill.host, "sends", 64)
    drill.versions = (
        {"_host": base(1, gateway=1), "sends": sends.text},
        {"_host": base(2, gateway=1), "sends": sends.renumbered(sends.number + 1)},
    )
    bare = drill.look()
    drill.apply(drill.change("create"))
    with sends.made(TRAFFIC):
        yield drill
    drill.apply(drill.change("delete"))
    after = drill.look()
    drill.close()
    assert after == bare, bare.differences(after)


@ENGINES
def test_a_reboot_while_armed(lab: Lab, drill: Drill) -> None:
    """It ends in the old state, and no packet of the new one leaves after it."""
    sends = Network(drill.host, "sends", 64)
    old, new = sends.public(), sends.public(sends.number + 1)
    before = drill.look()
    done = child.run(Job(target(drill.host, 600), drill.versions[1], die="armed"))
    assert done.status == -9
    now = drill.ask("ip -o addr show dev wan0")
    assert all(f" {address}/" in now for address in new)
    expression = " or ".join(f"dst host {address}" for address in (ECHO_IPV4, ECHO_IPV6))
    with lab.internet.capture(expression) as capture:
        boot = drill.host.boot_id
        drill.control.close()
        drill.host.reboot()
        assert drill.host.boot_id != boot
        drill.host.run("sleep 3")
    sources = Counter(packet.src for packet in capture.packets)
    print(sources)
    # In a container the clock is this machine's, and of the capture.
    shown = drill.host.run("systemctl show --value -p UserspaceTimestampMonotonic").stdout
    booted = time.time() - time.monotonic() + int(shown) / 1e6
    late = [packet for packet in capture.packets if packet.src in new and packet.time > booted]
    assert late == []
    own = {drill.host.wan_ipv4, drill.host.wan_ipv6}
    assert set(sources) <= {*old, *new, *own}
    assert all(sources[address] > 0 for address in (*old, *new))
    seen = drill.look(10)
    assert not seen.armed
    # At boot Docker makes its own chains anew, in another order.
    assert seen.ours == before.ours
    assert seen.lines() == before.lines(), before.differences(seen)
    told = child.run(Job(target(drill.host), drill.versions[1]))
    assert told.status == 0, told.stdout
    assert "was not confirmed before the host was rebooted and was undone" in told.stderr
    drill.version = 1
