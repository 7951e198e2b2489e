"""The single connection to a host, against a real sshd."""

import base64
import dataclasses
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from providers.errors import HostError, UnreachableError
from providers.ssh import connection
from providers.ssh import session as session_module
from providers.ssh.session import Session
from providers.ssh.target import Target
from tests.providers.sshd import Sshd, bare_home, free_port, make_key, running

LIMIT = 20.0


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """One sshd for all tests here; on a machine without sshd they fail."""
    with running(tmp_path_factory.mktemp("sshd")) as found:
        yield found


@pytest.fixture(autouse=True)
def home(tmp_path: Path, sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder whose ssh config names the accepted key, and no agent."""
    config = bare_home(tmp_path, monkeypatch) / "config"
    config.write_text(f"Host 127.0.0.1\n  IdentityFile {sshd.client_key}\n")
    return tmp_path


@pytest.fixture
def session(sshd: Sshd) -> Iterator[Session]:
    """A session with the right host key pinned."""
    found = Session(sshd.target())
    yield found
    found.close()


def _refusal(target: Target) -> str:
    """Return the error of a connection that cannot be made; no command may have run."""
    session = Session(target)
    with pytest.raises(HostError) as caught:
        session.run("echo no", LIMIT)
    text = str(caught.value)
    assert text.startswith("host edge-1: ")
    assert "The host now: unchanged; nothing was sent to it" in text
    assert "Fix: " in text
    assert session.commands == 0
    return text


def test_a_program_runs_in_one_shell(session: Session, sshd: Sshd) -> None:
    """It is sent on standard input; output, errors and exit code are returned separately."""
    done = session.run("echo out; echo err >&2; exit 7", LIMIT)
    assert (done.exit_code, done.stdout, done.stderr) == (7, "out\n", "err\n")


@pytest.mark.parametrize(("user", "line"), [("root", "sh -s"), ("admin", "sudo -n sh -s")])
def test_the_command_line_is_constant(
    sshd: Sshd, user: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program goes in on standard input, so no value is ever part of the command line."""
    target = sshd.target()
    session = Session(target)
    session.run("true", LIMIT)  # connected as the user who runs the tests
    monkeypatch.setattr(session, "target", Target("edge-1", target.address, 22, user, None))
    before = len(sshd.asked())
    session.run("echo '$(reboot)' `reboot`\n", LIMIT)
    assert sshd.asked()[before:] == [line]
    session.close()


def test_much_goes_both_ways(session: Session) -> None:
    """Nothing is lost of a text that is larger than any buffer on the way."""
    text = "x" * 99 + "\n"
    program = f"cat <<'END'\n{text * 30_000}END\n"
    assert session.run(program, LIMIT).stdout == text * 30_000


def test_bytes_that_are_no_text_do_not_matter(session: Session) -> None:
    """A banner in another encoding must not hide the output after it."""
    assert session.run(r"printf 'a\377b'", LIMIT).stdout == "a\ufffdb"


def test_a_wrong_key_is_refused(sshd: Sshd, tmp_path: Path) -> None:
    """Another machine answers: the error names its key, and nothing is sent."""
    make_key(tmp_path / "other")
    other = " ".join((tmp_path / "other.pub").read_text().split()[:2])
    text = _refusal(sshd.target(host_key=other))
    assert f"its SSH host key is {sshd.host_key}, not the one that is pinned" in text
    assert "another machine may be answering" in text


def test_a_key_of_another_kind_is_refused(sshd: Sshd, tmp_path: Path) -> None:
    """A pinned key counts even if the host has a key of another type."""
    make_key(tmp_path / "other", "ecdsa")
    other = " ".join((tmp_path / "other.pub").read_text().split()[:2])
    assert f"its SSH host key is {sshd.host_key}" in _refusal(sshd.target(host_key=other))


def test_a_pinned_key_that_is_none_is_refused(sshd: Sshd, tmp_path: Path) -> None:
    """Its length is right, but it is not a point of the curve, which only the connection checks."""
    make_key(tmp_path / "other", "ecdsa")
    kind, text = (tmp_path / "other.pub").read_text().split()[:2]
    blob = base64.b64decode(text)
    wrong = base64.b64encode(blob[:-1] + bytes([blob[-1] ^ 1])).decode()
    assert f"ssh.host_key is not a valid {kind} key" in _refusal(
        sshd.target(host_key=f"{kind} {wrong}")
    )


def test_an_unknown_key_is_refused_and_never_learned(sshd: Sshd, home: Path) -> None:
    """With neither a pinned key nor known_hosts, the error explains how to get the right key."""
    text = _refusal(sshd.target(host_key=None))
    assert "its SSH host key is not known" in text
    assert "ssh-keyscan" in text
    assert not (home / ".ssh" / "known_hosts").exists()


def test_a_key_in_known_hosts_is_enough(sshd: Sshd, home: Path) -> None:
    """The entry is as `ssh` writes it; the file is not changed."""
    known = home / ".ssh" / "known_hosts"
    known.write_text(f"[127.0.0.1]:{sshd.port} {sshd.host_key}\n")
    before = known.read_text()
    session = Session(sshd.target(host_key=None))
    assert session.run("echo in", LIMIT).stdout == "in\n"
    session.close()
    assert known.read_text() == before


OTHERS = """\
# a comment \udcff
@cert-authority *.example.com {key}
@revoked * ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPdO0Q5V3zCkzqYJmA3k3i2oIYlL5v0G2yYQm0Q5V3zC
host.example.com ssh-ed25519 AAAA
\t [127.0.0.1]:{port}  {key}
"""
"""What OpenSSH reads in a known_hosts file, or leaves out."""


def test_lines_of_known_hosts_that_are_not_keys_do_not_matter(sshd: Sshd, home: Path) -> None:
    """OpenSSH accepts the file; paramiko would fail at the second line."""
    known = home / ".ssh" / "known_hosts"
    text = OTHERS.format(port=sshd.port, key=sshd.host_key)
    known.write_text(text, encoding="utf-8", errors="surrogateescape")
    session = Session(sshd.target(host_key=None))
    assert session.run("echo in", LIMIT).stdout == "in\n"
    session.close()


def test_a_revoked_key_is_refused(
    sshd: Sshd, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where another file has it as the key of the host."""
    others = tmp_path / "ssh_known_hosts"
    monkeypatch.setattr(connection, "KNOWN_HOSTS", ("~/.ssh/known_hosts", str(others)))
    (home / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{sshd.port} {sshd.host_key}\n")
    others.write_text(f"@revoked * {sshd.host_key}\n")
    assert "its SSH host key is not known" in _refusal(sshd.target(host_key=None))


def test_a_known_hosts_file_that_cannot_be_read(sshd: Sshd, home: Path) -> None:
    """The error names the file."""
    (home / ".ssh" / "known_hosts").mkdir()
    assert "known_hosts cannot be read (Is a directory)" in _refusal(sshd.target(host_key=None))


def test_a_pinned_key_is_the_only_one_that_counts(sshd: Sshd, home: Path, tmp_path: Path) -> None:
    """If known_hosts has the answering host's key but the stack another, it is refused."""
    known = home / ".ssh" / "known_hosts"
    known.write_text(f"[127.0.0.1]:{sshd.port} {sshd.host_key}\n")
    make_key(tmp_path / "other")
    other = " ".join((tmp_path / "other.pub").read_text().split()[:2])
    assert "not the one that is pinned" in _refusal(sshd.target(host_key=other))


def test_a_refused_log_in_says_who(sshd: Sshd, home: Path, tmp_path: Path) -> None:
    """Both for a key that the host does not accept and without any key."""
    make_key(tmp_path / "unknown")
    config = home / ".ssh" / "config"
    for text in (f"Host *\n  IdentityFile {tmp_path}/unknown\n", ""):
        config.write_text(text)
        said = _refusal(sshd.target())
        user = sshd.target().user
        assert f"it rejects the login of {user} (" in said
        assert f"{tmp_path}/unknown was refused" in said if text else "no key to try" in said
        assert "SSH agent" in said


def test_a_port_without_a_listener(sshd: Sshd) -> None:
    """The error names address and port."""
    port = free_port()
    text = _refusal(sshd.target(port=port))
    assert f"cannot be reached at 127.0.0.1 port {port}" in text
    assert "refused" in text


def test_a_host_that_does_not_answer(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that accepts the connection and sends nothing is given up after the limit."""
    monkeypatch.setattr(session_module, "CONNECT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        text = _refusal(sshd.target(port=silent.getsockname()[1]))
    assert time.monotonic() - began < LIMIT
    assert "SSH fails" in text or "no answer" in text


def test_a_connection_that_was_dropped_is_made_again(session: Session, sshd: Sshd) -> None:
    """After a drop between two calls, the second call connects again."""
    session.run("true", LIMIT)
    sshd.drop_connections()
    assert session.run("echo again", LIMIT).stdout == "again\n"
    assert session.handshakes == 2


def test_a_call_whose_connection_drops_is_made_once_more(
    session: Session, sshd: Sshd, tmp_path: Path
) -> None:
    """A command that was interrupted runs again; every program of wanbound may run twice."""
    mark = tmp_path / "mark"
    with _dropping_at(sshd, mark, times=1):
        program = f"if [ -e {mark}.1 ]; then echo second; else : >{mark}.1; sleep 30; fi"
        assert session.run(program, LIMIT).stdout == "second\n"
    assert (session.handshakes, session.commands) == (2, 2)


def test_a_call_whose_connection_always_drops_is_an_error(
    session: Session, sshd: Sshd, tmp_path: Path
) -> None:
    """It is tried twice, and the error says that the state of the host is not known."""
    mark = tmp_path / "mark"
    program = f"if [ -e {mark}.1 ]; then : >{mark}.2; else : >{mark}.1; fi; sleep 30"
    with _dropping_at(sshd, mark, times=2), pytest.raises(HostError) as caught:
        session.run(program, LIMIT)
    text = str(caught.value)
    assert "host edge-1: the connection was lost while a command ran" in text
    assert "The host now: not known" in text
    assert "pulumi up --refresh" in text
    assert "()" not in text
    assert session.commands == 2
    assert session.run("echo fine", LIMIT).stdout == "fine\n"


def test_a_call_whose_connection_drops_for_good_is_not_called_unsent(
    session: Session, sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change cuts the operator off: no second connection succeeds, yet the change was sent."""
    mark = tmp_path / "mark"
    program = f": >{mark}.1; sleep 30"
    session.run("true", LIMIT)
    # The existing connection works; another one is refused.
    monkeypatch.setattr(session, "target", dataclasses.replace(sshd.target(), port=1))
    with _dropping_at(sshd, mark, times=1), pytest.raises(UnreachableError) as caught:
        session.run(program, LIMIT)
    text = str(caught.value)
    assert "the connection was lost while a command ran" in text
    assert "cannot be reached at 127.0.0.1 port 1" in text
    assert "The host now: not known: a change that had begun completes, or is rolled back" in text
    assert "nothing was sent" not in text


@contextmanager
def _dropping_at(sshd: Sshd, mark: Path, times: int) -> Iterator[None]:
    """Drop all connections when `mark`.1 appears, again at `mark`.2, and so on."""

    def drop() -> None:
        until = time.monotonic() + LIMIT
        for number in range(1, times + 1):
            while not Path(f"{mark}.{number}").exists() and time.monotonic() < until:
                time.sleep(0.01)
            sshd.drop_connections()

    thread = threading.Thread(target=drop, daemon=True)
    thread.start()
    yield
    thread.join(LIMIT)
    assert not thread.is_alive()


def test_a_closed_session_opens_again(session: Session) -> None:
    """Closing only releases the connection."""
    session.run("true", LIMIT)
    session.close()
    session.close()
    assert session.run("echo again", LIMIT).stdout == "again\n"


def test_nothing_is_printed_beside_the_error(sshd: Sshd) -> None:
    """The error is all that is printed, in a separate process without a logging configuration."""
    with socket.create_server(("127.0.0.1", 0)) as hasty:
        target = sshd.target(port=hasty.getsockname()[1])
        program = (
            "from providers.errors import HostError\n"
            "from providers.ssh.session import Session\n"
            "from providers.ssh.target import Target\n"
            f"try:\n    Session({target!r}).run('true', 5)\n"
            "except HostError as error:\n    print(error)\n"
        )
        closer = threading.Thread(target=lambda: hasty.accept()[0].close(), daemon=True)
        closer.start()
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            timeout=LIMIT,
            cwd=Path(__file__).parents[3],
        )
    assert done.stdout.startswith("host edge-1: SSH fails (")
    assert done.stderr == ""


def test_without_sshd_the_reason_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests fail then and name the package, because a skipped test proves nothing."""
    monkeypatch.setattr(shutil, "which", lambda *args, **kwargs: None)
    with pytest.raises(AssertionError, match="install openssh-server"), running(tmp_path):
        pass
