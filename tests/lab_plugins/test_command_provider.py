"""The command stand-in from the CLI's side: commands here, and over SSH to a server in memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import paramiko
import pytest
from pulumi.provider.experimental import provider as sdk

from lab.plugins.command import copy
from lab.plugins.command.provider import CommandProvider
from lab.plugins.serve import EngineLog
from lab.plugins.values import ASSET, UNKNOWN, PluginError, Properties, boxed, boxed_all, plain_all
from tests.lab_plugins.ssh_server import SshServer

T = TypeVar("T")
REMOTE = "urn:pulumi:s::p::wanbound:index:Host$command:remote:Command::it"
LOCAL = "urn:pulumi:s::p::command:local:Command::it"
COPY = "urn:pulumi:s::p::command:remote:CopyToRemote::it"


def now(call: Coroutine[Any, Any, T]) -> T:
    """Run one call of the provider to its end."""
    return asyncio.run(call)


class RecordedLog(EngineLog):
    """Keeps the lines that the user would see."""

    def __init__(self) -> None:
        super().__init__("")
        self.lines: list[str] = []

    def status(self, urn: str, line: str) -> None:
        """Keep the line."""
        self.lines.append(line)


class Cli:
    """What the CLI does with one resource of a program."""

    def __init__(self, urn: str) -> None:
        self.log = RecordedLog()
        self.provider = CommandProvider(self.log)
        self.urn = urn
        self.raw: dict[str, Any] = {}

    def check(self, inputs: Properties) -> dict[str, Any]:
        """Return the inputs with defaults, as the engine gets them."""
        request = sdk.CheckRequest(self.urn, {}, boxed_all(inputs), b"")
        answer = now(self.provider.check(request))
        assert not answer.failures, [(f.property, f.reason) for f in answer.failures]
        return answer.inputs or {}

    def create(self, inputs: Properties, *, preview: bool = False) -> Properties:
        """Create it; returns the outputs."""
        request = sdk.CreateRequest(self.urn, self.check(inputs), 20, preview)
        self.raw = now(self.provider.create(request)).properties
        return plain_all(self.raw)

    def update(self, inputs: Properties, *, preview: bool = False) -> Properties:
        """Update it; returns the outputs."""
        news = self.check(inputs)
        request = sdk.UpdateRequest(self.urn, "it", self.raw, news, 20, [], preview)
        return plain_all(now(self.provider.update(request)).properties)

    def diff(self, inputs: Properties) -> sdk.DiffResponse:
        """Compare with the state."""
        request = sdk.DiffRequest(self.urn, "it", self.raw, self.check(inputs), [])
        return now(self.provider.diff(request))

    def delete(self) -> None:
        """Delete it."""
        now(self.provider.delete(sdk.DeleteRequest(self.urn, "it", self.raw, 20)))


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SshServer]:
    """Serve SSH for one test, with no agent in reach."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    made = SshServer(tmp_path)
    yield made
    made.close()


def connection(server: SshServer, **more: str | int) -> Properties:
    """Return the connection to the server."""
    return {
        "host": "127.0.0.1",
        "port": server.port,
        "privateKey": server.private_key,
        "hostKey": server.host_key_line,
        "dialErrorLimit": 0,
        **more,
    }


def test_a_local_command_runs_with_what_it_is_given(tmp_path: Path) -> None:
    """Interpreter, folder, environment and standard input; both outputs without their last line."""
    cli = Cli(LOCAL)
    outputs = cli.create(
        {
            "create": "cat; echo $A; pwd; echo warning >&2",
            "stdin": "in\n",
            "environment": {"A": "1"},
            "dir": str(tmp_path),
            "interpreter": ["/bin/sh", "-eu", "-c"],
        }
    )
    assert outputs["stdout"] == f"in\n1\n{tmp_path}"
    assert outputs["stderr"] == "warning"
    assert sorted(cli.log.lines) == sorted(["in", "1", str(tmp_path), "warning"])


def test_a_failure_shows_both_outputs_and_the_status() -> None:
    """Enough to see what was wrong, from the message alone."""
    with pytest.raises(PluginError, match=r"(?s)status 3: running 'echo out.*(out.*err|err.*out)"):
        Cli(LOCAL).create({"create": "echo out; echo err >&2; exit 3"})


