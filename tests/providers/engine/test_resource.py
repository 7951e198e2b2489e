"""DockerEngine on a stateful stand-in for a host: what it sets, restores, and interrupts."""

import json
from typing import Any

import pytest

from providers.engine import resource
from providers.engine.resource import DockerEngineProvider
from providers.errors import HostError, UnreachableError
from tests.providers.engine.fake_engine import FakeEngine

PROVIDER = DockerEngineProvider()
THEIRS = '{\n  "registry-mirrors": ["http://a"],\n  "mtu": 1400\n}\n'


class Site:
    """One host with a Docker, and the provider's calls on it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.docker = FakeEngine()
        monkeypatch.setattr(resource, "remote_at", lambda target: self.docker)

    def up(self, daemon: dict[str, Any], **other: object) -> dict[str, Any]:
        """Create it, as an `up` does; return its outputs."""
        checked = self.checked({}, props(daemon, **other))
        outs = PROVIDER.create(checked).outs
        assert outs is not None
        return outs

    def again(
        self, olds: dict[str, Any], daemon: dict[str, Any], **other: object
    ) -> dict[str, Any]:
        """Update it."""
        checked = self.checked(olds, props(daemon, **other))
        outs = PROVIDER.update("id", olds, checked).outs
        assert outs is not None
        return outs

    def checked(self, olds: dict[str, Any], news: dict[str, Any]) -> dict[str, Any]:
        """Return the result of `check`."""
        result = PROVIDER.check(olds, news)
        assert result.failures == []
        return result.inputs

    def effect(self, daemon: dict[str, Any], **other: object) -> str:
        """Return the effect that a preview reports."""
        return str(self.checked({}, props(daemon, **other))["effect"])

    def refusal(self, daemon: dict[str, Any], **other: object) -> str:
        """Return the refusal of a preview; an `up` without a preview must give the same."""
        [failure] = PROVIDER.check({}, props(daemon, **other)).failures
        with pytest.raises(HostError) as caught:
            PROVIDER.create(props(daemon, **other))
        assert str(caught.value) == failure.reason
        assert caught.value.remedy
        return str(caught.value)


def props(daemon: dict[str, Any], **other: object) -> dict[str, Any]:
    """Return properties as Pulumi's engine passes them."""
    host = {"name": "edge-1", "address": "192.0.2.1", "port": 22.0, "user": "root"}
    base = {"host": host, "docker_host": "ssh://root@192.0.2.1:22", "daemon": daemon}
    return {**base, "install": False, "restart": True, **other}


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    """A host with Docker 28 and no daemon.json."""
    return Site(monkeypatch)


def test_keys_are_merged_and_given_back_to_the_byte(site: Site) -> None:
    """Foreign keys stay; destroy restores the former file and removes our record."""
    site.docker = FakeEngine(THEIRS)
    site.docker.containers = 3
    outs = site.up({"registry-mirrors": ["http://b"], "mtu": 1500.0, "debug": True})
    assert site.docker.file == (
        '{\n  "registry-mirrors": ["http://b"],\n  "mtu": 1500,\n  "debug": true\n}\n'
    )
    PROVIDER.delete("id", outs)
    assert site.docker.file == THEIRS
    assert site.docker.was is None


@pytest.mark.parametrize("text", [None, "", "{}", "{ }\n", "\n"])
def test_a_file_without_a_key_is_given_back_as_it_was(site: Site, text: str | None) -> None:
    """If there was none, it is removed."""
    site.docker = FakeEngine(text)
    outs = site.up({"debug": True})
    assert site.docker.keys == {"debug": True}
    PROVIDER.delete("id", outs)
    assert site.docker.file == text


def test_a_key_that_leaves_the_stack_gets_its_old_value_again(site: Site) -> None:
    """The original value of each key is recorded at its first change and kept."""
    site.docker = FakeEngine(THEIRS)
    outs = site.up({"mtu": 1500})
    outs = site.again(outs, {"mtu": 1600, "debug": True})
    outs = site.again(outs, {"debug": True})
    assert site.docker.keys["mtu"] == 1400
    outs = site.again(outs, {"mtu": 1700})
    PROVIDER.delete("id", outs)
    assert site.docker.file == THEIRS


