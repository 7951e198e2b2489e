"""What an operator reads when a provider fails: the error's own words, and no traceback.

Pulumi's plugin for dynamic providers answers an error with `traceback.format_exc()`, sixty lines in
which what was wrong, how the host is left and what to do are the last three. Any other error than
ours is a mistake of the program, of which the traceback is what somebody wants to read.
"""

import sys
import traceback
from types import ModuleType

from providers.errors import HostError


class Words(ModuleType):
    """The module `traceback`, except for what it makes of a HostError."""

    def __getattr__(self, name: str) -> object:
        return getattr(traceback, name)

    def format_exc(self) -> str:
        """Return what the plugin shall say of the error that it has just caught."""
        error = sys.exception()
        return str(error) if isinstance(error, HostError) else traceback.format_exc()


def speak(plugin: ModuleType) -> None:
    """Have the plugin, should this be its process, say the words of a HostError alone."""
    if hasattr(plugin, "DynamicResourceProviderServicer"):
        vars(plugin)["traceback"] = Words("traceback")
