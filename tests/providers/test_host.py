"""Calls that go to a host together, and what is said when one fails."""

import threading
import time
from collections.abc import Callable

import pytest

from providers import host as host_module
from providers.errors import HostError, UnreachableError
from providers.host import Combiner
from providers.session import Target
from tests.providers.fake_host import FakeHost
from tests.providers.samples import samples

WEB, MAIL, OLD = (samples()[name] for name in ("tst-web", "tst-mail", "tst-old"))
LIMIT = 20.0
"""Seconds after which a thread that waits has been forgotten."""


def _small(number: int) -> tuple[str, str]:
    """Return the name and the fragment of a network that has nothing but its bridge."""
    return f"net-{number}", f"claim bridge net-{number}\n"


def _at_once(*calls: Callable[[], object]) -> list[BaseException | None]:
    """Make all calls at the same time, each in its thread; return what each raised."""
    raised: list[BaseException | None] = [None] * len(calls)
    ready = threading.Barrier(len(calls))

    def run(place: int) -> None:
        ready.wait(LIMIT)
        try:
            calls[place]()
        except BaseException as error:  # what a thread raised is what the test is about
            raised[place] = error

    threads = [
        threading.Thread(target=run, args=(place,), daemon=True) for place in range(len(calls))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
        assert not thread.is_alive(), "a caller waits for ever"
    return raised


def _putting(combiner: Combiner, name: str, text: str) -> Callable[[], object]:
    return lambda: combiner.put(name, text)


class _Busy:
    """Keeps the host busy until all that come meanwhile are in the queue: they go as one batch.

    `failures` is what the host asks from then on (see FakeHost).
    """

    def __init__(self, host: FakeHost, combiner: Combiner) -> None:
        self.failures = host.failures
        self._host, self._combiner = host, combiner
        self._entered, self._go_on = threading.Event(), threading.Event()
        host.failures = self._hold

    def _hold(self, number: int) -> BaseException | None:
        self._host.failures = self.failures
        self._entered.set()
        assert self._go_on.wait(LIMIT)
        return None

    def batch(self, *calls: Callable[[], object]) -> list[BaseException | None]:
        """Make the calls in one batch; return what each raised."""
        threads = [
            threading.Thread(target=self._combiner.state, daemon=True),
            threading.Thread(target=self._let_go, args=(len(calls),), daemon=True),
        ]
        threads[0].start()
        assert self._entered.wait(LIMIT)
        threads[1].start()
        raised = _at_once(*calls)
        for thread in threads:
            thread.join(LIMIT)
        return raised

    def _let_go(self, count: int) -> None:
        until = time.monotonic() + LIMIT
        # Nothing else tells that a call waits: it is in the queue, and says nothing.
        while len(self._combiner._queue) < count and time.monotonic() < until:
            time.sleep(0.001)
        self._go_on.set()


def test_one_call_after_the_other() -> None:
    """Put, put again, read, remove, remove what is not there."""
    host = FakeHost()
    combiner = Combiner(host)
    combiner.put(WEB.network, WEB.fragment)
    combiner.put(WEB.network, WEB.fragment)
    assert "== fragment tst-web.rules" in combiner.state()
    combiner.remove(WEB.network)
    combiner.remove(WEB.network)
    assert host.fragments == {}
    assert [(len(call.put), len(call.remove)) for call in host.calls] == [
        (1, 0),
        (1, 0),
        (0, 0),
        (0, 1),
        (0, 1),
    ]


def test_many_threads_each_get_their_own_answer() -> None:
    """Forty calls of all kinds at once: each does what it says, most of them go together."""
    host = FakeHost(seconds=0.01)
    combiner = Combiner(host)
    for number in range(10):
        combiner.put(*_small(number))
    before = len(host.calls)
    states: list[str] = []
    raised = _at_once(
        *(_putting(combiner, *_small(number)) for number in range(10, 20)),
        *(_putting(combiner, f"bad-{number}", "no line of a fragment\n") for number in range(10)),
        *((lambda n=number: combiner.remove(f"net-{n}")) for number in range(10)),
        *((lambda: states.append(combiner.state())) for _ in range(10)),
    )
    assert [error is None for error in raised] == [True] * 10 + [False] * 10 + [True] * 20
    assert all(isinstance(error, HostError) for error in raised[10:20])
    assert sorted(host.fragments) == [f"net-{number}" for number in range(10, 20)]
    assert len(states) == 10
    assert all(state.endswith("== end\n") for state in states)
    assert len(host.calls) - before < 40


def test_those_that_wait_go_together() -> None:
    """What comes while the host is busy is one command, and one more for all that read."""
    host = FakeHost()
    combiner = Combiner(host)
    combiner.put(*_small(7))
    calls = [_putting(combiner, *_small(number)) for number in range(4)]
    raised = _Busy(host, combiner).batch(
        *calls, lambda: combiner.remove("net-7"), combiner.state, combiner.state
    )
    assert raised == [None] * 7
    assert len(host.calls) == 4
    together, reading = host.calls[2:]
    assert (sorted(together.put), together.remove) == ([f"net-{n}" for n in range(4)], ("net-7",))
    assert (reading.put, reading.remove) == ({}, ())


def test_a_culprit_does_not_fail_the_others() -> None:
    """Together they are refused; then each goes alone, and one of them is refused again."""
    host = FakeHost()
    combiner = Combiner(host)
    calls = [_putting(combiner, sample.network, sample.fragment) for sample in (WEB, MAIL, OLD)]
    bad = _putting(combiner, "bad", "ipv4 nat -A POSTROUTING -j MASQUERADE\n")
    raised = _Busy(host, combiner).batch(*calls[:2], bad, calls[2])
    assert [type(error) for error in raised] == [type(None), type(None), HostError, type(None)]
    assert "MASQUERADE" in str(raised[2])
    assert sorted(host.fragments) == ["tst-mail", "tst-old", "tst-web"]


def test_a_claim_of_another_network_is_refused() -> None:
    """The one that was there first stays; of two that come together, one gets it."""
    host = FakeHost()
    combiner = Combiner(host)
    combiner.put("first", "claim address 203.0.113.1\n")
    with pytest.raises(HostError, match=r"203\.0\.113\.1"):
        combiner.put("second", "claim address 203.0.113.1\n")
    raised = _Busy(host, combiner).batch(
        _putting(combiner, "third", "claim address 203.0.113.3\n"),
        _putting(combiner, "fourth", "claim address 203.0.113.3\n"),
    )
    assert sorted(type(error).__name__ for error in raised) == ["HostError", "NoneType"]
    assert len(host.fragments) == 2


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5])
def test_a_failure_at_any_call_is_told_to_whom_it_concerns(at: int) -> None:
    """Whoever was not told of a failure has what they asked for."""
    host = FakeHost()
    host.failures = lambda number: (
        HostError("edge-1", "its kernel refused the change", "as it was", "see the message")
        if number == at
        else None
    )
    combiner = Combiner(host)
    names = [f"net-{number}" for number in range(3)]
    raised = _at_once(*(_putting(combiner, *_small(number)) for number in range(3)))
    for name, error in zip(names, raised, strict=True):
        assert error is None or isinstance(error, HostError)
        assert (error is None) == (name in host.fragments)


