"""The docker stand-in, called as the CLI calls it, with an Engine in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from pulumi.provider.experimental import provider as sdk

from lab.plugins.docker.provider import DockerProvider
from lab.plugins.serve import EngineLog
from lab.plugins.values import (
    UNKNOWN,
    Plain,
    PluginError,
    Properties,
    boxed_all,
    objects,
    plain_all,
)
from tests.lab_plugins.fake_engine import IMAGE_ID, FakeEngine

T = TypeVar("T")
NETWORK: Properties = {
    "name": "web",
    "ipv6": True,
    "ipamConfigs": [{"subnet": "fd00:1::/64"}, {"subnet": "172.20.0.0/24"}],
    "options": {"com.docker.network.bridge.name": "web"},
    "labels": [{"label": "b", "value": "2"}, {"label": "a", "value": "1"}],
}
CONTAINER: Properties = {
    "name": "lb",
    "image": "web:1",
    "envs": ["B=2", "A=1"],
    "networksAdvanced": [{"name": "web", "ipv4Address": "172.20.0.254"}],
    "restart": "unless-stopped",
}


def now(call: Coroutine[Any, Any, T]) -> T:
    """Run one call of the provider to its end."""
    return asyncio.run(call)


class Cli:
    """The CLI's calls for one resource of a program."""

    def __init__(self, engine: FakeEngine, kind: str) -> None:
        self.provider = DockerProvider(EngineLog(""), engine)
        name = {"Network": "network", "Container": "container", "Volume": "volume"}
        module = name.get(kind, "remoteImage")
        # A component is its parent, as for the resources of the program.
        self.urn = f"urn:pulumi:s::p::wanbound:index:Host$docker:index/{module}:{kind}::it"
        self.identity = ""
        self.inputs: Properties = {}
        self.state: Properties = {}

    def check(self, inputs: Properties) -> Properties:
        """Return the inputs with defaults; a failure fails the test."""
        request = sdk.CheckRequest(self.urn, boxed_all(self.inputs), boxed_all(inputs), b"seed")
        answer = now(self.provider.check(request))
        assert not answer.failures, [(f.property, f.reason) for f in answer.failures]
        return plain_all(answer.inputs or {})

    def diff(self, inputs: Properties, *ignored: str) -> sdk.DiffResponse:
        """Compare with the state; `ignored` are the resource's ignoreChanges."""
        news = boxed_all(self.check(inputs))
        request = sdk.DiffRequest(self.urn, self.identity, boxed_all(self.state), news, [*ignored])
        return now(self.provider.diff(request))

    def create(self, inputs: Properties, *, preview: bool = False) -> None:
        """Create it."""
        self.inputs = self.check(inputs)
        request = sdk.CreateRequest(self.urn, boxed_all(self.inputs), 0, preview)
        answer = now(self.provider.create(request))
        self.identity, self.state = answer.resource_id or "", plain_all(answer.properties)

    def refresh(self) -> bool:
        """Read it; return whether it still exists."""
        request = sdk.ReadRequest(
            self.urn, self.identity, boxed_all(self.state), boxed_all(self.inputs)
        )
        answer = now(self.provider.read(request))
        if answer.resource_id:
            self.state, self.inputs = plain_all(answer.properties), plain_all(answer.inputs)
        return bool(answer.resource_id)

    def update(self, inputs: Properties) -> None:
        """Update it in place."""
        self.inputs = self.check(inputs)
        olds, news = boxed_all(self.state), boxed_all(self.inputs)
        request = sdk.UpdateRequest(self.urn, self.identity, olds, news, 0, [], False)
        self.state = plain_all(now(self.provider.update(request)).properties)

    def delete(self) -> None:
        """Delete it."""
        now(
            self.provider.delete(
                sdk.DeleteRequest(self.urn, self.identity, boxed_all(self.state), 0)
            )
        )


@pytest.fixture
def engine() -> FakeEngine:
    """Return an empty Engine."""
    return FakeEngine()


