"""The errors of a host that could not be read or changed."""

SHOWN = 4000
"""Characters of a host's own output that are shown; the last lines of a log have fewer."""


def readable(text: str) -> str:
    """Return a host's output with its control characters escaped, for a terminal.

    Escape sequences could overwrite what the operator has read, or type for them; direction marks
    could reverse a line. Line breaks stay. The text is cut at SHOWN characters.
    """
    shown = "".join(
        character
        if character == "\n" or character.isprintable()
        else character.encode("unicode_escape").decode()
        for character in text[: SHOWN + 1]
    )
    return shown if len(shown) <= SHOWN else f"{shown[: SHOWN - 1]}…"


class HostError(RuntimeError):
    """A host could not be reached, or refused what was asked.

    Says what was wrong, in which state the host is now, and what to do. `what` may quote the host,
    or another machine that answers in its place.
    """

    def __init__(self, host: str, what: str, state: str, remedy: str) -> None:
        what = readable(what)
        self.host = host
        self.what = what
        self.state = state
        self.remedy = remedy
        super().__init__(host, what, state, remedy)

    def __str__(self) -> str:
        lines = (self.what, f"The host now: {self.state}", f"Fix: {self.remedy}")
        return f"host {self.host}: " + "\n  ".join(lines)

    def about(self, network: str) -> "HostError":
        """Return the same error, said of one network of the host."""
        return type(self)(f"{self.host}, network {network}", self.what, self.state, self.remedy)


class ChangedMeanwhileError(HostError):
    """The state that a decision was made from has changed. Nothing was applied; decide again."""


class DuplicateAddressError(HostError):
    """Another machine has an address of the change; `what` has it as a word. It was undone."""


class UnreachableError(HostError):
    """No command came through to the host, or its answer did not come back.

    An immediate retry would only open more connections, and sshd limits their number.
    """
