"""A host behind the provider, as Pulumi's engine uses it: up, refresh, destroy."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from providers.host import resource
from providers.host.plan import Plan
from providers.host.resource import HostNetworkingProvider
from providers.ssh.target import Target
from tests.providers.fake_remote import FakeRemote
from tests.providers.samples import HOST, plan, props, stored

PROVIDER = HostNetworkingProvider()

Drift = dict[str, str | None]
"""`NETWORK SECTION ROLE` (the host's own: `own …`) → the line that is there; KEY → words."""


class Site:
    """One host; `state` is the resource in the engine's state, `targets` the hosts contacted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.remote = FakeRemote(HOST)
        self.targets: list[Target] = []
        self.state: dict[str, Any] = {}

        def remote_at(target: Target) -> FakeRemote:
            self.targets.append(target)
            return self.remote

        monkeypatch.setattr(resource, "remote_at", remote_at)

    def up(self, wanted: Plan | None = None, **more: object) -> None:
        """Create or update the resource, then let Docker create the missing networks."""
        self.apply(wanted, **more)
        there = {each["Name"] for each in self.remote.networks}
        whole = plan() if wanted is None else wanted
        missing = {name: each for name, each in whole.networks.items() if name not in there}
        self.remote.make_networks(Plan("", "", missing))

    def apply(self, wanted: Plan | None = None, **more: object) -> None:
        """Create or update only the resource."""
        news = props(wanted, **more)
        if self.state:
            assert not PROVIDER.diff(HOST, self.state, news).replaces
            outs = PROVIDER.update(HOST, self.state, news).outs
        else:
            result = PROVIDER.create(news)
            assert result.id == HOST
            outs = result.outs
        assert outs is not None
        assert outs.keys() == {*news, "version"}
        self.state = stored(outs)

    def refresh(self) -> dict[str, Any]:
        """Read the resource; return its properties, which are the new state."""
        result = PROVIDER.read(HOST, self.state)
        assert result.id == HOST
        assert result.inputs is not None
        assert result.outs is not None
        assert result.outs.keys() - result.inputs.keys() <= {"version"}
        assert result.inputs.items() <= result.outs.items()
        self.state = stored(result.outs)
        return self.state

    def destroy(self) -> None:
        """Delete the resource."""
        PROVIDER.delete(HOST, self.state)
        self.state = {}

    def drift(self, wanted: Plan | None = None) -> Drift:
        """Refresh; return the differences from the plan. A second refresh must find the same."""
        first = self.refresh()
        assert self.refresh() == first
        return difference(props(wanted), first)

    def after(self, edit: Callable[[], object]) -> Drift:
        """Return the drift after a manual change of the host."""
        assert self.drift() == {}
        edit()
        return self.drift()


def difference(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> Drift:
    """Return the differences by line; PROVIDER.diff must agree on whether there are any."""
    result: Drift = dict(found.get("drift", {}))
    for where, before, now in _sections(wanted, found):
        for role in before.keys() | now.keys():
            if before.get(role) != now.get(role):
                result[f"{where} {role}"] = now.get(role)
    same = PROVIDER.diff(HOST, dict(found), dict(wanted)).changes is False
    assert same == (result == {}), result
    return result


def _sections(
    wanted: Mapping[str, Any], found: Mapping[str, Any]
) -> list[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    pairs = [("installed", wanted["installed"], found["installed"])]
    parts = [("own", wanted.get("own", {}), found.get("own", {}))]
    for name in wanted["networks"].keys() | found["networks"].keys():
        parts.append((name, wanted["networks"].get(name, {}), found["networks"].get(name, {})))
    for name, before, now in parts:
        for section in before.keys() | now.keys():
            pairs.append((f"{name} {section}", before.get(section, {}), now.get(section, {})))
    return pairs
