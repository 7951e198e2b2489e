"""The verdict on a fault: what must fail it, and what may not."""

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_network

import pytest

from lab.api import Packet
from lab.faults.judge import Networks, Times, outcome, traffic
from lab.faults.model import Change, Fault, Observation, Outcome, Procedure, Traffic
from lab.settings import CLIENT_IPV4, CLIENT_IPV6
from planner.config import Firewall

RIGHT = {7701: frozenset({"203.0.113.20", "2001:db8::20"}), 7702: frozenset({"203.0.113.24"})}
NETWORKS = Networks(
    ports={7701: "web"},
    right=RIGHT,
    private=[ip_network("172.24.0.0/24")],
    others=[ip_network("172.24.1.0/24")],
)
BEGIN, END, UNTIL = 1.0, 1.1, 4.0
TIMES = Times(BEGIN, END, UNTIL)


def packet(
    time: float, source: str = "203.0.113.20", port: int = 7701, proto: str = "udp", flags: str = ""
) -> Packet:
    """A packet of a flood."""
    six = ":" in source
    to = CLIENT_IPV6 if six else CLIENT_IPV4
    return Packet(time, 6 if six else 4, source, to, proto, 40000, port, flags, 60)


def flood(pauses: Mapping[str, tuple[float, float]] | None = None) -> list[Packet]:
    """Both kinds of both families of `web`, every 50 ms, except for a pause per family."""
    packets = []
    for number in range(81):
        time = number / 20
        for source in ("203.0.113.20", "2001:db8::20"):
            start, end = (pauses or {}).get(source, (0.0, -1.0))
            if not start < time < end:
                packets.append(packet(time, source))
                packets.append(packet(time, source, proto="tcp", flags="R"))
    return packets


def test_steady_traffic() -> None:
    """It is counted, and its time to return is 0, as it never stopped."""
    seen = traffic(flood(), NETWORKS, TIMES)
    assert (seen.right, seen.wrong_count, seen.silent, seen.back, seen.still) == (324, 0, [], 0, [])


def test_a_pause_ends_when_the_last_flow_runs() -> None:
    """The pause is measured in seconds from the event's end."""
    seen = traffic(flood({"2001:db8::20": (1.05, 2.0)}), NETWORKS, TIMES)
    assert seen.back == pytest.approx(0.9)


def test_a_flow_that_stays_away_is_named() -> None:
    """The report has its network, family and kind."""
    seen = traffic(flood({"2001:db8::20": (1.5, 9.0)}), NETWORKS, TIMES)
    assert seen.back is None
    assert seen.still == ["web IPv6 TCP", "web IPv6 UDP"]


def test_an_unanswered_connection_is_no_traffic() -> None:
    """A SYN alone proves that a packet left, not that a reply arrived."""
    packets = [replace(one, flags="S") if one.flags else one for one in flood()]
    assert traffic(packets, NETWORKS, TIMES).silent == ["web IPv4 TCP", "web IPv6 TCP"]


def test_silence_before_the_event_is_told() -> None:
    """Traffic that did not flow before the event cannot show that the event stopped it."""
    seen = traffic([one for one in flood() if one.time > BEGIN], NETWORKS, TIMES)
    assert len(seen.silent) == 4


@pytest.mark.parametrize(
    ("source", "port", "counts"),
    [
        ("203.0.113.101", 7701, True),  # the host's own address
        ("203.0.113.24", 7701, True),  # another network's address
        ("172.24.0.9", 7701, True),
        ("172.24.0.9", 443, True),  # private, on any port
        ("10.9.9.9", 443, True),  # of no known subnet, so it counts on every host
        ("203.0.113.20", 7702, False),  # the other host's flood
        ("172.24.1.9", 443, False),  # the other host's subnet
        ("203.0.113.101", 443, False),  # not a flood: the host's own traffic
    ],
)
def test_wrong_packets_are_those_of_this_host(source: str, port: int, counts: bool) -> None:
    """They are assigned by the port that a flood sends to, else by the subnet of the source."""
    seen = traffic([*flood(), packet(2.0, source, port)], NETWORKS, TIMES)
    assert seen.wrong_count == counts
    assert seen.last_wrong == (2.0 if counts else None)


GOOD = Traffic(100, {}, None, [], None, 0.5)
GONE = Change(1.1, 1.2, ["a rule"], [])
BACK = Change(1.3, 1.4, [], [])
SEEN = Observation(BEGIN, END, [GONE, BACK], looks=9)
FAULT = Fault("a fault", "true")


def problems(
    row: Fault | Procedure, observation: Observation, seen: Traffic = GOOD, *checks: str
) -> str:
    """Return all problems of an outcome, as one text."""
    return "; ".join(outcome(row, "host-1", observation, seen, checks, suite="bookworm").problems)


