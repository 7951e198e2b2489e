"""What the planner says when a stack's configuration cannot be used."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong with the configuration, in the operator's own terms.

    `key` is the path as the operator writes it (`wanbound:hosts[0].networks[1].subnet_ipv4`),
    `where` the host and network it belongs to (`host edge-1, network mail`, empty for neither),
    `what` what is wrong, `why` what would happen because of it, `remedy` what to do.
    """

    key: str
    what: str
    why: str
    remedy: str
    where: str = ""

    def __str__(self) -> str:
        place = f"{self.key} ({self.where})" if self.where else self.key
        reason = f"\n  {self.why}" if self.why else ""
        return f"{place}\n  {self.what}{reason}\n  Fix: {self.remedy}"


class ConfigError(ValueError):
    """The stack's configuration has problems; all that were found are in `problems`."""

    def __init__(self, problems: Iterable[Problem], stack: str = "") -> None:
        self.problems = tuple(problems)
        self.stack = stack
        super().__init__(self.problems, stack)

    def __str__(self) -> str:
        count = len(self.problems)
        of = f" of stack {self.stack}" if self.stack else ""
        head = f"The configuration{of} has {count} problem{'s' if count != 1 else ''}"
        blocks = "\n\n".join(str(problem) for problem in self.problems)
        return f"{head}; no host has been contacted.\n\n{blocks}"
