"""The user's own `ssh` with our options, against real sshds: pinned keys, jump hosts, an agent."""

import getpass
import itertools
import os
import pwd
import secrets
import select
import signal
import socket
import stat
import struct
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from components import ssh_agent
from components.ssh import agent_socket, ssh_options
from components.ssh_agent import AgentError, hold_keys
from planner.config import Jump, SecretRef, Ssh, Stack
from planner.plan import HostPlan, plan
from tests.planner import golden
from tests.providers.sshd import Sshd, make_key, running

LIMIT = 30.0
PHRASE = "geheim und lang"
OPENS = "phrase"
"""The name of the secret that has it."""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """The host to get to."""
    with running(tmp_path_factory.mktemp("host")) as found:
        yield found


@pytest.fixture(scope="module")
def bastion(tmp_path_factory: pytest.TempPathFactory, host: Sshd) -> Iterator[Sshd]:
    """The host on the way, which takes the same key."""
    with running(tmp_path_factory.mktemp("bastion")) as found:
        found.accept(Path(f"{host.client_key}.pub"))
        yield found


@dataclass
class Stock:
    """A secret of a name that nothing else has, for ssh finds agents by it in the real home."""

    name: str
    values: dict[str, object]

    def ssh(self, host: Sshd, jump: Jump | None = None, phrase: bool = False) -> Ssh:
        """Return how the host is reached with the key of that secret."""
        return Ssh(
            address="127.0.0.1",
            port=host.port,
            user=getpass.getuser(),
            host_key=host.host_key,
            jump=jump,
            key=SecretRef(secret=self.name),
            key_passphrase=SecretRef(secret=OPENS) if phrase else None,
        )


@pytest.fixture
def stock(host: Sshd) -> Iterator[Stock]:
    """The key that both hosts take; agents that were started for it end with the test."""
    name = f"test-{secrets.token_hex(8)}"
    found = Stock(name, {name: host.client_key.read_text(), OPENS: PHRASE})
    yield found
    for phrase in (False, True):
        path = place(found.ssh(host, phrase=phrase))
        if path.exists():
            os.killpg(os.getpgid(_owner(path)), signal.SIGTERM)
            path.unlink(missing_ok=True)


def place(ssh: Ssh) -> Path:
    """Return where ssh looks for the agent: in the home of the passwd file, not in $HOME."""
    name = agent_socket(ssh)
    assert name is not None
    return Path(pwd.getpwuid(os.getuid()).pw_dir, name.removeprefix("~/"))


