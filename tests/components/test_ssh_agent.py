"""The agent that holds the stack's keys for the `ssh` program: start and end."""

import itertools
import os
import select
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from components import ssh_agent
from components.ssh import agent_socket, ssh_options
from components.ssh_agent import AgentError, hold_keys
from planner.config import SecretRef, Ssh
from tests.components.stock import LIMIT, PHRASE, Stock, asked, owner, place, planned, stocked
from tests.providers.sshd import Sshd, make_key, running


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """The target host."""
    with running(tmp_path_factory.mktemp("host")) as found:
        yield found


@pytest.fixture
def stock(host: Sshd) -> Iterator[Stock]:
    """The key that it accepts."""
    with stocked(host) as found:
        yield found


def _held(path: Path) -> list[str]:
    done = subprocess.run(
        ["ssh-add", "-l"],
        env={**os.environ, "SSH_AUTH_SOCK": str(path)},
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    return done.stdout.splitlines() if done.returncode == 0 else []


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as caller:
        return caller.connect_ex(str(path)) == 0


def test_an_agent_is_used_again(host: Sshd, stock: Stock) -> None:
    """Any number of runs share one process and one key."""
    ssh = stock.ssh(host)
    hosts = [planned(ssh), planned(ssh)]
    hold_keys(hosts, stock.values)
    first = owner(place(ssh))
    hold_keys(hosts, stock.values)
    assert owner(place(ssh)) == first
    assert len(_held(place(ssh))) == 1


def test_an_agent_that_ended_is_started_again(host: Sshd, stock: Stock) -> None:
    """Its old socket may still exist."""
    ssh = stock.ssh(host)
    hold_keys([planned(ssh)], stock.values)
    path = place(ssh)
    os.killpg(os.getpgid(owner(path)), signal.SIGTERM)
    # The agent may remove its socket as it ends; then it must not be that of its successor.
    end = time.monotonic() + LIMIT
    while _listens(path) and time.monotonic() < end:
        time.sleep(0.02)
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    hold_keys([planned(ssh)], stock.values)
    assert len(_held(path)) == 1


def test_a_key_goes_after_its_time_and_the_agent_with_it(
    host: Sshd, stock: Stock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No cleanup is needed: an hour and a minute later nothing is left."""
    monkeypatch.setattr(ssh_agent, "LIFETIME", 6)
    monkeypatch.setattr(ssh_agent, "_COMMAND", ssh_agent._COMMAND.replace("60", "4"))
    ssh = stock.ssh(host)
    hold_keys([planned(ssh)], stock.values)
    path = place(ssh)
    pid = owner(path)
    with suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        assert select.select([descriptor], [], [], LIMIT)[0]
        os.close(descriptor)
    assert not path.exists() or _held(path) == []


def test_no_other_user_gets_the_key(host: Sshd, stock: Stock) -> None:
    """Only its user can open the socket, and a finished run leaves no file with a key."""
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
    """Every user of a machine can read command lines. It is not in the environment either."""
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
    [("hunter2-hunter2", "is not a private key"), ("", "is not a private key")],
)
def test_a_key_that_is_none_is_an_error(host: Sshd, stock: Stock, value: str, words: str) -> None:
    """Before any resource is declared: the error names the key and quotes nothing of the secret."""
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
    """The error has the same form, and nothing of the passphrase."""
    stock.values[stock.name] = make_key(tmp_path / "other", "ed25519", "another").read_text()
    with pytest.raises(AgentError) as caught:
        hold_keys([planned(stock.ssh(host, phrase=True))], stock.values)
    assert "cannot be decrypted with its passphrase" in str(caught.value)
    assert PHRASE not in str(caught.value)


def test_key_files_that_need_a_passphrase(
    host: Sshd, stock: Stock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user's config names them; ssh would prompt for the passphrase."""
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
        os.killpg(os.getpgid(owner(place(ssh))), signal.SIGTERM)


def test_a_home_without_ssh_gets_its_folder(
    host: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a CI runner: without the folder, ssh cannot share a connection."""
    account = SimpleNamespace(pw_dir=str(tmp_path))
    monkeypatch.setattr(ssh_agent, "pwd", SimpleNamespace(getpwuid=lambda _: account))
    hold_keys([planned(Ssh(address="127.0.0.1", port=host.port))], {})
    assert (tmp_path / ".ssh").stat().st_mode & 0o777 == 0o700
    (tmp_path / ".ssh").chmod(0o755)
    hold_keys([], {})
    assert (tmp_path / ".ssh").stat().st_mode & 0o777 == 0o755
    (tmp_path / "file").touch()
    account.pw_dir = str(tmp_path / "file")
    with pytest.raises(AgentError, match="cannot be made"):
        hold_keys([], {})


def test_without_keys_of_the_stack_nothing_is_started(
    host: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the user's own agent and files count."""
    monkeypatch.setattr(ssh_agent, "_hold", None)
    ssh = Ssh(address="127.0.0.1", port=host.port)
    hold_keys([planned(ssh)], {})
    assert agent_socket(ssh) is None
    assert not any("IdentityAgent" in option for option in ssh_options(ssh))


def test_the_socket_is_short_and_its_own() -> None:
    """The name of a secret may have 128 characters, the path of a socket 107."""
    paths = set()
    for key, phrase in itertools.product([None, "a", "b", "x" * 128], repeat=2):
        refs = [None if name is None else SecretRef(secret=name) for name in (key, phrase)]
        path = agent_socket(Ssh(address="192.0.2.1", key=refs[0], key_passphrase=refs[1]))
        assert path is None or (path.startswith("~/.ssh/wanbound-agent-") and len(path) < 40)
        paths.add(path)
    assert len(paths) == 16
