"""The one seam to a host, and its implementation over SSH.

Each call is one command: the host script, the files that it needs and its arguments travel as one
shell program on standard input. A change is confirmed by a second command over a new connection.
"""

import hashlib
import re
import secrets
import shlex
import threading
import time
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Protocol

from providers import notes
from providers.engine.codes import CHANGED_MEANWHILE, ENGINE_MEANING
from providers.errors import (
    ChangedMeanwhileError,
    DuplicateAddressError,
    HostError,
    UnreachableError,
)
from providers.ssh.connection import UNCHANGED
from providers.ssh.session import Completed, OnLine, Session
from providers.ssh.target import Target
from providers.version import VERSION

RETRY_SECONDS = 1.0
"""Time between two attempts to confirm a change."""

CONFIRM_SILENCE_SECONDS = 30.0
"""An attempt to confirm fails after this long without output, so that another can be made."""

ENGINE_SILENCE_SECONDS: Mapping[str, float] = {"install": 1800.0, "put": 900.0}
"""How long work on Docker may print nothing: it waits for apt's lock, a mirror, a restart."""

_NOTE = "note "
"""Prefix of a stderr line that is shown to the operator at once, even if the run fails."""

_EXPECTED = re.compile("[0-9a-z-]+")
_NAME = re.compile("[a-z0-9][a-z0-9._-]*(?:/[a-z0-9][a-z0-9._-]*)?")
"""Name of a staged file; one folder is allowed, as in `new/ipv4.rules`."""

_PROVIDERS = resources.files("providers")
_INCLUDE = re.compile(r"^@([a-z./]+)@$", re.MULTILINE)
"""A line of a script that is replaced by a file of this package, named by its path in it."""

INSTALLED = "installed"
"""Name of the host script when it is sent with a change."""

VERSION_FILE = "version"
"""Name of the version of wanbound when it is sent with a change. It is not in the script: a new
version with the same script changes no host."""

DUPLICATE = 25
"""Exit code of a change that added an IPv6 address which another machine has."""

_NOTHING = "as it was; nothing has changed"

_UNCONFIRMED = "changed, but not confirmed: it rolls back by itself after confirm_seconds"

MEANING: Mapping[int, tuple[str, str, str]] = {
    10: (
        "something that it needs is missing",
        _NOTHING,
        "install it, or correct the configuration, then run again",
    ),
    11: (
        "it rejects the rules in a test",
        _NOTHING,
        "see which line it names; `iptables-restore --test` or `nft --check` on the host reports"
        " the same",
    ),
    12: (
        "its kernel refused the change",
        "as it was: the old rules and addresses were restored, in both families",
        "see the message; `journalctl -k` on the host may say more",
    ),
    13: (
        "its kernel refused the change, and then the old rules too",
        "partly changed; the egress guard still blocks traffic with a wrong source address",
        "fix the cause that is shown; the host and the next run retry by themselves",
    ),
    14: (
        "another run did not release the lock",
        _NOTHING,
        "wait for the other run to end, then run again",
    ),
    15: (
        "it cannot write the rules to disk",
        _NOTHING,
        "check `df /etc /run /usr/local` on the host, free some space, run again",
    ),
    16: (
        "it belongs to another stack",
        _NOTHING,
        "use that stack, or, if it no longer exists, run `rm -f /etc/wanbound/*/owner` on the host"
        " and run again",
    ),
    17: (
        "it rolled the change back, because no confirmation came in time",
        "as it was before the change, in both families",
        "check that a new SSH connection takes less than confirm_seconds, then run again",
    ),
    18: (
        "a Docker network that must be removed is still in use, or its bridge still exists",
        _NOTHING,
        "disconnect the containers that it names (`docker network disconnect`) and remove the"
        " network; or set adopt: true to keep a network that was created manually",
    ),
    **ENGINE_MEANING,
    24: (
        "Docker on it gave no reliable answer",
        _NOTHING,
        "check `docker info` and `journalctl -u docker` on the host, then run again",
    ),
    DUPLICATE: (
        "another machine on its link has an IPv6 address that the change added",
        "as it was before the change: it rolled back by itself, in both families",
        "remove the address from the other machine or choose another one, then run again",
    ),
    CHANGED_MEANWHILE: (
        "its state changed after wanbound had read it",
        _NOTHING,
        "run again",
    ),
}
"""What the exit codes of the scripts mean: what was wrong, the host's state, what to do."""

