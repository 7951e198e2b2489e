"""Input and output of a command on a host at the same time, against a real sshd."""

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest
from paramiko.common import AUTH_SUCCESSFUL, OPEN_SUCCEEDED

from providers.errors import UnreachableError
from providers.ssh import session as session_module
from providers.ssh.session import Session
from tests.providers.sshd import Sshd, bare_home, running

LIMIT = 20.0
MUCH = 4_000_000
"""Bytes: twice what SSH lets a host send before the other side has read (RFC 4254, 5.2)."""


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """One sshd for all tests here."""
    with running(tmp_path_factory.mktemp("sshd")) as found:
        yield found


@pytest.fixture
def session(tmp_path: Path, sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """A session that can log in."""
    config = bare_home(tmp_path, monkeypatch) / "config"
    config.write_text(f"Host *\n  IdentityFile {sshd.client_key}\n")
    found = Session(sshd.target())
    yield found
    found.close()


def _endless(stream: str, letter: str) -> str:
    return f"head -c {MUCH} /dev/zero | tr '\\0' {letter} >&{stream}"


def _while_waiting(mark: Path, lines: list[str]) -> Callable[[str], None]:
    """Return a callback that collects the lines, and lets the command go on at the first one."""

    def on_line(line: str) -> None:
        lines.append(line)
        mark.touch()

    return on_line


def test_a_line_of_stderr_is_told_while_the_command_runs(session: Session, tmp_path: Path) -> None:
    """The command waits until its first line has been received."""
    mark, lines = tmp_path / "heard", list[str]()
    program = f"echo waiting >&2; until [ -e {mark} ]; do sleep 0.02; done; echo go >&2; echo out"
    done = session.run(program, LIMIT, on_stderr=_while_waiting(mark, lines))
    assert lines == ["waiting", "go"]
    assert (done.stdout, done.stderr) == ("out\n", "waiting\ngo\n")


def test_a_line_is_told_when_it_is_whole(session: Session) -> None:
    """A line may arrive in pieces; the last line may have no newline."""
    lines: list[str] = []
    program = (
        "printf 'one ' >&2; sleep 0.1; printf 'line\\n\\ntwo\\nthr' >&2; sleep 0.1; printf ee >&2"
    )
    session.run(program, LIMIT, on_stderr=lines.append)
    assert lines == ["one line", "", "two", "three"]


def test_what_is_told_cannot_write_over_the_screen(session: Session) -> None:
    """Escape sequences, binary bytes and a line of a megabyte are made harmless and short."""
    lines: list[str] = []
    program = (
        "printf '\\033[2Jgone\\377\\n' >&2\nhead -c 1000000 /dev/zero | tr '\\0' x >&2; echo >&2\n"
    )
    done = session.run(program, LIMIT, on_stderr=lines.append)
    assert lines == ["\\x1b[2Jgone\ufffd", "x" * session_module.LINE_LIMIT]
    assert len(done.stderr) > 1_000_000


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError("no space")])
def test_a_command_runs_to_its_end_if_its_lines_cannot_be_shown(
    session: Session, error: OSError
) -> None:
    """Without the operator's terminal, the command still runs to its end, once."""

    def on_line(line: str) -> None:
        raise error

    assert (
        session.run("echo a >&2; echo b >&2; echo done", LIMIT, on_stderr=on_line).stdout
        == "done\n"
    )
    assert (session.handshakes, session.commands) == (1, 1)


@pytest.mark.parametrize(
    "program",
    [
        f"{_endless('2', 'e')}; {_endless('1', 'o')}",
        f"{_endless('1', 'o')}; {_endless('2', 'e')}",
        f"{_endless('1', 'o')} & {_endless('2', 'e')}; wait",
    ],
)
def test_both_streams_may_be_full(session: Session, program: str) -> None:
    """Whichever stream the host fills first, it never waits for the other to be read."""
    done = session.run(program, LIMIT)
    assert (done.stdout, done.stderr) == ("o" * MUCH, "e" * MUCH)


def test_much_is_printed_before_all_has_been_read(session: Session) -> None:
    """The shell prints while most of its program has not been sent."""
    line = f": {'x' * 90}\n"
    program = f"{_endless('1', 'o')}\n{line * (MUCH // len(line))}echo end\n"
    assert session.run(program, LIMIT).stdout == "o" * MUCH + "end\n"


@pytest.mark.parametrize("stream", ["1", "2"])
@pytest.mark.parametrize("what", ["yes", "cat /dev/zero", "cat /dev/urandom"])
def test_output_without_end_is_given_up(
    session: Session, monkeypatch: pytest.MonkeyPatch, stream: str, what: str
) -> None:
    """With or without lines, on either stream; not retried, because it would happen again."""
    monkeypatch.setattr(session_module, "OUTPUT_LIMIT", 300_000)
    heard: list[str] = []
    with pytest.raises(UnreachableError, match="it printed more than 300000 bytes"):
        session.run(f"{what} >&{stream}", LIMIT, on_stderr=heard.append)
    assert sum(map(len, heard)) < 1_000_000
    assert session.commands == 1
    assert session.run("echo fine", LIMIT).stdout == "fine\n"


def test_a_new_connection_is_new(session: Session, sshd: Sshd) -> None:
    """The host sees another login, and the first connection is closed."""
    before = len(sshd.logins())
    session.run("true", LIMIT)
    done = session.run_on_new_connection("echo err >&2; echo out; exit 3", LIMIT)
    assert (done.exit_code, done.stdout, done.stderr) == (3, "out\n", "err\n")
    assert session.run("echo again", LIMIT).stdout == "again\n"
    assert session.handshakes == 2
    first, second = sshd.logins()[before:]
    _until(lambda: sshd.count(f"Closing connection to 127.0.0.1 port {first}\n") == 1)
    assert sshd.count(f"Closing connection to 127.0.0.1 port {second}\n") == 0


