"""What a host wants for itself as a resource: what each call of the engine does."""

import base64
import copy
import json
from typing import Any

import pytest
from pulumi.dynamic.dynamic import serialize_provider

from planner.config import Stack
from planner.plan import plan
from providers import host_base
from providers.base_fragment import BASE_NAME, BASE_SECTIONS, base_fragment
from providers.errors import HostError
from providers.host import Combiner
from providers.host_base import HostBaseProvider
from providers.target import Target
from tests.planner import golden
from tests.providers.fake_host import FakeHost
from tests.providers.samples import samples

ID = "edge-1/_host"
WEB = samples()["tst-web"].fragment


def _planned() -> dict[str, Any]:
    """Return the properties of the golden host with everything, as the engine hands them over."""
    (host,) = plan(Stack.parse(golden.config("baseline"), "test"))
    assert host.base is not None
    return {
        "host": {"name": "edge-1", "address": "192.0.2.1", "port": 22.0, "user": "root"},
        **{section: dict(getattr(host.base, section)) for section in BASE_SECTIONS},
        "persist": host.base.persist,
    }


PROPS = _planned()
FRAGMENT = base_fragment({section: PROPS[section] for section in BASE_SECTIONS}, PROPS["persist"])


class _Seam:
    """The fake host behind the provider; `targets` are all that it was asked for."""

    def __init__(self) -> None:
        self.host = FakeHost()
        self.targets: list[Target] = []
        self._combiner = Combiner(self.host)

    def __call__(self, target: Target) -> Combiner:
        self.targets.append(target)
        return self._combiner


@pytest.fixture
def seam(monkeypatch: pytest.MonkeyPatch) -> _Seam:
    """The seam in place of `host_at`."""
    found = _Seam()
    monkeypatch.setattr(host_base, "host_at", found)
    return found


@pytest.fixture
def provider() -> HostBaseProvider:
    """The provider, which has no state."""
    return HostBaseProvider()


def _stored(props: dict[str, Any] | None) -> dict[str, Any]:
    """Return properties as the engine gives them back: sorted keys, floats, its own key."""
    found = json.loads(json.dumps(props, sort_keys=True))
    assert isinstance(found, dict)
    return {**found, "__provider": "gASV"}


def _wanted(outs: dict[str, Any] | None) -> dict[str, Any]:
    """Return outputs without the one that is no input."""
    assert outs is not None
    return {name: value for name, value in outs.items() if name != "applied"}


def _changed(section: str, role: str, line: str | None) -> dict[str, Any]:
    found = copy.deepcopy(PROPS)
    if line is None:
        del found[section][role]
    else:
        found[section][role] = line
    return found


def test_every_section_has_lines() -> None:
    """Or the tests below would hold nothing to anything."""
    assert all(PROPS[section] for section in BASE_SECTIONS)


def test_create_puts_the_fragment(seam: _Seam, provider: HostBaseProvider) -> None:
    """And gives back the properties as they came, under an id that people can read."""
    result = provider.create(_stored(PROPS))
    assert result.id == ID
    assert _wanted(result.outs) == PROPS
    assert seam.host.fragments == {BASE_NAME: FRAGMENT}
    assert len(seam.host.calls) == 1
    provider.create(PROPS)
    assert seam.host.fragments == {BASE_NAME: FRAGMENT}


def test_the_way_to_the_host_is_its_property(seam: _Seam, provider: HostBaseProvider) -> None:
    """With the seconds for which a change waits, and whole numbers again."""
    props = copy.deepcopy(PROPS)
    props["host"] |= {"port": 2222.0, "confirm_seconds": 60.0}
    provider.create(props)
    assert seam.targets == [Target("edge-1", "192.0.2.1", 2222, "root", None, 60)]


def test_update_changes_the_fragment_alone(seam: _Seam, provider: HostBaseProvider) -> None:
    """A network's is not touched."""
    seam.host.fragments = {"tst-web": WEB}
    provider.create(PROPS)
    news = {**PROPS, "routes": {}, "link": {}}
    result = provider.update(ID, _stored(PROPS), _stored(news))
    assert _wanted(result.outs) == news
    assert "route " not in seam.host.fragments[BASE_NAME]
    assert seam.host.fragments["tst-web"] == WEB


def test_delete_removes_its_own_alone(seam: _Seam, provider: HostBaseProvider) -> None:
    """Deleting what is gone already is no error: a run that was cut short can be repeated."""
    seam.host.fragments = {"tst-web": WEB}
    provider.create(PROPS)
    for _ in range(2):
        provider.delete(ID, _stored(PROPS))
        assert seam.host.fragments == {"tst-web": WEB}


def test_read_gives_what_is_there(seam: _Seam, provider: HostBaseProvider) -> None:
    """Properties and inputs alike; a refresh of a host in order changes nothing."""
    state = _stored(provider.create(PROPS).outs)
    result = provider.read(ID, state)
    assert result.id == ID
    assert _wanted(result.outs) == PROPS
    assert result.inputs == PROPS
    assert result.outs is not None
    assert result.outs["applied"] == state["applied"]
    assert list(seam.host.calls[-1].put) == []


