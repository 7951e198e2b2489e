"""What a resource type is to the provider, and what it is given to work with."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from lab.plugins.docker.engine import Engine
from lab.plugins.schema import Schema
from lab.plugins.values import PluginError, Properties


@dataclass(frozen=True)
class Work:
    """One call of the CLI's: the Engine it is about, and the ways to speak and to be stopped."""

    engine: Engine
    say: Callable[[str], None]
    cancelled: threading.Event

    def wait_until(
        self, what: str, done: Callable[[], bool], seconds: float, every: float = 0.5
    ) -> None:
        """Return once `done()` is true; raises PluginError after so many seconds, or on Cancel."""
        end = time.monotonic() + seconds
        while not done():
            if time.monotonic() > end:
                raise PluginError(f"{what} did not happen within {seconds:.0f} s")
            if self.cancelled.wait(every):
                raise PluginError(f"cancelled while waiting: {what}")


class Resource(ABC):
    """A resource type. Whatever is called `live` is what the Engine says, in the schema's words."""

    schema: Schema

    @abstractmethod
    def create(self, work: Work, inputs: Properties) -> tuple[str, Properties]:
        """Create it; returns its id and what is live. On failure the host is as it was before."""

    @abstractmethod
    def read(self, work: Work, identity: str, prior: Properties) -> tuple[str, Properties] | None:
        """Its id and what is live; None if it is gone."""

    def refreshed(self, state: Properties) -> Properties:
        """What a refresh writes down, where that differs from what a create does."""
        return state

    def update(self, work: Work, identity: str, olds: Properties, news: Properties) -> Properties:
        """Change what can be changed in place; returns what is live."""
        raise PluginError(f"{self.schema.token} cannot be updated in place; nothing was changed")

    @abstractmethod
    def delete(self, work: Work, identity: str, state: Properties) -> None:
        """Remove it; not being there any more is no failure."""


def label_map(pairs: list[Properties]) -> dict[str, str]:
    """Labels as the Engine has them."""
    return {str(pair["label"]): str(pair["value"]) for pair in pairs}


def label_pairs(labels: dict[str, str] | None) -> list[Properties]:
    """Labels as the plugin has them."""
    return [{"label": key, "value": value} for key, value in sorted((labels or {}).items())]
