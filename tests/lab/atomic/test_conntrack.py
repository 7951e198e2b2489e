"""An address changes: what went through it ends, and nothing else notices."""

import json
import re
import subprocess
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from lab import hosts
from lab.api import Lab
from lab.namespace import inside
from tests.lab.atomic.drill import Drill
from tests.lab.atomic.networks import Network
from tests.lab.atomic.test_confirm import ENGINES

pytestmark = pytest.mark.lab

STREAM = Path(__file__).with_name("stream.py").read_text()
PLACE = "/run/stream.py"
SILENCE = 1.0
"""Seconds for which a stream may stand still. It is a busy machine, not a lost packet: TCP's first
retransmission would be enough to stay below, but a datagram's number would be missing."""

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

    def __init__(
        self, lab: Lab, drill: Drill, name: str, kind: str, family: int, port: int
    ) -> None:
        self.what = f"{name} {kind} IPv{family}"
        outside = lab.internet.ipv4 if family == 4 else lab.internet.ipv6
        server = ["python3", "-c", STREAM, kind, "listen", outside, str(port)]
        self.server = End(inside(lab.settings, server), f"{self.what} outside")
        self.server.says("listening")
        command = (
            f"nsenter -n -t $(docker inspect -f '{{{{.State.Pid}}}}' {name})"
            f" python3 {PLACE} {kind} connect {outside} {port}"
        )
        self.client = End(hosts.ssh(lab.settings, drill.host.name, [command]), self.what)
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
        " ".join([line.split()[0], *re.findall(r"(?:src|dst|sport|dport)=\S+", line)])
        for line in text.splitlines()
        if line.startswith(("tcp", "udp")) and "TIME_WAIT" not in line and "CLOSE" not in line
    }


def translations(entries: Collection[str], addresses: Collection[str]) -> set[str]:
    """Those that give a container one of the addresses.

    What the other side goes on sending to an address that has gone is tracked too, as it is.
    """
    ends = [f"dst={address} " for address in addresses]
    return {
        entry
        for entry in entries
        if re.search(r" src=(10\.66\.|fd66:)", entry) and any(end in f"{entry} " for end in ends)
    }


@pytest.fixture
def drill(lab: Lab, name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Drill]:
    """A host with two networks that have containers; bare as before afterwards."""
    monkeypatch.setenv("SSH_AUTH_SOCK", lab.environment()["SSH_AUTH_SOCK"])
    drill = Drill(lab.host(name))
    drill.host.put(PLACE, STREAM)
    bare = drill.look()
    networks = [Network(drill.host, "moves", 64), Network(drill.host, "stays", 66)]
    drill.versions = ({each.name: each.text for each in networks}, {})
    with ExitStack() as stack:
        for each in networks:
            stack.enter_context(each.made())
        drill.apply(drill.change("create"))
        yield drill
        drill.apply(drill.change("delete"))
    after = drill.look()
    drill.close()
    assert after == bare, bare.differences(after)


@contextmanager
def streams(lab: Lab, drill: Drill, name: str, port: int) -> Iterator[list[Stream]]:
    """One of each protocol and family, flowing."""
    with ExitStack() as stack:
        made = []
        for offset, (kind, family) in enumerate(STREAMS):
            made.append(Stream(lab, drill, name, kind, family, port + offset))
            stack.callback(made[-1].close)
        for stream in made:
            for end in stream.ends:
                end.says("ready")
        yield made


@ENGINES
def test_an_address_changes_under_open_connections(lab: Lab, drill: Drill) -> None:
    """Those of its network end; those of another network lose nothing, and neither does anyone."""
    moves = Network(drill.host, "moves", 64)
    stays = Network(drill.host, "stays", 66)
    old = moves.public()
    with (
        streams(lab, drill, "moves", 9000) as moved,
        streams(lab, drill, "stays", 9100) as stayed,
    ):
        before = tracked(drill)
        of_old = translations(before, old)
        assert len(of_old) == len(STREAMS)
        drill.seam.change({"moves": moves.renumbered(moves.number + 1)}, ())
        after = tracked(drill)
        assert translations(after, old) == set()
        # This test's own connections to the host come and go; all that is forwarded is compared.
        gone = {line for line in before - of_old - after if f"={drill.host.address}" not in line}
        assert gone == set()
        assert sum(f"dst={stays.public()[0]} " in f"{line} " for line in after) == 2
        time.sleep(1)
        for stream in stayed:
            stream.whole()
        for stream in moved:
            if "tcp" in stream.what:
                for end in stream.ends:
                    end.stop()
                assert stream.client.result()["problem"] != ""