# A section, a role of it, what stands in the host's state then in place of its line.
DRIFT = [
    ("routes", "ipv4", "ipv4 default via 203.0.113.9 dev wan0", "default via 203.0.113.9 dev wan0"),
    ("link", "wan0", "wan0 down", "wan0 down"),
    ("sysctls", "forwarding ipv4", "net.ipv4.ip_forward = 0", "net.ipv4.ip_forward = 0"),
    ("input_ipv4", "icmp", None, None),
    ("input_ipv6", "icmp 135 neighbour-solicitation", None, None),
    (
        "input_ipv4",
        "ssh 198.51.100.0/24",
        "-A WANBOUND-INPUT -s 198.51.100.0/25 -p tcp -m tcp --dport 2222 -j ACCEPT",
        "-A WANBOUND-INPUT -s 198.51.100.0/25 -p tcp -m tcp --dport 2222 -j ACCEPT",
    ),
    ("forward_ipv4", "strangers", None, None),
    ("forward_ipv6", "strangers", None, None),
]


@pytest.mark.parametrize(("section", "role", "there", "found"), DRIFT)
def test_a_refresh_shows_drift_and_an_update_mends_it(
    seam: _Seam,
    provider: HostBaseProvider,
    section: str,
    role: str,
    there: str | None,
    found: str | None,
) -> None:
    """By line, and again at a second refresh, whose state has what the first one found."""
    state = _stored(provider.create(PROPS).outs)
    line = f"ipv4 {PROPS[section][role]}" if section == "routes" else PROPS[section][role]
    # The lines of both families may read alike: the one that is meant is in its own section.
    part = {"forward_ipv6": "== ipv6 filter\n", "input_ipv6": "== ipv6 filter\n"}.get(section, "")
    instead = "" if there is None else f"{there}\n"

    def edit(text: str) -> str:
        head, mark, tail = text.partition(part) if part else ("", "", text)
        assert f"\n{line}\n" in tail
        return head + mark + tail.replace(f"\n{line}\n", f"\n{instead}", 1)

    seam.host.edit = edit
    for _ in range(2):
        read = provider.read(ID, state)
        assert _wanted(read.outs) == _changed(section, role, found)
        state = _stored(read.outs)
    difference = provider.diff(ID, state, PROPS)
    assert difference.changes is not False
    assert difference.replaces == []
    state = _stored(provider.update(ID, state, PROPS).outs)
    assert _wanted(provider.read(ID, state).outs) == PROPS


def test_a_fragment_that_vanished_has_no_id(seam: _Seam, provider: HostBaseProvider) -> None:
    """The engine drops it from the state then, and the next update creates it."""
    state = _stored(provider.create(PROPS).outs)
    seam.host.fragments = {"tst-web": WEB}
    result = provider.read(ID, state)
    assert result.id == ""
    assert not result.outs


FAILURE = HostError("edge-1", "cannot be reached", "unchanged", "see that the host is up")


def test_a_host_that_cannot_be_read_is_an_error_and_never_gone(
    seam: _Seam, provider: HostBaseProvider
) -> None:
    """A refresh over a broken line must not make the engine forget the resource."""
    provider.create(PROPS)
    seam.host.failures = lambda number: FAILURE
    with pytest.raises(HostError, match="host edge-1: cannot be reached"):
        provider.read(ID, _stored(PROPS))


@pytest.mark.parametrize("text", ["", "Last login: today\n", "== ipv4 nat\n"])
def test_an_answer_that_is_none_is_an_error_and_never_gone(
    seam: _Seam, provider: HostBaseProvider, text: str
) -> None:
    """The same for a host that says something else."""
    provider.create(PROPS)
    seam.host.edit = lambda _: text
    with pytest.raises(HostError, match=r"host edge-1: its state cannot be read") as caught:
        provider.read(ID, _stored(PROPS))
    assert "only read" in str(caught.value)


def test_a_failure_leaves_the_host_as_it_was(seam: _Seam, provider: HostBaseProvider) -> None:
    """And says what the host says; nothing is reported as done."""
    provider.create(PROPS)
    seam.host.failures = lambda number: FAILURE
    for call in (
        lambda: provider.create(PROPS),
        lambda: provider.update(ID, PROPS, _changed("link", "wan0", None)),
        lambda: provider.delete(ID, PROPS),
    ):
        with pytest.raises(HostError, match="cannot be reached"):
            call()
    assert seam.host.fragments == {BASE_NAME: FRAGMENT}


def test_a_diff_contacts_nothing_and_sees_every_line(
    seam: _Seam, provider: HostBaseProvider
) -> None:
    """A plain preview opens no connection; nothing but another host is another resource."""
    assert provider.diff(ID, _stored(PROPS), PROPS).changes is False
    for section in BASE_SECTIONS:
        for role in PROPS[section]:
            result = provider.diff(ID, _stored(PROPS), _changed(section, role, None))
            assert result.changes is not False
            assert result.replaces == []
    for news in (
        {**PROPS, "persist": None},
        {**PROPS, "host": {**PROPS["host"], "address": "192.0.2.77", "confirm_seconds": 60}},
    ):
        result = provider.diff(ID, _stored(PROPS), news)
        assert (result.changes, result.replaces) == (None, [])
    other = {**PROPS, "host": {**PROPS["host"], "name": "edge-2"}}
    assert provider.diff(ID, _stored(PROPS), other).replaces == ["host"]
    assert seam.targets == []


def test_the_provider_is_pickled_by_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of the code is no change of the state, and no code is in the state."""
    before = serialize_provider(HostBaseProvider())
    monkeypatch.setattr(HostBaseProvider, "update", lambda *_: None)
    assert serialize_provider(HostBaseProvider()) == before
    assert b"providers.host_base" in base64.b64decode(before)
    assert HostBaseProvider.serialize_as_secret_always is False
