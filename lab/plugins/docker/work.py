"""What the resource types of Docker get for a call, and what they share."""

from __future__ import annotations

from dataclasses import dataclass

from lab.plugins.docker.engine import Engine
from lab.plugins.resource import Work
from lab.plugins.values import Properties


@dataclass(frozen=True)
class DockerWork(Work):
    """One call of the CLI's, with its Engine."""

    engine: Engine


def label_map(pairs: list[Properties]) -> dict[str, str]:
    """Return labels in the Engine's form."""
    return {str(pair["label"]): str(pair["value"]) for pair in pairs}


def label_pairs(labels: dict[str, str] | None) -> list[Properties]:
    """Return labels in the plugin's form."""
    return [{"label": key, "value": value} for key, value in sorted((labels or {}).items())]
