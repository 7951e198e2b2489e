"""The machine at the address is not the host, or is compromised: a real sshd with bad answers.

sshd runs a script of the test instead of the command (ForceCommand in tests/providers/sshd).
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from providers.errors import HostError, UnreachableError
from providers.host.facts import ParseError, parse
from providers.ssh import session as sessions
from providers.ssh.remote import SshRemote
from providers.ssh.session import Session
from providers.ssh.target import Target
from tests.providers.sshd import Sshd, make_key, running

LIMIT = 30.0
"""Seconds after which a call counts as hung."""

CALLS = ("change", "facts")


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """One sshd for all tests here."""
    with running(tmp_path_factory.mktemp("sshd")) as found:
        yield found


@pytest.fixture(autouse=True)
def home(tmp_path: Path, sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home folder whose ssh config names the accepted key, and no agent."""
    (tmp_path / ".ssh").mkdir()
    config = f"Host 127.0.0.1\n  IdentityFile {sshd.client_key}\n"
    (tmp_path / ".ssh" / "config").write_text(config)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@contextmanager
def host(sshd: Sshd, script: str, seconds: int = 5) -> Iterator[SshRemote]:
    """The host as providers have it; for every command it runs `script`."""
    shell = sshd.folder / "shell"
    before = shell.read_text()
    shell.write_text(f"#!/bin/sh\n{script}\n")
    session = Session(replace(sshd.target(), confirm_seconds=seconds))
    try:
        yield SshRemote(session)
    finally:
        session.close()
        shell.write_text(before)


def refusal(sshd: Sshd, call: str, script: str) -> str:
    """Return the error of a call, which must fail soon with printable text."""
    started = time.monotonic()
    with host(sshd, script) as seam, pytest.raises((HostError, ParseError)) as caught:
        if call == "change":
            seam.change({"new/bridges": "web\n"}, "none", {})
        else:
            parse(seam.facts(drift=True), drift=True)
    assert time.monotonic() - started < LIMIT
    said = str(caught.value)
    assert len(said) < 10_000
    assert all(line.isprintable() for line in said.split("\n")), repr(said)
    return said


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 0", "did not run the command"),
        ("cat >/dev/null; exit 0", "did not run the command"),
        ("cat >/dev/null; echo 'Welcome to edge-1!'; exit 0", "did not run the command"),
        ("cat; exit 0", "did not run the command"),
        ("echo wanboundish; exit 0", "did not run the command"),
        ("exec sleep 0 </dev/null", "did not run the command"),
        ("cat >/dev/null; kill -9 $$", "lost while a command ran"),
    ],
)
def test_an_exit_code_alone_is_no_success(sshd: Sshd, call: str, script: str, words: str) -> None:
    """No output, a banner, an echo of the input, or a killed shell never count as success."""
    assert words in refusal(sshd, call, script)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "script",
    [
        "cat >/dev/null; echo wanbound; exit 0",
        "cat >/dev/null; echo wanbound; echo armed 0000000000000000",
        "cat >/dev/null; echo wanbound; echo armed; echo '== end'",
        "cat >/dev/null; echo wanbound; echo '== addresses'; echo '== end'",
        "cat >/dev/null; echo wanbound; head -c 3000000 /dev/urandom",
        "cat >/dev/null; echo wanbound; printf '\\0\\377\\033[2J\\n== end\\n'",
    ],
)
def test_a_right_first_line_alone_is_no_answer(sshd: Sshd, call: str, script: str) -> None:
    """The first line is right, but the rest is truncated, binary, or of another change."""
    refusal(sshd, call, script)


