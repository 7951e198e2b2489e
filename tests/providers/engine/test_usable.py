"""Which engines rules go to."""

import pytest

from providers.engine.usable import refusal

USABLE = [
    ("20.10.24+dfsg1", "iptables"),
    ("26.1.5", "iptables"),
    ("29.0.1", "iptables"),
    ("dev", "iptables"),
]


@pytest.mark.parametrize(("version", "backend"), USABLE)
def test_an_engine_with_a_place_for_rules_is_not_refused(version: str, backend: str) -> None:
    """A build without a number is one of somebody who knows which it is."""
    assert refusal(version, backend) is None


REFUSED = [
    ("20.9.1", "iptables", "Docker 20.9.1 is older than 20.10"),
    ("19.03.15", "iptables", "install Docker 20.10 or newer"),
    ("29.0.1", "nftables", "Docker 29.0.1 uses its nftables firewall backend"),
    ("29.0.1", "nftables+firewalld", "{firewall-backend: iptables}"),
]


@pytest.mark.parametrize(("version", "backend", "said"), REFUSED)
def test_an_engine_without_one_is_refused(version: str, backend: str, said: str) -> None:
    """The text says what is wrong and what to do."""
    assert said in (refusal(version, backend) or "")