CONFIRMING: Mapping[int, tuple[str, str, str]] = {
    **{
        code: (what, _UNCONFIRMED if state == _NOTHING else state, remedy)
        for code, (what, state, remedy) in MEANING.items()
    },
    14: (
        "another run did not release the lock, so the change was not confirmed",
        _UNCONFIRMED,
        "wait for the other run to end, then run again",
    ),
    15: (
        "it cannot read its state or write to its disk, so the change was not confirmed",
        _UNCONFIRMED,
        "check `df /etc /run` on the host, free some space, run again",
    ),
    17: (
        "it rolled the change back, because no confirmation came in time; or another run has"
        " replaced it",
        "as it was before the change, in both families; or as the other run has made it",
        "check that a new SSH connection takes less than confirm_seconds, then run"
        " `pulumi up --refresh`",
    ),
}
"""The same for a confirmation, when the change is in force already."""

_KINDS: Mapping[int, type[HostError]] = {
    CHANGED_MEANWHILE: ChangedMeanwhileError,
    DUPLICATE: DuplicateAddressError,
}


class Remote(Protocol):
    """A host as the providers see it; unit tests put a fake in its place, and only here."""

    def facts(self, *, drift: bool = False) -> str:
        """Return what providers/call/facts.sh prints: the host's state.

        With `drift` also what was loaded and what is in force, which takes longer. Raises
        HostError.
        """
        ...

    def change(self, files: Mapping[str, str], expected: str, saved: Mapping[str, str]) -> None:
        """Apply the generation in `files` and confirm it: all of it or nothing.

        `files` and `saved` are texts by name; a name may have one folder, as `new/ipv4.rules`.
        `saved` is sent with the confirmation. `expected` identifies the state that the decision
        was made from. Raises HostError, and ChangedMeanwhileError where the host has another state.
        """
        ...

    def renew(self, network: str, label: str) -> None:
        """Remove the Docker network of this name unless it has this label.

        For a network that was created manually in place of ours. Raises HostError where other
        containers are attached to it.
        """
        ...

    def engine(self, act: str, files: Mapping[str, str], *words: str) -> str:
        """Run "state", "install" or "put" for the Docker Engine; return its output.

        `files` and `words` are for "put": see providers/engine/engine.sh. Raises HostError, and
        ChangedMeanwhileError where daemon.json does not have the digest that is the first word.
        """
        ...


