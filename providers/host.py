"""The one seam to a host: put and remove fragments, read what is in force."""

import hashlib
import secrets
import threading
import time
from collections.abc import Collection, Mapping
from importlib import resources
from typing import Protocol

from providers.errors import HostError, UnreachableError
from providers.session import UNCHANGED, Completed, Session, Target

COMMAND_SECONDS = 150.0
"""Limit for one command; the host waits up to 60 s of it for another run's lock."""

GATHER_SECONDS = 0.02
"""How long after one command the next waits for company: less than a fifth of what one takes."""

_FILES = resources.files("providers")

_NOTHING = "as it was; nothing has changed"

_MEANING = {
    10: (
        "something that it needs is missing",
        _NOTHING,
        "install it or correct the key, run again",
    ),
    11: (
        "it refuses the rules in a test",
        _NOTHING,
        "see which line it names; `iptables-restore --test` on the host shows the same",
    ),
    12: (
        "its kernel refused the change",
        "as it was: the old rules and addresses are back, in both families",
        "see the message; `journalctl -k` on the host may say more",
    ),
    13: (
        "its kernel refused the change, and then the old rules too",
        "between the two; the egress guard, where there is one, still stops what is wrong",
        "run `wanbound apply` on the host once the reason is mended: its files are the old ones",
    ),
    14: (
        "another run did not let go of the lock",
        _NOTHING,
        "wait for the other run to end, then run again",
    ),
    15: (
        "it cannot write the rules to disk",
        _NOTHING,
        "see `df /etc /run /usr/local` on the host, make room, run again",
    ),
    16: (
        "what this network wants is taken",
        _NOTHING,
        "give it another, or remove it where it is first; a renamed network goes in two steps",
    ),
}


class Host(Protocol):
    """A host, as far as providers are concerned."""

    def change(self, put: Mapping[str, str], remove: Collection[str]) -> None:
        """Put fragments (network → text), remove others, load all; all of it or nothing.

        Putting what is there already and removing what is not are no errors. Raises HostError.
        """
        ...

    def state(self) -> str:
        """Return what is in force, as ``wanbound state`` prints it. Raises HostError."""
        ...


