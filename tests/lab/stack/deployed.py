"""A stack that is up, for tests that share it."""

import copy
from dataclasses import dataclass

from lab.api import Lab
from lab.checks import Result, matrix, run
from lab.stacks import Config, LabStack, parsed


@dataclass
class Deployed:
    """A stack that is up, with the configuration that it was brought up with."""

    lab: Lab
    stack: LabStack
    config: Config

    def changed(self) -> Config:
        """Return a copy of the configuration to change; `back` undoes the change."""
        return copy.deepcopy(self.config)

    def back(self) -> None:
        """Bring the hosts back to the configuration that all tests start from."""
        self.stack.configure(self.config)
        self.stack.up("--refresh")

    def results(self, config: Config | None = None) -> list[Result]:
        """Run the whole matrix."""
        return run(self.lab, matrix(parsed(config or self.config, self.stack.name)))
