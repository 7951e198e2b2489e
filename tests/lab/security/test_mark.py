"""The bit that our accept tests: a container that may set marks cannot send it."""

import pytest

from lab.api import Host
from lab.settings import CLIENT_IPV4
from tests.lab.security.stage import Stage, stranger
from tests.lab.security.witness import FIRST, LAST, witness

pytestmark = pytest.mark.lab

MARK = 0x02000000
NAME = "marking"
"""A container with CAP_NET_ADMIN, its network and its bridge, which wanbound does not manage."""

SUBNET = "172.31.78.0/24"
PORT = 7008
BEHIND = f"DOCKER-USER 2 -s {SUBNET} -j DROP"
"""An operator's own rule, behind the jump to our accept."""


def _sent(host: Host) -> tuple[int, int, int]:
    """Return how many packets reached the host, how many with the bit, and how many left."""
    mine = f"ip daddr {CLIENT_IPV4} tcp dport {PORT}"
    came = f'iifname "{NAME}" {mine}'
    chains = {
        "prerouting": (FIRST, [came, f"{came} meta mark & {MARK} != 0"]),
        "postrouting": (LAST, [f'oifname "wan0" {mine}']),
    }
    ask = f"/probe ask-tcp -timeout 2s -mark {MARK} {CLIENT_IPV4}:{PORT}"
    with witness(host, chains) as counted:
        host.run(f"docker exec {NAME} {ask}", check=False)
    return counted["prerouting"][0], counted["prerouting"][1], counted["postrouting"][0]


@pytest.mark.parametrize("number", [1, 2])
def test_a_container_that_may_set_marks_does_not_get_past_an_operators_drop(
    stage: Stage, number: int
) -> None:
    """SO_MARK is local to its namespace: the packet was sent, and reached the host without it."""
    host = stage.place(number).host
    with stranger(host, NAME, ["--subnet", SUBNET], ["--cap-add", "NET_ADMIN"]):
        host.run(f"iptables -I {BEHIND}")
        try:
            came, marked, left = _sent(host)
        finally:
            host.run(f"iptables -D {BEHIND.replace(' 2 ', ' ')}")
        assert came > 0
        assert (marked, left) == (0, 0)
        assert _sent(host)[2] > 0
