"""One host, the changes that are made to it, and its state before and after each."""

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, TypeAlias

from lab.api import Host
from providers.engine.codes import CHANGED_MEANWHILE
from providers.errors import HostError
from providers.host.plan import Plan
from providers.host.resource import HostNetworkingProvider
from providers.ssh import remote
from providers.ssh.remote import (
    INSTALLED,
    VERSION_FILE,
    confirm_words,
    host_script,
    shell_program,
)
from providers.ssh.session import Completed, DroppedError, Session, exchange
from providers.ssh.target import Target
from tests.lab.atomic.look import NONE, SAFE_PATH, Look, look
from tests.lab.atomic.plans import Net, base, files, plan
from tests.lab.atomic.programs import (
    FOLDER,
    OPERATOR,
    UNDO,
    Recorded,
    disarm,
    record,
    steps,
)
from tests.lab.planned import props

Kind: TypeAlias = Literal["create", "update", "delete"]
KINDS: tuple[Kind, ...] = ("create", "update", "delete")

AGED = r"""
cd /etc/wanbound/current && for file in wanbound wanbound*.service; do
    ! grep -q '^# an older one' $file || continue
    cp -p $file $file.aged && echo '# an older one' >>$file.aged && mv $file.aged $file || exit
    case $file in *.service) cp $file /etc/systemd/system/$file || exit ;; esac
done
"""
"""Turns script and units into those of an older version, which an update replaces.

Renames, because a file that systemd is about to execute cannot be written ("Text file busy").
"""

REBOOTED = r"""
systemctl stop 'wanbound-undo-*.timer' 'wanbound-undo-*.service' 2>/dev/null
if read -r token _ phase due </etc/wanbound/armed; then
    echo "$token 00000000-0000-0000-0000-000000000000 $phase $due" >/etc/wanbound/armed
fi 2>/dev/null
cd /etc/systemd/system/multi-user.target.wants
[ ! -e wanbound.service ] || /usr/local/sbin/wanbound apply
"""
"""Simulates a reboot: no timer, `armed` has another boot's id. Then runs the boot unit."""

RUN_UNDO = """
if read -r token boot phase _ </etc/wanbound/armed; then
    echo "$token $boot $phase 0" >/etc/wanbound/armed
    setsid -w sh /etc/wanbound/$token/wanbound undo $token
fi 2>/dev/null
true
"""
"""Runs what the timer would run, as if it had expired."""

LONG = 600
"""Seconds; no timer of this length expires during a test."""


def target(host: Host, seconds: int = 30) -> Target:
    """Return how to reach the host, and for how long it waits for the confirmation."""
    return Target(host.name, host.address, 22, "root", host.host_key, confirm_seconds=seconds)


@contextmanager
def provider(host: Host, seconds: int = 30) -> Iterator["Provided"]:
    """Yield the host's resource, as the engine calls its provider; close its connection."""
    try:
        yield Provided(host, seconds)
    finally:
        made = remote._remotes.pop(target(host, seconds), None)
        if made is not None:
            made.session.close()


class Provided:
    """The provider of one host: it reads the host's state and decides."""

    def __init__(self, host: Host, seconds: int) -> None:
        self.host = host
        self.seconds = seconds
        self._provider = HostNetworkingProvider()

    def up(self, wanted: Plan) -> None:
        """Bring the host to a plan. Raises HostError."""
        self._provider.create(props(self.host, wanted, confirm_seconds=self.seconds))

    def destroy(self, had: Plan) -> None:
        """Remove everything. Raises HostError."""
        self._provider.delete(self.host.name, props(self.host, had, confirm_seconds=self.seconds))


