"""Names and addresses of the lab's hosts."""

import pytest

from lab.errors import LabError
from lab.settings import DEFAULT_HOSTS, Settings, parse_hosts


def test_a_hosts_number_decides_its_addresses() -> None:
    """edge-2 has .12 and .102 even if it is the only host."""
    (host,) = parse_hosts("edge-2=forky")
    assert Settings().address(host).endswith(".12")
    assert (host.wan_ipv4, host.wan_ipv6) == ("203.0.113.102", "2001:db8::102")


def test_default_hosts_are_both_engine_generations() -> None:
    """The two suites have Docker 20.10 and 28.5."""
    assert [(host.name, host.suite) for host in parse_hosts(DEFAULT_HOSTS)] == [
        ("edge-1", "bookworm"),
        ("edge-2", "forky"),
    ]


def test_a_host_may_have_the_legacy_iptables() -> None:
    """It is written after the suite, also in the lab's record."""
    text = "edge-4=bookworm+legacy,edge-10=forky"
    legacy, nft = parse_hosts(text)
    assert (legacy.suite, legacy.backend) == ("bookworm", "legacy")
    assert (nft.number, nft.suite, nft.backend) == (10, "forky", "nft")
    assert ",".join(str(host) for host in (legacy, nft)) == text


def test_a_host_may_be_bare() -> None:
    """Without Docker, from a root of its own; the suite is the same."""
    text = "edge-4=bookworm+bare,edge-5=bookworm+legacy"
    bare, other = parse_hosts(text)
    assert (bare.suite, bare.bare, bare.root, bare.backend) == (
        "bookworm",
        True,
        "bookworm+bare",
        "nft",
    )
    assert (other.bare, other.root) == (False, "bookworm")
    assert ",".join(str(host) for host in (bare, other)) == text


def test_a_host_may_have_docker_29() -> None:
    """It replaces the suite's own Docker, on the same root, with either of its backends."""
    text = "edge-4=forky+29,edge-5=forky+29nft,edge-6=forky"
    usual, nftables, other = parse_hosts(text)
    assert [host.docker29 for host in (usual, nftables, other)] == [True, True, False]
    assert (usual.docker_backend, nftables.docker_backend) == ("iptables", "nftables")
    assert {host.root for host in (usual, nftables, other)} == {"forky"}
    assert ",".join(str(host) for host in (usual, nftables, other)) == text


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("edge=forky", "no host name"),
        ("edge-0=forky", "no host name"),
        ("edge-90=forky", "no host name"),
        ("longlonglong-1=forky", "no host name"),
        ("edge-1=buster", "buster"),
        ("edge-1=bookworm+old", "legacy"),
        ("edge-1=bookworm+", "legacy"),
        ("edge-1", "suite ''"),
        ("edge-1=forky,edge-1=forky", "one name"),
        ("edge-1=forky,core-1=forky", "one number"),
    ],
)
def test_bad_hosts_are_refused(text: str, word: str) -> None:
    """The error names the host and the problem."""
    with pytest.raises(LabError, match=word):
        parse_hosts(text)
