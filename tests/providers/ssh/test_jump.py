"""Connections over a jump host, against two real sshds: the stack's jump, or ~/.ssh/config's."""

import getpass
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from providers.errors import UnreachableError
from providers.ssh.session import Session
from providers.ssh.target import Jump, Target
from tests.providers.sshd import Sshd, bare_home, free_port, make_key, running

LIMIT = 20.0
UNUSED = "203.0.113.1"
"""An address that no host here has (RFC 5737): only a jump host is asked for it."""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """The target host."""
    with running(tmp_path_factory.mktemp("host")) as found:
        yield found


@pytest.fixture(scope="module")
def bastion(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """The jump host, which accepts another key."""
    with running(tmp_path_factory.mktemp("bastion")) as found:
        yield found


@pytest.fixture(autouse=True)
def config(tmp_path: Path, host: Sshd, bastion: Sshd, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config with both keys, without a jump."""
    found = bare_home(tmp_path, monkeypatch) / "config"
    found.write_text(f"IdentityFile {host.client_key}\nIdentityFile {bastion.client_key}\n")
    return found


def over(host: Sshd, bastion: Sshd, **changes: str | int | None) -> Target:
    """Return the host as a target behind the jump host, with `changes` to the jump."""
    jump = Jump("127.0.0.1", bastion.port, getpass.getuser(), bastion.host_key)
    return replace(host.target(), jump=replace(jump, **changes))  # type: ignore[arg-type]


def refusal(target: Target) -> str:
    """Return the error of a connection that fails; no command may have run."""
    session = Session(target)
    with pytest.raises(UnreachableError) as caught:
        session.run("echo no", LIMIT)
    assert session.commands == 0
    text = str(caught.value)
    assert text.startswith("host edge-1: ")
    assert "The host now: unchanged; nothing was sent to it" in text
    return text


def went(target: Target, *way: Sshd) -> bool:
    """Return whether each of `way` had exactly one login."""
    before = [len(sshd.logins()) for sshd in way]
    session = Session(target)
    try:
        assert session.run("echo in", LIMIT).stdout == "in\n"
    finally:
        session.close()
    return [len(sshd.logins()) for sshd in way] == [count + 1 for count in before]


# --- the stack's jump ----------------------------------------------------------------------------


def test_both_hosts_are_logged_in_at(host: Sshd, bastion: Sshd) -> None:
    """Each sees one login; the host's comes from the bastion."""
    assert went(over(host, bastion), bastion, host)


def test_a_key_of_the_stack_opens_both(host: Sshd, bastion: Sshd, config: Path) -> None:
    """It is tried at the jump host as at the host."""
    config.write_text("")
    both = bastion.folder / "both"
    if not both.exists():
        for sshd in (host, bastion):
            sshd.accept(Path(f"{both if both.exists() else make_key(both)}.pub"))
    assert went(replace(over(host, bastion), key=both.read_text()), bastion, host)


def test_a_new_connection_is_new_at_both(host: Sshd, bastion: Sshd) -> None:
    """A change is confirmed over new connections to both hosts."""
    session = Session(over(host, bastion))
    session.run("true", LIMIT)
    before = [len(sshd.logins()) for sshd in (bastion, host)]
    assert session.run_on_new_connection("echo new", LIMIT).stdout == "new\n"
    assert [len(sshd.logins()) for sshd in (bastion, host)] == [count + 1 for count in before]
    session.close()


def test_a_bastion_that_drops_is_gone_through_again(host: Sshd, bastion: Sshd) -> None:
    """After a drop between two calls, although the host's own connection was up."""
    session = Session(over(host, bastion))
    session.run("true", LIMIT)
    bastion.drop_connections()
    assert session.run("echo again", LIMIT).stdout == "again\n"
    assert session.handshakes == 2
    session.close()


def test_a_jump_host_with_another_key(host: Sshd, bastion: Sshd) -> None:
    """The error names the jump host and its key; no connection to the host is tried."""
    before = host.count("Connection from")
    said = refusal(over(host, bastion, host_key=host.host_key))
    assert f"its jump host 127.0.0.1's SSH host key is {bastion.host_key}, not the one" in said
    assert "ssh.jump.host_key (or known_hosts)" in said
    assert host.count("Connection from") == before


def test_a_jump_host_with_an_unknown_key(host: Sshd, bastion: Sshd, config: Path) -> None:
    """Its key is never learned, and a pinned key of the host does not count for it."""
    said = refusal(over(host, bastion, host_key=None))
    assert "its jump host 127.0.0.1's SSH host key is not known: ssh.jump.host_key is not" in said
    known = config.with_name("known_hosts")
    assert not known.exists()
    known.write_text(f"[127.0.0.1]:{bastion.port} {bastion.host_key}\n")
    assert went(over(host, bastion, host_key=None), bastion, host)


def test_a_host_with_another_key_behind_the_jump(host: Sshd, bastion: Sshd) -> None:
    """A jump host could forward to another machine."""
    target = replace(over(host, bastion), host_key=bastion.host_key)
    assert f"host edge-1: its SSH host key is {host.host_key}, not the one" in refusal(target)


def test_a_jump_host_that_refuses(host: Sshd, bastion: Sshd, config: Path) -> None:
    """The error names the jump host and the user."""
    config.write_text(f"IdentityFile {host.client_key}\n")
    said = refusal(over(host, bastion, user="nobody"))
    assert "its jump host 127.0.0.1 rejects the login of nobody (" in said
    assert "check that ssh.jump.user is correct (nobody)" in said


def test_a_host_that_refuses_behind_the_jump(host: Sshd, bastion: Sshd, config: Path) -> None:
    """The error does not name the jump host, which accepted the login."""
    config.write_text(f"IdentityFile {bastion.client_key}\n")
    said = refusal(over(host, bastion))
    assert f"host edge-1: it rejects the login of {getpass.getuser()} (" in said
    assert "jump" not in said


def test_a_jump_host_that_is_not_there(host: Sshd, bastion: Sshd) -> None:
    """The error names address, port and their keys in the stack."""
    port = free_port()
    said = refusal(over(host, bastion, port=port))
    assert f"its jump host 127.0.0.1: cannot be reached at 127.0.0.1 port {port} (" in said
    assert "ssh.jump.address and ssh.jump.port are correct" in said


def test_a_host_that_is_not_there_behind_the_jump(host: Sshd, bastion: Sshd) -> None:
    """The jump host was reached but could not connect to the host."""
    port = free_port()
    said = refusal(replace(over(host, bastion), port=port))
    assert (
        f"host edge-1: cannot be reached at 127.0.0.1 port {port} from the jump host 127.0.0.1"
        " (Connect failed)"
    ) in said


def test_a_jump_host_that_may_not_forward(host: Sshd, tmp_path: Path) -> None:
    """The cause is its sshd configuration; the error names the options."""
    folder = tmp_path / "closed"
    folder.mkdir()
    with running(folder, "AllowTcpForwarding no") as closed:
        closed.accept(Path(f"{host.client_key}.pub"))
        said = refusal(over(host, closed))
    assert "from the jump host 127.0.0.1 (Administratively prohibited)" in said
    assert "AllowTcpForwarding, PermitOpen" in said


def test_a_jump_host_that_does_not_answer(host: Sshd, bastion: Sshd) -> None:
    """The connection is given up after the requested limit."""
    session = Session(replace(over(host, bastion), address=UNUSED))
    with pytest.raises(UnreachableError) as caught:
        session.run_on_new_connection("true", LIMIT, connect_seconds=5)
    assert f"cannot be reached at {UNUSED} port {host.port} from the jump host" in str(caught.value)


# --- the user's config ---------------------------------------------------------------------------


def _known(config: Path, *sshds: Sshd) -> None:
    lines = [f"[127.0.0.1]:{sshd.port} {sshd.host_key}\n" for sshd in sshds]
    config.with_name("known_hosts").write_text("".join(lines))


@pytest.mark.parametrize("uri", [False, True])
def test_proxy_jump(host: Sshd, bastion: Sshd, config: Path, uri: bool) -> None:
    """The config has an alias for the jump, or all values in a URI."""
    _known(config, bastion)
    user = getpass.getuser()
    jump = f"ssh://{user}@127.0.0.1:{bastion.port}" if uri else "gate"
    config.write_text(
        f"Host {UNUSED}\n  HostName localhost\n  IdentityFile {host.client_key}\n"
        f"  ProxyJump {jump}\n"
        f"Host gate\n  HostName 127.0.0.1\n  Port {bastion.port}\n  User {user}\n"
        f"Host gate 127.0.0.1\n  IdentityFile {bastion.client_key}\n"
    )
    assert went(replace(host.target(), address=UNUSED), bastion, host)


def test_two_jumps(host: Sshd, bastion: Sshd, config: Path) -> None:
    """Both jumps are the same machine here, which sees two logins."""
    _known(config, bastion)
    keys = config.read_text()
    gate = f"127.0.0.1:{bastion.port}"
    config.write_text(f"{keys}Host {UNUSED}\n  HostName localhost\n  ProxyJump {gate},{gate}\n")
    before = len(bastion.logins())
    assert went(replace(host.target(), address=UNUSED), host)
    assert len(bastion.logins()) == before + 2


def test_the_stack_comes_first(host: Sshd, bastion: Sshd, config: Path) -> None:
    """The stack's jump is not mixed with one of the config."""
    keys = config.read_text()
    config.write_text(f"{keys}Host {UNUSED}\n  HostName localhost\n  ProxyJump nowhere.invalid\n")
    assert went(replace(over(host, bastion), address=UNUSED), bastion, host)
    said = refusal(replace(host.target(), address=UNUSED))
    assert "its jump host nowhere.invalid: cannot be reached at nowhere.invalid port 22" in said
    assert "its HostName and Port in ~/.ssh/config" in said


def test_a_jump_host_is_not_reached_through_itself(host: Sshd, bastion: Sshd, config: Path) -> None:
    """Under "Host *", as it is often written."""
    _known(config, bastion)
    config.write_text(f"{config.read_text()}Host *\n  ProxyJump 127.0.0.1:{bastion.port}\n")
    assert went(host.target(), bastion, host)
    assert went(bastion.target(), bastion)


def test_a_jump_of_the_config_that_refuses(host: Sshd, bastion: Sshd, config: Path) -> None:
    """The error points to the config, because the stack has no key for this jump."""
    _known(config, bastion)
    jump = f"nobody@127.0.0.1:{bastion.port}"
    config.write_text(f"IdentityFile {host.client_key}\nHost *\n  ProxyJump {jump}\n")
    said = refusal(host.target())
    assert "its jump host 127.0.0.1 rejects the login of nobody (" in said
    assert "check that its User in ~/.ssh/config is correct (nobody)" in said


def test_proxy_command(host: Sshd, config: Path) -> None:
    """Any program works; its tokens have the stack's values."""
    relay = config.with_name("relay.py")
    relay.write_text(
        "import os, socket, sys, threading\n"
        "end = socket.create_connection(('127.0.0.1', int(sys.argv[2])))\n"
        f"assert sys.argv[1] == '{UNUSED}', sys.argv\n"
        f"assert sys.argv[3] == '{getpass.getuser()}%', sys.argv\n"
        "def copy(read, write):\n"
        "    try:\n"
        "        while part := read():\n"
        "            write(part)\n"
        "    finally:\n"
        "        os._exit(0)\n"
        "threading.Thread(target=copy, args=(lambda: os.read(0, 9999), end.sendall)).start()\n"
        "copy(lambda: end.recv(9999), lambda part: os.write(1, part))\n"
    )
    keys = config.read_text()
    config.write_text(f"{keys}Host {UNUSED}\n  ProxyCommand {sys.executable} {relay} %h %p %r%%\n")
    target = replace(host.target(), address=UNUSED)
    assert went(target, host)
    session = Session(target)
    session.run("true", LIMIT)
    host.drop_connections()
    assert session.run("echo again", LIMIT).stdout == "again\n"
    session.close()


def test_a_proxy_command_that_fails(host: Sshd, config: Path) -> None:
    """The error comes at once, with the program's own message."""
    config.write_text(f"{config.read_text()}Host *\n  ProxyCommand echo no way there >&2; exit 3\n")
    said = refusal(host.target())
    assert "host edge-1: SSH fails (" in said
    assert "the ProxyCommand says: no way there" in said


def test_a_config_that_cannot_be_followed(host: Sshd, config: Path) -> None:
    """The error names the host for which the config was read."""
    config.write_text("Host *\n  ProxyJump a b c:d\n")
    said = refusal(host.target())
    assert "~/.ssh/config cannot be used (ProxyJump a b c:d is not [user@]host[:port])" in said
