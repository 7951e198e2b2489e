"""What is sent to a host, and how its answers are read; a fake session is underneath."""

import re
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from providers.errors import (
    ChangedMeanwhileError,
    DuplicateAddressError,
    HostError,
    UnreachableError,
)
from providers.ssh import remote
from providers.ssh.connection import UNCHANGED
from providers.ssh.remote import (
    MEANING,
    SshRemote,
    call_script,
    engine_script,
    host_script,
    remote_at,
    shell_program,
)
from providers.ssh.session import Completed, OnLine, Session
from providers.ssh.target import Target

LIMIT = 20.0
"""Seconds after which a running program is taken for hung."""

FILES = {
    "new/ipv4.rules": "*nat\nCOMMIT\n",
    "new/guard.nft": "table inet wanbound\n",
    "new/bridges": "web\n",
}
OK = Completed(0, "wanbound\n", "")
REFUSED = UnreachableError("edge-1", "cannot be reached", UNCHANGED, "check that it is up")
LOST = UnreachableError("edge-1", "the connection was lost", "not known", "check it")


class _Shell(Session):
    """A session that answers without a network; `programs` are the programs it was given.

    `confirmations` are those it was given over new connections, `confirmed` the answers to them.
    """

    def __init__(self, answer: Completed, user: str = "root") -> None:
        super().__init__(Target("edge-1", "192.0.2.1", 22, user, None))
        self.answer = answer
        self.programs: list[str] = []
        self.confirmations: list[str] = []
        self.confirmed: list[Completed | UnreachableError] = []

    def run(
        self,
        program: str,
        silence: float | None = None,
        on_stdout: OnLine | None = None,
        on_stderr: OnLine | None = None,
    ) -> Completed:
        self.programs.append(program)
        for line in self.answer.stderr.splitlines():
            if on_stderr is not None:
                on_stderr(line)
        token = re.findall(r"wanbound change \$stage (\w+) ", program)
        armed = "".join(f"armed {one}\n" for one in token) if self.answer.exit_code == 0 else ""
        return replace(self.answer, stdout=self.answer.stdout + armed)

    def run_on_new_connection(
        self,
        program: str,
        silence: float | None = None,
        on_stderr: OnLine | None = None,
        connect_seconds: float | None = None,
    ) -> Completed:
        self.confirmations.append(program)
        answer = self.confirmed.pop(0) if self.confirmed else OK
        if isinstance(answer, UnreachableError):
            raise answer
        return answer


def change(shell: Session) -> None:
    """Make a change on the host behind the session."""
    SshRemote(shell).change(FILES, "none", {})


# --- the program ---------------------------------------------------------------------------------


def _end(program: str) -> str:
    found = re.search(r"<<'(END-\w+)'", program)
    assert found is not None
    return found[1]


def test_files_travel_beside_the_script() -> None:
    """Each file has its own name, in a folder where the name has one."""
    program = shell_program("change $stage 00 30 none", FILES)
    end = _end(program)
    assert "\nmkdir -p $stage $stage/new || exit 15\n" in program
    assert f"cat >$stage/new/ipv4.rules <<'{end}' || exit 15\n*nat\nCOMMIT\n{end}\n" in program
    assert call_script() in program


def test_the_script_that_stays_travels_with_a_change() -> None:
    """The installed script is sent with no other command."""
    shell = _Shell(OK)
    with suppress(HostError):
        SshRemote(shell).change(FILES, "none", {})
    [change, *_] = shell.programs
    assert f"cat >$stage/installed <<'{_end(change)}' || exit 15\n{host_script()}" in change
    assert host_script() not in shell_program("facts", {})


def test_no_content_can_end_its_own_document() -> None:
    """The marker is a digest of everything that is sent, so that text cannot contain it."""
    first = shell_program("change $stage 00 30 none", {"bundle": "x\n"})
    hostile = f"{_end(first)}\nrm -rf /\n"
    second = shell_program("change $stage 00 30 none", {"bundle": hostile})
    assert _end(second) not in hostile
    assert second.count(f"\n{_end(second)}\n") == 2


