"""What a resource type is to the provider, and what it is given to work with."""

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
    """One call of the CLI's: the resource's name, and the ways to speak and to be stopped."""

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
    """A resource type. What is called `live` is what there is, in the schema's words."""

    schema: Schema

    def planned(self, olds: Properties, news: Properties) -> Properties:
        """What a preview can say of the outputs; `olds` is empty for a create."""
        return planned(self.schema, olds, news)

    @abstractmethod
    def create(self, work: W, inputs: Properties) -> tuple[str, Properties]:
        """Create it; returns its id and what is live. On failure the host is as it was before."""

    @abstractmethod
    def read(self, work: W, identity: str, prior: Properties) -> tuple[str, Properties] | None:
        """Its id and what is live; None if it is gone."""

    def refreshed(self, state: Properties) -> Properties:
        """What a refresh writes down, where that differs from what a create does."""
        return state

    def update(self, work: W, identity: str, olds: Properties, news: Properties) -> Properties:
        """Change what can be changed in place; returns what is live."""
        raise PluginError(f"{self.schema.token} cannot be updated in place; nothing was changed")

    @abstractmethod
    def delete(self, work: W, identity: str, state: Properties) -> None:
        """Remove it; not being there any more is no failure."""
