"""Stand-ins for images of documentation pages, made on a lab host from its images or its curl."""

import shlex
from collections.abc import Sequence

from lab.api import Host

CURL = "curl"
"""Replaces an image: the host's curl, as the entry point of an image with its libraries."""


def make(host: Host, image: str, base: str, changes: Sequence[str] = ()) -> None:
    """Make `image` on a host from `base`, changed by lines of a Dockerfile."""
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