@pytest.mark.parametrize(
    "name",
    ["", "a b", "../a", "/etc/passwd", "a/b/c", "a/", "a/../b", "$(id)", "a;id", "-a", ".a", "a\n",
     "wanbound"],
)  # fmt: skip
def test_a_name_cannot_leave_the_folder(name: str) -> None:
    """The name becomes a word of a shell command, and a path."""
    with pytest.raises(ValueError, match="cannot be the name of a staged file"):
        shell_program("facts", {name: "x\n"})


def test_a_text_without_its_last_line_break_is_refused() -> None:
    """Without it, the end marker of its document would not be on its own line."""
    with pytest.raises(ValueError, match="the last line of a has no end"):
        shell_program("facts", {"a": "x"})
    assert "cat >$stage/a <<" in shell_program("facts", {"a": ""})


def test_every_run_has_a_folder_of_its_own() -> None:
    """Two runs on one host do not see each other's files."""
    folders = {re.findall(r"stage=(\S+)", shell_program("facts", {}))[0] for _ in range(20)}
    assert len(folders) == 20


def test_a_program_that_was_cut_short_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a connection breaks half way, nothing is executed."""
    ran = tmp_path / "ran"
    # The real script would change the machine that runs the tests.
    monkeypatch.setattr(remote, "call_script", lambda: f'cat "$2/new/ipv4.rules" >{ran}\n')
    program = shell_program("change $stage 00 30 none", FILES)
    program = program.replace("/run/wanbound", str(tmp_path / "run"))

    def run(text: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh"], input=text, text=True, capture_output=True, timeout=LIMIT, cwd=tmp_path
        )

    for length in range(len(program) - 1):
        done = run(program[:length])
        assert done.stdout == "", f"ran after {length} of {len(program)} characters"
        assert list(tmp_path.iterdir()) == []
    done = run(program)
    assert (done.returncode, done.stdout) == (0, "wanbound\n")
    assert ran.read_text() == FILES["new/ipv4.rules"]
    # A complete run removes its folder.
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda host: host.facts(), "facts"),
        (lambda host: host.facts(drift=True), "facts drift"),
        (lambda host: host.renew("a'b", "x y"), "renew 'a'\"'\"'b' 'x y'"),
        (lambda host: host.engine("state", {}), "engine state"),
        (lambda host: host.engine("put", {"a": "\n"}, "$(id)", "b"), "engine put $stage '$(id)' b"),
    ],
)
def test_a_word_stays_one_word(call: Callable[[SshRemote], object], words: str) -> None:
    """Whatever the word contains, the shell receives it quoted."""
    shell = _Shell(OK)
    call(SshRemote(shell))
    assert f"\nsh $stage/wanbound {words}\nexit $?\n}}\n" in shell.programs[0]
    script, other = call_script(), engine_script()
    if not words.startswith("facts"):
        script, other = other, script
    assert script in shell.programs[0] and other not in shell.programs[0]


def test_the_script_that_travels_says_for_which_commands() -> None:
    """Its docstring names every command that it accepts."""
    commands = re.search(r"(?m)^case \$command in\n(.*)\) ;;$", call_script())
    assert commands is not None
    said = re.findall(r"`(\w+)`", call_script.__doc__ or "")
    assert sorted(said) == sorted(commands[1].split(" | "))


@pytest.mark.parametrize("expected", ["", "a b", "$(id)", "A", "a;id", "a\n"])
def test_what_is_expected_is_a_digest(expected: str) -> None:
    """It is part of a shell command, so nothing else is accepted."""
    shell = _Shell(OK)
    with pytest.raises(ValueError, match="is not a digest"):
        SshRemote(shell).change(FILES, expected, {})
    assert shell.programs == []


# --- a change and its confirmation ---------------------------------------------------------------


def test_a_change_is_confirmed_over_a_new_connection() -> None:
    """It is confirmed once, with its token and with the files that the host keeps."""
    shell = _Shell(OK)
    SshRemote(shell).change(FILES, "0f-9a", {"rules.v4": "*nat\n"})
    [program] = shell.programs
    [confirmation] = shell.confirmations
    [token] = re.findall(r"wanbound change \$stage ([0-9a-f]{16}) 30 0f-9a\n", program)
    assert f"wanbound confirm {token} $stage {token}\n" in confirmation
    assert "cat >$stage/rules.v4 <<" in confirmation
    assert "$stage/rules.v4" not in program


def test_what_a_destroy_leaves_is_said_in_its_confirmation() -> None:
    """The host removes a generation without networks, so it cannot be found there afterwards."""
    shell = _Shell(OK)
    SshRemote(shell).change({**FILES, "new/bridges": ""}, "0f-9a", {})
    assert "$stage none\n" in shell.confirmations[0]


def test_every_change_has_a_token_of_its_own() -> None:
    """So no run confirms the change of another run."""
    shell = _Shell(OK)
    for _ in range(20):
        change(shell)
    assert len({re.findall(r"change \$stage (\w+)", text)[0] for text in shell.programs}) == 20


@pytest.mark.parametrize("failure", [REFUSED, LOST])
def test_a_confirmation_is_tried_again(
    failure: UnreachableError, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link may be down for a moment; the host waits until its deadline."""
    monkeypatch.setattr(remote, "RETRY_SECONDS", 0.01)
    shell = _Shell(OK)
    shell.confirmed = [failure, failure, OK]
    change(shell)
    assert len(shell.confirmations) == 3


