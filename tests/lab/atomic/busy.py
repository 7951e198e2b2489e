"""Networks that send traffic while their host is changed, and checks of that traffic."""

import json
import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lab import hosts
from lab.api import Host, Lab
from lab.namespace import inside
from tests.lab.atomic.drill import Drill
from tests.lab.atomic.plans import Net, plan
from tests.lab.atomic.wired import answers, docker, talking, wrong

STREAM = Path(__file__).with_name("stream.py").read_text()
PLACE = "/run/stream.py"
SILENCE = 6.0
"""Seconds for which a stream may pause. A pause means a busy machine, not a lost packet: a lost
datagram's number would be missing, and TCP retransmits after 0.2 s."""

STREAMS = [(kind, family) for kind in ("tcp", "udp") for family in (4, 6)]


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
        """Wait for its next line, which must be this word."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == f"{word}\n", (self.log, line)

    def stop(self) -> None:
        """End its input, so that it sends no further number."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def result(self) -> dict[str, float | str]:
        """Return its report."""
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
        """Kill both ends."""
        for end in self.ends:
            end.process.kill()
            end.process.wait()

    def whole(self) -> None:
        """Assert that each side received every number that the other sent."""
        for end in self.ends:
            end.stop()
        one, two = (end.result() for end in self.ends)
        print(self.what, one, two)
        assert (one["problem"], two["problem"]) == ("", "")
        assert (one["sent"], two["sent"]) == (two["received"], one["received"])
        assert int(one["sent"]) > 100 < int(two["sent"])
        assert float(one["silence"]) < SILENCE > float(two["silence"])


def tracked(drill: Drill) -> set[str]:
    """Return the kernel's open connections, reduced to protocol, addresses and ports."""
    text = drill.ask("conntrack -L -f ipv4 2>/dev/null; conntrack -L -f ipv6 2>/dev/null")
    return {
        " ".join([line.split()[0], *re.findall(r"(?:src|dst|sport|dport)=\S+", line)]) + " "
        for line in text.splitlines()
        if line.startswith(("tcp", "udp")) and "TIME_WAIT" not in line and "CLOSE" not in line
    }


def translated(entries: set[str], net: Net, host: Host) -> set[str]:
    """Return the entries that translate between the container's address and a public one."""
    pairs = list(zip(net.inside, net.publics(host), strict=True))
    return {
        entry
        for entry in entries
        if any(f" src={mine} " in entry and f" dst={public} " in entry for mine, public in pairs)
    }


@contextmanager
def streams(lab: Lab, host: Host, net: Net, port: int) -> Iterator[list[Stream]]:
    """Yield one running stream per protocol and family."""
    with ExitStack() as stack:
        made = []
        for offset, (kind, family) in enumerate(STREAMS):
            made.append(Stream(lab, host, net, kind, family, port + offset))
            stack.callback(made[-1].close)
        for stream in made:
            for end in stream.ends:
                end.says("ready")
        yield made


@contextmanager
def busy(lab: Lab, host: Host, nets: Sequence[Net]) -> Iterator[Drill]:
    """Load the networks on a bare host, all sending. The host must be bare again afterwards."""
    drill = Drill(host)
    bare = drill.look()
    with docker(host, nets):
        host.put(PLACE, STREAM)
        drill.apply(plan(host, nets))
        with talking(lab, host, nets):
            yield drill
        host.run(f"rm {PLACE}")
    drill.apply(None)
    after = drill.look()
    drill.close()
    assert after == bare, bare.differences(after)


@contextmanager
def only_right(lab: Lab, host: Host, states: Sequence[Mapping[str, Net]]) -> Iterator[None]:
    """Assert that each network sends meanwhile, with its address of that moment (`wrong`)."""
    with lab.internet.capture("udp and dst portrange 7100-7399", host.wan_link) as seen:
        yield
    packets = list(seen.packets)
    print(f"{host.name}: {len(packets)} packets")
    assert [str(each) for each in wrong(host, packets, states)] == []
    for net in {net for state in states for net in state.values()}:
        for source in net.publics(host):
            assert sum(packet.src == source for packet in packets) > 10, source


def reached(lab: Lab, host: Host, nets: Mapping[str, Net]) -> None:
    """Assert that each network answers at its public addresses."""
    pairs = [(name, public) for name, net in nets.items() for public in net.publics(host)]
    said = answers(lab, [public for _, public in pairs])
    assert said == [name for name, _ in pairs for _ in ("tcp", "udp")]
    # Packets must flow before the next change.
    time.sleep(0.5)
