"""The command stand-in, called as the CLI calls it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from pulumi.provider.experimental import provider as sdk

from lab.plugins.command import CommandProvider
from lab.plugins.serve import EngineLog
from lab.plugins.values import UNKNOWN, PluginError, Properties, boxed_all, plain_all

T = TypeVar("T")
LOCAL = "urn:pulumi:s::p::wanbound:index:Host$command:local:Command::it"


def now(call: Coroutine[Any, Any, T]) -> T:
    """Run one call of the provider to its end."""
    return asyncio.run(call)


class RecordedLog(EngineLog):
    """Records the lines that the user would see."""

    def __init__(self) -> None:
        super().__init__("")
        self.lines: list[str] = []

    def status(self, urn: str, line: str) -> None:
        """Record the line."""
        self.lines.append(line)


class Cli:
    """The CLI's calls for one resource of a program."""

    def __init__(self, urn: str = LOCAL) -> None:
        self.log = RecordedLog()
        self.provider = CommandProvider(self.log)
        self.urn = urn
        self.state: Properties = {}

    def check(self, inputs: Properties) -> Properties:
        """Return the inputs with defaults, as the engine gets them."""
        request = sdk.CheckRequest(self.urn, {}, boxed_all(inputs), b"")
        answer = now(self.provider.check(request))
        assert not answer.failures, [(f.property, f.reason) for f in answer.failures]
        return plain_all(answer.inputs or {})

    def create(self, inputs: Properties, *, preview: bool = False) -> str:
        """Create it; return its id."""
        request = sdk.CreateRequest(self.urn, boxed_all(self.check(inputs)), 20, preview)
        answer = now(self.provider.create(request))
        self.state = plain_all(answer.properties)
        return answer.resource_id or ""

    def update(self, inputs: Properties, *, preview: bool = False) -> Properties:
        """Update it; return the outputs."""
        olds, news = boxed_all(self.state), boxed_all(self.check(inputs))
        request = sdk.UpdateRequest(self.urn, "it", olds, news, 20, [], preview)
        return plain_all(now(self.provider.update(request)).properties)

    def diff(self, inputs: Properties) -> sdk.DiffResponse:
        """Compare with the state."""
        olds, news = boxed_all(self.state), boxed_all(self.check(inputs))
        return now(self.provider.diff(sdk.DiffRequest(self.urn, "it", olds, news, [])))


DEFAULTS: Properties = {"addPreviousOutputInEnv": True}
"""The plugin adds this to the inputs."""


def test_a_command_runs_with_what_it_is_given() -> None:
    """It gets interpreter and standard input; both outputs lose only their last newline."""
    cli = Cli()
    inputs: Properties = {
        "create": "cat; echo warning >&2",
        "stdin": "in\n",
        "interpreter": ["/bin/sh", "-eu", "-c"],
    }
    assert cli.create(inputs).startswith("it")
    assert cli.state == {**inputs, **DEFAULTS, "stdout": "in", "stderr": "warning"}
    assert cli.log.lines == ["in", "warning"]


def test_a_failure_shows_both_outputs_and_the_status() -> None:
    """The message alone is enough to find the error."""
    with pytest.raises(PluginError, match=r"(?s)exit status 3: running 'echo out.*\nout\nerr"):
        Cli().create({"create": "echo out; echo err >&2; exit 3"})
    with pytest.raises(PluginError, match="cannot run 'true' here"):
        Cli().create({"create": "true", "interpreter": ["/nowhere/sh"]})


def test_what_a_command_leaves_running_is_not_waited_for() -> None:
    """It may hold the outputs open, like the master of an ssh connection."""
    started = time.monotonic()
    Cli().create({"create": "sleep 60 &"})
    assert time.monotonic() - started < 30


def test_an_update_runs_the_command_again_and_it_sees_the_last_output() -> None:
    """It is in a variable; in a preview the new output is unknown."""
    cli = Cli()
    cli.create({"create": "echo one"})
    again: Properties = {"create": "echo again $PULUMI_COMMAND_STDOUT"}
    assert cli.update(again)["stdout"] == "again one"
    assert cli.update(again, preview=True)["stdout"] == UNKNOWN


@pytest.mark.parametrize("changed", [{"stdin": "x"}, {"create": "echo two"}, {"create": UNKNOWN}])
def test_every_change_is_an_update(changed: Properties) -> None:
    """No change creates another resource."""
    cli = Cli()
    cli.create({"create": "echo one"})
    assert not cli.diff({"create": "echo one"}).changes
    found = cli.diff({"create": "echo one", **changed})
    assert (found.changes, found.diffs, found.replaces) == (True, list(changed), [])


def test_a_state_without_the_plugins_default_is_a_change() -> None:
    """The real plugin records it, and so compares it."""
    cli = Cli()
    cli.create({"create": "echo one"})
    del cli.state["addPreviousOutputInEnv"]
    assert cli.diff({"create": "echo one"}).diffs == ["addPreviousOutputInEnv"]


def test_a_refresh_changes_nothing_and_a_destroy_runs_nothing() -> None:
    """There is nothing to read and nothing to remove."""
    cli = Cli()
    cli.create({"create": "echo one"})
    inputs, state = boxed_all({"create": "echo one"}), boxed_all(cli.state)
    found = now(cli.provider.read(sdk.ReadRequest(cli.urn, "it1", state, inputs)))
    assert (found.resource_id, plain_all(found.properties)) == ("it1", cli.state)
    assert plain_all(found.inputs) == {"create": "echo one"}
    now(cli.provider.delete(sdk.DeleteRequest(cli.urn, "it1", state, 20)))


def test_a_preview_runs_nothing() -> None:
    """Outputs are unknown until the command has run."""
    cli = Cli()
    assert cli.create({"create": "exit 1"}, preview=True) == ""
    assert cli.state == {"create": "exit 1", **DEFAULTS, "stdout": UNKNOWN, "stderr": UNKNOWN}


def test_other_types_and_inputs_are_refused() -> None:
    """The message names the type and lists the supported ones."""
    with pytest.raises(PluginError, match=r"no command:remote:Command, only command:local:Command"):
        Cli("urn:pulumi:s::p::command:remote:Command::it").check({})
    request = sdk.CheckRequest(LOCAL, {}, boxed_all({"create": "true", "delete": "true"}), b"")
    failures = now(Cli().provider.check(request)).failures or []
    assert [failure.property for failure in failures] == ["delete"]


def test_cancel_ends_a_running_command() -> None:
    """A Ctrl-C does not wait for the command's end."""
    cli = Cli()
    timer = threading.Timer(0.2, lambda: now(cli.provider.cancel()))
    timer.start()
    with pytest.raises(PluginError, match="'sleep 20' was ended early"):
        cli.create({"create": "sleep 20"})
