"""The remote over a real sshd: only the host script is a stand-in."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from providers.errors import UnreachableError
from providers.ssh import remote, session
from providers.ssh.connection import UNCHANGED, Connection
from providers.ssh.remote import SshRemote
from providers.ssh.session import OnLine, Session
from tests.providers.sshd import Sshd, bare_home, running

FILES = {"new/ipv4.rules": "*nat\nCOMMIT\n", "new/bridges": "web\n"}
ARMED = 'case $1 in change) echo "armed $3" ;; esac\n'
"""A host that does nothing but answer a change and its confirmation."""

Host = Callable[..., SshRemote]


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """One sshd for all tests here."""
    with running(tmp_path_factory.mktemp("sshd")) as found:
        yield found


@pytest.fixture
def host(tmp_path: Path, sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """Makes a host whose script is the given text; `$log` in it is a file to write to."""
    config = bare_home(tmp_path, monkeypatch) / "config"
    config.write_text(f"Host *\n  IdentityFile {sshd.client_key}\n")
    real = remote.shell_program

    def program(words: str, files: dict[str, str], script: str | None = None) -> str:
        return real(words, files, script).replace("/run/wanbound", str(tmp_path / "run"))

    monkeypatch.setattr(remote, "shell_program", program)
    made: list[Session] = []

    def make(script: str, seconds: int = 30) -> SshRemote:
        text = f"log={tmp_path}/log\n{script}"
        monkeypatch.setattr(remote, "call_script", lambda: text)
        monkeypatch.setattr(remote, "engine_script", lambda: text)
        made.append(Session(replace(sshd.target(), confirm_seconds=seconds)))
        return SshRemote(made[-1])

    yield make
    for one in made:
        one.close()


def test_a_run_costs_two_handshakes(host: Host) -> None:
    """Facts and a change share the first; the confirmation's connection is kept afterwards."""
    edge = host(ARMED)
    assert edge.session.handshakes == 0
    edge.facts()
    assert edge.session.handshakes == 1
    edge.change(FILES, "none", {})
    edge.facts()
    assert (edge.session.handshakes, edge.session.commands) == (2, 4)


def test_what_an_operator_asks_is_one_command_each_over_one_connection(host: Host) -> None:
    """The name of an interface stays one word, whatever it contains."""
    edge = host('printf "<%s>" "$@"\n')
    assert edge.status() == "<status>"
    assert edge.doctor("wan0; exit 1") == "<doctor><wan0; exit 1>"
    assert (edge.session.handshakes, edge.session.commands) == (1, 2)
    edge.close()
    assert edge.status() == "<status>"
    assert edge.session.handshakes == 2


def test_the_host_finds_the_files(host: Host, tmp_path: Path) -> None:
    """The change and the confirmation each get their own files in a folder, and no others."""
    edge = host('(cd "${3-}" 2>/dev/null || cd "$2"; find . -type f) | sort >>$log\n' + ARMED)
    edge.change(FILES, "none", {"rules.v4": "*nat\n"})
    said = (tmp_path / "log").read_text().splitlines()
    change = ["./installed", "./new/bridges", "./new/ipv4.rules", "./version", "./wanbound"]
    assert said == [*change, "./rules.v4", "./wanbound"]


def test_calls_come_one_at_a_time(host: Host) -> None:
    """All use one connection; the host starts no command before the one before it has ended."""
    edge = host("mkdir $log.lock || exit 14\nsleep 0.05\nrmdir $log.lock\n")
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            edge.facts()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert failures == []
    assert (edge.session.handshakes, edge.session.commands) == (1, 6)


def test_the_clock_starts_when_the_host_is_armed(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change may take longer than confirm_seconds; all of them are left for its confirmation."""
    edge = host("[ $1 = facts ] || sleep 4\n" + ARMED, seconds=10)
    opened = Session._connection
    failed: list[float] = []

    def once(self: Session, seconds: float) -> Connection:
        if self.handshakes == 1 and not failed:
            failed.append(seconds)
            raise UnreachableError("edge-1", "cannot be reached", UNCHANGED, "wait")
        return opened(self, seconds)

    monkeypatch.setattr(Session, "_connection", once)
    edge.change(FILES, "none", {})
    # If the clock started with the command, at most 6 s would be left.
    assert 6 < failed[0] <= 10


def test_the_clock_does_not_start_twice(host: Host, sshd: Sshd, tmp_path: Path) -> None:
    """The connection drops after "armed": the change is sent again, with the same token."""
    edge = host(
        'echo "$1 $3" >>$log\n'
        "[ $1 = change ] || exit 0\n"
        'if [ -e $log.again ]; then sleep 2.2; echo "armed $3"; exit; fi\n'
        ': >$log.again; echo "armed $3"; sleep 30\n',
        seconds=2,
    )
    deadlines: list[float] = []
    edge._confirm = lambda words, saved, until: deadlines.append(until)  # type: ignore[method-assign]

    armed = threading.Event()
    run = edge._run

    def told(words: str, files: Mapping[str, str], *, on_stdout: OnLine) -> str:
        def both(line: str) -> None:
            on_stdout(line)
            if line.startswith("armed "):
                armed.set()

        return run(words, files, on_stdout=both)

    edge._run = told  # type: ignore[method-assign, assignment]

    def drop() -> None:
        armed.wait(20)
        sshd.drop_connections()

    thread = threading.Thread(target=drop, daemon=True)
    thread.start()
    edge.change(FILES, "none", {})
    thread.join(20)
    first, second = (tmp_path / "log").read_text().splitlines()
    assert first == second
    # The deadline is 2 s after the first "armed", so it is over before the second command ends.
    assert deadlines[0] < time.monotonic()


def test_a_second_operator_waits_and_is_told(
    host: Host, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The wait for another run on the host may be longer than a command may be silent."""
    monkeypatch.setattr(session, "SILENCE_SECONDS", 3.0)
    edge = host(
        "for n in $(seq 12); do echo 'note another run is at work' >&2; sleep 0.3; done\n" + ARMED
    )
    monkeypatch.setattr(remote, "CONFIRM_SILENCE_SECONDS", 3.0)
    edge.change(FILES, "none", {})
    told = capsys.readouterr().err.splitlines()
    assert told == ["host edge-1: another run is at work"] * 24
    assert edge.session.commands == 2
