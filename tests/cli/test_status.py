"""`./wanbound status`: the hosts' answers, beside the stack's networks."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cli import hosts, secrets
from cli.errors import OperatorError
from cli.status import print_status
from planner.config import Stack
from planner.plan import HostPlan
from providers.errors import HostError
from tests.planner.samples import HOST, edited
from tests.providers.host.test_status import ANSWER


class _Host:
    def __init__(self, answer: str | HostError) -> None:
        self._answer = answer

    def close(self) -> None:
        """There is nothing to close."""

    def status(self) -> str:
        if isinstance(self._answer, HostError):
            raise self._answer
        return self._answer


@pytest.fixture(name="answers")
def _answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, str | HostError]:
    """The answer of each host, which a test may change."""
    nothing = ANSWER.replace("current a1", "current none").replace("/any\n", "/other\n")
    found: dict[str, str | HostError] = {"edge-1": ANSWER, "edge-2": nothing}
    monkeypatch.setattr(hosts, "connect", lambda host, secrets: _Host(found[host.name]))
    return found


def _stack(*changes: tuple[str, object]) -> Stack:
    return Stack.parse(edited(*changes), "any")


def test_what_from_has_dropped_has_its_reason(
    answers: dict[str, str | HostError], capsys: pytest.CaptureFixture[str]
) -> None:
    """They are counted at the network with the port."""
    answers["edge-1"] = ANSWER.replace("egress-web 3", "ingress-web 3")
    assert print_status(_stack(), "edge-1", as_json=True) == 0
    [host] = json.loads(capsys.readouterr().out)["hosts"]
    [drop] = host["networks"][0]["drops"]
    assert (drop["chain"], drop["packets"]) == ("ingress-web", 3)
    assert drop["reason"] == "its source is not in `from` of ingress"


@pytest.mark.usefixtures("answers")
def test_json_has_every_network_with_all_that_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    """Its keys are those of the stack file."""
    assert print_status(_stack(), "edge-1", as_json=True) == 0
    [host] = json.loads(capsys.readouterr().out)["hosts"]
    web, mail = host["networks"]
    assert (web["state"], mail["state"]) == ("in force", "no bridge")
    assert (web["packets_out"], web["packets_in"]) == (12, 34)
    assert web["addresses"] == web["leaves_as"] == ["203.0.113.10", "2001:db8::10"]
    assert [(each["chain"], each["packets"]) for each in web["drops"]] == [("egress-web", 3)]
    assert web["drops"][0]["reason"] == "would leave with a wrong source"
    assert [each["chain"] for each in host["other_drops"]] == ["forged"]
    assert [each["leaves_elsewhere"] for each in web["containers"]] == [[], ["br-0123456789ab"], []]
    assert host["repairs"] == [{"time": "2026-01-31T12:30:00Z", "parts": "host, ipv4"}]
    assert host["duplicates"] == [{"address": "2001:db8::10", "link": "wan0"}]
    assert host["pending"] == "loaded 17 s until it rolls back"
    assert host["of_this_stack"]


@pytest.mark.usefixtures("answers")
def test_the_text_for_people_marks_problems(capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong default routes, pending and rolled-back changes, duplicate addresses, another stack."""
    assert print_status(_stack(), None, as_json=False) == 0
    out = capsys.readouterr().out
    for text in (
        "host edge-1",
        "trapped (!)",
        "! container trapped of network web has its default route by br-0123456789ab",
        "! a change is not confirmed: loaded 17 s until it rolls back",
        "! rolled back: 2026-01-30T12:00:00Z was not confirmed in time",
        "! 2001:db8::10 is in use by another machine on the link of wan0",
        "dropped 3 packets in egress-web: would leave with a wrong source",
        "1 repairs since the boot, the last 2026-01-31T12:30:00Z: host, ipv4",
        "! this host belongs to another stack: organization/wanbound/other",
        "! wanbound is not on this host: run `pulumi up`",
    ):
        assert text in out


def test_a_quiet_host_has_no_mark(
    answers: dict[str, str | HostError], capsys: pytest.CaptureFixture[str]
) -> None:
    """A mark always means a problem."""
    kept = [
        line
        for line in ANSWER.splitlines(keepends=True)
        if not line.startswith(("b2 ", "c3 ", "2001:", "web trapped", "egress-web", "forged"))
    ]
    answers["edge-1"] = "".join(kept)
    assert print_status(_stack(), "edge-1", as_json=False) == 0
    assert "!" not in capsys.readouterr().out