def test_a_repaired_host_passes() -> None:
    """Its time to repair is that of rules or traffic, whichever is later."""
    found = outcome(FAULT, "host-1", SEEN, GOOD, [], suite="bookworm")
    assert found.ok
    assert found.seconds == 0.5
    assert found.seen == "rules and addresses after 0.30 s"


@pytest.mark.parametrize(
    ("observation", "seen", "word"),
    [
        (replace(SEEN, changes=[GONE]), GOOD, "not repaired: - a rule"),
        (replace(SEEN, changes=[GONE, replace(BACK, until=9.0)]), GOOD, "only after 7.9 s"),
        (replace(SEEN, changes=[]), GOOD, "never seen in another state"),
        (replace(SEEN, failed="status 1"), GOOD, "could not be done: status 1"),
        (SEEN, replace(GOOD, wrong={"x": 2}, last_wrong=1.2), "2 wrong packets"),
        (SEEN, replace(GOOD, back=None, still=["web IPv4 TCP"]), "no traffic at the end"),
        (SEEN, replace(GOOD, back=11.0), "traffic only after 11.0 s"),
        (SEEN, replace(GOOD, silent=["web IPv4 TCP"]), "nothing is proven"),
        (replace(SEEN, loaded=2.0), replace(GOOD, first_after_boot=1.5), "0.50 s before the rules"),
    ],
)
def test_what_must_not_pass(observation: Observation, seen: Traffic, word: str) -> None:
    """Each condition by itself fails the row."""
    assert word in problems(FAULT, observation, seen)


def test_a_failed_check_is_a_problem() -> None:
    """For instance: a published port no longer answers."""
    assert problems(FAULT, SEEN, GOOD, "no answer") == "no answer"


def test_an_open_row_may_leak_until_the_repair_and_no_longer() -> None:
    """This holds where the fault removes everything that could stop a packet."""
    row = replace(FAULT, open="it takes all")
    leaked = replace(GOOD, wrong={"x": 2}, last_wrong=1.35)
    assert problems(row, SEEN, leaked) == ""
    assert "after the repair" in problems(row, SEEN, replace(leaked, last_wrong=1.5))
    assert "wrong packets" in problems(row, replace(SEEN, changes=[GONE]), leaked)
    elsewhere = replace(row, open_on=("trixie",))
    assert problems(elsewhere, SEEN, leaked) == "2 wrong packets, as x"


def test_a_closed_row_needs_no_repair() -> None:
    """It only requires that no packet with a wrong source leaves."""
    row = replace(FAULT, expected="closed")
    still = replace(GOOD, back=None, still=["web IPv4 TCP"])
    found = outcome(row, "host-1", replace(SEEN, changes=[GONE]), still, [], suite="forky")
    assert (found.ok, found.seen, found.seconds) == (True, "closed", None)
    assert "1 wrong packets" in problems(row, SEEN, replace(still, wrong={"x": 1}))


def test_a_row_that_spares_a_host_must_not_show_there() -> None:
    """Where it changes nothing of wanbound's, nothing may be missing, not even for a moment."""
    row = replace(FAULT, spares=("nftables",))
    still = replace(SEEN, changes=[])

    def of(observation: Observation, firewall: Firewall) -> Outcome:
        return outcome(row, "host-1", observation, GOOD, [], suite="forky", firewall=firewall)

    assert of(still, "nftables").ok
    assert of(still, "nftables").seen == "nothing of ours differs"
    assert of(SEEN, "nftables").problems == ["nothing of ours should have differed: a rule"]
    assert not of(still, "iptables").ok
    assert of(SEEN, "iptables").ok
    assert not outcome(
        row, "host-1", still, replace(GOOD, wrong={"x": 1}), [], suite="forky", firewall="nftables"
    ).ok


def test_a_closed_row_that_changes_nothing_of_ours_is_closed() -> None:
    """For instance, because of another program's rules before wanbound's."""
    row = replace(FAULT, expected="closed", unseen=True)
    still = replace(SEEN, changes=[])
    stopped = replace(GOOD, back=None, still=["web IPv4 TCP"])
    found = outcome(row, "host-1", still, stopped, ["no answer"], suite="forky")
    assert (found.ok, found.seen, found.seconds) == (True, "closed", None)
    assert (
        outcome(row, "host-1", still, replace(stopped, wrong={"x": 1}), [], suite="forky").seen
        == "open"
    )


def test_a_procedure_reports_its_own_problems() -> None:
    """Its traffic is judged like that of any other row."""
    row = Procedure("a procedure", lambda _site, _names: {}, "well")
    seen = replace(SEEN, changes=[], problems=["it was not done"])
    assert problems(row, seen) == "it was not done"
    assert "2 wrong packets" in problems(row, SEEN, replace(GOOD, wrong={"x": 2}))
