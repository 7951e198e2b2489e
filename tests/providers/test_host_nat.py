"""One network's resource: what each call of the engine does, over a host that keeps its state."""

import base64
import copy
import json
import re
from typing import Any

import pytest
from pulumi.dynamic.dynamic import serialize_provider

from providers import host_nat
from providers.errors import HostError
from providers.fragment import SECTIONS
from providers.host import Combiner
from providers.host_nat import HostNatProvider
from providers.session import Target
from tests.providers.fake_host import FakeHost
from tests.providers.samples import samples

WEB, MAIL = (samples()[name] for name in ("tst-web", "tst-mail"))
ID = "edge-1/tst-web"
_OUTPUTS = ("applied", "was_taken_over")


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
    monkeypatch.setattr(host_nat, "host_at", found)
    return found


@pytest.fixture
def provider() -> HostNatProvider:
    """The provider, which has no state."""
    return HostNatProvider()


def _stored(props: dict[str, Any]) -> dict[str, Any]:
    """Return properties as the engine gives them back: sorted keys, floats, its own key."""
    found = json.loads(json.dumps(props, sort_keys=True))
    assert isinstance(found, dict)
    return {**found, "__provider": "gASV"}


def _without_applied(outs: dict[str, Any] | None) -> dict[str, Any]:
    """Return outputs without those that are no inputs: they are for the next refresh."""
    assert outs is not None
    return {name: value for name, value in outs.items() if name not in _OUTPUTS}


def _changed(props: dict[str, Any], section: str, role: str, line: str | None) -> dict[str, Any]:
    found = copy.deepcopy(props)
    if line is None:
        del found[section][role]
    else:
        found[section][role] = line
    return found


def test_create_puts_the_fragment(seam: _Seam, provider: HostNatProvider) -> None:
    """And gives back the properties as they came, under an id that people can read."""
    result = provider.create(WEB.props)
    assert result.id == ID
    assert _without_applied(result.outs) == WEB.props
    assert seam.host.fragments == {"tst-web": WEB.fragment}
    assert [list(call.put) for call in seam.host.calls if call.put] == [["tst-web"]]


@pytest.mark.parametrize(
    ("label", "words"),
    [("-", "already, made by hand"), ("other/tst-web", "made for other/tst-web")],
)
def test_create_refuses_a_docker_network_that_is_not_ours(
    seam: _Seam, provider: HostNatProvider, label: str, words: str
) -> None:
    """Rules for ours would cut it off, and Docker would refuse ours: nothing is changed."""
    theirs = f"tst-web {7:064x} {label} app"
    seam.host.edit = lambda text: text.replace("== docker\n", f"== docker\n{theirs}\n")
    with pytest.raises(HostError, match=words) as caught:
        provider.create(WEB.props)
    assert "unchanged" in str(caught.value)
    assert "adopt: true" in str(caught.value)
    assert seam.host.fragments == {}
    taken = provider.create({**WEB.props, "taken_over": f"{7:064x}"})
    assert (taken.outs or {})["was_taken_over"] == f"{7:064x}"
    assert seam.host.fragments == {"tst-web": WEB.fragment}


def test_what_was_taken_over_stays_so_without_the_key(
    seam: _Seam, provider: HostNatProvider
) -> None:
    """One update that forgets the input; its network is known all the same, and is no drift."""
    theirs = f"tst-web {7:064x} - app"

    def read(outs: dict[str, Any]) -> dict[str, Any]:
        # A change makes the fake forget what was edited.
        seam.host.edit = lambda text: re.sub(r"\ntst-web \w{64} .*", f"\n{theirs}", text)
        return provider.read(ID, outs).inputs or {}

    taken = {**WEB.props, "taken_over": f"{7:064x}"}
    outs = provider.create(taken).outs or {}
    assert provider.diff(ID, outs, taken).changes is False
    assert read(outs) == taken
    assert provider.diff(ID, outs, WEB.props).changes is None
    outs = provider.update(ID, outs, WEB.props).outs or {}
    assert provider.diff(ID, outs, WEB.props).changes is False
    assert read(outs) == WEB.props
    assert "docker" in read({**outs, "was_taken_over": f"{8:064x}"})
    assert seam.host.renewed == []


def test_create_adopts_what_is_there(seam: _Seam, provider: HostNatProvider) -> None:
    """The same lines from another life: no error, and the same result."""
    seam.host.fragments = {"tst-web": WEB.fragment, "tst-mail": MAIL.fragment}
    assert _without_applied(provider.create(WEB.props).outs) == WEB.props
    assert seam.host.fragments == {"tst-web": WEB.fragment, "tst-mail": MAIL.fragment}


def test_numbers_come_back_as_floats(seam: _Seam, provider: HostNatProvider) -> None:
    """The port of a target is a whole number all the same, or there were two hosts."""
    provider.create(WEB.props)
    props = copy.deepcopy(WEB.props)
    props["host"] |= {"port": 2222, "host_key": "ssh-ed25519 AAAA"}
    provider.create(props)
    assert list(dict.fromkeys(seam.targets)) == [
        Target("edge-1", "192.0.2.1", 22, "root", None),
        Target("edge-1", "192.0.2.1", 2222, "root", "ssh-ed25519 AAAA"),
    ]
    assert all(isinstance(target.port, int) for target in seam.targets)


