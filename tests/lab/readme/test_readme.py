"""The README's "The first real host" on a real host, its blocks unchanged."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab import names
from lab.api import Host, Lab
from lab.settings import ECHO_IPV4, ECHO_IPV6
from tests.lab.readme.operator import STACK_FILE, addressed, edited, operator
from tests.lab.stand_ins import CURL, make
from tests.pages import first_host

pytestmark = pytest.mark.lab

STAND_INS = {
    "curlimages/curl": (CURL, ()),
    "nginx": (
        "wanbound/whoami:1",
        (f"ENV ECHO_IPV4=http://{ECHO_IPV4}/", f"ENV ECHO_IPV6=http://[{ECHO_IPV6}]/"),
    ),
}
"""Image of the page → what replaces it. The web server shows its public address."""


@contextmanager
def _internet(lab: Lab, host: Host) -> Iterator[None]:
    """Publish the name of the page's public service, the lab's echo, and make the page's images."""
    names.publish(lab.settings, "readme", [("ip4only.me", ECHO_IPV4)])
    for image, (base, changes) in STAND_INS.items():
        make(host, image, base, changes)
    try:
        yield
    finally:
        host.run(f"docker rm --force hello; docker rmi --force {' '.join(STAND_INS)}", check=False)
        names.publish(lab.settings, "readme", ())


def test_every_block_in_its_order(lab: Lab, tmp_path: Path) -> None:
    """Set up, check, apply, test and remove; nothing of it stays on the server."""
    host = list(lab.hosts.values())[1]
    shell = operator(lab, tmp_path)
    said = {}
    with _internet(lab, host):
        for block in first_host():
            # Status 1 is a warning of the doctor; 2 would be a problem.
            most = 1 if "wanbound doctor" in block else 0
            said[block] = shell.paste(addressed(block, host.address), most=most)
            if "pulumi stack init" in block:
                file = shell.folder / STACK_FILE
                file.write_text(edited(file.read_text(), host))

    def of(word: str) -> str:
        return next(text for block, text in said.items() if word in block)

    assert "default via" in of("ip route show default")
    assert "problem" not in of("wanbound doctor")
    assert "203.0.113.10" in of("pulumi preview")
    assert "203.0.113.20\n" in of("ip4only.me")
    assert '"ipv4": "203.0.113.10"' in of("Host: hello")
    left = host.run(
        "docker network ls -q --filter type=custom; docker ps -aq; ls -d /etc/wanbound;"
        " ip addr show dev wan0 | grep -e /32 -e /128; nft list tables | grep inet; true"
    )
    assert left.stdout == ""
