"""Every login method against a real sshd: agent, key files, a key that is a secret."""

import getpass
import itertools
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed448

from providers.errors import UnreachableError
from providers.ssh.session import Session
from providers.ssh.target import Target
from tests.providers.sshd import Sshd, agent, bare_home, make_key, running

LIMIT = 20.0
PASSPHRASE = "geheim und lang"
KINDS = ("ed25519", "rsa", "ecdsa")
FORMS = ("RFC4716", "PEM", "PKCS8")


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """One sshd for all tests here."""
    with running(tmp_path_factory.mktemp("sshd")) as found:
        yield found


@pytest.fixture(scope="module")
def keys(sshd: Sshd, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of accepted keys: KIND-FORM, and with a passphrase KIND-FORM-locked."""
    folder = tmp_path_factory.mktemp("keys")
    for kind, form in itertools.product(KINDS, FORMS):
        sshd.accept(public(make_key(folder / f"{kind}-{form}", kind, "", form)))
        sshd.accept(public(make_key(folder / f"{kind}-{form}-locked", kind, PASSPHRASE, form)))
    make_key(folder / "unknown")
    return folder


@pytest.fixture(autouse=True)
def dot_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty .ssh folder of a home."""
    return bare_home(tmp_path, monkeypatch)


def public(key: Path) -> Path:
    """Return the path of a key's public half."""
    return Path(f"{key}.pub")


def with_key(sshd: Sshd, key: str | None, passphrase: str | None = None) -> Target:
    """Return the target with a key of the stack."""
    there = sshd.target()
    return Target(
        there.name,
        there.address,
        there.port,
        there.user,
        there.host_key,
        key=key,
        key_passphrase=passphrase,
    )


def gets_in(target: Target) -> bool:
    """Log in and run a command. Raises UnreachableError."""
    session = Session(target)
    try:
        return session.run("echo in", LIMIT).stdout == "in\n"
    finally:
        session.close()


def refusal(target: Target) -> str:
    """Return the error of a failed login; no command may have run."""
    session = Session(target)
    with pytest.raises(UnreachableError) as caught:
        session.run("echo no", LIMIT)
    assert session.commands == 0
    text = str(caught.value)
    assert "The host now: unchanged; nothing was sent to it" in text
    return text


# --- agent ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_of_the_agent(
    sshd: Sshd, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """No key file here can be read."""
    with agent(tmp_path, keys / "unknown", keys / f"{kind}-RFC4716") as path:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
        assert gets_in(sshd.target())
    assert "does not answer" in refusal(sshd.target())


def test_an_agent_that_the_config_names(
    sshd: Sshd, keys: Path, tmp_path: Path, dot_ssh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """IdentityAgent counts, also with the value "none"."""
    with agent(tmp_path, keys / "rsa-PEM") as path:
        (dot_ssh / "config").write_text(f"IdentityAgent {path}\n")
        assert gets_in(sshd.target())
        monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
        (dot_ssh / "config").write_text("IdentityAgent none\n")
        assert "no key to try" in refusal(sshd.target())


def test_one_key_of_an_agent_with_many(
    sshd: Sshd, keys: Path, tmp_path: Path, dot_ssh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An sshd ends the connection after six keys (MaxAuthTries): IdentitiesOnly picks one."""
    unknowns = [make_key(tmp_path / f"unknown-{number}") for number in range(7)]
    with agent(tmp_path, *unknowns, keys / "ecdsa-PEM") as path:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
        said = refusal(sshd.target())
        assert "the agent's test was refused" in said
        assert "then the server closed the connection" in said
        (dot_ssh / "config").write_text(
            f"IdentitiesOnly yes\nIdentityFile {public(keys / 'ecdsa-PEM')}\n"
        )
        assert gets_in(sshd.target())


def test_an_agent_that_is_none(sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket of an ended session: the error mentions it, but the login does not fail for it."""
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "gone"))
    said = refusal(sshd.target())
    assert f"it rejects the login of {getpass.getuser()} (the SSH agent at" in said
    assert "gone does not answer" in said


# --- key files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [f"{k}-{f}" for k, f in itertools.product(KINDS, FORMS)])
def test_a_key_file_with_a_passphrase(sshd: Sshd, keys: Path, dot_ssh: Path, name: str) -> None:
    """The config names the file, the stack has its passphrase."""
    (dot_ssh / "config").write_text(f"IdentityFile {keys}/{name}-locked\n")
    assert gets_in(with_key(sshd, None, PASSPHRASE))
    assert f"{name}-locked needs a passphrase" in refusal(sshd.target())
    said = refusal(with_key(sshd, None, "wrong-one"))
    assert f"{name}-locked cannot be decrypted with its passphrase" in said
    assert "wrong-one" not in said


def test_several_key_files(sshd: Sshd, keys: Path, dot_ssh: Path) -> None:
    """A missing file, an invalid one and an unknown key are skipped, and named on failure."""
    (dot_ssh / "none").write_text("nothing\n")
    text = (
        f"IdentityFile {dot_ssh}/gone\nIdentityFile {dot_ssh}/none\nIdentityFile {keys}/unknown\n"
    )
    config = dot_ssh / "config"
    config.write_text(text)
    said = refusal(sshd.target())
    assert "gone cannot be used (No such file or directory)" in said
    assert "none is not a private key" in said
    assert "unknown was refused" in said
    config.write_text(f"{text}IdentityFile {keys}/rsa-PKCS8\n")
    assert gets_in(sshd.target())


@pytest.mark.parametrize("kind", KINDS)
def test_the_usual_key_file(sshd: Sshd, keys: Path, dot_ssh: Path, kind: str) -> None:
    """Without a config, ~/.ssh/id_KIND is used."""
    (dot_ssh / f"id_{kind}").write_bytes((keys / f"{kind}-RFC4716").read_bytes())
    assert gets_in(sshd.target())


def test_a_certificate(tmp_path: Path, dot_ssh: Path, keys: Path) -> None:
    """It is beside the key file, as ssh-keygen writes it; the key alone is refused."""
    authority = make_key(tmp_path / "authority")
    key = make_key(tmp_path / "certified")
    with running(_folder(tmp_path), f"TrustedUserCAKeys {public(authority)}") as sshd:
        (dot_ssh / "config").write_text(f"IdentityFile {key}\n")
        assert "certified was refused" in refusal(sshd.target())
        user = getpass.getuser()
        subprocess.run(
            ["ssh-keygen", "-q", "-s", authority, "-I", "test", "-n", user, str(public(key))],
            check=True,
            timeout=LIMIT,
        )
        assert gets_in(sshd.target())


def _folder(path: Path) -> Path:
    found = path / "sshd"
    found.mkdir()
    return found


# --- a key that is a secret ----------------------------------------------------------------------


@pytest.mark.parametrize("name", [f"{k}-{f}" for k, f in itertools.product(KINDS, FORMS)])
def test_a_key_of_the_stack(sshd: Sshd, keys: Path, name: str) -> None:
    """Unchanged as in a file, or trimmed and with CRLF as a configuration may have it."""
    text = (keys / name).read_text()
    assert gets_in(with_key(sshd, text))
    assert gets_in(with_key(sshd, text.strip().replace("\n", "\r\n")))
    assert gets_in(with_key(sshd, text, "a passphrase that it has no use for"))
    assert gets_in(with_key(sshd, (keys / f"{name}-locked").read_text(), PASSPHRASE))


@pytest.mark.parametrize("name", [f"{k}-{f}" for k, f in itertools.product(KINDS, FORMS)])
def test_a_key_of_the_stack_that_does_not_open(sshd: Sshd, keys: Path, name: str) -> None:
    """The error comes before anything is sent, and has no part of key or passphrase."""
    text = (keys / f"{name}-locked").read_text()
    before = sshd.count("Connection from")
    for passphrase, words in (
        (None, "needs a passphrase"),
        ("wrong-one", "cannot be decrypted with"),
    ):
        said = refusal(with_key(sshd, text, passphrase))
        assert f"host edge-1: ssh.key {words}" in said
        assert "set ssh.key_passphrase" in said
        assert not any(line in said for line in (*text.split(), "wrong-one") if len(line) > 8)
    assert sshd.count("Connection from") == before


@pytest.mark.parametrize("damage", ["text", "public", "half", "empty", "flipped", "not ASCII"])
def test_a_key_of_the_stack_that_is_none(sshd: Sshd, keys: Path, damage: str) -> None:
    """The error is the same for every other text."""
    whole = (keys / "ed25519-RFC4716").read_text()
    text = {
        "text": "hunter2-hunter2",
        "public": public(keys / "ed25519-RFC4716").read_text(),
        "half": whole[: len(whole) // 2],
        "empty": "",
        "flipped": whole.replace(whole.splitlines()[2], whole.splitlines()[2][::-1]),
        "not ASCII": whole.replace(whole.splitlines()[2], "Schlüssel"),
    }[damage]
    said = refusal(with_key(sshd, text))
    assert "host edge-1: ssh.key is not a private key" in said
    assert "store the whole file, from its BEGIN line to its END line, in the secret" in said
    assert not any(line in said for line in text.splitlines() if len(line) > 8)


def test_a_key_of_the_stack_that_is_refused(
    sshd: Sshd, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent is not asked, as the `ssh` program of Docker's provider would not ask it."""
    with agent(tmp_path, keys / "rsa-PEM") as path:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
        said = refusal(with_key(sshd, (keys / "unknown").read_text()))
    assert "(ssh.key was refused)" in said
    assert f"add the public half of ssh.key to authorized_keys of {getpass.getuser()}" in said


def test_a_key_of_the_stack_of_another_kind(sshd: Sshd) -> None:
    """A private key of a type that SSH does not have."""
    key = ed448.Ed448PrivateKey.generate()
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    assert "ssh.key is of a type that SSH servers do not accept" in refusal(with_key(sshd, text))


def test_a_key_of_the_stack_is_nowhere_else(sshd: Sshd, keys: Path, tmp_path: Path) -> None:
    """Neither the text of a target or session nor a file in the home has it."""
    text = (keys / "ed25519-RFC4716-locked").read_text()
    target = with_key(sshd, text, PASSPHRASE)
    session = Session(target)
    session.run("true", LIMIT)
    shown = f"{target!r} {target} {session!r} {vars(session)}"
    session.close()
    assert not any(line in shown for line in (*text.splitlines(), PASSPHRASE))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert with_key(sshd, text, PASSPHRASE) == target
    assert hash(with_key(sshd, text, PASSPHRASE)) == hash(target)
    assert with_key(sshd, text, "another") != target


def test_a_host_that_takes_no_keys(tmp_path: Path, keys: Path) -> None:
    """The error lists the methods that the server accepts."""
    options = "PubkeyAuthentication no\nPasswordAuthentication yes"
    with running(_folder(tmp_path), options) as sshd:
        said = refusal(with_key(sshd, (keys / "rsa-PEM").read_text()))
    assert "the server accepts no keys, only password" in said
