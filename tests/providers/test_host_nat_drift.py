"""What refreshes find and updates mend, over a host that somebody changes by hand in between."""

import copy
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from providers import host_nat
from providers.applied import recall, remember
from providers.errors import HostError
from providers.fragment import digest
from providers.host import Combiner
from providers.host_nat import HostNatProvider
from providers.installed import installed
from providers.target import Target
from tests.providers.fake_host import FakeHost
from tests.providers.samples import samples

WEB = samples()["tst-web"]
ID = "edge-1/tst-web"
LABEL = ID
EGRESS = WEB.rules["nat_ipv4"]["egress"]

provider = HostNatProvider()


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    """The host behind the provider."""
    fake = FakeHost()
    combiner = Combiner(fake)

    def host_at(_: Target) -> Combiner:
        return combiner

    monkeypatch.setattr(host_nat, "host_at", host_at)
    return fake


def _stored(props: dict[str, Any] | None) -> dict[str, Any]:
    """Return properties as the engine gives them back: sorted keys, floats."""
    found = json.loads(json.dumps(props, sort_keys=True))
    assert isinstance(found, dict)
    return found


def _created(**more: str) -> dict[str, Any]:
    return _stored(provider.create({**WEB.props, **more}).outs)


def _refreshed(state: dict[str, Any]) -> dict[str, Any]:
    """Return the state after a refresh; its inputs are a part of it."""
    read = provider.read(ID, state)
    assert read.id == ID
    assert read.inputs is not None
    assert read.outs is not None
    assert read.inputs.items() <= read.outs.items()
    return _stored(read.outs)


def _drift(state: dict[str, Any]) -> dict[str, Any]:
    """Return what differs from what is wanted, and would be shown and mended."""
    differs = {
        name: state.get(name)
        for name in {*WEB.props, *state} - {"applied", "was_taken_over"}
        if state.get(name) != _stored(WEB.props).get(name)
    }
    assert (provider.diff(ID, state, WEB.props).changes is False) == (differs == {})
    return differs


def _flushed(text: str) -> str:
    return re.sub(r"(== ipv4 nat\n).*?(?=== )", r"\1", text, flags=re.DOTALL)


def _without_egress(text: str) -> str:
    return text.replace(f"\n{EGRESS}\n", "\n", 1)


def _edited(text: str) -> str:
    return text.replace(f"\n{EGRESS}\n", f"\n{EGRESS[:-1]}\n", 1)


def _doubled(text: str) -> str:
    return text.replace(f"\n{EGRESS}\n", f"\n{EGRESS}\n{EGRESS}\n", 1)


def _file_edited(text: str) -> str:
    return text.replace("claim bridge tst-web\n", "claim bridge tst-web\n# by hand\n")


def _both(text: str) -> str:
    return _file_edited(_flushed(text))


EDITS = (_flushed, _without_egress, _edited, _doubled, _file_edited, _both)


@pytest.mark.parametrize("edit", EDITS)
def test_every_refresh_shows_the_same(host: FakeHost, edit: Callable[[str], str]) -> None:
    """However many there are before the next `up`: what was applied counts, not what was found."""
    state = _created()
    assert _drift(_refreshed(state)) == {}
    host.edit = edit
    first = _refreshed(state)
    assert _drift(first) != {}
    second = _refreshed(first)
    assert second == first
    assert _refreshed(second) == first
    host.edit = lambda text: text
    assert _drift(_refreshed(second)) == {}, "what somebody mended by hand is no drift any more"


@pytest.mark.parametrize("edit", EDITS)
def test_an_update_after_two_refreshes_mends_it(host: FakeHost, edit: Callable[[str], str]) -> None:
    """And what is applied then is what the next refresh is held against."""
    state = _created()
    host.edit = edit
    state = _refreshed(_refreshed(state))
    state = _stored(provider.update(ID, state, WEB.props).outs)
    assert host.calls[-1].put == {"tst-web": WEB.fragment}
    assert _drift(_refreshed(state)) == {}


def test_what_an_update_applied_counts(host: FakeHost) -> None:
    """Not what the resource was created with."""
    state = _created()
    news = copy.deepcopy(WEB.props)
    del news["nat_ipv4"]["ingress tcp"]
    state = _refreshed(_stored(provider.update(ID, state, news).outs))
    assert "ingress tcp" not in state["nat_ipv4"]
    host.edit = _flushed
    state = _refreshed(_refreshed(state))
    chains = ("PREROUTING", "OUTPUT", "POSTROUTING")
    assert set(state["nat_ipv4"]) == {f"drift jump {chain}" for chain in chains}


def test_a_state_of_an_earlier_version(host: FakeHost) -> None:
    """It has the digest of the file alone, or not even that: then the state is what was applied."""
    state = _created()
    for applied in (state["applied"].split()[0], ""):
        old = {**state, "applied": applied}
        del old["was_taken_over"], old["installed"]
        host.edit = lambda text: text
        found = _refreshed(old)
        assert _drift(found) == {"installed": {"script": installed()["script"]}}
        host.edit = _without_egress
        assert "egress" not in _refreshed(found)["nat_ipv4"]