def _owner(path: Path) -> int:
    with socket.socket(socket.AF_UNIX) as end:
        end.connect(str(path))
        pid, _, _ = struct.unpack("3i", end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return int(pid)


def planned(ssh: Ssh) -> HostPlan:
    """Return a host that is reached so."""
    (found,) = plan(Stack.parse(golden.config("containers"), "test"))
    return type(found)(**{**vars(found), "ssh": ssh})


def asked(ssh: Ssh, *more: str) -> subprocess.CompletedProcess[str]:
    """Run the real ssh as Docker's provider does, without the user's own agent and config."""
    line = ["ssh", "-F", "none", *more, *ssh_options(ssh), "-l", ssh.user, "-p", str(ssh.port)]
    environment = {key: value for key, value in os.environ.items() if key != "SSH_AUTH_SOCK"}
    return subprocess.run(
        [*line, "--", ssh.address, "true"],
        input="echo in\n",
        capture_output=True,
        text=True,
        timeout=LIMIT,
        env=environment,
    )


def hang_up(ssh: Ssh) -> None:
    """End the master that stays behind, and the one at the jump host."""
    line = ["ssh", "-F", "none", *ssh_options(ssh), "-l", ssh.user, "-p", str(ssh.port)]
    subprocess.run([*line, "-O", "exit", ssh.address], capture_output=True, timeout=LIMIT)
    if ssh.jump is not None:
        hang_up(Ssh(**dict(ssh.jump)))


def jump_to(bastion: Sshd, **changes: str | int | None) -> Jump:
    """Return the bastion as a jump host, with `changes`."""
    values = {"port": bastion.port, "user": getpass.getuser(), "host_key": bastion.host_key}
    return Jump.model_validate({"address": "127.0.0.1", **values, **changes})


@pytest.mark.parametrize("locked", [False, True])
def test_a_key_of_the_stack_gets_in(host: Sshd, stock: Stock, tmp_path: Path, locked: bool) -> None:
    """It is in no file that ssh reads, and goes through an agent; its passphrase opened it."""
    if locked:
        key = make_key(tmp_path / "locked", "rsa", PHRASE)
        host.accept(Path(f"{key}.pub"))
        stock.values[stock.name] = key.read_text()
    ssh = stock.ssh(host, phrase=locked)
    before = asked(ssh, "-o", "ControlPath=none")
    assert before.returncode == 255
    assert "Permission denied" in before.stderr
    hold_keys([planned(ssh)], stock.values)
    done = asked(ssh, "-o", "ControlPath=none")
    assert (done.returncode, done.stdout) == (0, "in\n"), done.stderr


def test_the_master_serves_the_next(host: Sshd, stock: Stock) -> None:
    """Calls of one run share a log-in."""
    ssh = stock.ssh(host)
    hold_keys([planned(ssh)], stock.values)
    before = len(host.logins())
    for _ in range(3):
        assert asked(ssh).stdout == "in\n"
    assert len(host.logins()) == before + 1
    hang_up(ssh)


def test_a_wrong_pinned_key_is_refused(host: Sshd, bastion: Sshd, stock: Stock) -> None:
    """As everywhere else."""
    ssh = stock.ssh(host).model_copy(update={"host_key": bastion.host_key})
    hold_keys([planned(ssh)], stock.values)
    done = asked(ssh, "-o", "ControlPath=none")
    assert done.returncode == 255
    assert "verification failed" in done.stderr


def test_over_a_jump_host(host: Sshd, bastion: Sshd, stock: Stock) -> None:
    """Both host keys pinned, both let the stack's key in, and the way is really that one."""
    ssh = stock.ssh(host, jump_to(bastion))
    hold_keys([planned(ssh)], stock.values)
    before = len(bastion.logins())
    done = asked(ssh, "-o", "ControlPath=none")
    assert (done.returncode, done.stdout) == (0, "in\n"), done.stderr
    assert len(bastion.logins()) == before + 1
    hang_up(ssh)


def test_over_a_jump_host_as_a_run_does(host: Sshd, bastion: Sshd, stock: Stock) -> None:
    """With masters at both: nothing waits for what they hold open, and all go the same way."""
    ssh = stock.ssh(host, jump_to(bastion))
    hold_keys([planned(ssh)], stock.values)
    before = [len(sshd.logins()) for sshd in (bastion, host)]
    for _ in range(3):
        done = asked(ssh)
        assert (done.returncode, done.stdout) == (0, "in\n"), done.stderr
    assert [len(sshd.logins()) for sshd in (bastion, host)] == [count + 1 for count in before]
    hang_up(ssh)


@pytest.mark.parametrize("wrong", ["host_key", "user", "port"])
def test_a_jump_host_that_is_not_right(
    host: Sshd, stock: Stock, tmp_path: Path, wrong: str
) -> None:
    """Another machine, another user, nobody there: the host itself is never asked."""
    values: dict[str, str | int | None] = {"host_key": host.host_key, "user": "nobody", "port": 1}
    # Its own, for which no master is left that has been checked before.
    with running(_made(tmp_path / "jump")) as bastion:
        bastion.accept(Path(f"{host.client_key}.pub"))
        ssh = stock.ssh(host, jump_to(bastion, **{wrong: values[wrong]}))
        hold_keys([planned(ssh)], stock.values)
        before = host.count("Connection from")
        assert asked(ssh, "-o", "ControlPath=none").returncode == 255
        assert host.count("Connection from") == before
        assert bastion.count("Accepted publickey") == 0


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_one_address_behind_two_jump_hosts(
    host: Sshd, bastion: Sshd, stock: Stock, tmp_path: Path
) -> None:
    """Two machines, then: neither's master may serve the other."""
    with running(_made(tmp_path / "other")) as other:
        other.accept(Path(f"{host.client_key}.pub"))
        ways = [stock.ssh(host, jump_to(each)) for each in (bastion, other)]
        hold_keys([planned(ssh) for ssh in ways], stock.values)
        assert asked(ways[0]).stdout == "in\n"
        before = len(host.logins())
        assert asked(ways[1]).stdout == "in\n"
        assert len(other.logins()) == 1
        assert len(host.logins()) == before + 1
        for ssh in ways:
            hang_up(ssh)


def test_options_are_quoted_for_both_shells(host: Sshd, bastion: Sshd, stock: Stock) -> None:
    """What the inner ssh gets is what the outer one has: read back from ssh's own understanding."""
    ssh = stock.ssh(host, jump_to(bastion, address="2001:db8::1"))
    done = subprocess.run(
        ["ssh", "-F", "none", "-G", *ssh_options(ssh), "-p", "2222", "192.0.2.1"],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=True,
    )
    (command,) = [
        line.partition(" ")[2]
        for line in done.stdout.splitlines()
        if line.startswith("proxycommand ")
    ]
    expanded = command.replace("%%", "\0").replace("%h", "192.0.2.1").replace("%p", "2222")
    inner = subprocess.run(
        ["sh", "-c", f"printf '%s\\n' {expanded.replace(chr(0), '%')}"],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=True,
    ).stdout.splitlines()
    assert inner[-4:] == ["-W", "[192.0.2.1]:2222", "--", "2001:db8::1"]
    assert f"KnownHostsCommand=/bin/echo %H {bastion.host_key}" in inner
    assert "ControlPath=~/.ssh/wanbound-%C" in inner
    assert f"IdentityAgent={agent_socket(ssh)}" in inner


# --- the agent -----------------------------------------------------------------------------------


def _held(path: Path) -> list[str]:
    done = subprocess.run(
        ["ssh-add", "-l"],
        env={**os.environ, "SSH_AUTH_SOCK": str(path)},
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    return done.stdout.splitlines() if done.returncode == 0 else []


def test_an_agent_is_used_again(host: Sshd, stock: Stock) -> None:
    """One process and one key, however many runs there are."""
    ssh = stock.ssh(host)
    hosts = [planned(ssh), planned(ssh)]
    hold_keys(hosts, stock.values)
    first = _owner(place(ssh))
    hold_keys(hosts, stock.values)
    assert _owner(place(ssh)) == first
    assert len(_held(place(ssh))) == 1


def test_an_agent_that_ended_is_started_anew(host: Sshd, stock: Stock) -> None:
    """Its socket may still be there."""
    ssh = stock.ssh(host)
    hold_keys([planned(ssh)], stock.values)
    path = place(ssh)
    os.killpg(os.getpgid(_owner(path)), signal.SIGTERM)
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    hold_keys([planned(ssh)], stock.values)
    assert len(_held(path)) == 1


def test_a_key_goes_after_its_time_and_the_agent_with_it(
    host: Sshd, stock: Stock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing has to be cleaned up: an hour and a minute later nothing is left."""
    monkeypatch.setattr(ssh_agent, "LIFETIME", 2)
    monkeypatch.setattr(ssh_agent, "_COMMAND", ssh_agent._COMMAND.replace("60", "1"))
    ssh = stock.ssh(host)
    hold_keys([planned(ssh)], stock.values)
    path = place(ssh)
    pid = _owner(path)
    with suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        assert select.select([descriptor], [], [], LIMIT)[0]
        os.close(descriptor)
    assert not path.exists() or _held(path) == []


def test_nobody_else_gets_at_it(host: Sshd, stock: Stock) -> None:
    """The socket is its user's, and a run that ends leaves no file with a key."""
    ssh = stock.ssh(host)
    hold_keys([planned(ssh)], stock.values)
    path = place(ssh)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = str(stock.values[stock.name])
    kept = [file for file in path.parent.iterdir() if file.is_file()]
    assert not any(text[100:160].encode() in file.read_bytes() for file in kept)


def test_a_key_is_on_no_command_line(
    host: Sshd, stock: Stock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody on a machine can read those; nor in the environment."""
    seen: list[str] = []
    run = subprocess.run

    def spy(*args: object, **more: object) -> object:
        seen.append(f"{args} { {k: v for k, v in more.items() if k != 'input'} }")
        return run(*args, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "run", spy)
    ssh = stock.ssh(host, phrase=True)
    hold_keys([planned(ssh)], stock.values)
    assert len(seen) >= 3
    text = str(stock.values[stock.name])
    lines = [line for line in text.splitlines() if len(line) > 20 and "KEY" not in line]
    assert not any(line in words for line, words in itertools.product([*lines, PHRASE], seen))


@pytest.mark.parametrize(
    ("value", "words"),
    [("hunter2-hunter2", "is no private key"), ("", "is no private key")],
)
def test_a_key_that_is_none_is_an_error(host: Sshd, stock: Stock, value: str, words: str) -> None:
    """Before any resource is declared: the key of the configuration, and nothing of the secret."""
    stock.values[stock.name] = value
    with pytest.raises(AgentError) as caught:
        hold_keys([planned(stock.ssh(host))], stock.values)
    said = str(caught.value)
    assert said.startswith("wanbound:hosts[0].ssh.key (host edge-1)\n")
    assert f"the secret {stock.name} {words}" in said
    assert "hunter2" not in said
    assert caught.value.__cause__ is None


def test_a_key_whose_passphrase_is_wrong_is_an_error(
    host: Sshd, stock: Stock, tmp_path: Path
) -> None:
    """In the same words, and nothing of the passphrase either."""
    stock.values[stock.name] = make_key(tmp_path / "other", "ed25519", "another").read_text()
    with pytest.raises(AgentError) as caught:
        hold_keys([planned(stock.ssh(host, phrase=True))], stock.values)
    assert "is not opened by its passphrase" in str(caught.value)
    assert PHRASE not in str(caught.value)


def test_key_files_that_need_a_passphrase(
    host: Sshd, stock: Stock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are the user's config's; ssh would ask a person, and here is none."""
    key = make_key(tmp_path / "locked", "ecdsa", PHRASE)
    host.accept(Path(f"{key}.pub"))
    config = tmp_path / ".ssh" / "config"
    config.parent.mkdir()
    config.write_text(f"IdentityFile {key}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    name = f"{stock.name}-phrase"
    ssh = stock.ssh(host).model_copy(update={"key": None, "key_passphrase": SecretRef(secret=name)})
    try:
        hold_keys([planned(ssh)], {name: PHRASE})
        assert asked(ssh, "-o", "ControlPath=none").stdout == "in\n"
    finally:
        os.killpg(os.getpgid(_owner(place(ssh))), signal.SIGTERM)


def test_without_keys_of_the_stack_nothing_is_started(
    host: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user's own agent and files are what counts then."""
    monkeypatch.setattr(ssh_agent, "_hold", None)
    ssh = Ssh(address="127.0.0.1", port=host.port)
    hold_keys([planned(ssh)], {})
    assert agent_socket(ssh) is None
    assert not any("IdentityAgent" in option for option in ssh_options(ssh))


def test_the_socket_is_short_and_its_own() -> None:
    """A name of a secret may have 128 characters, a socket's path 107."""
    paths = set()
    for key, phrase in itertools.product([None, "a", "b", "x" * 128], repeat=2):
        refs = [None if name is None else SecretRef(secret=name) for name in (key, phrase)]
        path = agent_socket(Ssh(address="192.0.2.1", key=refs[0], key_passphrase=refs[1]))
        assert path is None or (path.startswith("~/.ssh/wanbound-agent-") and len(path) < 40)
        paths.add(path)
    assert len(paths) == 16
