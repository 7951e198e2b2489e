"""A change that nobody confirms is undone by the host, whatever has become of the operator."""

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest
from providers.target import Target

from lab.api import Lab
from lab.namespace import inside
from tests.lab.atomic import child
from tests.lab.atomic.child import Ended, Job
from tests.lab.atomic.drill import Drill, base, network, target
from tests.lab.atomic.look import Look

pytestmark = pytest.mark.lab

ENGINES = pytest.mark.parametrize("name", ["test-1", "test-2"])

SECONDS = 3
"""For which the hosts here wait for a confirmation."""

MENDED_SECONDS = 6.0
"""Within which the host is as before once that time is over: it is busy, and so is the machine."""

UNDONE = "was not confirmed in time over a new SSH connection and was undone"

UUID = "/proc/sys/kernel/random/uuid"


@pytest.fixture
def drill(lab: Lab, name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Drill]:
    """A host whose operator gets in by every way; bare as before afterwards."""
    monkeypatch.setenv("SSH_AUTH_SOCK", lab.environment()["SSH_AUTH_SOCK"])
    drill = Drill(lab.host(name))
    one, two = (network(drill.host, "one", number) for number in (64, 65))
    drill.versions = (
        {"_host": base(1, gateway=1), "one": one},
        {"_host": base(2, gateway=1), "one": two},
    )
    bare = drill.look()
    drill.apply(drill.change("create"))
    yield drill
    drill.apply(drill.change("delete"))
    after = drill.look()
    drill.close()
    assert after == bare, bare.differences(after)


@dataclass(frozen=True)
class Cut:
    """A line that cuts the operator off, and who that is."""

    name: str
    fragment: str
    line: str
    operator: str = "management"


CUTS = (
    Cut("INPUT", "_host", "ipv4 filter -A WANBOUND-INPUT -s {operator}/32 -p tcp -j DROP"),
    Cut("INPUT-ipv6", "_host", "ipv6 filter -A WANBOUND-INPUT -p tcp --dport 22 -j DROP", "wan6"),
    Cut("gateway", "_host", "route ipv4 default via 203.0.113.254 dev wan0", "wan4"),
    Cut("gateway-ipv6", "_host", "route ipv6 default via fe80::254 dev wan0", "wan6"),
    Cut(
        "ingress-of-all-TCP",
        "two",
        "ipv4 nat -A WANBOUND-DNAT -d {address}/32 -p tcp -j DNAT --to-destination 10.66.1.254",
    ),
    Cut("the-operators-address", "two", "address wan0 {operator}/32"),
)
"""Each in a change that does more, in both families."""


def job(lab: Lab, drill: Drill, cut: Cut) -> tuple[Job, list[str]]:
    """The change with the cut in it, from where it cuts; and the command that leads there."""
    host = drill.host
    operator = str(lab.settings.management[1])
    line = cut.line.format(operator=operator, address=host.address)
    put = {"_host": base(2, gateway=1), "two": network(host, "two", 66)}
    family = line.split()[1]
    kept = [
        each
        for each in put[cut.fragment].splitlines()
        if not (line.startswith("route") and each.startswith(f"route {family}"))
    ]
    put[cut.fragment] = "".join(f"{each}\n" for each in [*kept, line])
    where = target(host, SECONDS)
    if cut.operator == "management":
        return Job(where, put), []
    address, source = {
        "wan4": (host.wan_ipv4, lab.internet.ipv4),
        "wan6": (host.wan_ipv6, lab.internet.ipv6),
    }[cut.operator]
    there = Target(host.name, address, 22, "root", host.host_key, confirm_seconds=SECONDS)
    return Job(there, put, source=source), inside(lab.settings, [])


def back(drill: Drill, before: Look) -> None:
    """The host is as before, exactly, once nothing is armed any more."""
    until = time.monotonic() + SECONDS + MENDED_SECONDS
    while True:
        # An attempt that began under a rule that redirects it will be redirected for ever.
        with suppress(OSError), socket.create_connection((drill.host.address, 22), 0.5):
            break
        assert time.monotonic() < until, "nobody gets in"
    seen = drill.look(SECONDS + MENDED_SECONDS)
    assert not seen.armed
    assert seen.same(before), before.differences(seen)


