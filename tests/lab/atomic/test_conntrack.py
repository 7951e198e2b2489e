"""Addresses change under traffic: their connections end, and no other connection is affected."""

import itertools

import pytest

from lab.api import Host, Lab
from tests.lab.atomic.busy import busy, only_right, reached, streams, tracked, translated
from tests.lab.atomic.drill import Drill
from tests.lab.atomic.hosts import on_both
from tests.lab.atomic.plans import Net, plan

pytestmark = pytest.mark.lab

STAYS, LEFT, RIGHT = Net("stays", 66), Net("left", 70), Net("right", 71)

STATES = (
    {"stays": STAYS, "left": LEFT, "right": RIGHT},
    # Two networks swap their addresses.
    {"stays": STAYS, "left": LEFT.moved(71), "right": RIGHT.moved(70)},
    # An address goes from one network to another, which leaves its own.
    {"stays": STAYS, "left": LEFT.moved(74), "right": RIGHT.moved(71)},
    # All but the one that is watched change at once.
    {"stays": STAYS, "left": LEFT.moved(75), "right": RIGHT.moved(76)},
)


def test_addresses_change_under_traffic(lab: Lab) -> None:
    """A swap, a move, all at once: no packet has a wrong source, and no other network loses one."""
    on_both(lab, lambda host: _changes(lab, host))


def _changes(lab: Lab, host: Host) -> None:
    with busy(lab, host, list(STATES[0].values())) as drill:
        _under_traffic(lab, drill)


def _under_traffic(lab: Lab, drill: Drill) -> None:
    host = drill.host
    ports = 9000 + 200 * list(lab.hosts).index(host.name)
    with (
        streams(lab, host, STAYS, ports) as stayed,
        streams(lab, host, LEFT, ports + 100) as moved,
    ):
        with only_right(lab, host, STATES):
            for old, new in itertools.pairwise(STATES):
                _change(lab, drill, old, new)
        for stream in stayed:
            stream.whole()
        for stream in moved:
            if "tcp" in stream.what:
                for end in stream.ends:
                    end.stop()
                assert stream.client.result()["problem"] != ""


def _change(lab: Lab, drill: Drill, old: dict[str, Net], new: dict[str, Net]) -> None:
    """Make one change; check the tracked connections before and after, and who answers then."""
    host = drill.host
    changing = [old[name] for name in old if old[name] != new[name]]
    before = tracked(drill)
    ended = {entry for net in changing for entry in translated(before, net, host)}
    assert all(translated(before, net, host) for net in old.values())
    drill.apply(plan(host, new.values()))
    after = tracked(drill)
    for net in changing:
        assert translated(after, net, host) == set()
    # Connections of the test itself to the host come and go, and so do single datagrams.
    lost = {
        entry
        for entry in translated(before, STAYS, host) - after
        if entry.startswith("tcp") or " dport=90" in entry or " dport=92" in entry
    }
    assert lost == set()
    assert ended - after
    reached(lab, host, new)
