"""The program that goes to a host, how a change is confirmed, what is said when one fails."""

import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from providers import script as script_module
from providers import ssh_host
from providers.errors import HostError, UnreachableError
from providers.script import host_script, shell_program
from providers.session import Completed, Session, Target
from providers.ssh_host import SshHost

LIMIT = 20.0
"""Seconds after which a program that runs has been forgotten."""

WEB = {"web": "claim bridge web\n"}
REFUSED = UnreachableError("edge-1", "cannot be reached", "unchanged", "see that it is up")


class _Shell(Session):
    """A session that answers without a network; `programs` are what it was asked to run.

    `confirmations` are what it was asked over new connections, and `confirmed` the answers to come.
    """

    def __init__(self, answer: Completed, user: str = "root") -> None:
        super().__init__(Target("edge-1", "192.0.2.1", 22, user, None))
        self.answer = answer
        self.programs: list[str] = []
        self.confirmations: list[str] = []
        self.confirmed: list[Completed | UnreachableError] = []

    def run(
        self, program: str, seconds: float, on_stderr: Callable[[str], None] | None = None
    ) -> Completed:
        self.programs.append(program)
        for line in self.answer.stderr.splitlines():
            if on_stderr is not None:
                on_stderr(line)
        # A host says which change it armed.
        token = re.findall(r"wanbound change \$stage (\w+) 30;", program)
        armed = "".join(f"armed {one}\n" for one in token) if self.answer.exit_code == 0 else ""
        return replace(self.answer, stdout=self.answer.stdout + armed)

    def run_on_new_connection(
        self,
        program: str,
        seconds: float,
        on_stderr: Callable[[str], None] | None = None,
        connect_seconds: float | None = None,
    ) -> Completed:
        self.confirmations.append(program)
        answer = self.confirmed.pop(0) if self.confirmed else Completed(0, "wanbound\n", "")
        if isinstance(answer, UnreachableError):
            raise answer
        return answer


def test_a_bundle_has_everything_that_changes() -> None:
    """One file with what is put and what is removed, each under its name, in order."""
    shell = _Shell(Completed(0, "wanbound\n", ""))
    SshHost(shell).change({"b": "claim bridge b\n", "a": "claim bridge a\n"}, ["d", "c"])
    [program] = shell.programs
    bundle = "== put a\nclaim bridge a\n== put b\nclaim bridge b\n== remove c\n== remove d\n"
    assert (
        f"cat >$stage/bundle <<'{_end(program)}' || exit 15\n{bundle}{_end(program)}\n" in program
    )
    assert host_script() in program


def test_the_state_is_what_follows_the_first_line() -> None:
    """That one says only that the shell ran."""
    shell = _Shell(Completed(0, "wanbound\n== addresses\n== end\n", "a banner\n"))
    assert SshHost(shell).state() == "== addresses\n== end\n"


def _end(program: str) -> str:
    found = re.search(r"<<'(END-\w+)'", program)
    assert found is not None
    return found[1]


def test_no_content_can_end_its_own_document() -> None:
    """The mark is made of all that is sent, so nothing that is sent can contain it."""
    first = shell_program("change $stage 00 30", {"bundle": "x\n"})
    hostile = f"{_end(first)}\nrm -rf /\n"
    second = shell_program("change $stage 00 30", {"bundle": hostile})
    assert _end(second) not in hostile
    assert second.count(f"\n{_end(second)}\n") == 2


def test_every_run_has_a_folder_of_its_own() -> None:
    """Two runs on one host do not see each other's files."""
    folders = {re.findall(r"stage=(\S+)", shell_program("state", {}))[0] for _ in range(20)}
    assert len(folders) == 20


def test_a_program_that_was_cut_short_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that breaks half way: nothing runs but what prepares the run."""
    ran = tmp_path / "ran"
    # The real script would change the machine that runs the tests.
    monkeypatch.setattr(script_module, "host_script", lambda: f"echo run >{ran}\n")
    program = shell_program("change $stage 00 30", {"bundle": "== put web\nclaim bridge web\n"})
    assert "iptables" not in program
    program = program.replace("/run/wanbound", str(tmp_path / "run"))

    def run(text: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["sh"], input=text, text=True, capture_output=True, timeout=LIMIT)

    for length in [*range(0, len(program) - 60, 23), *range(len(program) - 60, len(program) - 1)]:
        run(program[:length])
        assert not ran.exists(), f"ran after {length} of {len(program)} characters"
    done = run(program)
    assert (done.returncode, done.stdout) == (0, "wanbound\n")
    assert ran.exists()
    # And it leaves nothing of its own behind.
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (10, ["missing", "nothing has changed", "install"]),
        (11, ["refuses the rules", "nothing has changed"]),
        (12, ["kernel refused", "old rules and addresses are back"]),
        (13, ["then the old rules too", "egress guard", "the next run"]),
        (14, ["lock", "nothing has changed", "run again"]),
        (15, ["cannot write", "nothing has changed", "df"]),
        (16, ["taken", "nothing has changed"]),
        (17, ["undid the change", "as it was before", "confirm_seconds"]),
        (18, ["made by hand", "nothing has changed", "adopt: true"]),
        (137, ["exit code 137", "not known", "pulumi up --refresh"]),
    ],
)
def test_every_exit_code_says_what_state_the_host_is_in(code: int, words: list[str]) -> None:
    """Host, what was wrong in the host's own words, state and remedy."""
    shell = _Shell(Completed(code, "wanbound\n", "wanbound: the host's own words\n"))
    with pytest.raises(HostError) as caught:
        SshHost(shell).change({"web": "claim bridge web\n"}, [])
    text = str(caught.value)
    for word in ("host edge-1: ", "the host's own words", "The host now: ", "To mend it: ", *words):
        assert word in text
    assert "host edge-1, network web: " in str(caught.value.about("web"))