def told(drill: Drill, why: str = UNDONE) -> None:
    """The next run says what has happened, and brings the new state; the one after it does not."""
    next_job = Job(target(drill.host), drill.versions[1])
    done = child.run(next_job)
    assert done.status == 0, done.stdout
    assert f"host {drill.host.name}: the change of " in done.stderr
    assert why in done.stderr
    drill.version = 1
    again = child.run(next_job)
    assert again.status == 0, again.stdout
    assert "undone" not in again.stderr


def refused(done: Ended, *words: str) -> None:
    """The run has failed, with those words, and has not called it done."""
    print(done.stdout)
    assert done.status == 3, done
    assert "done after" not in done.stdout
    assert "as it was before the change, in both families" in done.stdout
    assert any(word in done.stdout for word in words), done.stdout


@ENGINES
@pytest.mark.parametrize("cut", CUTS, ids=lambda cut: cut.name)
def test_a_change_that_cuts_the_operator_off(lab: Lab, drill: Drill, cut: Cut) -> None:
    """The host goes back by itself, and lets the operator in again."""
    before = drill.look()
    drill.control.close()
    work, prefix = job(lab, drill, cut)
    began = time.monotonic()
    done = child.run(work, prefix)
    # Which of the two depends on whether the answer to the change still got through.
    refused(
        done,
        "it did not let a new SSH connection in after the change",
        "it undid the change, because no confirmation came in time",
    )
    back(drill, before)
    took = time.monotonic() - began
    print(f"{cut.name}: as before and reachable after {took:.1f} s")
    # The longest is the operator's own: an attempt to connect is repeated after 1, 3, 7 and 15 s.
    assert took < SECONDS + 15 + MENDED_SECONDS
    told(drill)


@ENGINES
def test_sshd_stops_after_the_change(drill: Drill) -> None:
    """What cannot be confirmed is undone, whatever the reason."""
    before = drill.look()
    drill.host.run(
        "setsid sh -c 'until grep -q loaded /etc/wanbound/.old/armed; do sleep 0.01; done;"
        " systemctl stop ssh; while [ -e /etc/wanbound/.old/armed ]; do sleep 0.05; done;"
        " systemctl start ssh' >/dev/null 2>&1 </dev/null &"
    )
    done = child.run(Job(target(drill.host, SECONDS), drill.versions[1]))
    refused(done, "it did not let a new SSH connection in after the change")
    back(drill, before)
    told(drill)


@ENGINES
def test_the_operators_machine_dies(drill: Drill) -> None:
    """Between the change and its confirmation."""
    before = drill.look()
    done = child.run(Job(target(drill.host, SECONDS), drill.versions[1], die="armed"))
    assert (done.status, done.stdout) == (-9, "armed\n")
    back(drill, before)
    told(drill)


@ENGINES
def test_the_operator_dies_after_the_confirmation(drill: Drill) -> None:
    """The host has it: the change stands, though nobody was told."""
    done = child.run(Job(target(drill.host, 1), drill.versions[1], die="confirmed"))
    assert (done.status, done.stdout) == (-9, "armed\n")
    now = drill.look()
    time.sleep(2.5)
    drill.version = 1
    after = drill.look()
    assert after == now, now.differences(after)
    done = child.run(Job(target(drill.host), drill.versions[1]))
    assert done.status == 0
    assert "undone" not in done.stderr
    assert drill.look() == now


@ENGINES
def test_a_late_confirmation(drill: Drill) -> None:
    """It comes when the host has gone back: the run fails and says so."""
    before = drill.look()
    process = child.start(Job(target(drill.host, 1), drill.versions[1], die="hold"))
    assert process.stdout is not None
    assert process.stdout.readline() == "armed\n"
    back(drill, before)
    refused(child.finish(process), "it undid the change, because no confirmation came in time")
    told(drill)


@ENGINES
def test_a_confirmation_after_a_reboot(drill: Drill) -> None:
    """It may be there before the boot unit: what it would confirm is not in force any more."""
    before = drill.look()
    process = child.start(Job(target(drill.host, 30), drill.versions[1], die="hold"))
    assert process.stdout is not None
    assert process.stdout.readline() == "armed\n"
    # As a reboot leaves it: the boot that it was made in is another one.
    armed = "/etc/wanbound/.old/armed"
    drill.host.run(f"set -- $(cat {armed}); echo $1 $(cat {UUID}) $3 $4 >{armed}")
    refused(child.finish(process), "it undid the change, because no confirmation came in time")
    back(drill, before)
    told(drill, "was not confirmed before the host was rebooted and was undone")