def test_others_may_edit_their_keys_meanwhile(site: Site) -> None:
    """Keys that they add in between remain after ours are removed."""
    outs = site.up({"debug": True})
    site.docker.file = '{"debug": true, "mtu": 1400}'
    PROVIDER.delete("id", outs)
    assert site.docker.keys == {"mtu": 1400}


def test_nothing_changed_is_nothing_done(site: Site) -> None:
    """Equal properties cause no call; adopting writes no file."""
    site.docker = FakeEngine(THEIRS)
    outs = site.up({"mtu": 1400})
    assert site.docker.did == ["none"]
    assert site.docker.file == THEIRS
    looks = site.docker.looks
    checked = site.checked(outs, props({"mtu": 1400.0}))
    assert checked["effect"] == outs["effect"] == "none: Docker already has these settings"
    assert PROVIDER.diff("id", outs, checked).changes is False
    assert site.docker.looks == looks


def test_a_preview_shows_the_key_that_changes(site: Site) -> None:
    """Pulumi's engine shows which key; another host means another resource."""
    outs = site.up({"mtu": 1400})
    diff = PROVIDER.diff("id", outs, props({"mtu": 1500}))
    assert (diff.changes, diff.replaces) == (None, [])
    moved = props({"mtu": 1400})
    moved["host"] = {**moved["host"], "name": "edge-2"}
    assert PROVIDER.diff("id", outs, moved).replaces == ["host"]


EFFECTS = [
    ({"debug": True}, {}, "reload", "Docker reloads it; no container stops"),
    (
        {"features": {"buildkit": True}},
        {"containers": 2},
        "reload",
        "Docker reloads it; no container stops",
    ),
    ({"mtu": 1500}, {}, "restart", "Docker restarts; no container runs"),
    (
        {"features": {"containerd-snapshotter": True}},
        {"containers": 1},
        "restart",
        "Docker restarts, and with it 1 container stops and starts again",
    ),
    (
        {"mtu": 1500, "debug": True},
        {"containers": 7, "ends": ("db",)},
        "restart",
        "Docker restarts, and with it 7 containers stop and start again, but db stays stopped: no"
        " restart policy",
    ),
    (
        {"mtu": 1500},
        {"containers": 7, "file": '{"live-restore": true}', "live_restore": True},
        "restart",
        "Docker restarts; live-restore keeps 7 containers running",
    ),
    (
        {"mtu": 1500, "live-restore": True},
        {"containers": 7},
        "reload+restart",
        "Docker restarts; live-restore keeps 7 containers running",
    ),
    (
        {"mtu": 1500, "live-restore": False},
        {"containers": 7, "file": '{"live-restore": true}', "live_restore": True},
        "restart",
        "Docker restarts, and with it 7 containers stop and start again",
    ),
    (
        {"mtu": 1500},
        {"containers": 2, "unknown": True},
        "restart",
        "Docker restarts, and with it 2 containers stop and start again; which of them have no"
        " restart policy and stay stopped is not known",
    ),
    ({"debug": True}, {"runs": False}, "restart", "Docker is started"),
    ({}, {"doing": "restart", "containers": 1}, "restart", "Docker restarts, and with it 1"),
]


@pytest.mark.parametrize(("daemon", "engine", "how", "effect"), EFFECTS)
def test_a_key_demands_a_reload_or_a_restart_and_the_preview_says_what_that_does(
    site: Site, daemon: dict[str, Any], engine: dict[str, Any], how: str, effect: str
) -> None:
    """The preview and the update decide alike."""
    for name, value in engine.items():
        setattr(site.docker, name, value)
    assert site.effect(daemon).startswith(effect)
    assert site.docker.did == []
    site.up(daemon)
    assert site.docker.did == [how]


