"""Images that pages name, made on a host of the lab from what it can pull, or from its own curl."""

import shlex
from collections.abc import Sequence

from lab.api import Host

CURL = "curl"
"""Instead of an image: the host's curl, as the entry point of an image with its libraries."""


def make(host: Host, image: str, base: str, changes: Sequence[str] = ()) -> None:
    """Make `image` on a host from `base`, with lines of a Dockerfile as changes."""
    words = " ".join(f"--change {shlex.quote(each)}" for each in changes)
    if base == CURL:
        host.run(
            "libraries=$(ldd /usr/bin/curl | grep -o '/[^ ]*') &&"
            " tar -ch /usr/bin/curl $libraries |"
            f""" docker import --change 'ENTRYPOINT ["curl"]' {words} - {image}""",
            timeout=300,
        )
        return
    host.run(
        f"id=$(docker create {base}) && docker commit {words} $id {image} && docker rm $id",
        timeout=300,
    )
