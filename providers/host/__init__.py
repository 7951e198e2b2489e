"""The one seam to a host: put and remove fragments, read what is in force."""

import threading
import time
from collections.abc import Collection, Mapping
from typing import Protocol

from providers.errors import HostError, UnreachableError
from providers.session import Session, Target
from providers.ssh_host import SshHost

GATHER_SECONDS = 0.02
"""How long after one command the next waits for company: less than a fifth of what one takes."""


class Host(Protocol):
    """A host, as far as providers are concerned."""

    def change(self, put: Mapping[str, str], remove: Collection[str]) -> None:
        """Put fragments (network → text), remove others, load all; all of it or nothing.

        Putting what is there already and removing what is not are no errors. Raises HostError.
        """
        ...

    def renew(self, network: str, label: str) -> None:
        """Remove the Docker network of this name unless it has the label that ours has.

        For one that somebody made by hand in ours' place. Raises HostError where containers of
        others are in it.
        """
        ...

    def engine(self, act: str, files: Mapping[str, str], *words: str) -> str:
        """Do something about the Docker Engine: "state", "install" or "put"; return what it says.

        `files` and `words` are for "put": see providers/onhost/engine.sh. Raises HostError, and
        ChangedMeanwhileError where daemon.json has another digest than the first word.
        """
        ...

    def state(self) -> str:
        """Return what is in force, as ``wanbound state`` prints it. Raises HostError."""
        ...


class Combiner:
    """Lets calls that come at the same time go to the host together.

    Whoever gets the turn takes all that wait with it: one command instead of one per network.
    When the host refuses them together, each goes alone, so that only the culprit fails.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._lock = threading.Lock()
        self._alone = threading.Lock()
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

    def renew(self, network: str, label: str) -> None:
        """See `Host.renew`; goes alone, before any change that waits."""
        with self._alone:
            self._host.renew(network, label)

    def engine(self, act: str, files: Mapping[str, str], *words: str) -> str:
        """See `Host.engine`; goes alone."""
        with self._alone:
            return self._host.engine(act, files, *words)

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
            with self._alone:
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