class SshHost:
    """A host over SSH; every call is one command on its one connection."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def change(self, put: Mapping[str, str], remove: Collection[str]) -> None:
        """See `Host.change`."""
        parts = [f"== put {name}\n{text}" for name, text in sorted(put.items())]
        parts += [f"== remove {name}\n" for name in sorted(remove)]
        self._run("change", {"bundle": "".join(parts)})

    def state(self) -> str:
        """See `Host.state`."""
        return self._run("state", {})

    def _run(self, command: str, files: Mapping[str, str]) -> str:
        done = self.session.run(shell_program(command, files), COMMAND_SECONDS)
        answer = _answer(done)
        # A forced command, or a shell that is none, may end well without having run anything.
        if done.exit_code != 0 or answer is None:
            raise _error(self.session.target, done)
        return answer


def host_script() -> str:
    """Return the text of /usr/local/sbin/wanbound: one file, whose rename replaces it all."""
    text = _FILES.joinpath("wanbound.sh").read_text()
    for name in ("compose.awk", "wanbound.service", "wanbound-docker.service"):
        text = text.replace(f"@{name}@", _FILES.joinpath(name).read_text().rstrip())
    return text


def shell_program(command: str, files: Mapping[str, str]) -> str:
    """Return the program that brings the host script and `files` to a host and runs `command`.

    Everything travels as quoted here-documents, whose end no content can contain. A program cut
    short anywhere ends in a syntax error or before its last line: nothing happens then.
    """
    contents = {"wanbound": host_script(), **files}
    end = "END-" + hashlib.sha256("".join(contents.values()).encode()).hexdigest()
    copies = "".join(
        f"cat >$stage/{name} <<'{end}' || exit 15\n{text}{end}\n" for name, text in contents.items()
    )
    return (
        "echo wanbound\n"
        "umask 077\n"
        f"stage=/run/wanbound/run.{secrets.token_hex(8)}\n"
        "mkdir -p $stage || exit 15\n"
        "trap 'rm -rf $stage' EXIT\n"
        f"{copies}"
        f"{{ sh $stage/wanbound {command} $stage; exit $?; }}\n"
    )


def _answer(done: Completed) -> str | None:
    """Return what follows the program's own sign that it was let in, None where there is none.

    What a log-in shell's start-up files print stands before it.
    """
    _, sign, answer = f"\n{done.stdout}".partition("\nwanbound\n")
    return answer if sign else None


def _error(target: Target, done: Completed) -> HostError:
    said = "\n  ".join(done.stderr.strip().splitlines()[-8:])
    if _answer(done) is None:
        if target.user == "root" or done.exit_code == 0:
            return HostError(
                target.name,
                f"its shell did not run the command (exit code {done.exit_code})\n  {said}",
                UNCHANGED,
                f"see that `ssh {target.user}@{target.address} sh` works",
            )
        return HostError(
            target.name,
            f"{target.user} may not use sudo without a password there\n  {said}",
            UNCHANGED,
            f"let {target.user} run `sudo -n sh`, or set ssh.user to root",
        )
    what, state, remedy = _MEANING.get(
        done.exit_code,
        (
            f"the command ended with exit code {done.exit_code}",
            "not known: what is in /etc/wanbound there is what the next run will load",
            "run `pulumi up --refresh`",
        ),
    )
    return HostError(target.name, f"{what}\n  {said}", state, remedy)


class Combiner:
    """Lets calls that come at the same time go to the host together.

    Whoever gets the turn takes all that wait with it: one command instead of one per network.
    When the host refuses them together, each goes alone, so that only the culprit fails.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._lock = threading.Lock()
        self._queue: list[_Ticket] = []
        self._led = False
        self._together = 1
        self._ended = 0.0

    def put(self, network: str, fragment: str) -> None:
        """Put one network's fragment and load it. Raises HostError."""
        self._ask(_Ticket(network, fragment))

    def remove(self, network: str) -> None:
        """Remove one network's fragment and what it loaded. Raises HostError."""
        self._ask(_Ticket(network, None))

    def state(self) -> str:
        """Return what is in force on the host. Raises HostError."""
        ticket = _Ticket(None, None)
        self._ask(ticket)
        return ticket.answer

    def _ask(self, ticket: "_Ticket") -> None:
        with self._lock:
            self._queue.append(ticket)
            first = not self._led
            self._led = True
        if not first:
            ticket.woken.wait()
        if not ticket.done:
            self._lead()
        if ticket.error is not None:
            raise ticket.error

    def _lead(self) -> None:
        """Serve all that wait, then wake the first of those that have come since to do the same."""
        self._gather()
        with self._lock:
            batch, self._queue = self._queue, []
        try:
            self._serve(batch)
        finally:
            self._ended = time.monotonic()
            with self._lock:
                self._together = len(batch) + len(self._queue)
                self._led = bool(self._queue)
                if self._queue:
                    self._queue[0].woken.set()
            for ticket in batch:
                ticket.woken.set()

    def _gather(self) -> None:
        """Wait a moment for those who were just served to come back with their next call.

        Without it the calls of the engine's four workers go as one, then three, then one again.
        """
        until = self._ended + GATHER_SECONDS
        while len(self._queue) < self._together and time.monotonic() < until:
            time.sleep(0.001)

    def _serve(self, batch: list["_Ticket"]) -> None:
        try:
            self._serve_changes(batch)
            self._serve_readers(batch)
        except BaseException as error:
            # Whoever waits must learn of it: a ticket without an answer would pass for success.
            for ticket in batch:
                ticket.error = ticket.error or RuntimeError(
                    f"the call it went with failed: {error}"
                )
            raise
        finally:
            for ticket in batch:
                ticket.done = True

    def _serve_changes(self, batch: list["_Ticket"]) -> None:
        changes = [ticket for ticket in batch if ticket.network is not None]
        names = [ticket.network for ticket in changes]
        try:
            if len(set(names)) == len(names) and changes:
                self._change(changes)
            else:
                self._one_by_one(changes)
        except UnreachableError as error:
            for ticket in changes:
                ticket.error = error
        except HostError as error:
            if len(changes) == 1:
                changes[0].error = error
            else:
                self._one_by_one(changes)

    def _serve_readers(self, batch: list["_Ticket"]) -> None:
        readers = [ticket for ticket in batch if ticket.network is None]
        if not readers:
            return
        try:
            answer = self._host.state()
        except HostError as error:
            for ticket in readers:
                ticket.error = error
            return
        for ticket in readers:
            ticket.answer = answer

    def _one_by_one(self, changes: list["_Ticket"]) -> None:
        for ticket in changes:
            try:
                self._change([ticket])
            except HostError as error:
                ticket.error = error

    def _change(self, changes: list["_Ticket"]) -> None:
        put = {t.network: t.fragment for t in changes if t.network and t.fragment is not None}
        remove = [t.network for t in changes if t.network and t.fragment is None]
        self._host.change(put, remove)


class _Ticket:
    """One call that waits for its turn; without `network` it asks for the state."""

    def __init__(self, network: str | None, fragment: str | None) -> None:
        self.network = network
        self.fragment = fragment
        self.done = False
        self.woken = threading.Event()
        self.answer = ""
        self.error: Exception | None = None


_hosts: dict[Target, Combiner] = {}
_hosts_lock = threading.Lock()


def host_at(target: Target) -> Combiner:
    """Return the host at `target`; the same object, with one connection, for the whole run."""
    with _hosts_lock:
        if target not in _hosts:
            _hosts[target] = Combiner(SshHost(Session(target)))
        return _hosts[target]
