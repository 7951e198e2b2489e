"""A host over SSH: each change is one command, confirmed by a second one over a new connection."""

import secrets
import shlex
import sys
import time
from collections.abc import Collection, Mapping

from providers.engine.codes import CHANGED_MEANWHILE, ENGINE_MEANING
from providers.errors import ChangedMeanwhileError, HostError, UnreachableError, readable
from providers.script import shell_program
from providers.session import UNCHANGED, Completed, Session, Target

COMMAND_SECONDS = 150.0
"""Limit for one command; the host waits up to 60 s of it for another run's lock, and as long as
another run's change may be confirmed."""

RETRY_SECONDS = 1.0
"""Between two attempts to confirm a change."""

_NOTE = "note "
"""How a line of the script begins that is for the operator, whatever becomes of the run."""

_NOTHING = "as it was; nothing has changed"

MEANING = {
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
        "mend the reason; the host tries again by itself, and so does the next run",
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
    17: (
        "it undid the change, because no confirmation came in time",
        "as it was before the change, in both families",
        "see that new SSH connections are quick enough for confirm_seconds, then run again",
    ),
    18: (
        "a Docker network of this name was made by hand and is in use",
        _NOTHING,
        "take the named containers out of it (`docker network disconnect`), or set adopt: true",
    ),
    **ENGINE_MEANING,
}

ENGINE_SECONDS: Mapping[str, float] = {"state": 90.0, "install": 1800.0, "put": 900.0}
"""Limits for what is done to Docker; an installation waits for others and for a mirror."""


class SshHost:
    """A host over SSH; every call is one command on its one connection."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def change(self, put: Mapping[str, str], remove: Collection[str]) -> None:
        """See `Host.change`."""
        parts = [f"== put {name}\n{text}" for name, text in sorted(put.items())]
        parts += [f"== remove {name}\n" for name in sorted(remove)]
        token = secrets.token_hex(8)
        seconds = self.session.target.confirm_seconds
        began = time.monotonic()
        files = {"bundle": "".join(parts)}
        answer = self._run(f"change $stage {token} {seconds}", files)
        if answer != f"armed {token}\n":
            raise HostError(
                self.session.target.name,
                f"its answer to the change is none: {answer[:200]}",
                f"as it was, or it goes back to that within {seconds} s",
                "see what its shell prints by itself, then run again",
            )
        self._confirm(token, began + seconds)

    def renew(self, network: str, label: str) -> None:
        """See `Host.renew`."""
        self._run(f"renew {shlex.quote(network)} {shlex.quote(label)}", {})

    def state(self) -> str:
        """See `Host.state`."""
        return self._run("state", {})

    def engine(self, act: str, files: Mapping[str, str], *words: str) -> str:
        """See `Host.engine`."""
        stage = ["$stage"] if act == "put" else []
        arguments = [*stage, *(shlex.quote(word) for word in words)]
        return self._run(" ".join(["engine", act, *arguments]), files, ENGINE_SECONDS[act])

    def _confirm(self, token: str, until: float) -> None:
        """Show the host that it can still be reached, over a connection that is made for it.

        The host goes back by itself when this does not come in time. Raises HostError.
        """
        program = shell_program(f"confirm {token}", {})
        while True:
            try:
                done = self.session.run_on_new_connection(
                    program,
                    COMMAND_SECONDS,
                    self._tell,
                    max(RETRY_SECONDS, until - time.monotonic()),
                )
            except UnreachableError as error:
                if time.monotonic() > until:
                    raise self._unconfirmed(error) from error
                time.sleep(RETRY_SECONDS)
                continue
            if done.exit_code != 0 or _answer(done) is None:
                raise _error(self.session.target, done)
            return

    def _unconfirmed(self, error: UnreachableError) -> UnreachableError:
        target = self.session.target
        return UnreachableError(
            target.name,
            "it did not let a new SSH connection in after the change, so nobody confirmed it"
            f"\n  {error.what}",
            f"as it was before the change, in both families: {target.confirm_seconds} s after the"
            " change it has gone back by itself",
            "see which line of the preview cuts SSH off (a default route, an address, INPUT,"
            " ingress of all TCP on the address that ssh.address means); correct it, run again",
        )

    def _tell(self, line: str) -> None:
        """Pass on what the host says to the operator while it works; Pulumi shows it."""
        if line.startswith(_NOTE):
            text = readable(line.removeprefix(_NOTE))
            print(f"host {self.session.target.name}: {text}", file=sys.stderr, flush=True)

    def _run(self, words: str, files: Mapping[str, str], seconds: float | None = None) -> str:
        limit = COMMAND_SECONDS if seconds is None else seconds
        done = self.session.run(shell_program(words, files), limit, self._tell)
        answer = _answer(done)
        # A forced command, or a shell that is none, may end well without having run anything.
        if done.exit_code != 0 or answer is None:
            raise _error(self.session.target, done)
        return answer


def _answer(done: Completed) -> str | None:
    """Return what follows the program's own sign that it was let in, None where there is none.

    What a log-in shell's start-up files print stands before it.
    """
    _, sign, answer = f"\n{done.stdout}".partition("\nwanbound\n")
    return answer if sign else None


def _error(target: Target, done: Completed) -> HostError:
    lines = [line for line in done.stderr.strip().splitlines() if not line.startswith(_NOTE)]
    said = "\n  ".join(lines[-8:])
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
    what, state, remedy = MEANING.get(
        done.exit_code,
        (
            f"the command ended with exit code {done.exit_code}",
            "not known: what is in /etc/wanbound there is what the next run will load",
            "run `pulumi up --refresh`",
        ),
    )
    kind = ChangedMeanwhileError if done.exit_code == CHANGED_MEANWHILE else HostError
    return kind(target.name, f"{what}\n  {said}", state, remedy)