class SshRemote:
    """A host over SSH: one connection, one command at a time."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._lock = threading.Lock()

    def facts(self, *, drift: bool = False) -> str:
        """See `Remote.facts`."""
        with self._lock:
            return self._run("facts drift" if drift else "facts", {})

    def close(self) -> None:
        """Close the connection; the next call opens another one."""
        with self._lock:
            self.session.close()

    def doctor(self, wan: str) -> str:
        """Return what providers/call/doctor.sh prints; `wan` is an interface. Raises HostError."""
        with self._lock:
            return self._run(f"doctor {shlex.quote(wan)}", {})

    def status(self) -> str:
        """Return what providers/onhost/status.sh prints. Raises HostError."""
        with self._lock:
            return self._run("status", {})

    def change(self, files: Mapping[str, str], expected: str, saved: Mapping[str, str]) -> None:
        """See `Remote.change`."""
        if _EXPECTED.fullmatch(expected) is None:
            raise ValueError(f"{expected!r} is not a digest")
        token = secrets.token_hex(8)
        target = self.session.target
        armed: list[float] = []

        def on_stdout(line: str) -> None:
            if line == f"armed {token}":
                armed.append(time.monotonic())

        words = f"change $stage {token} {target.confirm_seconds} {expected}"
        with self._lock:
            installed = {INSTALLED: host_script(), VERSION_FILE: f"{VERSION}\n"}
            answer = self._run(words, {**files, **installed}, on_stdout=on_stdout)
            if answer != f"armed {token}\n":
                raise HostError(
                    target.name,
                    f"unexpected reply to the change: {answer[:200]}",
                    f"as it was, or it rolls back within {target.confirm_seconds} s",
                    "check what its shell prints by itself, then run again",
                )
            # The host's clock started with its first "armed". A lost connection and a repeated
            # command do not restart it.
            began = armed[0] if armed else time.monotonic()
            words = confirm_words(token, files)
            self._confirm(words, saved, began + target.confirm_seconds)

    def renew(self, network: str, label: str) -> None:
        """See `Remote.renew`."""
        with self._lock:
            line = f"renew {shlex.quote(network)} {shlex.quote(label)}"
            self._run(line, {}, script=engine_script())

    def engine(self, act: str, files: Mapping[str, str], *words: str) -> str:
        """See `Remote.engine`."""
        stage = ["$stage"] if act == "put" else []
        arguments = [*stage, *(shlex.quote(word) for word in words)]
        silence = ENGINE_SILENCE_SECONDS.get(act)
        with self._lock:
            line = " ".join(["engine", act, *arguments])
            return self._run(line, files, silence, script=engine_script())

    def _confirm(self, words: str, saved: Mapping[str, str], until: float) -> None:
        """Show the host, over a new connection, that it can still be reached.

        The host rolls back by itself unless this comes in time. Raises HostError.
        """
        program = shell_program(words, saved)
        sent = False
        while True:
            try:
                done = self.session.run_on_new_connection(
                    program,
                    CONFIRM_SILENCE_SECONDS,
                    self._tell,
                    max(RETRY_SECONDS, until - time.monotonic()),
                )
            except UnreachableError as error:
                sent = sent or error.state != UNCHANGED
                if time.monotonic() > until:
                    raise self._unconfirmed(error, sent) from error
                time.sleep(RETRY_SECONDS)
                continue
            if done.exit_code != 0 or _answer(done) is None:
                raise _error(self.session.target, done, CONFIRMING, _UNCONFIRMED)
            return

    def _unconfirmed(self, error: UnreachableError, sent: bool) -> UnreachableError:
        target = self.session.target
        if sent:
            return UnreachableError(
                target.name,
                f"its answer to the confirmation of the change was lost\n  {error.what}",
                "not known: changed, if the confirmation arrived; otherwise it has rolled back",
                "check that the host answers, then run `pulumi up --refresh`",
            )
        return UnreachableError(
            target.name,
            "it accepted no new SSH connection after the change, so the change was not"
            f" confirmed\n  {error.what}",
            f"as it was before the change, in both families: it rolled back by itself"
            f" {target.confirm_seconds} s after the change",
            "find the line of the preview that cuts off SSH (a default route, an address, INPUT,"
            " ingress of all TCP on the address of ssh.address), correct it, run again",
        )

    def _tell(self, line: str) -> None:
        """Pass the host's notes on to the operator while it works; Pulumi shows them."""
        if line.startswith(_NOTE):
            notes.tell(self.session.target.name, line.removeprefix(_NOTE))

    def _run(
        self,
        words: str,
        files: Mapping[str, str],
        silence: float | None = None,
        on_stdout: OnLine | None = None,
        script: str | None = None,
    ) -> str:
        program = shell_program(words, files, script)
        done = self.session.run(program, silence, on_stdout, self._tell)
        answer = _answer(done)
        # A forced command, or something that is no shell, may succeed without running anything.
        if done.exit_code != 0 or answer is None:
            meaning = ENGINE_MEANING if words.startswith("engine ") else {}
            raise _error(self.session.target, done, {**MEANING, **meaning})
        return answer


_remotes: dict[Target, SshRemote] = {}
_remotes_lock = threading.Lock()


def remote_at(target: Target) -> Remote:
    """Return the host at `target`; the same object, with one connection, for the whole run."""
    with _remotes_lock:
        if target not in _remotes:
            _remotes[target] = SshRemote(Session(target))
        return _remotes[target]


