"""The model of iptables lines must find every overlap, or the tests with it prove nothing."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.planner.matching import STATES, Packet, parse

SETTINGS = settings(max_examples=60, deadline=None, derandomize=True)

SAME_PACKET = [
    ("-A X -s 172.20.0.0/24 -j A", "-A X -s 172.20.0.0/16 -j B"),
    ("-A X -s 172.20.0.0/24 -j A", "-A X -d 203.0.113.1/32 -j B"),
    ("-A X -s fd00:1::/64 -j A", "-A X -s fd00:1::7/128 -j B"),
    ("-A X -o web -j A", "-A X ! -i web -j B"),
    ("-A X ! -o web -j A", "-A X ! -o mail -j B"),
    ("-A X -p tcp -j A", "-A X -p tcp -m tcp --dport 25 -j B"),
    ("-A X -p tcp -m tcp --dport 25 -j A", "-A X -p tcp -m tcp --dport 20:25 -j B"),
    ("-A X -p tcp -m tcp --dport 1:9 -j A", "-A X -p tcp -m tcp ! --dport 2:10 -j B"),
    ("-A X ! -s 10.0.0.0/8 -j A", "-A X -s 9.255.255.0/24 -j B"),
    ("-A X ! -p udp -j A", "-A X -p tcp -j B"),
    ("-A X -m conntrack --ctstate DNAT -j A", "-A X -m conntrack --ctstate NEW -j B"),
    ("-A X -m conntrack --ctstate DNAT -j A", "-A X -m conntrack --ctstate RELATED,SNAT -j B"),
    ("-A X -m conntrack ! --ctstate NEW -j A", "-A X -m conntrack --ctstate RELATED -j B"),
    ("-A X -m mark --mark 0x2/0x2 -j A", "-A X -d 10.0.0.1/32 -j B"),
    ("-A X -j A", "-A X -j A"),
    ("-A X -p udp -m udp --sport 547 --dport 546 -j A", "-A X -p udp -m udp --dport 546 -j B"),
    ("-A X -p ipv6-icmp -m icmp6 --icmpv6-type 135 -j A", "-A X -p ipv6-icmp -j B"),
]

NO_PACKET = [
    ("-A X -j A", "-A Y -j A"),
    ("-A X -s 172.20.0.0/24 -j A", "-A X -s 172.20.1.0/24 -j B"),
    ("-A X -s 172.20.0.0/24 -j A", "-A X ! -s 172.20.0.0/16 -j B"),
    ("-A X -d 2001:db8::1/128 -j A", "-A X -d 2001:db8::2/128 -j B"),
    ("-A X -o web -j A", "-A X -o mail -j B"),
    ("-A X -o web -j A", "-A X ! -o web -j B"),
    ("-A X -i web -j A", "-A X -i mail -j B"),
    ("-A X -p tcp -j A", "-A X -p udp -j B"),
    ("-A X -p tcp -m tcp --dport 25 -j A", "-A X -p tcp -m tcp --dport 26:30 -j B"),
    ("-A X -p tcp -m tcp --dport 25 -j A", "-A X -p tcp -m tcp ! --dport 20:30 -j B"),
    ("-A X -p udp -m udp --sport 547 -j A", "-A X -p udp -m udp --sport 67:68 -j B"),
    (
        "-A X -p ipv6-icmp -m icmp6 --icmpv6-type 135 -j A",
        "-A X -p ipv6-icmp -m icmp6 --icmpv6-type 136 -j B",
    ),
    ("-A X -m conntrack --ctstate NEW -j A", "-A X -m conntrack --ctstate RELATED -j B"),
    ("-A X -m conntrack --ctstate DNAT -j A", "-A X -m conntrack ! --ctstate DNAT -j B"),
    ("-A X -m mark --mark 0x2/0x2 -j A", "-A X -m mark ! --mark 0x2/0x2 -j B"),
]


@pytest.mark.parametrize(("one", "other"), SAME_PACKET)
def test_an_overlap_is_found(one: str, other: str) -> None:
    """The packet in the report matches both lines."""
    packet = parse(one).common(parse(other))
    assert packet is not None
    assert parse(one).matches(packet)
    assert parse(other).matches(packet)
    assert parse(other).common(parse(one)) is not None


@pytest.mark.parametrize(("one", "other"), NO_PACKET)
def test_lines_apart_have_no_packet_in_common(one: str, other: str) -> None:
    """The order of the two lines does not matter."""
    assert parse(one).common(parse(other)) is None
    assert parse(other).common(parse(one)) is None


@pytest.mark.parametrize(
    "line",
    [
        "-A X -s 10.0.0.1/24 -j A",
        "-A X -m mark --mark 1 -j A",
        "-A X --tos 25 -j A",
        "-A X -i web+ -j A",
        "-A X -m conntrack --ctstate DNTA -j A",
        "-A X -s 10.0.0.0/24 -s 10.0.0.0/24 -j A",
        "-A X ! -m tcp -j A",
        "-A X -s 10.0.0.0/24",
        "-s 10.0.0.0/24 -j A",
    ],
)
def test_what_the_model_does_not_know_is_refused(line: str) -> None:
    """An ignored word could be the one that decides about an overlap."""
    with pytest.raises(
        ValueError, match=r"known|twice|!|no chain|host bits|several|no state|not whether"
    ):
        parse(line)


def _maybe_negated(option: str, values: list[str]) -> st.SearchStrategy[str]:
    return st.just("") | st.builds(
        "{} {} {}".format, st.sampled_from(["", "!"]), st.just(option), st.sampled_from(values)
    )


LINES = st.builds(
    lambda *matches: f"-A X {' '.join(matches)} -j A",
    _maybe_negated("-s", ["0.0.0.0/31", "0.0.0.1/32", "0.0.0.2/31"]),
    _maybe_negated("-d", ["0.0.0.0/32", "0.0.0.0/31"]),
    _maybe_negated("-i", ["a", "b"]),
    _maybe_negated("-o", ["a", "b"]),
    _maybe_negated("-p", ["tcp", "udp"]),
    _maybe_negated("--dport", ["0", "0:1", "1:65535"]),
    _maybe_negated("--ctstate", ["DNAT", "NEW", "NEW,RELATED", "RELATED,DNAT"]),
    _maybe_negated("--mark", ["0x2/0x2"]),
)

# One packet for every distinction that the lines above make.
PACKETS = [
    Packet(*parts)
    for parts in product(
        range(3),
        range(3),
        (True, False),
        ("a", "b", "c"),
        ("a", "b", "c"),
        ("tcp", "udp"),
        range(2),
        [state for state in STATES if state[0] in ("NEW", "RELATED") and "SNAT" not in state[1]],
    )
]


@given(LINES, LINES)
@SETTINGS
def test_the_model_agrees_with_trying_every_packet(one: str, other: str) -> None:
    """Two lines overlap exactly if some packet of a small world matches both."""
    first, second = parse(one), parse(other)
    tried = any(first.matches(packet) and second.matches(packet) for packet in PACKETS)
    common = first.common(second)
    assert not tried or common is not None
    assert common is None or (first.matches(common) and second.matches(common))