def _until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_new_connection_that_fails_leaves_the_old_one(
    session: Session, sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried once and fails at once; the old connection works, as does the next new one."""
    session.run("true", LIMIT)
    right = session.target
    wrong = sshd.target(host_key=None)
    monkeypatch.setattr(session, "target", wrong)
    with pytest.raises(UnreachableError, match="its SSH host key is not known"):
        session.run_on_new_connection("echo no", LIMIT)
    assert (session.handshakes, session.commands) == (2, 1)
    assert session.run("echo still", LIMIT).stdout == "still\n"
    monkeypatch.setattr(session, "target", right)
    assert session.run_on_new_connection("echo now", LIMIT).stdout == "now\n"
    assert session.handshakes == 3


def test_a_new_connection_does_not_mind_an_earlier_failure(
    session: Session, sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure is remembered for ten seconds, except for a new connection."""
    right = session.target
    monkeypatch.setattr(session, "target", sshd.target(host_key=None))
    with pytest.raises(UnreachableError):
        session.run("echo no", LIMIT)
    monkeypatch.setattr(session, "target", right)
    with pytest.raises(UnreachableError):
        session.run("echo no", LIMIT)
    assert session.run_on_new_connection("echo yes", LIMIT).stdout == "yes\n"
    assert session.run("echo yes", LIMIT).stdout == "yes\n"
    assert session.handshakes == 2


def test_a_new_connection_that_drops_is_not_made_again(
    session: Session, sshd: Sshd, tmp_path: Path
) -> None:
    """The call is to prove that the new connection lasts."""
    mark = tmp_path / "mark"

    def drop() -> None:
        _until(mark.exists)
        sshd.drop_connections()

    thread = threading.Thread(target=drop, daemon=True)
    thread.start()
    with pytest.raises(UnreachableError, match="lost while a command ran"):
        session.run_on_new_connection(f": >{mark}; sleep 30", LIMIT)
    thread.join(LIMIT)
    assert (session.handshakes, session.commands) == (1, 1)


def test_a_new_connection_has_its_own_limit(session: Session, sshd: Sshd) -> None:
    """A confirmation has less time than other calls."""
    sshd.process.send_signal(signal.SIGSTOP)  # the kernel still accepts connections
    try:
        began = time.monotonic()
        with pytest.raises(UnreachableError):
            session.run_on_new_connection("true", LIMIT, connect_seconds=0.3)
        assert time.monotonic() - began < LIMIT
    finally:
        sshd.process.send_signal(signal.SIGCONT)
    assert session.run("echo back", LIMIT).stdout == "back\n"


# --- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "program",
    ["sleep 30", "exec >/dev/null 2>&1; sleep 30", "exec >&- 2>&-; sleep 30", "echo x; sleep 30"],
)
def test_a_silent_command_is_given_up(session: Session, program: str) -> None:
    """The error says so, and it is not retried: it may still be running there."""
    began = time.monotonic()
    with pytest.raises(UnreachableError) as caught:
        session.run(program, 0.5)
    assert time.monotonic() - began < LIMIT
    assert "wanbound gave up on a command: it printed nothing for 0.5 s" in str(caught.value)
    assert "The host now: not known" in str(caught.value)
    assert session.commands == 1
    assert session.run("echo fine", LIMIT).stdout == "fine\n"


@pytest.mark.parametrize("streams", ["1", "2", "1 2"])
def test_a_command_may_take_long_while_it_prints(session: Session, streams: str) -> None:
    """It may print on either stream, or on both in turn: the limit applies to silence."""
    said = "; ".join(f"echo x >&{stream}; sleep 0.3" for stream in (streams.split() * 12)[:12])
    done = session.run(said, 3)
    assert done.stdout + done.stderr == "x\n" * 12


def test_a_command_that_prints_for_ever_is_given_up(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole command has a limit too, far above any wait on a host."""
    monkeypatch.setattr(session_module, "LONGEST_SECONDS", 0.6)
    began = time.monotonic()
    with pytest.raises(UnreachableError, match=r"it did not end within 0\.6 s"):
        session.run("while :; do echo x; sleep 0.1; done", LIMIT)
    assert time.monotonic() - began < LIMIT


class _Mute(paramiko.ServerInterface):
    """A server that accepts a login and never answers a request to run a command."""

    def __init__(self) -> None:
        self.ended = threading.Event()

    def check_auth_none(self, username: str) -> int:
        """Accept any user."""
        return AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        """Open any channel."""
        return OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        """Do not answer."""
        return not self.ended.wait(LIMIT)


def test_a_host_that_does_not_answer_to_a_command_is_given_up() -> None:
    """paramiko alone would wait for ever."""
    ours, theirs = socket.socketpair()
    server, mute = paramiko.Transport(theirs), _Mute()
    server.add_server_key(paramiko.RSAKey.generate(2048))
    server.start_server(event=threading.Event(), server=mute)
    client = paramiko.Transport(ours)
    try:
        client.start_client(timeout=LIMIT)
        client.auth_none("root")
        began = time.monotonic()
        with pytest.raises(TimeoutError, match=r"printed nothing for 0\.5 s"):
            session_module.exchange(client, "sh -s", "true", 0.5)
        assert time.monotonic() - began < LIMIT
    finally:
        mute.ended.set()
        client.close()
        server.close()
