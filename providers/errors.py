"""What a provider says when a host could not be brought to, or read in, the wanted state."""

SHOWN = 4000
"""Characters of a host's own words that are shown: the last lines of a log are far fewer."""


def readable(text: str) -> str:
    """Return what a host said as it may be shown on a terminal: every character stands for itself.

    Escape sequences could rewrite what the operator has read before, or type for them; marks of
    direction could turn a line around. They are shown by their codes. Line breaks stay.
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

    Says what was wrong, in which state the host is now, and what to do. What was wrong may be in
    the words of the host, or of whoever answers in its place.
    """

    def __init__(self, host: str, what: str, state: str, remedy: str) -> None:
        what = readable(what)
        self.host = host
        self.what = what
        self.state = state
        self.remedy = remedy
        super().__init__(host, what, state, remedy)

    def __str__(self) -> str:
        lines = (self.what, f"The host now: {self.state}", f"To mend it: {self.remedy}")
        return f"host {self.host}: " + "\n  ".join(lines)

    def about(self, network: str) -> "HostError":
        """Return the same error, said of one network of the host."""
        return type(self)(f"{self.host}, network {network}", self.what, self.state, self.remedy)


class ChangedMeanwhileError(HostError):
    """What a decision was made from is not there any more; nothing has changed, decide again."""


class UnreachableError(HostError):
    """No command came through to the host, or its answer did not come back.

    That is the answer for everybody who asked together: asking again one by one would only be
    more connections, of which sshd takes few before it shuts an address out.
    """