def test_a_reload_says_the_default_of_what_goes(site: Site) -> None:
    """Docker keeps a removed mirror until it restarts or a reload sets the default."""
    outs = site.up({"registry-mirrors": ["http://b"], "debug": True})
    PROVIDER.delete("id", outs)
    assert site.docker.did == ["reload", "reload", "none"]
    assert json.loads(site.docker.seen[-1] or "") == {"registry-mirrors": [], "debug": False}
    assert site.docker.file is None


def test_a_run_that_was_killed_between_two_steps_is_finished_by_the_next(site: Site) -> None:
    """The defaults were reloaded and are in the file; the original values are still recorded."""
    site.docker = FakeEngine('{"debug": true}')
    outs = site.up({"debug": False, "labels": ["a=b"]})
    before = site.docker.was

    def kill() -> None:
        raise KeyboardInterrupt

    site.docker.meanwhile = [lambda: None, kill]
    with pytest.raises(KeyboardInterrupt):
        PROVIDER.delete("id", outs)
    assert site.docker.keys == {"debug": True, "labels": []}
    assert site.docker.was == before
    PROVIDER.delete("id", outs)
    assert (site.docker.file, site.docker.was) == ('{"debug": true}', None)


def test_what_a_killed_run_has_left_is_cleared_where_nothing_changes(site: Site) -> None:
    """Otherwise a later refusal would restore its state; a stopped Docker stays stopped."""
    outs = site.up({"mtu": 1400})
    site.docker.doing = "none"
    site.up({"mtu": 1400})
    assert (site.docker.did, site.docker.doing) == (["restart", "none"], "")
    site.docker.doing, site.docker.runs = "none", False
    PROVIDER.delete("id", outs)
    assert (site.docker.doing, site.docker.runs, site.docker.file) == ("", False, None)


def test_a_restart_that_would_stop_containers_can_be_refused(site: Site) -> None:
    """With restart: false, already in the preview; without running containers it is allowed."""
    assert "Docker restarts" in site.effect({"mtu": 1500}, restart=False)
    site.docker.containers = 2
    said = site.refusal({"mtu": 1500}, restart=False)
    assert "for mtu, and engine.restart is false" in said
    assert "with it 2 containers stop" in said
    assert site.docker.did == []
    site.up({"debug": True}, restart=False)


def test_a_destroy_restarts_no_more_than_an_update_may(site: Site) -> None:
    """restart: false applies to it too; the file then stays as it is."""
    outs = site.up({"mtu": 1500}, restart=False)
    site.docker.containers = 2
    with pytest.raises(HostError, match=r"for mtu, and engine\.restart is false"):
        PROVIDER.delete("id", outs)
    assert site.docker.keys == {"mtu": 1500}
    PROVIDER.delete("id", {**outs, "restart": True})
    assert site.docker.file is None


REFUSED = [
    ({"file": '{\n  "mtu": nope\n}\n'}, {"debug": True}, "not JSON: line 2, column 10"),
    ({"file": "[]"}, {"debug": True}, "not JSON: line 1, column 1"),
    ({"version": "19.03.15"}, {"debug": True}, "19.03.15 is older than 20.10"),
    ({"backend": "nftables"}, {"debug": True}, "nftables firewall backend"),
    ({"file": '{"firewall-backend": "nftables"}'}, {"debug": True}, "nftables firewall backend"),
    ({"version": "20.10.24"}, {"ip6tables": True}, "only with experimental: true"),
    ({"config": "/srv/d.json"}, {"debug": True}, "--config-file=/srv/d.json"),
    ({"version": None, "runs": False, "programs": set()}, {}, "no dockerd"),
    ({"programs": {"dockerd"}}, {"debug": True}, "no docker)"),
    ({"file": '{"mtu": 1' + "0" * 5000 + "}"}, {"debug": True}, "the value of 'mtu': a number of"),
]


