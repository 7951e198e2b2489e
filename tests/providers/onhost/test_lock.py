"""Only one run at a time: a waiting run reports that it waits, and gives up after a limit."""

import re

import pytest

from providers.ssh.remote import call_script, host_script
from tests.providers.onhost.box import Box
from tests.providers.onhost.generations import files


@pytest.fixture
def held(host: Box) -> Box:
    """A host whose lock another run holds, with short time limits."""
    text = call_script().replace("lock_seconds=60", "lock_seconds=4")
    host.install(host_script(), re.sub(r"\b15\b(?= 9| s|\)\))", "1", text))
    host.out(
        "mkdir -p /run/wanbound; (setsid flock /run/wanbound/lock sleep 300"
        " >/dev/null 2>&1 &); while flock -n /run/wanbound/lock true; do sleep 0.05; done"
    )
    return host


def test_a_waiting_run_says_so_until_it_gives_up(held: Box) -> None:
    """The operator's side would take silence for a dead connection."""
    done = held.change(files("dual-stack"), "a1")
    assert done.code == 14, done
    assert done.err.count("note another run is changing this host") >= 3
    assert held.files == []


def test_a_change_that_waits_for_its_confirmation_keeps_others_waiting(host: Box) -> None:
    """The next run undoes it once its deadline and that of its timer are over."""
    host.change(files("dual-stack"), "a1", seconds=6)
    done = host.change(files("snat"), "a2", expected="none")
    assert done.code == 0, done
    assert "note a change by another run waits for its confirmation" in done.err
    assert host.current == "a2"


def test_what_killed_runs_left_in_memory_is_removed(host: Box) -> None:
    """The files of a run that waits for the lock stay."""
    host.out("mkdir -p /run/wanbound/run.999999.x /run/wanbound/run.1.y")
    host.run("mend")
    left = sorted(path.name for path in host.run_folder.iterdir())
    assert left == ["lock", "run.1.y"]


def test_the_folder_is_roots_alone(host: Box) -> None:
    """A user who can open the lock file can hold the lock."""
    host.run("mend")
    assert host.run_folder.stat().st_mode & 0o777 == 0o700
