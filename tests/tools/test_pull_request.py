"""Which stacks are previewed and how, with a `pulumi` that replays a recorded preview."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from planner.config import Stack
from tests.tools.previews import FOLDER
from tools.pull_request import OFFLINE, WITH_HOSTS, environment, main, matrix

PULUMI = """#!/bin/sh
case " $* " in
*" --json "*) cat "$RECORDED.json" ;;
*) cat "$RECORDED.txt" ;;
esac
echo "$*" >>"$CALLS"
exit "$STATUS"
"""


def _stack(**more: Any) -> Stack:  # noqa: ANN401
    host = {
        "name": "edge-1",
        "ssh": {"address": "192.0.2.10", **more.pop("ssh", {})},
        "wan": {"interface": "eth0"},
        "networks": [{"name": "web", "public_ipv4": "203.0.113.10"}],
        **more,
    }
    secrets = {"secrets": {"k": "x"}} if "key" in host["ssh"] else {}
    return Stack.parse({"hosts": [host], **secrets}, "test")


def test_only_a_preview_that_asks_a_host_has_a_key() -> None:
    """Each of those waits for an approval."""
    assert environment(_stack()) == OFFLINE
    assert environment(_stack(engine={"live_restore": True})) == WITH_HOSTS
    assert environment(_stack(adopt=True)) == WITH_HOSTS
    assert environment(_stack(ssh={"key": {"secret": "k"}})) == WITH_HOSTS


def test_the_matrix() -> None:
    """A job for each stack of the variable; the preview of a missing file reports it."""
    assert matrix('["example-dual-stack", "starter", "missing"]') == [
        {"stack": "example-dual-stack", "environment": WITH_HOSTS},
        {"stack": "starter", "environment": OFFLINE},
        {"stack": "missing", "environment": OFFLINE},
    ]


@pytest.mark.parametrize("names", ["", "[]"])
def test_no_stacks_is_an_empty_matrix(
    names: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The workflow compares with this text."""
    monkeypatch.setenv("STACKS", names)
    assert main(["stacks"]) == 0
    assert capsys.readouterr().out == "[]\n"


@pytest.mark.parametrize("names", ["production", '"production"', '["a b"]', '[{"a": 1}]', "[1]"])
def test_a_variable_that_is_no_list_is_an_error(
    names: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It describes the variable, and is not treated as an empty list."""
    monkeypatch.setenv("STACKS", names)
    assert main(["stacks"]) == 1
    assert 'such as ["production"]' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "status", "result"), [("address", 0, 0), ("nothing", 0, 0), ("refused", 255, 1)]
)
def test_a_preview(
    name: str, status: int, result: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It writes the comment and the whole text; a failed preview fails the job."""
    program = tmp_path / "bin" / "pulumi"
    program.parent.mkdir()
    program.write_text(PULUMI)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    calls, folder = tmp_path / "calls", tmp_path / "previews"
    for key, value in {"RECORDED": FOLDER / name, "CALLS": calls, "STATUS": status}.items():
        monkeypatch.setenv(key, str(value))
    assert main(["preview", "production", str(folder), "RUN"]) == result
    assert (folder / "preview.txt").read_text() == (FOLDER / f"{name}.txt").read_text()
    comment = (folder / "comment.md").read_text()
    assert comment.startswith("### `production`: ")
    assert ("the preview failed" in comment) is (result == 1)
    assert all(" --stack production " in f" {call} " for call in calls.read_text().splitlines())


def test_an_unknown_command_is_an_error() -> None:
    """The exit status is 64, as for every program of this repository."""
    assert main(["post"]) == 64


def test_the_recordings_are_of_the_real_pulumi() -> None:
    """Their JSON has the keys that tools/preview.py reads."""
    for file in FOLDER.glob("*.json"):
        assert {"changeSummary", "diagnostics"} <= json.loads(file.read_text()).keys()
