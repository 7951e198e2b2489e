"""The answer of `doctor` from a host, as data."""

import pytest

from providers.host.doctor import Inspection, Listener, parse
from providers.host.facts import ParseError

ANSWER = """\
== programs
awk
nft
systemd
== firewalls
ufw
== listens
tcp 0.0.0.0:22 users:(("sshd",pid=1,fd=3))
tcp [::]:22 users:(("sshd",pid=1,fd=4))
tcp *:9100 users:(("node_exporter",pid=2,fd=3))
tcp 127.0.0.1:25 users:(("master",pid=3,fd=3))
udp 0.0.0.0%wan0:68 users:(("dhclient",pid=4,fd=3))
udp [::1]:323 users:(("chronyd",pid=5,fd=3))
udp 0.0.0.0:51820
tcp 0.0.0.0:0
tcp 0.0.0.0:65536
tcp 0.0.0.0:*
== sysctls
net/ipv4/ip_forward 1
== routes
ipv4 default via 203.0.113.1 dev wan0
== docker
deploy
== end
"""


def test_everything_that_it_says_is_read() -> None:
    """Of ports, those on every address of a family; ports bound to one interface are left out."""
    assert parse(ANSWER) == Inspection(
        frozenset({"awk", "nft", "systemd"}),
        frozenset({"ufw"}),
        (
            Listener("tcp", 22, (4, 6), "sshd"),
            Listener("tcp", 9100, (4, 6), "node_exporter"),
            Listener("udp", 51820, (4,), "an unknown program"),
        ),
        {"net/ipv4/ip_forward": "1"},
        (("ipv4", "default via 203.0.113.1 dev wan0"),),
        "deploy",
    )


def test_ports_that_cannot_be_read_are_not_none() -> None:
    """`ss` is missing or fails."""
    head, _, tail = ANSWER.partition("== listens\n")
    rest = tail[tail.index("== sysctls") :]
    assert parse(f"{head}== listens\n{rest}").listeners == ()
    assert parse(f"{head}== listens\nunreadable\n{rest}").listeners is None


@pytest.mark.parametrize("cut", range(0, len(ANSWER) - 1, 13))
def test_a_cut_answer_is_refused(cut: int) -> None:
    """It must not be read as a host that lacks the rest."""
    with pytest.raises(ParseError):
        parse(ANSWER[:cut])