@pytest.mark.parametrize(
    ("failures", "words"),
    [
        ([REFUSED], ["accepted no new SSH connection", "cannot be reached", "rolled back by",
                     "INPUT"]),
        ([LOST, REFUSED], ["answer to the confirmation of the change was lost", "not known",
                           "pulumi up --refresh"]),
    ],
)  # fmt: skip
def test_a_change_that_could_not_be_confirmed_is_a_failure(
    failures: list[UnreachableError], words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change was rolled back, unless a confirmation arrived and its answer was lost."""
    monkeypatch.setattr(remote, "RETRY_SECONDS", 0.01)
    shell = _Shell(OK)
    shell.target = replace(shell.target, confirm_seconds=1)
    shell.confirmed = [*failures, *[REFUSED] * 1000]
    with pytest.raises(UnreachableError) as caught:
        change(shell)
    for word in words:
        assert word in str(caught.value)


def test_a_change_that_was_undone_is_never_a_success() -> None:
    """Here the confirmation came too late."""
    shell = _Shell(OK)
    shell.confirmed = [Completed(17, "wanbound\n", "wanbound: the change was rolled back\n")]
    with pytest.raises(HostError, match="it rolled the change back"):
        change(shell)


@pytest.mark.parametrize("code", [10, 14, 15])
def test_a_failed_confirmation_tells_that_the_change_is_in_force(code: int) -> None:
    """In a change the same exit codes mean that nothing has changed."""
    shell = _Shell(OK)
    shell.confirmed = [Completed(code, "wanbound\n", "wanbound: the host's own words\n")]
    with pytest.raises(HostError, match="not confirmed: it rolls back by itself") as caught:
        change(shell)
    assert "nothing has changed" not in str(caught.value)


def test_a_confirmation_that_no_shell_ran_tells_that_the_change_is_in_force() -> None:
    """sudo may be refused meanwhile: then nothing was confirmed."""
    shell = _Shell(OK)
    shell.confirmed = [Completed(1, "", "sudo: a password is required\n")]
    with pytest.raises(HostError, match="not confirmed: it rolls back by itself"):
        change(shell)


@pytest.mark.parametrize("answer", ["wanbound\n", "wanbound\narmed 0000000000000000\n"])
def test_a_change_that_was_not_armed_is_no_success(
    answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer without this change's token does not count."""
    shell = _Shell(OK)
    monkeypatch.setattr(_Shell, "run", lambda *_: Completed(0, answer, ""))
    with pytest.raises(HostError, match="unexpected reply to the change"):
        change(shell)
    assert shell.confirmations == []


# --- answers -------------------------------------------------------------------------------------


def test_an_answer_is_what_follows_the_first_line() -> None:
    """The first line only proves that the shell ran."""
    shell = _Shell(Completed(0, "hello\nwanbound\n== addresses\n== end\n", "a banner\n"))
    assert SshRemote(shell).facts() == "== addresses\n== end\n"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (10, ["missing", "nothing has changed", "install"]),
        (11, ["rejects the rules", "nothing has changed"]),
        (12, ["kernel refused", "old rules and addresses were restored"]),
        (13, ["then the old rules too", "egress guard", "the next run"]),
        (14, ["lock", "nothing has changed", "run again"]),
        (15, ["cannot write", "nothing has changed", "df"]),
        (16, ["belongs to another stack", "nothing has changed", "rm -f /etc/wanbound/*/owner"]),
        (17, ["rolled the change back", "as it was before", "confirm_seconds"]),
        (18, ["still in use", "nothing has changed", "adopt: true"]),
        (19, ["changed after wanbound had read it", "nothing has changed", "run again"]),
        (25, ["another machine", "rolled back by itself", "choose another one"]),
        (137, ["exit code 137", "not known", "pulumi up --refresh"]),
    ],
)
def test_every_exit_code_says_what_state_the_host_is_in(code: int, words: list[str]) -> None:
    """The error names the host, the host's own message, its state and a remedy."""
    shell = _Shell(Completed(code, "wanbound\n", "wanbound: the host's own words\n"))
    with pytest.raises(HostError) as caught:
        change(shell)
    for word in ("host edge-1: ", "the host's own words", "The host now: ", "Fix: ", *words):
        assert word in str(caught.value)
    assert isinstance(caught.value, ChangedMeanwhileError) == (code == 19)
    assert isinstance(caught.value, DuplicateAddressError) == (code == 25)


