"""What the operator is told of a host while it works; Pulumi shows the lines of stderr."""

import sys

from providers.errors import readable


def tell(host: str, text: str) -> None:
    """Write one line about the host to stderr.

    Pulumi changes several hosts at once, each in a thread. A line is one write, because print()
    writes the line break separately, and two hosts' lines could then stand in one.
    """
    sys.stderr.write(f"host {host}: {readable(text)}\n")
    sys.stderr.flush()
