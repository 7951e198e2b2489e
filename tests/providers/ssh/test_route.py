"""How ~/.ssh/config changes a target, according to ssh_config(5)."""

from pathlib import Path

import pytest

from providers.ssh.route import Hop, RouteError, route
from providers.ssh.target import Jump, Target
from tests.providers.sshd import bare_home


@pytest.fixture
def dot_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty .ssh folder of a home; its user is "me"."""
    monkeypatch.setenv("LOGNAME", "me")
    return bare_home(tmp_path, monkeypatch)


def way(jump: Jump | None = None) -> Hop:
    """Return the route to one host. Raises RouteError."""
    return route(Target("edge-1", "10.0.0.1", 2222, "admin", None, jump=jump))


def test_without_a_config(dot_ssh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the stack's values, the default keys that exist, and the agent."""
    (dot_ssh / "id_rsa").touch()
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")
    assert way() == Hop(
        hostname="10.0.0.1",
        port=2222,
        user="admin",
        host_key=None,
        key="ssh",
        files=(dot_ssh / "id_rsa",),
        agent="/run/agent",
        only_files=False,
        via=None,
        command=None,
    )


def test_the_stack_wins(dot_ssh: Path) -> None:
    """Port and user come from the stack, HostName from the config, as with ssh."""
    (dot_ssh / "config").write_text("Port 1\nUser other\nHost 10.*\n  HostName there\n  Port 2\n")
    found = way()
    assert (found.hostname, found.port, found.user) == ("there", 2222, "admin")


def test_a_match_sees_the_stack(dot_ssh: Path) -> None:
    """The stack's user is known before the config is read."""
    (dot_ssh / "config").write_text("Match user admin\n  HostName a\nMatch user me\n  HostName b\n")
    assert way().hostname == "a"


def test_an_alias_has_its_case_and_a_name_of_dns_has_none(dot_ssh: Path) -> None:
    """As in ssh: two aliases that differ in case are two hosts."""
    (dot_ssh / "config").write_text(
        "Host MyServer\n  HostName One.example\nHost myserver\n  HostName two.example\n"
        "Host My_Server\n  HostName three.example\n"
    )
    names = ("MyServer", "myserver", "My_Server", "Four.example")
    found = [route(Target("edge-1", name, 22, "root", None)).hostname for name in names]
    assert found == ["one.example", "two.example", "three.example", "four.example"]


