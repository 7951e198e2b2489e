"""The lab's record of what it made, and what it removes by that record."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from lab import ledger, processes, removal
from lab.errors import LabError
from lab.ledger import Ledger
from lab.processes import Process
from lab.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a lab that has no hosts, all of it in one folder."""
    (tmp_path / "state").mkdir()
    return Settings(state=tmp_path / "state", cache=tmp_path / "cache", prefix="wbu")


def test_a_claim_is_remembered(settings: Settings) -> None:
    """What was claimed once stays ours, whether it exists yet or not."""
    Ledger(settings).claim("link", "wbu-mgmt", exists=False)
    Ledger(settings).claim("link", "wbu-mgmt", exists=True)
    assert [(made.kind, made.name) for made in Ledger(settings).read()] == [("link", "wbu-mgmt")]


def test_a_link_that_the_lab_did_not_make_is_refused(settings: Settings) -> None:
    """The error names it; it is not recorded, so it will not be removed."""
    with pytest.raises(LabError, match="wbu-mgmt"):
        Ledger(settings).claim("link", "wbu-mgmt", exists=True)
    assert Ledger(settings).read() == []


def test_a_line_that_a_killed_writer_left_open_is_skipped(settings: Settings) -> None:
    """The next claim is still read."""
    Ledger(settings).path.write_text('{"kind": "li')
    Ledger(settings).claim("path", "/nowhere", exists=False)
    assert [made.name for made in Ledger(settings).read()] == ["/nowhere"]


def test_links_do_not_outlive_a_boot_and_paths_do(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """After a boot, a link of the recorded name is not the lab's."""
    Ledger(settings).claim("link", "wbu-mgmt", exists=False)
    Ledger(settings).claim("path", "/nowhere", exists=False)
    (tmp_path / "boot_id").write_text("another\n")
    monkeypatch.setattr(ledger, "BOOT_ID", tmp_path / "boot_id")
    assert [made.name for made in Ledger(settings).read()] == ["/nowhere"]


def test_down_removes_recorded_processes_and_paths(settings: Settings, tmp_path: Path) -> None:
    """The state is removed, too; a second down finds nothing to do."""
    folder = tmp_path / "disk"
    Ledger(settings).claim("path", str(folder), exists=False)
    (folder / "deep").mkdir(parents=True)
    process = processes.spawn(settings, "sleeper", ["sleep", "60"], log=tmp_path / "log")
    assert process.alive
    assert removal.down(settings)
    assert not process.alive
    assert not folder.exists()
    assert not settings.state.exists()
    assert not removal.down(settings)


def test_a_reused_pid_is_not_ended(settings: Settings) -> None:
    """The start time distinguishes the lab's process from a later one with its pid."""
    child = subprocess.Popen(["sleep", "60"])
    try:
        stranger = Process("sleeper", child.pid, start="1")
        assert not stranger.alive
        stranger.end()
        time.sleep(0.05)
        assert child.poll() is None
    finally:
        child.kill()
        child.wait()


def test_a_process_records_itself_before_its_program_starts(
    settings: Settings, tmp_path: Path
) -> None:
    """If its record cannot be written, the program never starts."""
    mark = tmp_path / "mark"
    command = processes.wrapped(settings, "writer", ["touch", mark])
    processes.folder(settings).rmdir()
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0
    assert not mark.exists()


def test_our_own_start_time_is_the_kernels() -> None:
    """A running process has a start time, a pid that was never used has none."""
    assert processes.start_time(os.getpid())
    assert processes.start_time(2**22 + 1) is None