def test_a_command_that_runs_too_long_is_ended() -> None:
    """The time limit is that of the resource."""
    cli = Cli(LOCAL)
    request = sdk.CreateRequest(LOCAL, cli.check({"create": "sleep 20"}), 0.2, False)
    with pytest.raises(PluginError, match="was ended"):
        now(cli.provider.create(request))


def test_an_update_runs_update_or_else_create_and_sees_the_last_output() -> None:
    """The last output comes as a variable, unless it is not wanted."""
    cli = Cli(LOCAL)
    cli.create({"create": "echo one"})
    again: Properties = {"create": "echo again $PULUMI_COMMAND_STDOUT"}
    assert cli.update(again)["stdout"] == "again one"
    assert cli.update({**again, "update": "echo updated"})["stdout"] == "updated"
    assert cli.update({**again, "addPreviousOutputInEnv": False})["stdout"] == "again"
    assert cli.update(again, preview=True)["stdout"] == UNKNOWN


@pytest.mark.parametrize(
    ("changed", "replaces"),
    [
        ({"triggers": ["b"]}, ["triggers"]),
        ({"triggers": [UNKNOWN]}, ["triggers"]),
        ({"stdin": "other"}, []),
        ({"create": "echo two"}, []),
        ({"environment": {"A": "1"}}, []),
        ({"delete": "true"}, []),
    ],
)
def test_only_triggers_replace(changed: Properties, replaces: list[str]) -> None:
    """Every other change runs the command again in place."""
    cli = Cli(LOCAL)
    inputs: Properties = {"create": "echo one", "triggers": ["a"]}
    cli.create(inputs)
    assert not cli.diff(inputs).changes
    found = cli.diff({**inputs, **changed})
    assert found.changes
    assert found.replaces == replaces


def test_secrets_stay_secrets() -> None:
    """What a secret command prints is secret, and so is the connection; an error shows neither."""
    cli = Cli(LOCAL)
    inputs = {"create": boxed("echo geheim", secret=True)}
    made = now(cli.provider.create(sdk.CreateRequest(LOCAL, inputs, 20, False)))
    assert made.properties["create"].is_secret
    assert made.properties["stdout"].is_secret
    failing = {"create": boxed("exit 1", secret=True)}
    with pytest.raises(PluginError, match=r"running \[secret\]"):
        now(cli.provider.create(sdk.CreateRequest(LOCAL, failing, 20, False)))
    assert Cli(REMOTE).check({"connection": {"host": "h"}})["connection"].is_secret


def test_logging_says_which_lines_are_shown() -> None:
    """None of them where the output may be secret."""
    for logging, shown in (("none", []), ("stdout", ["out"]), ("stderr", ["err"])):
        cli = Cli(LOCAL)
        cli.create({"create": "echo out; echo err >&2", "logging": logging})
        assert cli.log.lines == shown


def test_remote_commands_share_one_connection(server: SshServer) -> None:
    """Create, update and delete, with standard input and a variable that the host takes."""
    cli = Cli(REMOTE)
    inputs: Properties = {
        "connection": connection(server),
        "create": "cat; echo $LC_A; echo err >&2",
        "delete": "exit 5",
        "stdin": "in\n",
        "environment": {"LC_A": "1"},
    }
    outputs = cli.create(inputs)
    assert (outputs["stdout"], outputs["stderr"]) == ("in\n1", "err")
    assert cli.raw["connection"].is_secret
    assert cli.update({**inputs, "update": "echo new"})["stdout"] == "new"
    with pytest.raises(PluginError, match="status 5"):
        cli.delete()
    assert server.connections == 1


def test_a_variable_that_the_host_does_not_take_is_an_error(server: SshServer) -> None:
    """A command without its environment is not run."""
    cli = Cli(REMOTE)
    inputs: Properties = {"connection": connection(server), "create": "touch /nowhere/x"}
    with pytest.raises(PluginError, match=r"'A': this only works if .* AcceptEnv"):
        cli.create({**inputs, "environment": {"A": "1"}})


