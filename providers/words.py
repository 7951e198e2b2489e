"""The message that an operator reads when a provider fails: the error's text without a traceback.

Pulumi's plugin for dynamic providers reports an error with `traceback.format_exc()`: sixty lines.
Only the last three say what was wrong, the state of the host and what to do. For any other error
than a HostError the traceback is kept: it is a mistake of the program.
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
        """Return the text that the plugin reports for the error that it has just caught."""
        error = sys.exception()
        return str(error) if isinstance(error, HostError) else traceback.format_exc()


def speak(plugin: ModuleType) -> None:
    """In the plugin's process, make the plugin report only the text of a HostError."""
    if hasattr(plugin, "DynamicResourceProviderServicer"):
        vars(plugin)["traceback"] = Words("traceback")