def test_a_stopped_watcher_and_a_silent_docker_are_told(
    answers: dict[str, str | HostError], capsys: pytest.CaptureFixture[str]
) -> None:
    """Then nothing is repaired, and containers are unknown."""
    head, _, _ = ANSWER.partition("== containers\n")
    stopped = head.replace("\nactive\n", "\ninactive\n").replace(
        "loaded 2026-01-31T12:00:09Z\n", ""
    )
    answers["edge-1"] = f"{stopped}== containers\ndocker silent\n== end\n"
    assert print_status(_stack(), "edge-1", as_json=False) == 0
    out = capsys.readouterr().out
    assert "the watcher does not run (inactive)" in out
    assert "Docker does not run, or does not answer" in out
    assert "the rules were not loaded since the boot" in out


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("not held", "! `nft flush ruleset` lets packets out .* the watcher does not hold"),
        # Nothing on the host can change it, so it has no mark.
        ("not supported", "(?m)^`nft flush ruleset` lets packets out .* needs Linux 6.9"),
    ],
)
def test_a_host_on_which_a_flush_leaks_is_told(
    answers: dict[str, str | HostError],
    capsys: pytest.CaptureFixture[str],
    state: str,
    said: str,
) -> None:
    """Nothing is printed while the table that survives a flush has its owner."""
    assert print_status(_stack(), "edge-1", as_json=False) == 0
    assert "nft flush ruleset" not in capsys.readouterr().out
    answers["edge-1"] = ANSWER.replace("\nheld\n", f"\n{state}\n")
    assert print_status(_stack(), "edge-1", as_json=False) == 0
    assert re.search(said, capsys.readouterr().out)
    assert print_status(_stack(), "edge-1", as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["hosts"][0]["owned_table"] == state


NOT_IN_FORCE = {
    "a part of it": (
        ("changed", "differs guard, ipv4\nchanged"),
        "not in force: guard, ipv4",
        "! not in force as it was loaded: guard, ipv4.",
    ),
    "not comparable": (
        ("changed", "differs unreadable\nchanged"),
        "not known: cannot be read",
        "! what is in force cannot be read",
    ),
    "not loaded": (
        ("loaded 2026-01-31T12:00:09Z\n", ""),
        "not in force: not loaded since the boot",
        "! the rules were not loaded since the boot",
    ),
}


@pytest.mark.parametrize("name", NOT_IN_FORCE)
def test_a_network_is_in_force_only_if_its_host_says_so(
    answers: dict[str, str | HostError], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """An existing bridge does not mean that rules are loaded; a missing one is still missing."""
    change, state, line = NOT_IN_FORCE[name]
    answers["edge-1"] = ANSWER.replace(*change, 1)
    assert print_status(_stack(), "edge-1", as_json=True) == 0
    [host] = json.loads(capsys.readouterr().out)["hosts"]
    assert [each["state"] for each in host["networks"]] == [state, "no bridge"]
    assert ", ".join(host["differs"]) == change[1].partition("\n")[0].removeprefix("differs ")
    assert print_status(_stack(), "edge-1", as_json=False) == 0
    assert line in capsys.readouterr().out


def test_a_guard_that_cannot_be_read_is_told(
    answers: dict[str, str | HostError], capsys: pytest.CaptureFixture[str]
) -> None:
    """Its counters are unknown, not zero."""
    drops = ANSWER[ANSWER.index("egress-web 3") : ANSWER.index("== containers")]
    answers["edge-1"] = ANSWER.replace(drops, "unreadable\n")
    assert print_status(_stack(), "edge-1", as_json=True) == 0
    [host] = json.loads(capsys.readouterr().out)["hosts"]
    assert (host["drops_known"], host["other_drops"]) == (False, [])
    assert print_status(_stack(), "edge-1", as_json=False) == 0
    out = capsys.readouterr().out
    assert "! the guard cannot be read" in out
    assert re.search(r"web .* 12 .* 34 .* \? ", out)


@pytest.mark.parametrize("as_json", [True, False])
def test_a_host_that_cannot_be_read_does_not_hide_the_others(
    answers: dict[str, str | HostError], capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    """It has its own error, which the exit status reflects."""
    answers["edge-1"] = HostError("edge-1", "no route", "as it was", "look")
    answers["edge-2"] = ANSWER[:-9]
    assert print_status(_stack(), None, as_json=as_json) == 1
    said = capsys.readouterr()
    assert "host edge-1: no route" in said.err
    assert "host edge-2: the host's answer" in said.err
    assert (as_json and len(json.loads(said.out)["hosts"]) == 2) or said.out == ""


def test_what_a_host_says_cannot_write_on_the_terminal(
    answers: dict[str, str | HostError], capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither escape sequences nor rich's markup take effect."""
    answers["edge-1"] = ANSWER.replace("trapped", "\x1b[2J[red]x")
    assert print_status(_stack(), "edge-1", as_json=False) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\\x1b[2J[red]x" in out


def test_a_host_that_is_not_in_the_stack_is_named() -> None:
    """The error lists the stack's hosts."""
    with pytest.raises(OperatorError, match="no host edge-3\n  Fix: name one of edge-1, edge-2"):
        print_status(_stack(), "edge-3", as_json=False)


# --- the key of a host ----------------------------------------------------------------------------

KEY = (
    (f"{HOST}.ssh.key", {"secret": "edge-key"}),
    ("secrets", {"edge-key": "v1:encrypted", "other": "v1:encrypted"}),
)


def _pulumi(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    program = tmp_path / "pulumi"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


def _planned(*changes: tuple[str, object]) -> list[HostPlan]:
    return hosts.chosen(_stack(*changes), "edge-1")


def test_without_a_key_of_the_stack_pulumi_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Then the agent and the user's ssh config are used."""
    _pulumi(monkeypatch, tmp_path, "touch $0.asked; exit 1")
    assert secrets.ssh_secrets("any", _planned()) == {}
    assert not (tmp_path / "pulumi.asked").exists()


def test_the_key_is_decrypted_by_pulumi_and_no_other_secret_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The session logs in with it."""
    value = json.dumps({"edge-key": "hunter2", "other": "hunter3"})
    answer = json.dumps({"wanbound:secrets": {"value": value, "secret": True}})
    _pulumi(monkeypatch, tmp_path, f"echo \"$@\" >$0.words; cat <<'E'\n{answer}\nE")
    found = secrets.ssh_secrets("any", _planned(*KEY))
    assert found == {"edge-key": "hunter2"}
    assert (tmp_path / "pulumi.words").read_text().split() == [
        "config", "--show-secrets", "--json", "--non-interactive", "--stack", "any",
    ]  # fmt: skip
    [host] = _planned(*KEY)
    assert hosts.connect(host, found).session.target.key == "hunter2"


BROKEN = {
    "the wrong passphrase": "echo hunter2; echo 'error: hunter2' >&2; exit 255",
    "no JSON": "echo hunter2",
    "no secrets": "echo '{}'",
    "another shape": """echo '{"wanbound:secrets": {"value": "[1]"}}'""",
    "no such secret": """echo '{"wanbound:secrets": {"value": "{\\"other\\": \\"hunter2\\"}"}}'""",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_key_that_cannot_be_decrypted_is_an_error_that_quotes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    """It names the stack and the remedy."""
    _pulumi(monkeypatch, tmp_path, BROKEN[name])
    with pytest.raises(OperatorError, match=r"stack any (is|has)[\s\S]*Fix: ") as raised:
        secrets.ssh_secrets("any", _planned(*KEY))
    assert "hunter2" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_pulumi_that_does_not_answer_is_an_error_that_quotes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An unreachable state of the stack does not block the command forever."""
    limits = []
    run: Any = subprocess.run

    def hurried(words: list[str], **options: object) -> "subprocess.CompletedProcess[str]":
        limits.append(options["timeout"])
        done: subprocess.CompletedProcess[str] = run(words, **{**options, "timeout": 1})
        return done

    monkeypatch.setattr(subprocess, "run", hurried)
    _pulumi(monkeypatch, tmp_path, "echo hunter2; exec sleep 30")
    with pytest.raises(OperatorError, match=r"stack any is[\s\S]* within 60 s\n  Fix: ") as raised:
        secrets.ssh_secrets("any", _planned(*KEY))
    assert limits == [60]
    assert "hunter2" not in str(raised.value)
    assert raised.value.__suppress_context__


def test_without_pulumi_the_error_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Only a stack with a key needs it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OperatorError, match="there is no pulumi program"):
        secrets.ssh_secrets("any", _planned(*KEY))