def test_the_host_key_is_checked_if_it_is_given(server: SshServer) -> None:
    """A wrong one is refused before anything is sent; none is not asked for."""
    other = paramiko.ECDSAKey.generate()
    wrong = f"{other.get_name()} {other.get_base64()}"
    cli = Cli(REMOTE)
    with pytest.raises(PluginError, match="not the one given as hostKey"):
        cli.create({"connection": connection(server, hostKey=wrong), "create": "true"})
    with pytest.raises(PluginError, match="is no public key"):
        cli.create({"connection": connection(server, hostKey="AAAA"), "create": "true"})
    assert cli.create({"connection": connection(server, hostKey=""), "create": "echo"})


def test_a_refused_login_is_not_tried_again(server: SshServer, tmp_path: Path) -> None:
    """Ten refusals would have the host lock us out."""
    path = tmp_path / "other"
    paramiko.ECDSAKey.generate().write_private_key_file(str(path))
    refused = connection(server, privateKey=path.read_text(), dialErrorLimit=10)
    with pytest.raises(PluginError, match=r"refuses the login \(privateKey: .*no command was run"):
        Cli(REMOTE).create({"connection": refused, "create": "true"})
    assert server.connections == 1


def test_dialling_is_tried_as_often_as_told(server: SshServer) -> None:
    """The message says how often, and that nothing was run."""
    refused = connection(server, dialErrorLimit=2, port=1)
    with pytest.raises(PluginError, match=r"after 3 failed attempts: .*no command was run there"):
        Cli(REMOTE).create({"connection": refused, "create": "true"})


def test_a_preview_dials_nobody(server: SshServer) -> None:
    """Outputs are unknown until the command has run."""
    cli = Cli(REMOTE)
    inputs: Properties = {"connection": connection(server), "create": "true"}
    assert cli.create(inputs, preview=True)["stdout"] == UNKNOWN
    assert server.connections == 0


def test_the_defaults_are_those_of_the_plugin() -> None:
    """Root, port 22, ten attempts of 15 seconds."""
    inputs = plain_all(Cli(REMOTE).check({"connection": {"host": "h"}}))
    assert inputs == {
        "connection": {
            "dialErrorLimit": 10,
            "host": "h",
            "perDialTimeout": 15,
            "port": 22,
            "user": "root",
        },
    }


def test_a_copy_is_done_again_when_its_content_changes() -> None:
    """The engine sends a digest of it; of the old one it may send no more than that."""
    cli = Cli(COPY)
    inputs: Properties = {
        "connection": {"host": "h"},
        "remotePath": "/x",
        "source": {ASSET: "sig", "hash": "1", "path": "file"},
    }
    cli.raw = {**cli.check(inputs), "source": boxed({ASSET: "sig", "hash": "1"})}
    assert not cli.diff(inputs).changes
    found = cli.diff({**inputs, "source": {ASSET: "sig", "hash": "2", "path": "file"}})
    assert (found.diffs, found.replaces) == (["source"], [])


def test_a_source_that_is_no_path_is_refused() -> None:
    """The same sources that the real plugin refuses."""
    source: Properties = {ASSET: "sig", "uri": "https://example.com/x"}
    inputs: Properties = {"connection": {"host": "h"}, "remotePath": "/x", "source": source}
    answer = now(Cli(COPY).provider.check(sdk.CheckRequest(COPY, {}, boxed_all(inputs), b"")))
    assert [failure.property for failure in answer.failures or []] == ["source"]
    assert copy.refusal({ASSET: "sig", "text": "x"}) == ""


def test_other_types_are_refused() -> None:
    """The message names the type and what there is."""
    with pytest.raises(PluginError, match=r"no command:remote:CopyFile, only .*CopyToRemote"):
        Cli("urn:pulumi:s::p::command:remote:CopyFile::it").check({})


def test_cancel_ends_a_running_command() -> None:
    """A Ctrl-C does not wait for the command's end."""
    cli = Cli(LOCAL)
    timer = threading.Timer(0.2, lambda: now(cli.provider.cancel()))
    timer.start()
    with pytest.raises(PluginError, match="was cancelled and was ended"):
        cli.create({"create": "sleep 20"})
