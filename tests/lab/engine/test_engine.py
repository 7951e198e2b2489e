"""DockerEngine on real engines, Docker 20.10 and 29: effect, restarts and clean removal."""

import json
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from lab.api import Host, Lab
from lab.traffic import PROBE
from providers.engine.resource import DockerEngineProvider
from providers.errors import HostError
from providers.host.plan import Plan
from tests.lab.planned import STACK, bring, clear, numbered, props
from tests.lab.stack.evidence import snapshot
from tests.lab.together import each, on_each

pytestmark = pytest.mark.lab

FILE = "/etc/docker/daemon.json"
PROVIDER = DockerEngineProvider()
STAND_IN = "/usr/local/sbin/{}"
"""First in the script's PATH."""


class Engine:
    """A real host's Docker, and the provider's calls on it."""

    def __init__(self, host: Host) -> None:
        self.host = host

    @property
    def file(self) -> str:
        """daemon.json, with its mode."""
        return self.host.run(f"stat -c '%a %U' {FILE} && cat {FILE}", check=False).stdout

    @property
    def info(self) -> dict[str, Any]:
        """The output of docker info."""
        found = json.loads(self.host.run("docker info --format '{{json .}}'").stdout)
        assert isinstance(found, dict)
        return found

    @property
    def starts(self) -> str:
        """Differs after each start of dockerd, and of the running container."""
        said = "docker inspect -f '{{.State.StartedAt}}' probe; systemctl show -p MainPID docker"
        return self.host.run(said).stdout

    @property
    def litter(self) -> str:
        """The files in our folders."""
        return self.host.run("ls -A /var/lib/wanbound /etc/docker", check=False).stdout

    def props(self, daemon: dict[str, Any], **other: object) -> dict[str, Any]:
        """Return properties as the program passes them."""
        where = props(self.host, Plan(STACK, "wan0", {}))["host"]
        base = {"host": where, "docker_host": "ssh://x", "daemon": daemon}
        return {**base, "install": False, "restart": True, **other}

    def effect(self, daemon: dict[str, Any], olds: dict[str, Any] | None = None) -> str:
        """Return the effect that a preview shows."""
        checked = PROVIDER.check(olds or {}, self.props(daemon))
        assert checked.failures == []
        return str(checked.inputs["effect"])

    def up(self, daemon: dict[str, Any], olds: dict[str, Any] | None = None) -> dict[str, Any]:
        """Apply the keys; return the outputs."""
        news = self.props(daemon)
        result = PROVIDER.update("id", olds, news) if olds else PROVIDER.create(news)
        assert result.outs is not None
        return result.outs

    def refused(self, daemon: dict[str, Any]) -> str:
        """Return the error of an apply; the file must be unchanged, and Docker must answer."""
        before = self.file
        with pytest.raises(HostError) as caught:
            PROVIDER.create(self.props(daemon))
        print(caught.value)
        assert self.file == before
        assert self.info["ServerVersion"]
        return str(caught.value)

    def start(self) -> tuple[str, str]:
        """Start a container that restarts with Docker; return what `end` compares."""
        found = self.file, self.litter
        run = f"docker run -d --restart always --name probe {PROBE} serve-tcp :7000"
        self.host.run(run, timeout=120)
        return found

    def end(self, before: tuple[str, str]) -> None:
        """Check that all is as before `start`, and remove the container."""
        self.host.run("docker rm -f probe")
        assert (self.file, self.litter) == before


