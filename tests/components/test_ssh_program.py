"""The user's own `ssh` with our options, against real sshds: pinned keys, jump hosts, an agent."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.ssh import agent_socket, ssh_options
from components.ssh_agent import hold_keys
from tests.components.stock import (
    LIMIT,
    PHRASE,
    Stock,
    asked,
    hang_up,
    jump_to,
    planned,
    stocked,
)
from tests.providers.sshd import Sshd, make_key, running


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """The target host."""
    with running(tmp_path_factory.mktemp("host")) as found:
        yield found


@pytest.fixture(scope="module")
def bastion(tmp_path_factory: pytest.TempPathFactory, host: Sshd) -> Iterator[Sshd]:
    """The jump host, which accepts the same key."""
    with running(tmp_path_factory.mktemp("bastion")) as found:
        found.accept(Path(f"{host.client_key}.pub"))
        yield found


@pytest.fixture
def stock(host: Sshd) -> Iterator[Stock]:
    """The key that both hosts accept."""
    with stocked(host) as found:
        yield found


@pytest.mark.parametrize("locked", [False, True])
def test_a_key_of_the_stack_gets_in(host: Sshd, stock: Stock, tmp_path: Path, locked: bool) -> None:
    """It comes from an agent, not from a file that ssh reads; its passphrase has decrypted it."""
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
    """Calls of one run share a login."""
    ssh = stock.ssh(host)
    hold_keys([planned(ssh)], stock.values)
    before = len(host.logins())
    for _ in range(3):
        assert asked(ssh).stdout == "in\n"
    assert len(host.logins()) == before + 1
    hang_up(ssh)


def test_a_wrong_pinned_key_is_refused(host: Sshd, bastion: Sshd, stock: Stock) -> None:
    """ssh checks it like every other connection of wanbound."""
    ssh = stock.ssh(host).model_copy(update={"host_key": bastion.host_key})
    hold_keys([planned(ssh)], stock.values)
    done = asked(ssh, "-o", "ControlPath=none")
    assert done.returncode == 255
    assert "verification failed" in done.stderr


def test_a_shared_connection_is_for_the_same_host_key_and_key(
    host: Sshd, bastion: Sshd, stock: Stock
) -> None:
    """Otherwise a wrong key would be accepted as long as a connection with the right one lives."""
    ssh = stock.ssh(host)
    hold_keys([planned(ssh)], stock.values)
    assert asked(ssh).stdout == "in\n"
    wrong = asked(ssh.model_copy(update={"host_key": bastion.host_key}))
    assert wrong.returncode == 255
    assert "verification failed" in wrong.stderr
    assert asked(ssh.model_copy(update={"key": None})).returncode == 255
    hang_up(ssh)


def test_over_a_jump_host(host: Sshd, bastion: Sshd, stock: Stock) -> None:
    """Both host keys are pinned, both accept the stack's key, and the jump host is really used."""
    ssh = stock.ssh(host, jump_to(bastion))
    hold_keys([planned(ssh)], stock.values)
    before = len(bastion.logins())
    done = asked(ssh, "-o", "ControlPath=none")
    assert (done.returncode, done.stdout) == (0, "in\n"), done.stderr
    assert len(bastion.logins()) == before + 1
    hang_up(ssh)


def test_over_a_jump_host_as_a_run_does(host: Sshd, bastion: Sshd, stock: Stock) -> None:
    """With masters at both, no call waits for the connections they hold; all go the same way."""
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
    """Wrong machine, wrong user or closed port: the host itself is never contacted."""
    values: dict[str, str | int | None] = {"host_key": host.host_key, "user": "nobody", "port": 1}
    # A new jump host, because no checked master may exist for it.
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
    """They are two machines: the master of one may not serve the other."""
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
    """The inner ssh gets the same options as the outer one, according to `ssh -G`."""
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
    assert any(re.fullmatch("ControlPath=~/.ssh/wanbound-[0-9a-f]{16}", word) for word in inner)
    assert "UpdateHostKeys=no" in inner
    assert f"IdentityAgent={agent_socket(ssh)}" in inner
