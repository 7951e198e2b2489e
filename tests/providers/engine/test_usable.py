"""Which engines wanbound can load rules for."""

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
    """A build without a version number is accepted: its user knows which it is."""
    for firewall in ("iptables", "nftables"):
        assert refusal(version, backend, firewall) is None


REFUSED = [
    ("20.9.1", "iptables", "Docker 20.9.1 is older than 20.10"),
    ("19.03.15", "iptables", "install Docker 20.10 or newer"),
    ("29.0.1", "nftables", "Docker 29.0.1 uses its nftables firewall backend"),
    (
        "29.0.1",
        "nftables+firewalld",
        "set firewall: nftables and engine.firewall_backend: nftables",
    ),
    ("29.0.1", "nftables+firewalld", "or engine.firewall_backend: iptables"),
]


@pytest.mark.parametrize(("version", "backend", "said"), REFUSED)
def test_an_engine_without_one_is_refused(version: str, backend: str, said: str) -> None:
    """The error has the reason and the remedy."""
    assert said in (refusal(version, backend, "iptables") or "")


def test_in_nftables_every_backend_will_do() -> None:
    """Only an old engine is refused."""
    assert refusal("29.0.1", "nftables+firewalld", "nftables") is None
    assert "older than 20.10" in (refusal("19.03.15", "iptables", "nftables") or "")