def test_what_a_shell_prints_first_is_no_failure(sshd: Sshd) -> None:
    """A start-up file that prints is unusual but no attack: the answer follows its output."""
    script = "cat >/dev/null; echo 'Welcome!'; echo wanbound; echo '== x'"
    with host(sshd, script) as seam:
        assert seam.facts(drift=True) == "== x\n"


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "script",
    [
        "yes",
        "echo wanbound; yes '== addresses'",
        "yes >&2",
        "yes >&2 & yes",
        "cat >/dev/null; echo wanbound; yes | tr -d '\\n'",
        "cat >/dev/null; echo wanbound; cat /dev/zero",
    ],
)
def test_an_endless_answer_ends(
    sshd: Sshd, call: str, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is cut off at the limit on either stream, and none of it is shown."""
    monkeypatch.setattr(sessions, "OUTPUT_LIMIT", 1024 * 1024)
    assert "it printed more than" in refusal(sshd, call, script)


def test_a_huge_answer_at_the_real_limit_ends(sshd: Sshd) -> None:
    """Twice 64 MiB, because a lost connection is retried once."""
    said = refusal(sshd, "facts", "cat >/dev/null; echo wanbound; head -c 80000000 /dev/zero")
    assert f"more than {sessions.OUTPUT_LIMIT} bytes" in said


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "script",
    [
        "sleep 60",
        "exec </dev/null; sleep 60",
        "cat >/dev/null; echo wanbound; while sleep 0.1; do echo x; done",
        "cat >/dev/null; echo wanbound; while sleep 0.1; do echo x >&2; done",
        "cat >/dev/null; echo wanbound; exec >/dev/null 2>&1; sleep 60",
    ],
)
def test_a_silent_or_dripping_answer_ends(
    sshd: Sshd, call: str, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes just in time do not extend the limit, which applies to the whole command."""
    monkeypatch.setattr(sessions, "SILENCE_SECONDS", 1.0)
    monkeypatch.setattr(sessions, "LONGEST_SECONDS", 1.5)
    started = time.monotonic()
    said = refusal(sshd, call, script)
    assert "did not end within 1.5 s" in said or "printed nothing for 1 s" in said
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("code", [0, 1, 11, 12, 13, 14, 15, 16, 17, 255])
def test_control_characters_in_a_hosts_words_are_shown_and_not_obeyed(
    sshd: Sshd, code: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """Tried are colours, titles, a cleared screen, a right-to-left override, a carriage return."""
    evil = "\\033[2J\\033]0;title\\007\\rroot# \\b\\302\\233H\\342\\200\\256 gone"
    script = f"cat >/dev/null; echo wanbound; printf 'note {evil}\\n{evil}\\n' >&2; exit {code}"
    said = refusal(sshd, "change", script)
    if code not in (0, 17):
        assert "gone" in said
    told = capfd.readouterr()
    for line in f"{told.out}{told.err}".split("\n"):
        assert line.isprintable(), repr(line)


def test_an_endless_row_of_notes_does_not_fill_the_screen(
    sshd: Sshd, capfd: pytest.CaptureFixture[str]
) -> None:
    """A host may send notes while it works, up to a limit."""
    script = "cat >/dev/null; yes 'note look here' | head -100000 >&2; echo wanbound; exit 11"
    refusal(sshd, "change", script)
    told = capfd.readouterr().err.splitlines()
    assert told[0] == "host edge-1: look here"
    assert len(told) <= sessions.LINES_LIMIT


def test_a_server_other_than_sshd_cannot_write_on_the_terminal() -> None:
    """Before the key exchange, text of a server other than sshd is quoted without control codes."""
    banners = [b"\x1b[2J\x1b]0;owned\x07 SSH?\r\n", b"SSH-9.9-\x1b[31mred\r\n", b"\xff\xfe\x00\r\n",
               b"HTTP/1.0 200 OK\r\n\r\n", b"x" * 100_000, b""]  # fmt: skip
    for banner in banners:
        with _answering(banner) as port:
            session = Session(Target("edge-1", "127.0.0.1", port, "root", None))
            with pytest.raises(UnreachableError) as caught:
                session.run("echo no", LIMIT)
        said = str(caught.value)
        assert len(said) < 10_000
        assert all(line.isprintable() for line in said.split("\n")), repr(said)
        assert "nothing was sent to it" in said


@contextmanager
def _answering(banner: bytes) -> Iterator[int]:
    """A server that sends `banner` to every client; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        ended = threading.Event()

        def serve() -> None:
            while not ended.is_set():
                try:
                    client, _ = server.accept()
                except TimeoutError:
                    continue
                with client:
                    client.sendall(banner)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            ended.set()
            thread.join(LIMIT)


def test_nothing_is_sent_to_a_server_with_another_key(sshd: Sshd, tmp_path: Path) -> None:
    """A server without the pinned key gets neither a command nor a byte of it."""
    make_key(tmp_path / "other")
    other = " ".join((tmp_path / "other.pub").read_text().split()[:2])
    before = sshd.asked()
    session = Session(sshd.target(host_key=other))
    with pytest.raises(UnreachableError, match="not the one that is pinned"):
        session.run("echo no", LIMIT)
    assert sshd.asked() == before
    assert session.commands == 0