@pytest.mark.parametrize(
    ("kind", "inputs"),
    [
        ("Network", NETWORK),
        ("Network", {}),
        ("Container", CONTAINER),
        ("Container", {"image": IMAGE_ID, "networkMode": "none"}),
        ("Volume", {"name": "data"}),
        ("RemoteImage", {"name": "web:1", "keepLocally": True}),
    ],
)
def test_nothing_changes_after_a_create(engine: FakeEngine, kind: str, inputs: Properties) -> None:
    """Neither a preview nor a refresh right after `up` finds a change."""
    engine.images[IMAGE_ID] = {"Id": IMAGE_ID}
    cli = Cli(engine, kind)
    cli.create(inputs)
    created, given = dict(cli.state), dict(cli.inputs)
    assert not cli.diff(inputs).changes
    assert cli.refresh()
    if kind == "Network":
        # The first refresh adds empty maps, the next one nothing.
        assert cli.state.pop("ipamOptions") == {}
        assert all(config.pop("auxAddress") == {} for config in objects(cli.state, "ipamConfigs"))
        assert cli.state == created
        assert cli.refresh()
        created = dict(cli.state)
        assert cli.refresh()
    assert (cli.state, cli.inputs) == (created, given)
    assert not cli.diff(inputs).changes
    cli.delete()
    assert kind == "RemoteImage" or not cli.refresh()
    cli.delete()


def test_previews_ask_no_engine(engine: FakeEngine) -> None:
    """A preview works while the host is down."""
    engine.broken = True
    for kind, inputs in (("Network", NETWORK), ("Container", CONTAINER)):
        cli = Cli(engine, kind)
        cli.create(inputs, preview=True)
        assert cli.identity == ""
        assert UNKNOWN in cli.state.values()
        cli.diff(inputs)
    assert engine.calls == []


@pytest.mark.parametrize("kind", ["Network", "Container"])
def test_an_unreachable_host_is_an_error_and_nothing_is_gone(engine: FakeEngine, kind: str) -> None:
    """The first call of a run finds it out."""
    cli = Cli(engine, kind)
    cli.create(NETWORK if kind == "Network" else CONTAINER)
    engine.broken, engine.reached = True, False
    with pytest.raises(PluginError, match="cannot reach"):
        cli.refresh()
    with pytest.raises(PluginError, match="cannot reach"):
        cli.delete()


@pytest.mark.parametrize("failure", ["broken", "refused"])
def test_an_engine_that_fails_in_between_makes_a_network_look_gone(
    engine: FakeEngine, failure: str
) -> None:
    """For a refresh, and for a removal, which keeps it; a container never counts as gone."""
    network, container = Cli(engine, "Network"), Cli(engine, "Container")
    network.create(NETWORK)
    container.create(CONTAINER)
    engine.broken = failure == "broken"
    engine.refuse = {"GET /": "the daemon is shutting down", "POST /": "the same"}
    assert not network.refresh()
    network.delete()
    assert list(engine.networks) == [network.identity]
    with pytest.raises(PluginError):
        container.refresh()
    with pytest.raises(PluginError):
        container.delete()


def test_a_network_that_the_engine_keeps_is_no_success(engine: FakeEngine) -> None:
    """An error of the removal itself is reported."""
    cli = Cli(engine, "Network")
    cli.create(NETWORK)
    engine.refuse["DELETE"] = "no such luck"
    with pytest.raises(PluginError, match=r"unable to remove network web on .*no such luck"):
        cli.delete()


def test_a_container_is_connected_before_it_is_started(engine: FakeEngine) -> None:
    """No packet leaves before the fixed addresses are set."""
    cli = Cli(engine, "Container")
    cli.create(CONTAINER)
    posts = [call for call in engine.calls if call.startswith(("POST", "PULL"))]
    path = f"/containers/{cli.identity}"
    assert posts == [
        "PULL web:1",
        "POST /containers/create",
        "POST /networks/bridge/disconnect",
        "POST /networks/web/connect",
        f"POST {path}/start",
    ]
    assert cli.state["networkDatas"] == [
        {
            "gateway": "172.20.0.1",
            "globalIpv6Address": "",
            "globalIpv6PrefixLength": 64,
            "ipAddress": "172.20.0.254",
            "ipPrefixLength": 24,
            "ipv6Gateway": "fd00::1",
            "macAddress": "02:42:ac:14:00:0a",
            "networkName": "web",
        }
    ]


