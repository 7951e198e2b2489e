"""Addresses change under traffic: what went through them ends, and nothing else notices."""

import itertools
import json
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from lab import hosts
from lab.api import Host, Lab
from lab.namespace import inside
from tests.lab.atomic.drill import Drill
from tests.lab.atomic.hosts import on_both
from tests.lab.atomic.plans import Net, plan
from tests.lab.atomic.wired import answers, docker, talking, wrong

pytestmark = pytest.mark.lab

STREAM = Path(__file__).with_name("stream.py").read_text()
PLACE = "/run/stream.py"
SILENCE = 1.5
"""Seconds for which a stream may stand still. It is a busy machine, not a lost packet: a datagram's
number would be missing, and TCP sends again after 0.2 s."""

STREAMS = [(kind, family) for kind in ("tcp", "udp") for family in (4, 6)]

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


class End:
    """One end of a stream."""

    def __init__(self, command: Sequence[str], log: str) -> None:
        self.log = log
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def says(self, word: str) -> None:
        """Wait until it says that word."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == f"{word}\n", (self.log, line)

    def stop(self) -> None:
        """Tell it that it was the last number."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def result(self) -> dict[str, float | str]:
        """What it has seen."""
        assert self.process.stdout is not None
        seen = json.loads(self.process.stdout.readline())
        self.process.wait(30)
        assert isinstance(seen, dict)
        return seen


class Stream:
    """Numbers from a container of the network to the internet and back."""

    def __init__(self, lab: Lab, host: Host, net: Net, kind: str, family: int, port: int) -> None:
        self.what = f"{host.name} {net.name} {kind} IPv{family}"
        outside = lab.internet.ipv4 if family == 4 else lab.internet.ipv6
        server = ["python3", "-c", STREAM, kind, "listen", outside, str(port)]
        self.server = End(inside(lab.settings, server), f"{self.what} outside")
        self.server.says("listening")
        command = (
            f"nsenter -n -t $(docker inspect -f '{{{{.State.Pid}}}}' {net.name})"
            f" python3 {PLACE} {kind} connect {outside} {port}"
        )
        self.client = End(hosts.ssh(lab.settings, host.name, [command]), self.what)
        self.ends = (self.server, self.client)

    def close(self) -> None:
        """End it, however it is."""
        for end in self.ends:
            end.process.kill()
            end.process.wait()

    def whole(self) -> None:
        """Neither side lacks a number that the other has sent."""
        for end in self.ends:
            end.stop()
        one, two = (end.result() for end in self.ends)
        print(self.what, one, two)
        assert (one["problem"], two["problem"]) == ("", "")
        assert (one["sent"], two["sent"]) == (two["received"], one["received"])
        assert int(one["sent"]) > 100 < int(two["sent"])
        assert float(one["silence"]) < SILENCE > float(two["silence"])


def tracked(drill: Drill) -> set[str]:
    """The connections that the kernel knows, as far as they are about addresses."""
    text = drill.ask("conntrack -L -f ipv4 2>/dev/null; conntrack -L -f ipv6 2>/dev/null")
    return {
        " ".join([line.split()[0], *re.findall(r"(?:src|dst|sport|dport)=\S+", line)]) + " "
        for line in text.splitlines()
        if line.startswith(("tcp", "udp")) and "TIME_WAIT" not in line and "CLOSE" not in line
    }


def translated(entries: set[str], net: Net, host: Host) -> set[str]:
    """Those that give the container of the network one of its public addresses."""
    pairs = list(zip(net.inside, net.publics(host), strict=True))
    return {
        entry
        for entry in entries
        if any(f" src={mine} " in entry and f" dst={public} " in entry for mine, public in pairs)
    }


@contextmanager
def streams(lab: Lab, host: Host, net: Net, port: int) -> Iterator[list[Stream]]:
    """One of each protocol and family, flowing."""
    with ExitStack() as stack:
        made = []
        for offset, (kind, family) in enumerate(STREAMS):
            made.append(Stream(lab, host, net, kind, family, port + offset))
            stack.callback(made[-1].close)
        for stream in made:
            for end in stream.ends:
                end.says("ready")
        yield made


def test_addresses_change_under_traffic(lab: Lab) -> None:
    """A swap, a move, all at once: no packet with a wrong source, and nobody else loses one."""
    on_both(lab, lambda host: _changes(lab, host))


def _changes(lab: Lab, host: Host) -> None:
    drill = Drill(host)
    bare = drill.look()
    nets = list(STATES[0].values())
    with docker(host, nets):
        host.put(PLACE, STREAM)
        drill.apply(plan(host, nets))
        with talking(lab, host, nets):
            _under_traffic(lab, drill)
        host.run(f"rm {PLACE}")
    drill.apply(None)
    after = drill.look()
    drill.close()
    assert after == bare, bare.differences(after)


def _under_traffic(lab: Lab, drill: Drill) -> None:
    host = drill.host
    ports = 9000 + 200 * list(lab.hosts).index(host.name)
    with (
        streams(lab, host, STAYS, ports) as stayed,
        streams(lab, host, LEFT, ports + 100) as moved,
    ):
        with lab.internet.capture("udp and dst portrange 7100-7399", f"wan-{host.name}") as seen:
            for old, new in itertools.pairwise(STATES):
                _change(lab, drill, old, new)
        packets = list(seen.packets)
        print(f"{host.name}: {len(packets)} packets")
        assert [str(each) for each in wrong(host, packets, STATES)] == []
        for net in {net for state in STATES for net in state.values()}:
            for source in net.publics(host):
                assert sum(packet.src == source for packet in packets) > 10, source
        for stream in stayed:
            stream.whole()
        for stream in moved:
            if "tcp" in stream.what:
                for end in stream.ends:
                    end.stop()
                assert stream.client.result()["problem"] != ""


def _change(lab: Lab, drill: Drill, old: dict[str, Net], new: dict[str, Net]) -> None:
    """Make one change, and look at what is tracked before and after and at who answers then."""
    host = drill.host
    changing = [old[name] for name in old if old[name] != new[name]]
    before = tracked(drill)
    ended = {entry for net in changing for entry in translated(before, net, host)}
    assert all(translated(before, net, host) for net in old.values())
    drill.apply(plan(host, new.values()))
    after = tracked(drill)
    for net in changing:
        assert translated(after, net, host) == set()
    # This test's own connections to the host come and go, and so do single datagrams.
    lost = {
        entry
        for entry in translated(before, STAYS, host) - after
        if entry.startswith("tcp") or " dport=90" in entry or " dport=92" in entry
    }
    assert lost == set()
    assert ended - after
    pairs = [(name, public) for name, net in new.items() for public in net.publics(host)]
    said = answers(lab, [public for _, public in pairs])
    assert said == [name for name, _ in pairs for _ in ("tcp", "udp")]
    # Until the next there has to be time for packets.
    time.sleep(0.5)