def test_an_unreachable_host_fails_every_call() -> None:
    """Each caller hears of it, readers too."""
    host = FakeHost()
    combiner = Combiner(host)
    busy = _Busy(host, combiner)
    busy.failures = lambda number: HostError("edge-1", "cannot be reached", "unchanged", "see")
    raised = busy.batch(
        _putting(combiner, *_small(1)), _putting(combiner, *_small(2)), combiner.state
    )
    assert all(isinstance(error, HostError) for error in raised)
    assert host.fragments == {}


def test_a_host_that_went_away_is_asked_once_for_all() -> None:
    """One by one would only be more connections: sshd shuts an address out after ten or so."""
    host = FakeHost()
    combiner = Combiner(host)
    busy = _Busy(host, combiner)
    gone = UnreachableError("edge-1", "the connection was lost", "not known", "see")
    busy.failures = lambda number: gone
    raised = busy.batch(*(_putting(combiner, *_small(number)) for number in range(4)))
    assert raised == [gone] * 4
    assert len(host.calls) == 2


@pytest.mark.parametrize("crash", [MemoryError("no memory"), KeyboardInterrupt(), SystemExit(1)])
def test_a_crash_of_the_leader_is_a_success_for_nobody(crash: BaseException) -> None:
    """All that went with it fail, and the next call finds a host that works."""
    host = FakeHost()
    combiner = Combiner(host)
    busy = _Busy(host, combiner)
    busy.failures = lambda number: crash if number == 2 else None
    raised = busy.batch(
        *(_putting(combiner, *_small(number)) for number in range(3)), combiner.state
    )
    assert all(error is not None for error in raised)
    assert crash in raised
    assert host.fragments == {}
    combiner.put(*_small(9))
    assert list(host.fragments) == ["net-9"]


def test_two_calls_for_one_network_stay_in_order() -> None:
    """Put and remove of the same network cannot be one change: the later one holds."""
    host = FakeHost()
    combiner = Combiner(host)
    combiner.put(*_small(1))
    raised = _Busy(host, combiner).batch(
        lambda: combiner.remove("net-1"), _putting(combiner, *_small(1)), combiner.state
    )
    assert raised == [None] * 3
    changes = [call for call in host.calls[1:] if call.put or call.remove]
    assert len(changes) == 2
    assert all(len(call.put) + len(call.remove) == 1 for call in changes)
    assert ("net-1" in host.fragments) == bool(changes[-1].put)


def test_a_host_is_one_object_for_the_whole_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """One connection per host and run; another target is another host."""
    monkeypatch.setattr(host_module, "_hosts", {})
    target = Target("edge-1", "192.0.2.1", 22, "root", None)
    same = Target("edge-1", "192.0.2.1", 22, "root", None)
    other = Target("edge-1", "192.0.2.1", 2222, "root", None)
    assert host_module.host_at(target) is host_module.host_at(same)
    assert host_module.host_at(target) is not host_module.host_at(other)