def test_no_key_of_the_engines_own_gets_into_the_outputs(
    seam: _Seam, provider: HostNatProvider
) -> None:
    """`__provider` is in what comes, never in what goes back."""
    assert _without_applied(provider.create(_stored(WEB.props)).outs) == WEB.props
    update = provider.update(ID, _stored(WEB.props), _stored(WEB.props))
    assert _without_applied(update.outs) == WEB.props
    outs = provider.read(ID, _stored(WEB.props)).outs
    assert _without_applied(outs) == WEB.props


def test_update_replaces_the_fragment(seam: _Seam, provider: HostNatProvider) -> None:
    """One call, whatever changed; another network's fragment is not touched."""
    provider.create(WEB.props)
    provider.create(MAIL.props)
    news = _changed(WEB.props, "nat_ipv4", "ingress tcp", None)
    result = provider.update(ID, _stored(WEB.props), news)
    assert _without_applied(result.outs) == news
    assert "ipv4 nat -A WANBOUND-DNAT" not in seam.host.fragments["tst-web"]
    assert seam.host.fragments["tst-mail"] == MAIL.fragment
    assert len([call for call in seam.host.calls if call.put]) == 3


def test_doing_it_twice_changes_nothing(seam: _Seam, provider: HostNatProvider) -> None:
    """Create and update are the same step, and it can be repeated."""
    for _ in range(2):
        provider.create(WEB.props)
        provider.update(ID, WEB.props, WEB.props)
    assert seam.host.fragments == {"tst-web": WEB.fragment}
    assert _without_applied(provider.read(ID, WEB.props).outs) == WEB.props


def test_delete_removes_exactly_its_own(seam: _Seam, provider: HostNatProvider) -> None:
    """Deleting what is gone already is no error: a run that was cut short can be repeated."""
    provider.create(WEB.props)
    provider.create(MAIL.props)
    for _ in range(2):
        provider.delete(ID, _stored(WEB.props))
        assert seam.host.fragments == {"tst-mail": MAIL.fragment}


def test_read_gives_what_is_there(seam: _Seam, provider: HostNatProvider) -> None:
    """Properties and inputs alike, so that a refresh shows drift and the next update mends it."""
    provider.create(WEB.props)
    result = provider.read(ID, _stored(WEB.props))
    assert result.id == ID
    assert _without_applied(result.outs) == WEB.props
    assert result.inputs == WEB.props
    assert list(seam.host.calls[-1].put) == []


def test_a_refresh_shows_drift_and_an_update_mends_it(
    seam: _Seam, provider: HostNatProvider
) -> None:
    """Line by line: what is read differs from what is wanted in the role that was edited."""
    provider.create(WEB.props)
    egress = WEB.rules["nat_ipv4"]["egress"]
    edited = egress.replace("--to-source 203.0.113.61", "--to-source 203.0.113.9")
    seam.host.edit = lambda text: text.replace(f"\n{egress}\n", f"\n{edited}\n")
    read = provider.read(ID, _stored(WEB.props))
    assert _without_applied(read.outs) == _changed(WEB.props, "nat_ipv4", "egress", edited)
    difference = provider.diff(ID, _stored(read.outs or {}), WEB.props)
    assert difference.changes is not False
    assert difference.replaces == []
    provider.update(ID, _stored(read.outs or {}), WEB.props)
    assert _without_applied(provider.read(ID, _stored(WEB.props)).outs) == WEB.props


def test_a_network_that_vanished_has_no_id(seam: _Seam, provider: HostNatProvider) -> None:
    """The engine drops it from the state then, and the next update creates it."""
    provider.create(MAIL.props)
    result = provider.read(ID, _stored(WEB.props))
    assert result.id == ""
    assert not result.outs


def test_after_an_update_from_outside_read_knows_the_new_lines(
    seam: _Seam, provider: HostNatProvider
) -> None:
    """What another run applied is drift from what this state says, by line."""
    other = _changed(WEB.props, "nat_ipv6", "hairpin", None)
    provider.create(other)
    read = provider.read(ID, _stored(WEB.props))
    assert read.id == ID
    assert read.outs is not None
    assert read.outs["nat_ipv6"] == other["nat_ipv6"]
    assert read.outs["addresses"]["drift file"] == "/etc/wanbound/tst-web.rules was edited"


FAILURE = HostError("edge-1", "cannot be reached", "unchanged", "see that the host is up")


def test_a_transport_that_fails_is_an_error_and_never_gone(
    seam: _Seam, provider: HostNatProvider
) -> None:
    """A refresh over a broken line must not make the engine forget the resource."""
    provider.create(WEB.props)
    seam.host.failures = lambda number: FAILURE
    with pytest.raises(HostError, match="host edge-1, network tst-web: cannot be reached"):
        provider.read(ID, _stored(WEB.props))


