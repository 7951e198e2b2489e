"""The interface of a resource type to the provider, and what its calls work with."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from lab.plugins.schema import Schema, planned
from lab.plugins.values import PluginError, Properties


@dataclass(frozen=True)
class Work:
    """One call of the CLI's: the resource's name, status output and cancellation."""

    name: str
    say: Callable[[str], None]
    cancelled: threading.Event

    def wait_until(self, what: str, done: Callable[[], bool], seconds: float) -> None:
        """Return once `done()` is true; raises PluginError after so many seconds, or on Cancel."""
        end = time.monotonic() + seconds
        while not done():
            if time.monotonic() > end:
                raise PluginError(f"{what} did not happen within {seconds:.0f} s")
            if self.cancelled.wait(0.5):
                raise PluginError(f"cancelled while waiting: {what}")


W = TypeVar("W", bound=Work)


class Resource(ABC, Generic[W]):
    """A resource type. `live` is the present state, in the schema's terms."""

    schema: Schema

    def planned(self, olds: Properties, news: Properties) -> Properties:
        """Return what a preview knows of the outputs; `olds` is empty for a create."""
        return planned(self.schema, olds, news)

    @abstractmethod
    def create(self, work: W, inputs: Properties) -> tuple[str, Properties]:
        """Create it; return its id and live state. On failure the host is unchanged."""

    @abstractmethod
    def read(self, work: W, identity: str, prior: Properties) -> tuple[str, Properties] | None:
        """Return its id and live state; None if it is gone."""

    def refreshed(self, state: Properties) -> Properties:
        """Return the state that a refresh records, if it differs from a create's."""
        return state

    def update(self, work: W, identity: str, olds: Properties, news: Properties) -> Properties:
        """Change what can be changed in place; return the live state."""
        raise PluginError(f"{self.schema.token} cannot be updated in place; nothing was changed")

    @abstractmethod
    def delete(self, work: W, identity: str, state: Properties) -> None:
        """Remove it; a missing one is no failure."""