@pytest.fixture(scope="module")
def started(lab: Lab) -> Iterator[Sequence[Engine]]:
    """Both engines with a container; daemon.json must be the original one afterwards."""
    engines = [Engine(host) for host in lab.hosts.values()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSH_AUTH_SOCK", lab.environment()["SSH_AUTH_SOCK"])
        before = each(engines, Engine.start)
        yield engines
        each(zip(engines, before, strict=True), lambda pair: pair[0].end(pair[1]))


@pytest.fixture
def engines(started: Sequence[Engine]) -> Iterator[Sequence[Engine]]:
    """The same engines; each test's keys are removed afterwards."""
    before = each(started, lambda engine: engine.file)
    yield started
    each(started, lambda engine: PROVIDER.delete("id", engine.props({})))
    assert each(started, lambda engine: engine.file) == before


@on_each
def test_the_default_bridge_has_ipv6_and_gives_it_back(engine: Engine) -> None:
    """Docker is restarted, the container comes back; removal restores the file exactly."""
    keys = {"ipv6": True, "fixed-cidr-v6": "fd00:d0c::/64"}
    assert "with it 1 container stops and starts again" in engine.effect(keys)
    before = engine.file
    outs = engine.up(keys)
    assert "fd00:d0c::1/64" in engine.host.run("ip -6 addr show docker0").stdout
    assert json.loads(engine.file.partition("\n")[2]).keys() >= {"registry-mirrors", "ipv6"}
    assert engine.host.run("docker inspect -f '{{.State.Running}}' probe").stdout == "true\n"
    assert engine.effect(keys) == "none: Docker already has these settings"
    PROVIDER.delete("id", outs)
    assert engine.file == before


@on_each
def test_what_can_be_reloaded_restarts_nothing(engine: Engine) -> None:
    """Neither when set nor when removed; removal restores the former mirrors."""
    starts, mirrors = engine.starts, engine.info["RegistryConfig"]["Mirrors"]
    keys = {"debug": True, "registry-mirrors": ["http://198.51.100.2:5001"], "labels": ["a=b"]}
    assert engine.effect(keys) == "Docker reloads it; no container stops"
    outs = engine.up(keys)
    info = engine.info
    assert (info["Debug"], info["Labels"]) == (True, ["a=b"])
    assert info["RegistryConfig"]["Mirrors"] == ["http://198.51.100.2:5001/"]
    PROVIDER.delete("id", outs)
    info = engine.info
    assert (info["Debug"], info["Labels"]) == (False, [])
    assert info["RegistryConfig"]["Mirrors"] == mirrors
    assert engine.starts == starts


@on_each
def test_live_restore_keeps_containers_through_a_restart(engine: Engine) -> None:
    """Also in the restart that first turns it on: it is reloaded before."""
    started = engine.host.run("docker inspect -f '{{.State.StartedAt}}' probe").stdout
    keys = {"live-restore": True, "max-concurrent-downloads": 2, "log-opts": {"max-file": "2"}}
    assert "live-restore keeps 1 container running" in engine.effect(keys)
    main = engine.starts
    engine.up(keys)
    assert engine.starts != main
    assert engine.host.run("docker inspect -f '{{.State.StartedAt}}' probe").stdout == started


@on_each
def test_a_key_edited_by_hand_is_found_and_put_right(engine: Engine) -> None:
    """A refresh finds the edit and the next up reverts it; other keys are ignored."""
    outs = engine.up({"debug": True, "shutdown-timeout": 20})
    engine.host.run(
        f"python3 - <<'END'\nimport json\nd = json.load(open('{FILE}'))\nd['debug'] = False\n"
        f"d['labels'] = ['by=hand']\njson.dump(d, open('{FILE}', 'w'), indent=4)\nEND\n"
    )
    found = PROVIDER.read("id", outs)
    assert found.inputs is not None
    assert found.inputs["daemon"] == {"debug": False, "shutdown-timeout": 20}
    engine.up({"debug": True, "shutdown-timeout": 20}, found.inputs)
    assert engine.info["Debug"] is True
    # Not byte for byte, as other keys were edited; the fixture compares with the original file.
    engine.host.run(
        f"python3 - <<'END'\nimport json\nd = json.load(open('{FILE}'))\ndel d['labels']\n"
        f"json.dump(d, open('{FILE}', 'w'), indent=2)\nopen('{FILE}', 'a').write('\\n')\nEND\n"
    )


@pytest.mark.parametrize(
    "keys", [{"no-such-key": True}, {"storage-driver": "nonsense"}, {"bip": "nonsense"}]
)
@on_each
def test_what_docker_does_not_take_goes_back(engine: Engine, keys: dict[str, Any]) -> None:
    """Docker and the container run with the old file, and the error quotes Docker's message."""
    said = engine.refused(keys)
    assert "as it was" in said
    assert "Fix: " in said
    word = "no-such-key" if "no-such-key" in keys else "nonsense"
    assert word in said
    assert engine.host.run("docker inspect -f '{{.State.Running}}' probe").stdout == "true\n"


@on_each
def test_a_file_that_is_no_json_is_kept(engine: Engine) -> None:
    """The preview already names line and column; nothing is changed."""
    before = engine.host.run(f"cat {FILE}").stdout
    engine.host.put(FILE, '{\n  "debug": true,\n  "mtu": nope\n}\n')
    try:
        said = engine.refused({"debug": True})
        assert "/etc/docker/daemon.json is not JSON: line 3, column 10" in said
        [failure] = PROVIDER.check({}, engine.props({"debug": True})).failures
        assert failure.reason == said
    finally:
        engine.host.put(FILE, before)


@on_each
def test_ip6tables_needs_experimental_where_the_engine_is_old(engine: Engine) -> None:
    """The error comes before any change; with `experimental`, both engines accept it."""
    if engine.host.suite == "bookworm":
        said = engine.refused({"ip6tables": True})
        assert "takes ip6tables: true only with experimental: true" in said
        engine.up({"ip6tables": True, "experimental": True})
    else:
        engine.up({"ip6tables": True})
    assert "DOCKER" in engine.host.run("ip6tables-save -t nat").stdout


@on_each
def test_a_run_that_is_killed_in_the_middle_is_finished_by_the_next(engine: Engine) -> None:
    """Killed between new file and restart: the next run restarts, though the file is right."""
    stand_in = STAND_IN.format("systemctl")
    # The script runs `restart` through timeout(1).
    engine.host.put(
        stand_in,
        '#!/bin/sh\ncase $1 in restart) rm "$0"\n'
        "kill -9 $(sed -n 's/^PPid:\\t//p' /proc/$PPID/status) $PPID; exit ;; esac\n"
        'exec /usr/bin/systemctl "$@"\n',
        mode=0o755,
    )
    keys = {"log-opts": {"max-file": "2"}}
    starts = engine.starts
    try:
        with pytest.raises(HostError):
            engine.up(keys)
    finally:
        engine.host.run(f"rm -f {stand_in}")
    assert engine.starts == starts
    assert "max-file" in engine.file
    assert "with it 1 container" in engine.effect(keys)
    engine.up(keys)
    assert engine.starts != starts
    assert engine.effect(keys) == "none: Docker already has these settings"


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (
            's/"ServerVersion":"[^"]*"/"ServerVersion":"19.03.15"/',
            "Docker 19.03.15 is older than 20.10",
        ),
        ('s/^{/{"FirewallBackend":{"Driver":"nftables"},/', "nftables firewall backend"),
    ],
)
@on_each
def test_rules_go_to_no_engine_that_has_no_place_for_them(
    engine: Engine, edit: str, what: str
) -> None:
    """The error says what to do and nothing changes, but existing rules can be removed."""
    host = engine.host
    if host.suite != "bookworm":
        # An engine that reports its backend reports it here.
        assert engine.info["FirewallBackend"]["Driver"] == "iptables"
    stand_in = STAND_IN.format("docker")
    program = (
        f'#!/bin/sh\ncase $1 in\ninfo) /usr/bin/docker "$@" | sed {shlex.quote(edit)} ;;\n'
        '*) exec /usr/bin/docker "$@" ;;\nesac\n'
    )
    # The engine's answer is cached until it restarts.
    forget = "rm -f /run/wanbound/engine"
    bring(host, numbered(host, {"old": 61}))
    host.run(forget)
    host.put(stand_in, program, mode=0o755)
    try:
        before = snapshot(host)
        with pytest.raises(HostError) as caught:
            bring(host, numbered(host, {"old": 61, "new": 63}))
        host.run(forget)
        after = snapshot(host)
        assert before == after, before.differences(after)
        print(caught.value)
        assert what in str(caught.value)
        assert "unchanged; it was only read" in str(caught.value)
    finally:
        clear(host)
        host.run(f"{forget} {stand_in}")
