"""What hosts with `adopt` are asked, and the result of each answer, with a stand-in for `ssh`."""

import json
import stat
import subprocess
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components import adopt
from components.adopt import TakeoverError, taken_over
from components.host import Host
from planner.config import Stack
from planner.docker import UNIMPORTANT
from planner.plan import HostPlan, plan
from planner.takeover import Same
from providers.host.plan import Network, Plan, to_json
from tests.components.mocks import Registered, registered
from tests.planner import golden
from tests.planner.test_takeover import ID, by_hand, option

NETWORK, NETWORKING = "Network edge-1/network/web", "HostNetworking edge-1"


def _plans(
    *, user: str = "root", name: str = "containers", adopt: bool = True
) -> tuple[HostPlan, ...]:
    raw = golden.config(name)
    for host in raw["hosts"]:
        host["adopt"] = adopt
        host["ssh"] = {**host["ssh"], "user": user}
    return plan(Stack.parse(raw, "test"))


class Ssh:
    """A program `ssh` in PATH that records its arguments and input, and prints a given answer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def says(self, script: str) -> None:
        """Answer with the output and status of a shell script."""
        program = self.folder / "ssh"
        program.write_text(
            f'#!/bin/sh\necho "$*" >>{self.folder}/words\ncat >{self.folder}/input\n{script}'
        )
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    def answers(
        self, *networks: dict[str, Any], containers: str = "", plan: str = "", end: str = "end"
    ) -> None:
        """Answer as a host with these networks and containers."""
        lines = ["== networks", json.dumps(networks) if networks else "", "== containers"]
        lines += [containers, "== managed", plan.rstrip(), f"== {end}", ""]
        (self.folder / "answer").write_text("\n".join(line for line in lines if line))
        self.says(f"cat {self.folder}/answer")

    @property
    def calls(self) -> list[str]:
        """The arguments of every call."""
        path = self.folder / "words"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ssh:
    """It comes before the real one in PATH."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return Ssh(tmp_path)


def test_only_hosts_with_adopt_are_asked(ssh: Ssh) -> None:
    """All others preview without a connection."""
    ssh.says("exit 1")
    assert taken_over(_plans(adopt=False)) == {}
    assert ssh.calls == []


def test_one_call_per_host(ssh: Ssh) -> None:
    """It has the options of Docker's provider, and a constant command."""
    ssh.answers()
    hosts = _plans(name="several-networks")
    assert taken_over(hosts) == {"edge-1": {}, "edge-2": {}}
    assert len(ssh.calls) == 2
    for call in ssh.calls:
        assert "StrictHostKeyChecking=yes" in call
        assert call.endswith(" sh -s")
    assert "docker network inspect" in (ssh.folder / "input").read_text()


def test_another_user_asks_with_sudo(ssh: Ssh) -> None:
    """Only root can use Docker's socket."""
    ssh.answers()
    taken_over(_plans(user="admin"))
    [call] = ssh.calls
    assert call.endswith("-p 22 admin@192.0.2.10 sudo -n sh -s")


def test_the_same_network_is_taken_over(ssh: Ssh) -> None:
    """It exists, with a container that wanbound does not know."""
    inside = {"1": {"Name": "x", "IPv4Address": "172.16.0.77/24", "IPv6Address": ""}}
    ssh.answers(by_hand(Containers=inside), containers="x\ny")
    assert taken_over(_plans()) == {"edge-1": {"web": Same(ID, by_hand=True)}}


def _host_plan(*networks: str) -> str:
    """Return plan.json of a host with these networks."""
    return to_json(Plan("acme/wanbound/test", "wan0", {name: _network(name) for name in networks}))


def _network(name: str) -> Network:
    return Network(name, {"own": name}, {}, {}, {})


def test_a_network_under_management_is_known_by_the_hosts_plan(ssh: Ssh) -> None:
    """It has no label and differs: Pulumi replaces it as usual, without an error."""
    other = by_hand(Options=option("bridge.name", "other"))
    ssh.answers(other, plan=_host_plan("mail", "web"))
    assert taken_over(_plans()) == {"edge-1": {}}
    for known in ("", _host_plan("mail")):
        ssh.answers(other, plan=known)
        with pytest.raises(TakeoverError):
            taken_over(_plans())