@pytest.mark.parametrize("text", ["", "Last login: today\n", "== ipv4 nat\n"])
def test_an_answer_that_is_none_is_an_error_and_never_gone(
    seam: _Seam, provider: HostNatProvider, text: str
) -> None:
    """The same for a host that says something else."""
    provider.create(WEB.props)
    seam.host.edit = lambda _: text
    with pytest.raises(HostError, match=r"network tst-web: its state cannot be read") as caught:
        provider.read(ID, _stored(WEB.props))
    assert "only read" in str(caught.value)


def test_every_failure_names_host_and_network(seam: _Seam, provider: HostNatProvider) -> None:
    """Create, update and delete; what the host says is in it, and the host is as it was."""
    provider.create(WEB.props)
    seam.host.failures = lambda number: FAILURE
    for call in (
        lambda: provider.create(MAIL.props),
        lambda: provider.update("edge-1/tst-mail", MAIL.props, MAIL.props),
        lambda: provider.delete("edge-1/tst-mail", MAIL.props),
    ):
        with pytest.raises(HostError) as caught:
            call()
        assert str(caught.value) == (
            "host edge-1, network tst-mail: cannot be reached\n"
            "  The host now: unchanged\n"
            "  To mend it: see that the host is up"
        )
    assert seam.host.fragments == {"tst-web": WEB.fragment}


def test_a_diff_contacts_nothing(seam: _Seam, provider: HostNatProvider) -> None:
    """A plain preview opens no connection to any host."""
    seam.host.failures = lambda number: AssertionError("contacted")
    assert provider.diff(ID, _stored(WEB.props), WEB.props).changes is False
    for section in SECTIONS:
        for role in WEB.rules[section]:
            news = _changed(WEB.props, section, role, None)
            assert provider.diff(ID, _stored(WEB.props), news).changes is not False
    assert seam.targets == []
    assert seam.host.calls == []


def test_what_only_changes_is_not_replaced(provider: HostNatProvider) -> None:
    """Addresses, ports, the way to the host: one update, with nothing taken away first."""
    public = json.loads(
        json.dumps(WEB.props).replace("203.0.113.61", "203.0.113.99").replace("::61", "::99")
    )
    way = copy.deepcopy(WEB.props)
    way["host"] |= {"address": "192.0.2.77", "port": 2222, "user": "admin", "host_key": "x y"}
    ports = _changed(WEB.props, "nat_ipv4", "ingress tcp", None)
    unguarded = {**WEB.props, "guard": {}}
    for news in (public, way, ports, unguarded):
        result = provider.diff(ID, _stored(WEB.props), news)
        assert result.changes is not False
        assert result.replaces == []


def test_another_docker_network_means_another_resource(provider: HostNatProvider) -> None:
    """Another bridge, subnet, name or host: the old one goes, with all that depends on it, first.

    A family that comes or goes is another subnet, too: Docker cannot change a network either.
    """
    text = json.dumps(WEB.props)
    subnet = json.loads(text.replace("172.29.11.0/24", "172.29.99.0/24"))
    subnet6 = json.loads(text.replace("77f0:11::/64", "77f0:99::/64"))
    bridge = json.loads(text.replace('"bridge": "tst-web"', '"bridge": "other"'))
    one_family = {**WEB.props, "subnets": ["172.29.11.0/24"], "nat_ipv6": {}, "forward_ipv6": {}}
    name = {**WEB.props, "network": "other"}
    host = {**WEB.props, "host": {**WEB.props["host"], "name": "edge-2"}}
    for news, wanted in (
        (subnet, "subnets"),
        (subnet6, "subnets"),
        (bridge, "bridge"),
        (one_family, "subnets"),
        (name, "network"),
        (host, "host"),
    ):
        result = provider.diff(ID, _stored(WEB.props), news)
        assert result.changes is not False
        assert result.replaces == [wanted]
        assert result.delete_before_replace


def test_drift_alone_never_replaces(provider: HostNatProvider) -> None:
    """What a refresh found is mended in place: the network's containers keep running."""
    flushed = {**WEB.props, **{section: {} for section in SECTIONS}}
    assert provider.diff(ID, _stored(flushed), WEB.props).replaces == []
    for section in ("nat_ipv4", "nat_ipv6"):
        for line in (None, WEB.rules[section]["egress"].replace("--to-source 2", "--to-source 3")):
            olds = _changed(WEB.props, section, "egress", line)
            assert provider.diff(ID, _stored(olds), WEB.props).replaces == []


def test_the_provider_is_pickled_by_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of the code is no change of the state, and no code is in the state."""
    before = serialize_provider(HostNatProvider())
    monkeypatch.setattr(HostNatProvider, "update", lambda *_: None)
    monkeypatch.setattr(HostNatProvider, "added", lambda *_: None, raising=False)
    assert serialize_provider(HostNatProvider()) == before
    raw = base64.b64decode(before)
    assert b"HostNatProvider" in raw
    assert b"providers.host_nat" in raw
    assert len(raw) < 200


def test_the_provider_is_no_secret(provider: HostNatProvider) -> None:
    """A secret `__provider` would make noise in every diff."""
    assert provider.serialize_as_secret_always is False
    assert vars(provider) == {}