def host_script() -> str:
    """Return the text of /usr/local/sbin/wanbound: one file, so one rename replaces all of it."""
    return _composed("onhost/wanbound.sh")


def call_script() -> str:
    """Return the text for `doctor`, `facts`, `status`, `change` and `confirm`.

    It travels with each call.
    """
    return _composed("call/wanbound.sh")


def engine_script() -> str:
    """Return the text for `engine` and `renew`: it travels with each call."""
    return _composed("engine/engine.sh")


@cache
def _composed(name: str) -> str:
    text = _PROVIDERS.joinpath(name).read_text()
    return _INCLUDE.sub(lambda place: _composed(place[1]).removesuffix("\n"), text)


def confirm_words(token: str, files: Mapping[str, str]) -> str:
    """Return the arguments of `call_script` that confirm the change with these `files`."""
    # A generation without networks is removed from the host when it is confirmed.
    return f"confirm {token} $stage {token if files['new/bridges'] else 'none'}"


def shell_program(words: str, files: Mapping[str, str], script: str | None = None) -> str:
    """Return the program that brings a script and `files` to a host and runs it.

    `script` is `call_script` unless it is given; `words` are its arguments, as the shell reads
    them: `$stage` in them is the folder with the files. Everything travels in quoted
    here-documents, whose end marker no content can contain. A shell runs it only when it has read
    all of it: one that is cut off anywhere is a syntax error, and does nothing.

    Raises ValueError for a name or a text that cannot travel so.
    """
    for name, text in files.items():
        if _NAME.fullmatch(name) is None or name == "wanbound":
            raise ValueError(f"{name!r} cannot be the name of a staged file")
        if text and not text.endswith("\n"):
            raise ValueError(f"the last line of {name} has no end")
    contents = {"wanbound": script or call_script(), **files}
    end = (
        "END-"
        + hashlib.sha256("".join(contents.values()).encode(errors="surrogateescape")).hexdigest()
    )
    folders = sorted({name.partition("/")[0] for name in files if "/" in name})
    copies = "".join(
        f"cat >$stage/{name} <<'{end}' || exit 15\n{text}{end}\n" for name, text in contents.items()
    )
    return (
        "{\n"
        "echo wanbound\n"
        "umask 077\n"
        # The process number tells the next run whether this one still runs.
        f"stage=/run/wanbound/run.$$.{secrets.token_hex(8)}\n"
        "trap 'rm -rf $stage' EXIT\n"
        f"mkdir -p {' '.join(['$stage', *(f'$stage/{name}' for name in folders)])} || exit 15\n"
        f"{copies}"
        f"sh $stage/wanbound {words}\n"
        "exit $?\n"
        "}\n"
    )


def _answer(done: Completed) -> str | None:
    """Return what follows the program's first line of output, None where that line is missing.

    The start-up files of a login shell may print something before it.
    """
    _, sign, answer = f"\n{done.stdout}".partition("\nwanbound\n")
    return answer if sign else None


def _error(
    target: Target,
    done: Completed,
    meaning: Mapping[int, tuple[str, str, str]],
    state: str = UNCHANGED,
) -> HostError:
    """Return what is wrong; `state` is that of the host where the command did not run."""
    lines = [line for line in done.stderr.strip().splitlines() if not line.startswith(_NOTE)]
    said = "\n  ".join(lines[-8:])
    if _answer(done) is None:
        if target.user == "root" or done.exit_code == 0:
            return HostError(
                target.name,
                f"its shell did not run the command (exit code {done.exit_code})\n  {said}",
                state,
                f"check that `ssh {target.user}@{target.address} sh` works",
            )
        return HostError(
            target.name,
            f"{target.user} may not use sudo without a password there\n  {said}",
            state,
            f"allow {target.user} to run `sudo -n sh`, or set ssh.user to root",
        )
    what, state, remedy = meaning.get(
        done.exit_code,
        (
            f"the command ended with exit code {done.exit_code}",
            "not known: the next run loads what is in /etc/wanbound there",
            "run `pulumi up --refresh`",
        ),
    )
    kind = _KINDS.get(done.exit_code, HostError)
    return kind(target.name, f"{what}\n  {said}", state, remedy)
