"""The judge of sources: what it must reject."""

import pytest

from lab.api import Packet
from lab.settings import CLIENT_IPV4, CLIENT_IPV6
from lab.traffic import sources

EXPECTED = {7701: frozenset({"203.0.113.10", "2001:db8::10"}), 7702: frozenset({"203.0.113.20"})}


def packet(source: str, port: int) -> Packet:
    """A first packet of a connection to a flood's port."""
    six = ":" in source
    to = CLIENT_IPV6 if six else CLIENT_IPV4
    return Packet(0.0, 6 if six else 4, source, to, "tcp", 40000, port, "S", 60)


def test_right_sources_are_counted() -> None:
    """By port and family."""
    seen = sources([packet("203.0.113.10", 7701), packet("2001:db8::10", 7701)], EXPECTED)
    assert seen.wrong == []
    assert (seen.right(7701, 4), seen.right(7701, 6), seen.right(7702, 4)) == (1, 1, 0)


@pytest.mark.parametrize(
    ("source", "port"),
    [
        ("203.0.113.20", 7701),  # another network's address
        ("203.0.113.101", 7701),  # the host's own address
        ("2001:db8::101", 7701),
        ("172.16.0.3", 7701),
        ("fd00::3", 7702),
        ("172.16.0.3", 443),  # private, on any port
        ("fd00::3", 443),
    ],
)
def test_wrong_sources_are_told(source: str, port: int) -> None:
    """The report has the packet itself."""
    assert sources([packet(source, port)], EXPECTED).wrong[0].startswith(f"1x {source} → ")


def test_packets_to_other_targets_are_not_judged() -> None:
    """The host's own traffic to other targets is not judged."""
    assert sources([packet("203.0.113.101", 443)], EXPECTED).wrong == []
