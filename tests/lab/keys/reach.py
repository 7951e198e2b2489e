"""A dynamic resource that only logs in at its host, to test a stack's keys."""

from typing import Any

import pulumi
from pulumi.dynamic import (
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)

from providers.ssh.session import Session
from providers.ssh.target import target_of


class ReachProvider(ResourceProvider):
    """Logs in at each call; stores and compares the property as HostNetworking does."""

    serialize_as_secret_always = False

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Compare the decrypted inputs."""
        return DiffResult(changes=None if _olds["host"] != _news["host"] else False)

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Log in. Raises HostError."""
        return CreateResult("reached", _reached(props))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Log in. Raises HostError."""
        return UpdateResult(_reached(_news))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Log in. Raises HostError."""
        return ReadResult(id_, _reached(props), {"host": props["host"]})


def _reached(props: dict[str, Any]) -> dict[str, Any]:
    session = Session(target_of(props["host"]))
    try:
        session.run("true", 30)
    finally:
        session.close()
    return {"host": props["host"]}


class Reach(Resource, module="test", name="Reach"):
    """A host at which the provider logs in."""

    def __init__(self, name: str, host: dict[str, pulumi.Input[Any]]) -> None:
        super().__init__(ReachProvider(), name, {"host": host})
