"""The ICMPv6 messages that a closed host lets in, with their names in both dialects."""

from typing import NamedTuple


class Message(NamedTuple):
    """A type of message: `name` is its role in a preview, `nft` what nft prints for the number."""

    number: int
    name: str
    nft: str


MESSAGES = (
    Message(1, "destination-unreachable", "destination-unreachable"),
    Message(2, "packet-too-big", "packet-too-big"),
    Message(3, "time-exceeded", "time-exceeded"),
    Message(4, "parameter-problem", "parameter-problem"),
    Message(128, "echo-request", "echo-request"),
    Message(129, "echo-reply", "echo-reply"),
    Message(130, "listener-query", "mld-listener-query"),
    Message(131, "listener-report", "mld-listener-report"),
    Message(132, "listener-done", "mld-listener-done"),
    Message(133, "router-solicitation", "nd-router-solicit"),
    Message(134, "router-advertisement", "nd-router-advert"),
    Message(135, "neighbour-solicitation", "nd-neighbor-solicit"),
    Message(136, "neighbour-advertisement", "nd-neighbor-advert"),
    Message(143, "listener-report-v2", "mld2-listener-report"),
)
"""What must not be dropped on a link (RFC 4890 sections 4.4.1 and 4.4.2): without neighbours there
is no IPv6 at all, without packet-too-big connections hang, without listener reports a switch that
snoops on them stops delivering neighbour solicitations."""