class Drill:
    """A host with two networks and own lines, in two versions."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.session = Session(target(host))
        # One network's address changes, another network is removed, and a third one is added.
        self.plans: dict[int, Plan | None] = {
            -1: None,
            0: plan(host, [Net("one", 64), Net("two", 66)], base(1)),
            1: plan(host, [Net("one", 65, 64), Net("three", 67)], base(2)),
        }
        self.now: Plan | None = None
        """The plan that the host has."""

    def close(self) -> None:
        """End the connection."""
        self.session.close()

    def run(self, program: str) -> Completed:
        """Run a program as root. Checks neither its status nor its output."""
        return self.session.run(program, 120)

    def run_once(self, program: str) -> bool:
        """Run a program that may be killed, without a retry; return whether it succeeded."""
        connection = self.session._connected()
        try:
            return exchange(connection.transport, "sh -s", program, 120).exit_code == 0
        except DroppedError:
            return False

    def ask(self, commands: str) -> str:
        """Return what the test's own commands print on the host."""
        done = self.run(SAFE_PATH + commands)
        assert done.exit_code == 0, done.stderr
        return done.stdout

    def look(self, seconds: float = 0) -> Look:
        """Return the host's state, after at most `seconds` of waiting for an undo."""
        return Look.parse(self.ask(look(seconds)))

    @property
    def generation(self) -> str:
        """The id of the loaded generation."""
        return self.ask("readlink /etc/wanbound/current || true").strip() or NONE

    def program(self, wanted: Plan | None, seconds: int, expected: str = "") -> tuple[str, str]:
        """Return the token of a change to a plan, and the program that makes it."""
        token = secrets.token_hex(8)
        words = f"change $stage {token} {seconds} {expected or self.generation}"
        return token, shell_program(
            words, {**files(wanted, self.now), INSTALLED: host_script(), VERSION_FILE: "0\n"}
        )

    def confirmation(self, token: str, wanted: Plan | None) -> str:
        """Return the words that confirm a change to a plan."""
        return confirm_words(token, files(wanted, self.now))

    def apply(self, wanted: Plan | None) -> None:
        """Bring the host to a plan, without a fault, and confirm it. Raises HostError.

        Over one connection: these tests do not check that a second one is accepted.
        """
        token, program = self.program(wanted, 30)
        done = self.run(program)
        if done.exit_code == CHANGED_MEANWHILE:
            # It rolled back what an earlier run had left; as the provider does, read its state and
            # retry.
            token, program = self.program(wanted, 30)
            done = self.run(program)
        self._done(done, f"wanbound\narmed {token}\n")
        self._done(self.run(shell_program(self.confirmation(token, wanted), {})), "wanbound\n")
        self.now = wanted

    def _done(self, done: Completed, said: str) -> None:
        if (done.exit_code, done.stdout) != (0, said):
            raise HostError(self.host.name, f"{done}", "-", "-")

    def unconfirmed(self, wanted: Plan | None, seconds: int = LONG) -> str:
        """Load a change without confirming it; return its token."""
        token, program = self.program(wanted, seconds)
        self._done(self.run(program), f"wanbound\narmed {token}\n")
        return token

    def to(self, kind: Kind) -> Plan | None:
        """Return the plan that an operation of that kind results in."""
        return self.plans[{"create": 0, "update": 1, "delete": -1}[kind]]

    def since(self, kind: Kind) -> Plan | None:
        """Return the plan that the host has before an operation of that kind."""
        return self.plans[-1 if kind == "create" else 0]


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
    """The host's states before and after each operation without a fault, and the recorded steps."""

    def __init__(self, drill: Drill) -> None:
        self.drill = drill
        self.bare = drill.look()
        self.changes: dict[Kind, list[Recorded]] = {}
        self.undos: dict[Kind, list[Recorded]] = {}
        self._looks: dict[tuple[Kind, bool], Look] = {}
        for kind in KINDS:
            self.begin(kind)
            old = drill.look()
            self._looks[kind, False] = old
            wanted = drill.to(kind)
            drill.unconfirmed(wanted)
            self.undos[kind] = self._traced(UNDO, partial(drill.ask, RUN_UNDO))
            seen = drill.look()
            assert seen.same(old), f"{kind}, undone: {old.differences(seen)}"
            self.changes[kind] = self._traced(OPERATOR, partial(drill.apply, wanted))
            self._looks[kind, True] = drill.look()
        assert self.new("delete") == self.bare, self.bare.differences(self.new("delete"))

    def begin(self, kind: Kind) -> None:
        """Bring the host to the initial state of an operation of that kind."""
        if self.drill.now != self.drill.since(kind):
            self.drill.apply(self.drill.since(kind))
        if kind == "update":
            self.drill.ask(AGED)

    def _traced(self, scope: str, act: Callable[[], object]) -> list[Recorded]:
        self.drill.ask(record(scope))
        act()
        found = steps(self.drill.ask(disarm() + f"cat {FOLDER}/trace"))
        assert found, "the stand-ins were not called"
        return found

    def old(self, kind: Kind) -> Look:
        """Return the state before the operation."""
        return self._looks[kind, False]

    def new(self, kind: Kind) -> Look:
        """Return the state after the operation."""
        return self._looks[kind, True]


def told(expected: Mapping[str, Look], seen: Look) -> str:
    """Return the lines and files in which `seen` differs from each."""
    return "\n".join(f"not {name}: {look.differences(seen)}" for name, look in expected.items())
