"""The host rolls back a change that is not confirmed, whatever happened to the operator."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import pytest

from lab.api import Host, Lab
from lab.namespace import inside
from providers.host.plan import Plan
from providers.ssh.target import Target
from tests.lab.atomic import child
from tests.lab.atomic.child import Job
from tests.lab.atomic.drill import LONG, target
from tests.lab.atomic.hosts import on_both
from tests.lab.atomic.operators import Ended, operator
from tests.lab.atomic.plans import Net, files, plan, with_line
from tests.lab.atomic.sides import (
    CAME_TOO_LATE,
    CONFIRMED_SECONDS,
    NOT_LET_IN,
    RECOVERED_SECONDS,
    SECONDS,
    Side,
    refused,
    sides,
)

pytestmark = pytest.mark.lab

UUID = "/proc/sys/kernel/random/uuid"


@pytest.fixture(scope="module")
def both(lab: Lab) -> Iterator[Mapping[str, Side]]:
    """Yield both hosts; a test may leave them in either version."""
    with sides(lab) as found:
        yield found


@dataclass(frozen=True)
class Cut:
    """A line that cuts the operator off, its network, and the operator's way to the host."""

    name: str
    network: str | None
    section: str
    line: str
    operator: str = "management"


CUTS = (
    Cut("INPUT", None, "input_ipv4", "-A WANBOUND-INPUT -s {operator}/32 -p tcp -j DROP"),
    Cut("INPUT-ipv6", None, "input_ipv6", "-A WANBOUND-INPUT -p tcp --dport 22 -j DROP", "wan6"),
    Cut("gateway", None, "routes", "default via 203.0.113.254 dev wan0", "wan4"),
    Cut("gateway-ipv6", None, "routes", "default via fe80::254 dev wan0", "wan6"),
    Cut(
        "ingress-of-all-TCP",
        "two",
        "dnat_ipv4",
        "-A WANBOUND-DNAT -d {address}/32 -p tcp -j DNAT --to-destination 10.66.1.254",
    ),
    Cut("the-operators-address", "two", "addresses", "inet {operator}/32 scope host wan0"),
)
"""Each is part of a larger change, in both families."""


def _with_cut(lab: Lab, side: Side, cut: Cut) -> Plan:
    """Return the other version with a second network and the cut."""
    operator_ = str(lab.settings.management[1])
    line = cut.line.format(operator=operator_, address=side.host.address)
    role = "ipv6" if cut.name == "gateway-ipv6" else "ipv4" if cut.name == "gateway" else "cut"
    two = plan(side.host, [Net("two", 66)]).networks["two"]
    wanted = side.other
    if cut.network is None:
        wanted = replace(wanted, lines=with_line(wanted.lines, cut.section, role, line))
    else:
        two = replace(two, lines=with_line(two.lines, cut.section, role, line))
        if cut.section == "addresses":
            two = replace(two, addresses={**two.addresses, role: operator_})
    return replace(wanted, networks={**wanted.networks, "two": two})


def _cut_off(lab: Lab, side: Side, cut: Cut) -> Ended:
    """Make the change over the way that it cuts."""
    wanted = _with_cut(lab, side, cut)
    host = side.host
    if cut.operator == "management":
        return operator(side, SECONDS).run(side, wanted)
    address, source = {
        "wan4": (host.wan_ipv4, lab.internet.ipv4),
        "wan6": (host.wan_ipv6, lab.internet.ipv6),
    }[cut.operator]
    there = Target(host.name, address, 22, "root", host.host_key, confirm_seconds=SECONDS)
    job = Job(there, files(wanted, side.now), side.generation, source=source)
    done = child.run(job, inside(lab.settings, []))
    assert done.status == 3, done
    return Ended(done.stdout, done.stderr)


@pytest.mark.parametrize("cut", CUTS, ids=lambda cut: cut.name)
def test_a_change_that_cuts_the_operator_off(lab: Lab, both: Mapping[str, Side], cut: Cut) -> None:
    """The host rolls the change back, and accepts the operator's login again."""

    def act(host: Host) -> None:
        side = both[host.name]
        before = side.look()
        side.session.close()
        began = time.monotonic()
        done = _cut_off(lab, side, cut)
        # Which of the two depends on whether the reply to the change still got through.
        refused(done, NOT_LET_IN, CAME_TOO_LATE)
        side.back(before)
        took = time.monotonic() - began
        print(f"{host.name}: as before and reachable after {took:.1f} s")
        # The operator's own retries take longest: it connects again after 1, 3, 7 and 15 s.
        assert took < SECONDS + 15 + RECOVERED_SECONDS
        side.told()

    on_both(lab, act)


