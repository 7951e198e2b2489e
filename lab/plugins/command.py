"""The command plugin: command:local:Command, a command that runs on this machine."""

from __future__ import annotations

import os
import secrets
import subprocess
import tempfile
import time

from pulumi.provider.experimental import provider as sdk

from lab.plugins import fields as f
from lab.plugins.provider import StandIn
from lab.plugins.resource import Resource, Work
from lab.plugins.schema import DEFAULTS_KEY, Schema, planned
from lab.plugins.serve import EngineLog
from lab.plugins.values import PluginError, Properties, text, texts

_STREAMS = ("stdout", "stderr")
_POLL_SECONDS = 0.05
# The real plugin has no time limit; without one the lab could hang forever.
_LONGEST_SECONDS = 3600.0

LOCAL = Schema(
    token="command:local:Command",  # noqa: S106 (a type's token, no secret)
    fields={
        "create": f.text(),
        "interpreter": f.texts(ordered=True),
        "stdin": f.text(),
        # The real plugin (1.2.1) writes this default into the state.
        **f.unused(
            "archivePaths assetPaths delete dir environment logging triggers update",
            addPreviousOutputInEnv=True,
        ),
    },
    outputs=_STREAMS,
)


class Command(Resource[Work]):
    """A local command."""

    schema = LOCAL

    def planned(self, olds: Properties, news: Properties) -> Properties:
        """A changed command runs again and may print something else."""
        return planned(self.schema, {}, news)

    def create(self, work: Work, inputs: Properties) -> tuple[str, Properties]:
        """Run it."""
        return f"{work.name}{secrets.token_hex(4)}", _run(work, inputs, {})

    def read(self, work: Work, identity: str, prior: Properties) -> tuple[str, Properties]:
        """There is no state to read."""
        return identity, {}

    def update(self, work: Work, identity: str, olds: Properties, news: Properties) -> Properties:
        """Run it again."""
        return _run(work, news, olds)

    def delete(self, work: Work, identity: str, state: Properties) -> None:
        """There is nothing to remove."""


class CommandProvider(StandIn[Work]):
    """Runs commands."""

    name = "command"
    version = "1.2.1"

    def __init__(self, log: EngineLog) -> None:
        super().__init__([Command()], log)

    def work(self, urn: str) -> Work:
        """Return the call without additions."""
        return Work(
            urn.rpartition("::")[2], lambda line: self.log.status(urn, line), self.cancelled
        )

    async def check(self, request: sdk.CheckRequest) -> sdk.CheckResponse:
        """As for any resource; this plugin does not record the defaults that it filled in."""
        answer = await super().check(request)
        return sdk.CheckResponse(
            {key: value for key, value in (answer.inputs or {}).items() if key != DEFAULTS_KEY},
            answer.failures,
        )


def _run(work: Work, inputs: Properties, before: Properties) -> Properties:
    """Run the command, with the last run's output in its variables; return both outputs.

    Through files, not pipes: a process that the command leaves behind, such as the master of an ssh
    connection, may keep them open.
    """
    command = text(inputs, "create")
    previous = {
        f"PULUMI_COMMAND_{name.upper()}": text(before, name)
        for name in _STREAMS
        if text(before, name)
    }
    with (
        tempfile.TemporaryFile() as given,
        tempfile.TemporaryFile() as stdout,
        tempfile.TemporaryFile() as stderr,
    ):
        given.write(text(inputs, "stdin").encode())
        given.seek(0)
        try:
            process = subprocess.Popen(
                [*(texts(inputs, "interpreter") or ["/bin/sh", "-c"]), command],
                stdin=given,
                stdout=stdout,
                stderr=stderr,
                env={**os.environ, **previous},
            )
        except OSError as error:
            raise PluginError(f"cannot run {command!r} here: {error}") from error
        end = time.monotonic() + _LONGEST_SECONDS
        while process.poll() is None:
            if work.cancelled.wait(_POLL_SECONDS) or time.monotonic() > end:
                process.kill()
                process.wait()
                raise PluginError(f"{command!r} was ended early; it may have run in part")
        outputs: Properties = {}
        for name, file in (("stdout", stdout), ("stderr", stderr)):
            file.seek(0)
            outputs[name] = file.read().decode(errors="replace").removesuffix("\n")
    said = "\n".join(text(outputs, name) for name in _STREAMS if outputs[name])
    if process.returncode != 0:
        raise PluginError(f"exit status {process.returncode}: running {command!r}:\n{said}")
    for line in said.splitlines():
        work.say(line)
    return outputs