@pytest.mark.parametrize(("engine", "daemon", "what"), REFUSED)
def test_what_cannot_be_is_refused_before_anything_changes(
    site: Site, engine: dict[str, Any], daemon: dict[str, Any], what: str
) -> None:
    """One error with a remedy, in the preview too; the file stays as it is."""
    for name, value in engine.items():
        setattr(site.docker, name, value)
    before = site.docker.file
    said = site.refusal(daemon)
    assert what in said
    assert "host edge-1: " in said
    assert "Fix: " in said
    assert (site.docker.did, site.docker.file) == ([], before)


def test_an_engine_takes_what_its_version_takes(site: Site) -> None:
    """ip6tables needs version 27, or experimental; the iptables backend is set on request."""
    site.up({"ip6tables": True})
    site.docker = FakeEngine(version="20.10.24")
    site.up({"ip6tables": True, "experimental": True})
    site.docker = FakeEngine('{"firewall-backend": "nftables"}', version="29.0.1")
    site.docker.backend = "nftables"
    assert "Docker restarts" in site.effect({"firewall-backend": "iptables"})


NFTABLES = {"firewall-backend": "nftables", "bridge-accept-fwmark": "0x2000000/0x2000000"}


def test_docker_in_nftables_and_back(site: Site) -> None:
    """The preview names what the restart stops; kernel parameters are set before it."""
    site.docker = FakeEngine(version="29.0.1")
    site.docker.containers = 2
    other = {"firewall": "nftables", "forwarding": ["net.ipv4.ip_forward = 1"]}
    effect = "Docker restarts, and with it 2 containers stop and start again"
    assert site.effect(NFTABLES, **other) == effect
    outs = site.up(NFTABLES, **other)
    assert (site.docker.keys, site.docker.did[0]) == (NFTABLES, "restart")
    assert site.docker.forwarding == "net.ipv4.ip_forward 1\n"
    site.docker.backend = "nftables"
    assert site.again(outs, NFTABLES, **other)["effect"] == effect
    outs = site.again(outs, {"firewall-backend": "iptables"})
    assert site.docker.keys == {"firewall-backend": "iptables"}
    assert site.docker.forwarding == ""


def test_docker_in_nftables_needs_no_iptables(site: Site) -> None:
    """The package is installed only for iptables."""
    site.docker = FakeEngine(version="29.0.1")
    site.docker.programs.remove("iptables")
    site.up(NFTABLES, install=True, firewall="nftables")
    assert not any(did.startswith("install") for did in site.docker.did)
    site.up({"debug": True}, install=True, firewall="nftables")
    assert "install iptables" in site.docker.did


def test_docker_before_29_has_no_nftables(site: Site) -> None:
    """It would not start; wanbound's own nftables rules do not need it."""
    site.docker = FakeEngine(version="28.5.2")
    said = site.refusal(NFTABLES, firewall="nftables")
    assert "Docker 28.5.2 has no nftables firewall backend" in said
    assert "remove engine.firewall_backend" in said


def test_docker_that_is_in_nftables_already_is_no_matter_for_a_host_in_nftables(
    site: Site,
) -> None:
    """It was set manually, with a mark of the operator's choice."""
    site.docker = FakeEngine('{"firewall-backend": "nftables"}', version="29.0.1")
    site.docker.backend = "nftables"
    site.up({"debug": True}, firewall="nftables")
    assert "nftables firewall backend" in site.refusal({"mtu": 1400})


def test_what_docker_does_not_take_leaves_the_old_file(site: Site) -> None:
    """The error says so; the next run starts from the same file."""
    site.docker = FakeEngine(THEIRS)
    site.docker.takes = lambda text: "nonsense" not in (text or "")
    with pytest.raises(HostError, match=r"the old daemon\.json is back"):
        site.up({"log-driver": "nonsense"})
    assert (site.docker.file, site.docker.was) == (THEIRS, None)
    outs = site.up({"log-driver": "journald"})
    PROVIDER.delete("id", outs)
    assert site.docker.file == THEIRS


