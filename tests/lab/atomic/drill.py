"""One operation on one host, gone wrong once, and what became of it.

An iteration begins in the old state, has the operation go wrong at one step, sees that the host
comes to the old state or the new one by itself, and that the next change brings the new one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from providers.exchange import Completed, OnLine
from providers.session import Session, Target
from providers.ssh_host import SshHost

from lab.api import Host
from providers.errors import UnreachableError
from tests.lab.atomic.look import SAFE_PATH, Look, look
from tests.lab.atomic.programs import FOLDER, Step, arm, disarm, steps
from tests.lab.stack.test_refusals import wanted

Kind: TypeAlias = Literal["create", "update", "delete"]

CONFIRM_SECONDS = 4
"""How long the host waits for an operator who is dead."""

RECOVERED_SECONDS = 10.0

AGED = """
for file in /usr/local/sbin/wanbound /etc/systemd/system/wanbound*.service; do
    [ -e $file ] || continue
    cp -p $file $file.aged && echo '# an older one' >>$file.aged && mv $file.aged $file || exit
done
"""
"""Makes script and units those of an older version, which an update replaces.

By a rename: what systemd is just about to execute cannot be written to ("Text file busy").
"""


@dataclass(frozen=True)
class Change:
    """What a change puts and removes."""

    put: Mapping[str, str]
    remove: tuple[str, ...] = ()


class MortalSession(Session):
    """A session whose operator's machine is gone as soon as its connection is."""

    lost = False

    def run(self, program: str, seconds: float, on_stderr: OnLine | None = None) -> Completed:
        """See `Session.run`; once only."""
        return self.run_on_new_connection(program, seconds, on_stderr)

    def run_on_new_connection(
        self,
        program: str,
        seconds: float,
        on_stderr: OnLine | None = None,
        connect_seconds: float | None = None,
    ) -> Completed:
        """See `Session.run_on_new_connection`; never again after a connection was lost."""
        if self.lost:
            raise UnreachableError(self.target.name, "this operator is dead", "-", "-")
        try:
            return super().run_on_new_connection(program, seconds, on_stderr, connect_seconds)
        except UnreachableError:
            self.lost = True
            raise


def target(host: Host, seconds: int = 30) -> Target:
    """How the host is reached, and for how long it waits to be confirmed."""
    return Target(host.name, host.address, 22, "root", host.host_key, confirm_seconds=seconds)


def base(version: int, gateway: int = 0) -> str:
    """The host's own fragment: route, kernel parameter and INPUT differ from version to version.

    The gateway ends in that number. Unless told, it is not the one that the host had: that would
    stay as it is, whoever has put it there.
    """
    gateway = gateway or 252 + version
    return "".join(
        f"{line}\n"
        for line in (
            "link wan0 up",
            f"route ipv4 default via 203.0.113.{gateway} dev wan0",
            f"route ipv6 default via fe80::{gateway} dev wan0",
            "sysctl net.ipv4.ip_forward 1",
            f"sysctl net.ipv4.conf.wan0.accept_redirects {version - 1}",
            "ipv4 filter -A WANBOUND-INPUT -i lo -j ACCEPT",
            f"ipv4 filter -A WANBOUND-INPUT -s 198.51.100.{version}/32 -p udp -j DROP",
            f"ipv6 filter -A WANBOUND-INPUT -s 2001:db8:ffff::{version}/128 -p udp -j DROP",
        )
    )


def network(host: Host, name: str, number: int) -> str:
    """The fragment of a network; no two hosts may have one address, so one half adds 100."""
    return wanted(host, name, number + 100 * (int(host.name[-1]) % 2 == 0))


class Drill:
    """One host, with two networks and its own fragment in two versions."""

    def __init__(self, host: Host, first: int = 64) -> None:
        self.host = host
        self.session = Session(target(host))
        self.seam = SshHost(self.session)
        self.control = Session(target(host))
        texts = [network(host, "one", first), network(host, "one", first + 1)]
        two, three = network(host, "two", first + 2), network(host, "three", first + 3)
        # The one's address changes and the other network goes, while a third one comes.
        self.versions = (
            {"_host": base(1), "one": texts[0], "two": two},
            {"_host": base(2), "one": texts[1], "three": three},
        )
        self.version = 0
        self.looks: dict[str, Look] = {}

    def close(self) -> None:
        """End the connections."""
        self.session.close()
        self.control.close()

    def ask(self, commands: str) -> str:
        """Return what commands of the test's own print on the host."""
        done = self.control.run(SAFE_PATH + commands, 60)
        assert done.exit_code == 0, done.stderr
        return done.stdout

    def look(self, seconds: float = 0) -> Look:
        """Return what the host has, at the latest after `seconds` of waiting for an undo."""
        return Look.parse(self.ask(look(seconds)))

    def change(self, kind: Kind) -> Change:
        """What the next operation of that kind is."""
        now, other = self.versions[self.version], self.versions[1 - self.version]
        if kind == "create":
            return Change(now)
        if kind == "delete":
            return Change({}, tuple(now))
        return Change(other, tuple(name for name in now if name not in other))

    def apply(self, change: Change) -> None:
        """Have the change done, with nothing in its way."""
        self.seam.change(change.put, change.remove)


@dataclass
class Outcome:
    """What one fault did to one operation."""

    kind: Kind
    mode: str
    where: str
    said: str = ""
    ended: str = ""
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        text = f"{self.kind}: {self.mode} {self.where}: {self.ended}, {self.seconds:.1f} s"
        return "\n    ".join([text, *self.problems])


class Expected:
    """What the host has before and after each operation, when nothing goes wrong."""

    def __init__(self, drill: Drill) -> None:
        self.traces: dict[tuple[Kind, int], list[Step]] = {}
        self.bare = drill.look()
        self.whole: list[Look] = []
        self.aged: list[Look] = []
        for version in (0, 1):
            drill.version = version
            self._traced(drill, "create")
            self.whole.append(drill.look())
            self._traced(drill, "delete")
            assert drill.look() == self.bare, self.bare.differences(drill.look())
        drill.version = 0
        drill.apply(drill.change("create"))
        for version in (0, 1):
            drill.version = version
            drill.ask(AGED)
            self.aged.append(drill.look())
            self._traced(drill, "update")
            now = drill.look()
            assert now == self.whole[1 - version], self.whole[1 - version].differences(now)
            assert set(now.timers.split()) <= set(self.bare.timers.split())
        drill.version = 0
        drill.apply(drill.change("delete"))

    def _traced(self, drill: Drill, kind: Kind) -> None:
        drill.ask(arm(None))
        drill.apply(drill.change(kind))
        trace = steps(drill.ask(disarm() + f"cat {FOLDER}/trace"))
        assert trace, "the stand-ins were not called"
        assert self.traces.setdefault((kind, drill.version), trace) == trace

    def old(self, kind: Kind, version: int) -> Look:
        """What is there before."""
        if kind == "create":
            return self.bare
        return (self.aged if kind == "update" else self.whole)[version]

    def new(self, kind: Kind, version: int) -> Look:
        """What is there after."""
        if kind == "delete":
            return self.bare
        return self.whole[1 - version if kind == "update" else version]