def test_every_exit_code_of_the_script_has_a_meaning() -> None:
    """`fail N` in the host script, and `exit N` in what brings it there."""
    source = host_script() + shell_program("state", {})
    codes = {int(code) for code in re.findall(r"\b(?:fail|exit) (\d\d+)", source)}
    assert codes - {64} == set(ssh_host.MEANING)


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ("root", ["its shell did not run the command", "ssh root@192.0.2.1 sh"]),
        ("admin", ["may not use sudo without a password", "sudo -n sh", "ssh.user"]),
    ],
)
def test_a_shell_that_did_not_run_is_told_from_a_script_that_failed(
    user: str, words: list[str]
) -> None:
    """Without its first line nothing of the program has run, whatever the exit code is."""
    shell = _Shell(Completed(10, "", "sudo: a password is required\n"), user)
    with pytest.raises(HostError) as caught:
        SshHost(shell).state()
    for word in (*words, "a password is required", "unchanged"):
        assert word in str(caught.value)


def test_a_change_is_confirmed_over_a_new_connection() -> None:
    """With the token it was made with, once, after it was made."""
    shell = _Shell(Completed(0, "wanbound\n", ""))
    SshHost(shell).change(WEB, [])
    [program] = shell.programs
    [confirmation] = shell.confirmations
    [token] = re.findall(r"wanbound change \$stage ([0-9a-f]{16}) 30;", program)
    assert f"wanbound confirm {token};" in confirmation


def test_every_change_has_a_token_of_its_own() -> None:
    """Nobody confirms a change that is not his."""
    shell = _Shell(Completed(0, "wanbound\n", ""))
    for _ in range(20):
        SshHost(shell).change(WEB, [])
    assert len({re.findall(r"change \$stage (\w+)", text)[0] for text in shell.programs}) == 20


def test_a_confirmation_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A link may be away for a moment; the host waits for it."""
    monkeypatch.setattr(ssh_host, "RETRY_SECONDS", 0.01)
    shell = _Shell(Completed(0, "wanbound\n", ""))
    shell.confirmed = [REFUSED, REFUSED, Completed(0, "wanbound\n", "")]
    SshHost(shell).change(WEB, [])
    assert len(shell.confirmations) == 3


def test_a_change_that_nobody_could_confirm_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host goes back by itself, and that is what the error says."""
    monkeypatch.setattr(ssh_host, "RETRY_SECONDS", 0.01)
    shell = _Shell(Completed(0, "wanbound\n", ""))
    shell.target = replace(shell.target, confirm_seconds=0)
    shell.confirmed = [REFUSED] * 1000
    monkeypatch.setattr(SshHost, "_run", lambda host, words, files: f"armed {words.split()[2]}\n")
    with pytest.raises(UnreachableError) as caught:
        SshHost(shell).change(WEB, [])
    for word in ("new SSH connection", "cannot be reached", "gone back by itself", "INPUT"):
        assert word in str(caught.value)


def test_a_change_that_was_undone_is_never_a_success() -> None:
    """The confirmation came too late."""
    shell = _Shell(Completed(0, "wanbound\n", ""))
    shell.confirmed = [Completed(17, "wanbound\n", "wanbound: the change was undone\n")]
    with pytest.raises(HostError) as caught:
        SshHost(shell).change(WEB, [])
    assert "it undid the change" in str(caught.value)


@pytest.mark.parametrize("answer", ["wanbound\n", "wanbound\narmed 0000000000000000\n"])
def test_a_change_that_was_not_armed_is_no_success(
    answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that lacks this change's own token is no answer to it."""
    shell = _Shell(Completed(0, "", ""))
    monkeypatch.setattr(Session, "run", lambda *_: Completed(0, answer, ""))
    monkeypatch.setattr(_Shell, "run", Session.run)
    with pytest.raises(HostError) as caught:
        SshHost(shell).change(WEB, [])
    assert "its answer to the change is none" in str(caught.value)
    assert shell.confirmations == []


def test_notes_are_passed_on_and_are_no_part_of_an_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What the host has to tell the operator, whatever becomes of the run."""
    said = "note another run is changing this host\x1b[2J\nwanbound: the host's own words\n"
    shell = _Shell(Completed(14, "wanbound\n", said))
    with pytest.raises(HostError) as caught:
        SshHost(shell).change(WEB, [])
    shown = capsys.readouterr().err
    assert shown == "host edge-1: another run is changing this host\\x1b[2J\n"
    assert "another run is changing" not in str(caught.value)
    assert "the host's own words" in str(caught.value)