def test_a_concurrent_change_of_the_file_is_kept(site: Site) -> None:
    """Both keys are there afterwards; endless concurrent changes are an error."""

    def edit() -> None:
        keys = site.docker.keys
        site.docker.file = json.dumps({**keys, "mtu": keys.get("mtu", 0) + 1})

    site.docker.meanwhile = [edit]
    site.up({"debug": True})
    assert site.docker.keys == {"mtu": 1, "debug": True}
    site.docker.meanwhile = [edit] * 9
    with pytest.raises(HostError, match="was changed by another program"):
        site.up({"shutdown-timeout": 5})


def test_a_missing_docker_is_installed_where_that_is_wanted(site: Site) -> None:
    """The preview lists the packages; afterwards keys are set on the installed Docker."""
    site.docker = FakeEngine(version=None)
    site.docker.apparmor = True
    site.docker.programs -= {"nft"}
    assert site.effect({"debug": True}, install=True) == (
        "installs docker.io, nftables from the distribution, then sets debug"
    )
    site.up({"debug": True}, install=True)
    assert site.docker.did == [
        "install docker.io nftables ca-certificates apparmor",
        "install docker-cli",
        "reload",
    ]
    site.docker = FakeEngine(version=None)
    site.docker.programs = set()
    assert "no apt-get" in site.refusal({}, install=True)


def test_a_host_that_does_not_answer_is_no_error_in_a_preview(site: Site) -> None:
    """It may be created by the same `up`; the update itself reports it."""
    site.docker.failure = UnreachableError("edge-1", "no route\nat all", "as it was", "boot it")
    assert site.effect({"debug": True}) == "not known before the host answers: no route"
    with pytest.raises(UnreachableError):
        PROVIDER.create(props({"debug": True}))


def test_a_refresh_shows_drift_by_key_and_the_next_up_mends_it(site: Site) -> None:
    """Edited and removed keys are drift; foreign keys are not in the state."""
    outs = site.up({"debug": True, "mtu": 1500, "log-opts": {"max-file": "3"}})
    unchanged = {name: value for name, value in outs.items() if name != "applied"}
    assert PROVIDER.read("id", outs).inputs == unchanged
    site.docker.file = '{"mtu": 1300, "log-opts": {"max-file": "3"}, "secret": "x"}'
    found = PROVIDER.read("id", outs)
    assert found.inputs is not None
    assert found.outs is not None
    assert found.inputs["daemon"] == {"mtu": 1300, "log-opts": {"max-file": "3"}}
    # A second refresh does not take the first one's findings for the wanted values.
    assert PROVIDER.read("id", found.outs).outs == found.outs
    site.docker.containers = 1
    checked = site.checked(found.inputs, props(outs["daemon"]))
    assert "1 container stops" in checked["effect"]
    PROVIDER.update("id", found.outs, checked)
    assert site.docker.keys == {**outs["daemon"], "secret": "x"}


def test_a_refresh_of_a_new_host_without_docker_finds_nothing(site: Site) -> None:
    """So the next up installs it; a file that is no longer JSON is an error."""
    outs = site.up({"debug": True})
    site.docker.file = "{"
    with pytest.raises(HostError, match="line 1, column 2"):
        PROVIDER.read("id", outs)
    site.docker = FakeEngine(version=None)
    assert PROVIDER.read("id", outs).id == ""


def test_a_dockerd_that_does_not_say_its_version_is_no_missing_one(site: Site) -> None:
    """Otherwise a refresh would drop the resource from the state."""
    outs = site.up({"debug": True})
    site.docker.version = None
    assert PROVIDER.read("id", outs).id == "id"


def test_a_stopped_docker_is_not_started_to_take_ours_back(site: Site) -> None:
    """The file is restored anyway."""
    outs = site.up({"mtu": 1500})
    site.docker.runs = False
    PROVIDER.delete("id", outs)
    assert (site.docker.file, site.docker.did[-1], site.docker.runs) == (None, "none", False)
