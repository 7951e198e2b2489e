"""Pulumi without an engine: what a program would register, in the order in which it does."""

import asyncio
import json
import runpy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pulumi
from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]  # no stubs
from pulumi.runtime import mocks

SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}
"""How the engine marks a value as secret (sdk/proto: the signature of secrets)."""


@dataclass(frozen=True)
class Registered:
    """One resource as it reached the engine; others are named by their place and name."""

    type: str
    name: str
    parent: str
    inputs: dict[str, Any]
    after: frozenset[str]
    """Everything that is made before it and gone after it."""
    by_property: dict[str, frozenset[str]]
    """The same by the input that brings it."""
    provider: str
    import_id: str
    """Of what is there already and is taken over; empty for what is to be made."""
    ignored: tuple[str, ...]
    deleted_first: bool
    kept: bool
    """Whether what is made of it stays when the resource goes."""

    @property
    def key(self) -> str:
        """Type and name, short."""
        return f"{self.type.rpartition(':')[2]} {self.name}"


class _Monitor(mocks.MockMonitor):
    """The SDK's own, which also keeps what the mocks are not told: order and dependencies."""

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
    """Every resource becomes what its inputs say."""

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        return f"{args.name}-id", args.inputs

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        raise AssertionError(f"the program asks for {args.token}, which needs a host")


def _short(urn: str) -> str:
    """Return type and name of a URN, also where ::id follows, as in the name of a provider."""
    parts = urn.split("::")
    return f"{parts[2].rpartition(':')[2]} {parts[3]}" if len(parts) > 3 else ""


def registered(program: Callable[[], None]) -> list[Registered]:
    """Run `program` and return all that it registers, in that order. Raises StoppedError."""
    monitor = _Monitor(_Answers())
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    mocks.set_mocks(
        _Answers(),
        project="wanbound",
        stack="test",
        preview=False,
        monitor=monitor,
        # As the engine says it for a backend that has none.
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
    """The program ended itself, with this status."""


class StoppedError(Exception):
    """The program raised `error`, after it had logged the error `said` and registered `found`."""

    def __init__(self, error: Exception, said: str, found: list[Registered]) -> None:
        self.error = error
        self.said = said
        self.found = found
        super().__init__(error, said, found)


def without_secrets(value: Any) -> Any:  # noqa: ANN401 - inputs are anything
    """Return inputs as everybody may read them: with nothing in place of each secret."""
    if isinstance(value, dict) and SECRET.items() <= value.items():
        return "[secret]"
    if isinstance(value, dict):
        return {key: without_secrets(part) for key, part in value.items()}
    if isinstance(value, list):
        return [without_secrets(part) for part in value]
    return value


def environment(settings: dict[str, Any]) -> dict[str, str]:
    """Return the variables in which Pulumi gives a program its configuration."""
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
            # asyncio raises a SystemExit a second time, in whatever uses its loop next.
            raise ExitedError(error.code) from error

    return run