def test_a_new_network_replaces_its_containers(engine: FakeEngine) -> None:
    """By the network's id, which Docker accepts like the name; neither is ever read back."""
    network, container = Cli(engine, "Network"), Cli(engine, "Container")
    network.create(NETWORK)
    member: Properties = {"name": network.identity, "ipv4Address": "172.20.0.254"}
    inputs: Properties = {**CONTAINER, "networksAdvanced": [member]}
    container.create(inputs)
    assert f"POST /networks/{network.identity}/connect" in engine.calls
    assert [each["networkName"] for each in objects(container.state, "networkDatas")] == ["web"]
    assert container.refresh()
    assert not container.diff(inputs).changes
    found = container.diff({**inputs, "networksAdvanced": [{**member, "name": "net9"}]})
    assert found.replaces == ["networksAdvanced"]
    assert found.delete_before_replace


def test_a_network_is_imported_by_its_id(engine: FakeEngine) -> None:
    """Every input is read, so that an equal definition is not a change."""
    made = Cli(engine, "Network")
    made.create({**NETWORK, "labels": []})
    taken = Cli(engine, "Network")
    taken.identity = made.identity
    assert taken.refresh()
    assert taken.diff({**NETWORK, "labels": []}).changes is False
    assert taken.diff(NETWORK).replaces == ["labels"]
    assert taken.diff({**NETWORK, "labels": [], "attachable": True}).replaces == ["attachable"]
    taken.identity = "net9"
    assert not taken.refresh()


@pytest.mark.parametrize("call", ["/connect", "/start"])
def test_a_container_that_cannot_start_is_removed_again(engine: FakeEngine, call: str) -> None:
    """The error has the Engine's reason, and says that the host is unchanged."""
    engine.refuse[call] = "no such thing"
    cli = Cli(engine, "Container")
    with pytest.raises(PluginError, match=r"lb on ssh://fake: .*no such thing.* as it was"):
        cli.create(CONTAINER)
    assert engine.containers == {}


def test_an_image_that_cannot_be_pulled_leaves_nothing(engine: FakeEngine) -> None:
    """The error has the registry's reason and the host's name."""
    cli = Cli(engine, "Container")
    with pytest.raises(PluginError, match=r"nothere:1: no such manifest \(on ssh://fake\)"):
        cli.create({**CONTAINER, "image": "nothere:1"})
    assert engine.containers == {}


def test_a_stopped_container_shows_and_is_started_again(engine: FakeEngine) -> None:
    """With mustRun, a manually stopped container is drift, and an update in place starts it."""
    cli = Cli(engine, "Container")
    cli.create(CONTAINER)
    engine.containers[cli.identity]["State"]["Running"] = False
    cli.refresh()
    found = cli.diff(CONTAINER)
    assert found.diffs == ["mustRun"]
    assert found.replaces == []
    cli.update(CONTAINER)
    assert engine.containers[cli.identity]["State"]["Running"]
    assert not cli.diff(CONTAINER).changes


def test_what_daemon_json_gives_replaces_a_container_unless_it_is_ignored(
    engine: FakeEngine,
) -> None:
    """The official plugin reads it back, and the program does not have it."""
    cli = Cli(engine, "Container")
    cli.create(CONTAINER)
    host = engine.containers[cli.identity]["HostConfig"]
    host["LogConfig"] = {"Type": "json-file", "Config": {"max-size": "10m"}}
    host["Ulimits"] = [{"Name": "nofile", "Hard": 2, "Soft": 1}]
    cli.refresh()
    assert cli.diff(CONTAINER).replaces == ["logOpts", "ulimits"]
    assert not cli.diff(CONTAINER, "logOpts", "ulimits").changes