@pytest.mark.parametrize("text", ["{}", "[1]", "x", '{"leaving": [], "stack": "\\u001b"}'])
def test_a_plan_that_cannot_be_read_is_an_error(ssh: Ssh, text: str) -> None:
    """It must not be read as "nothing is managed"."""
    ssh.answers(by_hand(), plan=text)
    with pytest.raises(TakeoverError, match=r"/etc/wanbound/current/plan\.json: ") as caught:
        taken_over(_plans())
    assert "\x1b" not in str(caught.value)


def test_the_script_prints_the_plan(tmp_path: Path) -> None:
    """A real shell runs it, with a stand-in for docker."""
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\n[ $1 != ps ] || echo x\n")
    docker.chmod(0o755)
    file = tmp_path / "plan.json"
    script = adopt._SCRIPT.replace("/etc/wanbound/current/plan.json", str(file))
    for text in (None, _host_plan("web")):
        if text is not None:
            file.write_text(text)
        done = subprocess.run(
            ["sh", "-s"],
            input=script,
            capture_output=True,
            text=True,
            env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
            timeout=30,
            check=True,
        )
        parts = ["== networks", "== containers", "x", f"== managed\n{text or ''}== end", ""]
        assert done.stdout == "\n".join(parts)


def test_every_problem_of_every_host_is_told_at_once(ssh: Ssh) -> None:
    """The error also says that nothing has been changed."""
    ssh.answers(by_hand(Options=option("bridge.name", "other")))
    with pytest.raises(TakeoverError) as caught:
        taken_over(_plans(name="several-networks"))
    text = str(caught.value)
    assert text.startswith("adopt: 2 problems; nothing has been changed.")
    assert "wanbound:hosts[0].networks[0] (host edge-1, network web)" in text
    assert "wanbound:hosts[1].networks[0] (host edge-2, network web)" in text


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'Permission denied (publickey).' >&2; exit 255", "Permission denied"),
        ("exit 3", "ssh ended with status 3"),
        ("echo '== networks'; echo '[]'", "cut off"),
        ("echo '== networks'; echo 'x'; echo '== end'", "not JSON"),
        ("printf '\\033[2J' >&2; exit 1", r"\x1b[2J"),
        ("yes", "longer than"),
        ("exec sleep 60", "no answer within"),
    ],
)
def test_a_host_that_does_not_say_is_an_error(
    ssh: Ssh, monkeypatch: pytest.MonkeyPatch, script: str, words: str
) -> None:
    """Read as "there is nothing", Docker's networks would be created a second time."""
    monkeypatch.setattr(adopt, "_SECONDS", 1 if "sleep" in script else 60)
    ssh.says(script)
    with pytest.raises(TakeoverError) as caught:
        taken_over(_plans())
    text = str(caught.value)
    assert words in text
    assert "\x1b" not in text
    assert "wanbound:hosts[0].adopt (host edge-1)" in text
    assert "Fix: " in text


def _declared(taken: dict[str, Same]) -> dict[str, Registered]:
    [host] = _plans()

    def program() -> None:
        Host(host, {"DB_PASSWORD": pulumi.Output.secret("x")}, taken)

    return {each.key: each for each in registered(program)}


def test_a_network_that_is_there_is_imported() -> None:
    """Values that Docker cannot change are ignored; HostNetworking knows that it has no label."""
    found = _declared({"web": Same(ID, by_hand=True)})
    assert found[NETWORK].import_id == ID
    [host] = _plans()
    [network] = host.networks
    options = [f'options["{name}"]' for name in network.docker.ignored]
    assert found[NETWORK].ignored == ("labels", "attachable", *options)
    assert {*UNIMPORTANT} <= {*network.docker.ignored}
    assert found[NETWORKING].inputs["taken_over"] == {"web": ID}


def test_our_own_that_is_there_has_its_label() -> None:
    """It does not count as created manually, even if it is imported after a lost state."""
    found = _declared({"web": Same(ID, by_hand=False)})
    assert found[NETWORK].import_id == ID
    assert "taken_over" not in found[NETWORKING].inputs


def test_a_network_that_is_not_there_is_made() -> None:
    """Nothing is imported, with or without `adopt`."""
    found = _declared({})
    assert found[NETWORK].import_id == ""
    assert "taken_over" not in found[NETWORKING].inputs