def test_keys_and_agents(dot_ssh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths may have a tilde, a variable or a token; "none" means no key or agent."""
    monkeypatch.setenv("KEYS", "/keys")
    (dot_ssh / "id_rsa").touch()
    config = dot_ssh / "config"
    config.write_text(
        "IdentityFile ~/.ssh/a\nIdentityFile ${KEYS}/b\nIdentitiesOnly yes\nIdentityAgent %d/x\n"
    )
    found = way()
    assert found.files == (dot_ssh / "a", Path("/keys/b"))
    assert (found.agent, found.only_files) == (f"{dot_ssh.parent}/x", True)
    config.write_text("IdentityFile none\nIdentityAgent none\n")
    assert (way().files, way().agent) == ((), "")


@pytest.mark.parametrize(
    ("text", "jump"),
    [
        ("gate", ("gate", 22, "me")),
        ("bob@gate", ("gate", 22, "bob")),
        ("bob@gate:23", ("gate", 23, "bob")),
        ("[2001:db8::1]:23", ("2001:db8::1", 23, "me")),
        ("ssh://bob@gate:23/", ("gate", 23, "bob")),
        ("named", ("gate", 24, "ann")),
        ("ann@named:25", ("gate", 25, "ann")),
    ],
)
def test_forms_of_a_jump(dot_ssh: Path, text: str, jump: tuple[str, int, str]) -> None:
    """Each form in ssh_config(5) works, also an alias that the config resolves."""
    (dot_ssh / "config").write_text(
        f"Host 10.0.0.1\n  ProxyJump {text}\nHost named\n  HostName gate\n  Port 24\n  User ann\n"
    )
    via = way().via
    assert via is not None
    assert (via.hostname, via.port, via.user, via.key, via.via) == (*jump, "", None)


def test_jumps_are_chained(dot_ssh: Path) -> None:
    """The last jump of a list is nearest to the host; the first may have its own jump."""
    (dot_ssh / "config").write_text("Host 10.*\n  ProxyJump a,b\nHost a\n  ProxyJump c\n")
    names = []
    hop: Hop | None = way()
    while hop is not None:
        names.append(hop.hostname)
        hop = hop.via
    assert names == ["10.0.0.1", "b", "a", "c"]


def test_jumps_that_name_each_other_end(dot_ssh: Path) -> None:
    """If two hosts name each other as jump, the second one is reached directly."""
    (dot_ssh / "config").write_text("Host 10.*\n  ProxyJump a\nHost a\n  ProxyJump 10.0.0.1:2222\n")
    via = way().via
    assert via is not None
    assert (via.hostname, via.via) == ("a", None)


@pytest.mark.parametrize(
    ("text", "jump", "command"),
    [
        ("ProxyCommand nc %h %p\nProxyJump gate", False, "nc 10.0.0.1 2222"),
        ("ProxyJump gate\nProxyCommand nc %h %p", True, None),
        ("ProxyCommand none\nProxyJump gate", False, None),
        ("ProxyJump none\nProxyCommand nc", False, None),
        ("ProxyCommand x %n %r %%h %%%% ~", False, "x 10.0.0.1 admin %h %% ~"),
    ],
)
def test_the_first_of_jump_and_command_counts(
    dot_ssh: Path, text: str, jump: bool, command: str | None
) -> None:
    """A jump or a command, not both; tokens have the stack's values."""
    (dot_ssh / "config").write_text(f"{text}\n")
    found = way()
    assert (found.via is not None, found.command) == (jump, command)


def test_a_jump_of_the_stack(dot_ssh: Path) -> None:
    """It overrides the config's jump; the config's keys for it are used."""
    (dot_ssh / "config").write_text(
        "Host 10.*\n  ProxyJump other\nHost gate\n  IdentityFile ~/k\n  HostName gate.example\n"
    )
    via = way(Jump("gate", 23, "bob", "ssh-ed25519 AAAA")).via
    assert via is not None
    assert (via.hostname, via.port, via.user) == ("gate.example", 23, "bob")
    assert (via.key, via.host_key, via.via) == ("ssh.jump", "ssh-ed25519 AAAA", None)
    assert via.files == (dot_ssh.parent / "k",)


def test_files_are_included(dot_ssh: Path) -> None:
    """Relative or absolute, by pattern; later lines stay in the block of the Include."""
    (dot_ssh / "more").mkdir()
    (dot_ssh / "more" / "1").write_text("Host 10.*\n  User x\n  IdentityFile ~/one\nHost zz\n")
    (dot_ssh / "more" / "2").write_text("IdentityFile ~/two\n")
    (dot_ssh / "config").write_text(
        "Include more/*\nInclude gone\nIdentityFile ~/three\n"
        "Host other\n  IdentityFile ~/no\n  Include more/2\n"
    )
    assert [file.name for file in way().files] == ["one", "two", "three"]


def test_a_block_is_not_left_by_what_it_includes(dot_ssh: Path) -> None:
    """Host blocks in a file that a block includes apply to no host, instead of to every host."""
    (dot_ssh / "inner").write_text("IdentityAgent /inner\nHost *\n  HostName wrong\n")
    (dot_ssh / "config").write_text("Host 10.*\n  Include inner\n  IdentitiesOnly yes\n")
    found = way()
    assert (found.hostname, found.agent, found.only_files) == ("10.0.0.1", "/inner", True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Include config\n", "includes itself"),
        ("ProxyJump a:b:c\n", r"ProxyJump a:b:c is not \[user@\]host\[:port\]"),
        ("Host gate\n  Port many\nHost 10.*\n  ProxyJump gate\n", "many"),
        ('Host "a\n', "Unparsable"),
    ],
)
def test_what_cannot_be_followed_is_said(dot_ssh: Path, text: str, words: str) -> None:
    """wanbound does not guess: another route could lead to another host."""
    (dot_ssh / "config").write_text(text)
    with pytest.raises(RouteError, match=words):
        way()


def test_a_config_that_is_no_text(dot_ssh: Path) -> None:
    """The error names the file."""
    (dot_ssh / "config").write_bytes(b"\xff\xfe")
    with pytest.raises(RouteError, match="config"):
        way()