def test_a_changed_daemon_json_is_named() -> None:
    """One exit code is for two things that may have changed meanwhile."""
    with pytest.raises(ChangedMeanwhileError, match=r"daemon\.json"):
        SshRemote(_Shell(Completed(19, "wanbound\n", ""))).engine("put", {"a": "\n"}, "none")


def test_every_exit_code_of_the_script_has_a_meaning() -> None:
    """Both `fail N` in the scripts and `exit N` in the program around them."""
    source = call_script() + engine_script() + shell_program("facts", {})
    codes = {int(code) for code in re.findall(r"\b(?:fail|exit) (\d\d+)", source)}
    assert codes - {64} <= set(MEANING)


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
    """Without its first line nothing of the program has run, whatever the exit code."""
    shell = _Shell(Completed(10, "", "sudo: a password is required\n"), user)
    with pytest.raises(HostError) as caught:
        SshRemote(shell).facts()
    for word in (*words, "a password is required", "unchanged"):
        assert word in str(caught.value)


def test_notes_are_passed_on_and_are_no_part_of_an_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The operator reads the host's notes, whether the run succeeds or fails."""
    said = "note another run is changing this host\x1b[2J\nwanbound: the host's own words\n"
    with pytest.raises(HostError) as caught:
        change(_Shell(Completed(14, "wanbound\n", said)))
    shown = capsys.readouterr().err
    assert shown == "host edge-1: another run is changing this host\\x1b[2J\n"
    assert "another run is changing" not in str(caught.value)
    assert "the host's own words" in str(caught.value)


def test_a_target_has_one_remote() -> None:
    """So a run has one connection per host; other credentials give another remote."""
    target = Target("edge-9", "192.0.2.9", 22, "root", None)
    assert remote_at(target) is remote_at(replace(target))
    assert remote_at(target) is not remote_at(replace(target, key="other"))
