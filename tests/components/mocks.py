"""Pulumi without an engine: the resources that a program registers, in order."""

import asyncio
import json
import runpy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pulumi
from google.protobuf.json_format import MessageToDict
from pulumi.runtime import mocks

SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}
"""How the engine marks a value as secret (sdk/proto: the signature of secrets)."""


@dataclass(frozen=True)
class Registered:
    """One resource as it reached the engine; others are referenced by place and name."""

    type: str
    name: str
    parent: str
    inputs: dict[str, Any]
    after: frozenset[str]
    """Everything that is created before it and removed after it."""
    by_property: dict[str, frozenset[str]]
    """The same, by the input with the reference."""
    provider: str
    import_id: str
    """The id of an existing resource to import; empty for a new one."""
    ignored: tuple[str, ...]
    deleted_first: bool
    kept: bool
    """Whether the created object stays when the resource is removed."""

    @property
    def key(self) -> str:
        """Short type, and name."""
        return f"{self.type.rpartition(':')[2]} {self.name}"


class _Monitor(mocks.MockMonitor):
    """The SDK's monitor, which also records what the mocks do not get: order and dependencies."""

    def __init__(self, answers: mocks.Mocks) -> None:
        super().__init__(answers)
        self.found: list[Registered] = []

    def RegisterResource(self, request: Any) -> Any:  # noqa: ANN401, N802 - the SDK's signature
        response = super().RegisterResource(request)  # type: ignore[no-untyped-call]  # the SDK's
        if request.type != "pulumi:pulumi:Stack":
            self.found.append(
                Registered(
                    type=request.type,
                    name=request.name,
                    parent=_short(request.parent),
                    inputs=MessageToDict(request.object),
                    after=frozenset(map(_short, request.dependencies)),
                    by_property={
                        name: frozenset(map(_short, found.urns))
                        for name, found in request.propertyDependencies.items()
                    },
                    provider=_short(request.provider),
                    import_id=request.importId,
                    ignored=tuple(request.ignoreChanges),
                    deleted_first=request.deleteBeforeReplace,
                    kept=request.retainOnDelete,
                )
            )
        return response


class _Answers(mocks.Mocks):
    """The outputs of every resource are its inputs."""

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        return f"{args.name}-id", args.inputs

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        raise AssertionError(f"the program asks for {args.token}, which needs a host")


def _short(urn: str) -> str:
    """Return type and name of a URN, also if ::id follows, as in a provider reference."""
    parts = urn.split("::")
    return f"{parts[2].rpartition(':')[2]} {parts[3]}" if len(parts) > 3 else ""


def registered(program: Callable[[], None]) -> list[Registered]:
    """Run `program` and return all registered resources in order. Raises StoppedError."""
    monitor = _Monitor(_Answers())
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    mocks.set_mocks(
        _Answers(),
        project="wanbound",
        stack="test",
        preview=False,
        monitor=monitor,
        # The engine's text for a backend without organizations.
        organization="organization",
    )
    said: list[str] = []
    try:
        with patch.object(pulumi.log, "error", said.append):
            mocks.test(program)()  # type: ignore[no-untyped-call]  # the SDK's
    except Exception as error:
        raise StoppedError(error, "\n".join(said), monitor.found) from error
    finally:
        loop.close()
    return monitor.found


class ExitedError(Exception):
    """The program exited with this status."""


class StoppedError(Exception):
    """The program raised `error`, after logging the error `said` and registering `found`."""

    def __init__(self, error: Exception, said: str, found: list[Registered]) -> None:
        self.error = error
        self.said = said
        self.found = found
        super().__init__(error, said, found)


def without_secrets(value: Any) -> Any:  # noqa: ANN401 - inputs are anything
    """Return inputs as anyone may read them: each secret is replaced."""
    if isinstance(value, dict) and SECRET.items() <= value.items():
        return "[secret]"
    if isinstance(value, dict):
        return {key: without_secrets(part) for key, part in value.items()}
    if isinstance(value, list):
        return [without_secrets(part) for part in value]
    return value


def environment(settings: dict[str, Any]) -> dict[str, str]:
    """Return the variables in which Pulumi passes the configuration to a program."""
    config = {
        f"wanbound:{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in settings.items()
    }
    secret = [key for key in config if key == "wanbound:secrets"]
    return {
        "PULUMI_CONFIG": json.dumps(config),
        "PULUMI_CONFIG_SECRET_KEYS": json.dumps(secret),
    }


def main_program() -> Callable[[], None]:
    """Return the program itself, __main__.py, to be run once."""
    path = Path(__file__).parent.parent.parent / "__main__.py"

    def run() -> None:
        try:
            runpy.run_path(str(path), run_name="__main__")
        except SystemExit as error:
            # asyncio would raise a SystemExit a second time, at the next use of its loop.
            raise ExitedError(error.code) from error

    return run
