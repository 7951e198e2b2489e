"""SIGKILL to the real CLI, and to the plugin, in every phase of create, update and delete."""

from pathlib import Path

import pytest

from lab.api import Host, Lab
from lab.stacks import Run
from tests.lab.atomic import commandline
from tests.lab.atomic.commandline import (
    PHASES,
    Deployment,
    Phase,
    Victim,
    config,
    held,
    hold,
    kill,
    release,
)
from tests.lab.atomic.drill import KINDS, Drill, Kind
from tests.lab.atomic.hosts import on_both
from tests.lab.atomic.look import Look
from tests.lab.atomic.programs import stand_ins
from tests.lab.atomic.sides import CONFIRMED_SECONDS

pytestmark = pytest.mark.lab

NUMBERS = {"create": 64, "update": 65}
RECOVERED_SECONDS = 15.0
VICTIMS: tuple[Victim, Victim] = ("CLI", "plugin")
"""Each is killed on one of the two engines."""


class Story:
    """One host, its stack, and the host's state before and after each operation."""

    def __init__(self, lab: Lab, host: Host, victim: Victim, folder: Path) -> None:
        self.victim = victim
        self.drill = Drill(host)
        self.deployment = Deployment(lab, host, folder)
        self.looks: dict[Kind, Look] = {}
        for kind in KINDS:
            self.run(kind)
            self.looks[kind] = self.drill.look()

    def configure(self, kind: Kind) -> None:
        """Write the configuration of an operation."""
        if kind != "delete":
            self.deployment.stack.configure(config(self.drill.host, NUMBERS[kind]))

    def run(self, kind: Kind) -> Run:
        """Run an operation, undisturbed."""
        self.configure(kind)
        if kind == "delete":
            return self.deployment.stack.destroy(check=False)
        return self.deployment.stack.up(check=False)

    def old(self, kind: Kind) -> Look:
        """Return the state before an operation."""
        return self.looks[KINDS[KINDS.index(kind) - 1]]


def test_after_a_kill_the_state_is_old_or_new_and_the_next_up_succeeds(
    lab: Lab, tmp_path: Path
) -> None:
    """Whichever process dies, and whenever: no mixture is left, and the next `up` succeeds."""

    def act(host: Host) -> None:
        number = list(lab.hosts).index(host.name)
        folder = tmp_path / host.name
        folder.mkdir()
        with stand_ins(host):
            story = Story(lab, host, VICTIMS[number], folder)
            try:
                for phase in PHASES:
                    for kind in KINDS:
                        _kill(story, kind, phase)
            except BaseException:
                words = ("cancel", "--yes", "--stack", commandline.STACK)
                story.deployment.stack.run(*words, check=False)
                story.deployment.stack.destroy(check=False)
                raise
            finally:
                story.drill.close()

    on_both(lab, act)


def _kill(story: Story, kind: Kind, phase: Phase) -> None:
    victim = story.victim
    drill, stack = story.drill, story.deployment.stack
    old, new = story.old(kind), story.looks[kind]
    story.configure(kind)
    hold(drill, phase)
    with story.deployment.running("destroy" if kind == "delete" else "up") as process:
        held(drill, process)
        said = kill(process, victim)
        release(drill)
        seen = drill.look(CONFIRMED_SECONDS + RECOVERED_SECONDS)
    assert not seen.armed
    # The Docker network is a resource of its own, made after the rules and removed before them.
    ended = {old.ours: "old", new.ours: "new"}.get(seen.ours, "between")
    print(f"{drill.host.name}: {victim} killed, {kind}, {phase}: {ended}; {said[-300:]}")
    assert ended != "between", new.differences(seen)
    # The plugin outlives a CLI that was killed, and may still confirm its change. A confirmation
    # that has reached the host is carried out, even if its sender is dead.
    if phase in ("before", "loading") and victim == "plugin":
        assert ended == "old"
    if victim == "CLI":
        # A killed CLI leaves its own lock behind; a killed plugin lets the CLI clean up.
        if phase == "before":
            assert "currently locked by" in story.run(kind).output
        stack.run("cancel", "--yes", "--stack", commandline.STACK)
    done = story.run(kind)
    assert done.status == 0, done.output
    final = drill.look()
    assert final == new, new.differences(final)