def test_restart_reaches_the_running_container(engine: FakeEngine) -> None:
    """The Engine's update call changes it in place; a changed label replaces the container."""
    cli = Cli(engine, "Container")
    cli.create(CONTAINER)
    wanted: Properties = {**CONTAINER, "restart": "always"}
    assert cli.diff(wanted).diffs == ["restart"]
    assert cli.diff(wanted).replaces == []
    cli.update(wanted)
    assert engine.containers[cli.identity]["HostConfig"]["RestartPolicy"]["Name"] == "always"
    assert not cli.diff(wanted).changes
    labelled: Properties = {**wanted, "labels": [{"label": "a", "value": "1"}]}
    found = cli.diff(labelled)
    assert found.replaces == ["labels"]
    assert found.delete_before_replace


def test_a_network_is_replaced_while_its_bridge_is_unknown(engine: FakeEngine) -> None:
    """Dependents of a resource that is deleted first are deleted before it."""
    cli = Cli(engine, "Network")
    cli.create(NETWORK)
    options: Properties = {"com.docker.network.bridge.name": UNKNOWN}
    found = cli.diff({**NETWORK, "options": options})
    assert found.replaces == ["options"]
    assert found.delete_before_replace
    assert list(found.detailed_diff) == ['options["com.docker.network.bridge.name"]']


def test_drift_of_a_network_shows_in_state_and_inputs(engine: FakeEngine) -> None:
    """A label edited on the host is read as an input, and the next up corrects it."""
    cli = Cli(engine, "Network")
    cli.create(NETWORK)
    engine.networks[cli.identity]["Labels"] = {"a": "1"}
    cli.refresh()
    assert cli.inputs["labels"] == [{"label": "a", "value": "1"}]
    assert cli.diff(NETWORK).replaces == ["labels"]


def test_an_image_by_its_digest_is_compared_with_the_digest(engine: FakeEngine) -> None:
    """A name is compared with the name, so that neither spelling is a permanent change."""
    engine.images[IMAGE_ID] = {"Id": IMAGE_ID}
    cli = Cli(engine, "Container")
    cli.create({**CONTAINER, "image": IMAGE_ID})
    assert cli.state["image"] == IMAGE_ID
    assert cli.diff({**CONTAINER, "image": "web:1"}).replaces == ["image"]


def test_other_types_are_refused(engine: FakeEngine) -> None:
    """The message names the type and lists the supported ones."""
    cli = Cli(engine, "Network")
    cli.urn = "urn:pulumi:s::p::docker:index/tag:Tag::it"
    with pytest.raises(PluginError, match=r"no docker:index/tag:Tag, only .*container:Container"):
        cli.check({})


def test_a_host_that_is_not_known_yet_is_no_error_before_something_is_to_be_done() -> None:
    """A host that is being created can be previewed; only a create needs its address."""
    provider = DockerProvider(EngineLog(""))
    settings: Properties = {"host": UNKNOWN, "sshOpts": '["-T"]'}
    now(provider.configure(sdk.ConfigureRequest({}, boxed_all(settings), False, False)))
    urn = "urn:pulumi:s::p::docker:index/network:Network::it"
    create = sdk.CreateRequest(urn, boxed_all(NETWORK), 0, True)
    assert now(provider.create(create)).resource_id == ""
    create.preview = False
    with pytest.raises(PluginError, match="not known yet"):
        now(provider.create(create))


def test_options_for_ssh_are_one_text_in_the_state() -> None:
    """An SDK may write the list in either form."""
    written: tuple[Plain, ...] = ('["-o", "A=b c"]', ["-o", "A=b c"])
    for options in written:
        settings: Properties = {"host": "ssh://x", "sshOpts": options}
        request = sdk.CheckRequest("urn", {}, boxed_all(settings), b"")
        inputs = now(DockerProvider(EngineLog("")).check_config(request)).inputs or {}
        assert plain_all(inputs) == {"host": "ssh://x", "sshOpts": '["-o","A=b c"]'}


def test_configuration_that_would_be_ignored_is_refused() -> None:
    """The lab has no credentials of registries and no certificates."""
    provider = DockerProvider(EngineLog(""))
    settings: Properties = {"host": "ssh://x", "registryAuth": "[]", "version": "5.2.0"}
    request = sdk.CheckRequest("urn", {}, boxed_all(settings), b"")
    failures = now(provider.check_config(request)).failures or []
    assert [failure.property for failure in failures] == ["registryAuth"]