STOPS_SSHD = """\
#!/bin/sh
# Not for a repair after the undo, when sshd has been started again.
case " $* " in *" --test "*) ;; *) [ ! -e /etc/wanbound/armed ] || systemctl stop ssh ;; esac
exec /usr/sbin/ip6tables-restore "$@"
"""


def test_sshd_stops_in_the_change(lab: Lab, both: Mapping[str, Side]) -> None:
    """A change that cannot be confirmed is rolled back, whatever the reason.

    The connection that makes the change outlives sshd, as on every Debian.
    """

    def act(host: Host) -> None:
        side = both[host.name]
        before = side.look()
        shim = "/usr/local/sbin/ip6tables-restore"
        host.put(shim, STOPS_SSHD, mode=0o755)
        host.run(
            "setsid sh -c 'until grep -qs loaded /etc/wanbound/armed; do sleep 0.01; done;"
            f" while [ -e /etc/wanbound/armed ]; do sleep 0.05; done; rm {shim};"
            " systemctl start ssh' >/dev/null 2>&1 </dev/null &"
        )
        refused(operator(side, SECONDS).run(side, side.other), NOT_LET_IN, CAME_TOO_LATE)
        side.back(before)
        side.told()

    on_both(lab, act)


def test_the_operators_machine_dies(lab: Lab, both: Mapping[str, Side]) -> None:
    """The host rolls back a change whose operator dies before the confirmation."""

    def act(host: Host) -> None:
        side = both[host.name]
        before = side.look()
        assert operator(side, SECONDS, die=True).run(side, side.other).error == "died"
        side.back(before)
        side.told()

    on_both(lab, act)


def test_the_operator_dies_after_the_confirmation(lab: Lab, both: Mapping[str, Side]) -> None:
    """The change stays once the host has the confirmation, though the operator is not told."""

    def act(host: Host) -> None:
        side = both[host.name]
        wanted = side.other
        job = Job(
            target(host, CONFIRMED_SECONDS),
            files(wanted, side.now),
            side.generation,
            die="confirmed",
        )
        done = child.run(job)
        assert (done.status, done.stdout) == (-9, "armed\n")
        now = side.look()
        side.now = wanted
        # Longer than the change would have waited.
        time.sleep(CONFIRMED_SECONDS + 1)
        after = side.look()
        assert after == now, now.differences(after)
        again = operator(side).run(side, wanted)
        assert again.error == ""
        assert "rolled back" not in again.notes
        assert side.look() == now, now.differences(side.look())

    on_both(lab, act)


def test_a_late_confirmation(lab: Lab, both: Mapping[str, Side]) -> None:
    """A confirmation after the rollback fails, and the run reports that."""

    def act(host: Host) -> None:
        side = both[host.name]
        before = side.look()
        late = operator(side, 1, hold=True)
        late.start(side, side.other)
        late.until_armed()
        side.back(before)
        late.go.set()
        refused(late.end(), CAME_TOO_LATE)
        side.told()

    on_both(lab, act)


def test_a_confirmation_after_a_reboot(lab: Lab, both: Mapping[str, Side]) -> None:
    """A confirmation may arrive before the boot unit runs: its change is no longer in force."""

    def act(host: Host) -> None:
        side = both[host.name]
        before = side.look()
        late = operator(side, LONG, hold=True)
        late.start(side, side.other)
        late.until_armed()
        # As after a reboot: `armed` has the id of another boot.
        side.ask(
            "armed=/etc/wanbound/armed; systemctl stop 'wanbound-undo-*.timer';"
            f" set -- $(cat $armed); echo $1 $(cat {UUID}) $3 $4 >$armed"
        )
        late.go.set()
        refused(late.end(), CAME_TOO_LATE)
        side.back(before)
        side.told("was not confirmed before the host was rebooted and was rolled back")

    on_both(lab, act)


SLOW = """\
#!/bin/sh
case " $* " in *" --test "*) ;; *) sleep 12 ;; esac
exec /usr/sbin/ip6tables-restore "$@"
"""


def test_a_slow_load_takes_no_time_from_the_confirmation(
    lab: Lab, both: Mapping[str, Side]
) -> None:
    """Both timeouts start when all is loaded, however long that took: the change is confirmed."""

    def act(host: Host) -> None:
        side = both[host.name]
        wanted = side.other
        host.put("/usr/local/sbin/ip6tables-restore", SLOW, mode=0o755)
        try:
            began = time.monotonic()
            done = operator(side, CONFIRMED_SECONDS).run(side, wanted)
            took = time.monotonic() - began
        finally:
            host.run("rm -f /usr/local/sbin/ip6tables-restore")
        assert done.error == ""
        assert took > 12 > CONFIRMED_SECONDS
        side.now = wanted
        now = side.look()
        assert not now.armed
        time.sleep(CONFIRMED_SECONDS + 0.5)
        assert side.look() == now, now.differences(side.look())

    on_both(lab, act)