def test_the_output_is_a_short_word() -> None:
    """`up` shows outputs: it must not show every line again."""
    lines = {name: WEB.props[name] for name in (*WEB.rules, "installed")}
    applied = remember(WEB.fragment, lines)
    assert "\n" not in applied
    assert len(applied) < 1500
    assert recall(applied) == (digest(WEB.fragment), lines)
    assert recall("abc") == ("abc", None)
    assert recall("") == (None, None)


# --- what is installed ---------------------------------------------------------------------------


def test_a_unit_that_was_disabled(host: FakeHost) -> None:
    """It is shown, and the fragment is put again: that writes the units, too."""
    state = _created()
    unit = "wanbound.service"
    host.edit = lambda text: text.replace(f"\n{unit} enabled", f"\n{unit} disabled")
    state = _refreshed(state)
    assert _drift(state) == {"installed": {**installed(), unit: "disabled"}}
    state = _stored(provider.update(ID, state, WEB.props).outs)
    assert host.calls[-1].put == {"tst-web": WEB.fragment}
    assert _drift(_refreshed(state)) == {}


def test_another_version_of_the_script_is_a_change(host: FakeHost) -> None:
    """In the preview already: the next `up` brings it."""
    state = _created()
    state["installed"]["script"] = "/usr/local/sbin/wanbound 0123456789ab"
    assert provider.diff(ID, state, WEB.props).changes is not False
    assert provider.diff(ID, state, WEB.props).replaces == []
    assert host.calls[-1].put != {}


# --- the Docker network --------------------------------------------------------------------------


def _by_hand(text: str) -> str:
    return text.replace(f" {LABEL} -", " - -")


def test_a_network_made_by_hand_goes_before_ours_is_made_anew(host: FakeHost) -> None:
    """The drift is there as long as it is; the update has it removed, then puts the fragment."""
    state = _created()
    host.edit = _by_hand
    state = _refreshed(_refreshed(state))
    said = f"Docker network tst-web was made by hand (no label wanbound={LABEL})"
    assert _drift(state) == {"docker": {"drift network": said}}
    state = _stored(provider.update(ID, state, WEB.props).outs)
    assert host.renewed == [("tst-web", LABEL)]
    assert "docker" not in state
    assert _drift(_refreshed(state)) == {}


def test_a_bridge_that_was_renamed_takes_no_network_away(host: FakeHost) -> None:
    """Putting the fragment gives it its name again."""
    state = _created()
    host.edit = lambda text: text.replace("\ntst-web up\n", "\nfoo up\n")
    state = _refreshed(state)
    assert _drift(state) == {"docker": {"drift bridge": "bridge tst-web is gone"}}
    provider.update(ID, state, WEB.props)
    assert host.renewed == []
    assert host.calls[-1].put == {"tst-web": WEB.fragment}


def test_a_network_that_others_use_stays(host: FakeHost) -> None:
    """The host refuses; nothing is put then, and the error says whose it is."""
    state = _created()
    host.edit = _by_hand
    state = _refreshed(state)
    host.failures = lambda number: HostError("edge-1", "containers of others", "as it was", "stop")
    with pytest.raises(HostError, match="host edge-1, network tst-web: containers of others"):
        provider.update(ID, state, WEB.props)
    assert host.calls[-1].put == {}


_ID = f"{1:064x}"
"""The id that the fake host's Docker gives to its first network."""


def test_a_network_that_was_taken_over_stays_so(host: FakeHost) -> None:
    """Without a label, with the key `adopt` and after it has gone; made anew it is another."""
    state = _created(taken_over=_ID)
    host.edit = _by_hand
    state = _refreshed(state)
    assert "docker" not in state
    assert provider.diff(ID, state, {**WEB.props, "taken_over": _ID}).changes is False
    state = _refreshed(_stored(provider.update(ID, state, WEB.props).outs))
    assert "docker" not in state
    host.edit = lambda text: _by_hand(text).replace(_ID, "f" * 64)
    assert set(_refreshed(state)["docker"]) == {"drift network"}


def test_a_network_is_taken_over_again(host: FakeHost) -> None:
    """With the key still there, one that was made anew by hand is taken over, not removed."""
    state = _created(taken_over="e" * 64)
    host.edit = _by_hand
    state = _refreshed(state)
    assert "docker" in state
    news = {**WEB.props, "taken_over": _ID}
    assert provider.diff(ID, state, news).changes is not False
    state = _stored(provider.update(ID, state, news).outs)
    assert host.renewed == []
    host.edit = _by_hand
    assert "docker" not in _refreshed(state)


def test_a_network_of_an_earlier_version_is_ours(host: FakeHost) -> None:
    """Networks had no label then: the first refresh takes it for what it is."""
    state = _created()
    del state["was_taken_over"]
    host.edit = _by_hand
    state = _stored(provider.update(ID, state, WEB.props).outs)
    assert "was_taken_over" not in state
    host.edit = _by_hand
    state = _refreshed(state)
    assert "docker" not in state
    assert state["was_taken_over"] == _ID
    assert "docker" not in _refreshed(state)
