"""A private key as a secret of a stack: it is used by the providers, and never shown."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lab.api import Lab
from tests.providers.sshd import Sshd, make_key, running

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parent.parent.parent.parent
PHRASE, WRONG = "geheim-und-lang", "falsch-und-lang"

_PROGRAM = """\
from pathlib import Path

from components.connection import connection
from components.settings import raw_settings, secret_values
from planner.config import Stack
from planner.plan import plan
from tests.lab.keys.reach import Reach

Path("ran").touch()
raw = raw_settings()
for host in plan(Stack.parse(raw, "keys")):
    Reach(host.name, connection(host, secret_values()))
"""


@dataclass
class Project:
    """A Pulumi project in a folder of its own, with a state of its own."""

    folder: Path
    environment: dict[str, str]
    said: list[str] = field(default_factory=list)

    def pulumi(self, *words: str, text: str = "", fails: bool = False) -> str:
        """Run the CLI; keep all of its output."""
        done = subprocess.run(
            ["pulumi", *words, "--non-interactive"],
            cwd=self.folder,
            env=self.environment,
            input=text,
            capture_output=True,
            text=True,
            timeout=300,
        )
        said = done.stdout + done.stderr
        self.said.append(said)
        assert (done.returncode != 0) == fails, said
        return said

    def secret(self, name: str, text: str) -> None:
        """Set a value in wanbound:secrets."""
        self.pulumi("config", "set", "--secret", "--path", f"wanbound:secrets.{name}", text=text)

    def everything(self) -> str:
        """Return all output, and all files of the project and its state."""
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        return "\n".join([*self.said, *(path.read_text(errors="replace") for path in files)])


@pytest.fixture
def sshds(tmp_path: Path) -> Iterator[list[Sshd]]:
    """The host and its jump host."""
    for name in ("host", "jump"):
        (tmp_path / name).mkdir()
    with running(tmp_path / "host") as host, running(tmp_path / "jump") as jump:
        yield [host, jump]


@pytest.fixture
def project(lab: Lab, tmp_path: Path, sshds: list[Sshd]) -> Project:
    """A stack whose one host is behind the jump host; its key is not set yet."""
    folder = tmp_path / "project"
    state = folder / "state"
    state.mkdir(parents=True)
    (folder / "Pulumi.yaml").write_text("name: wanbound\nruntime: python\n")
    (folder / "__main__.py").write_text(_PROGRAM)
    environment = {**os.environ, **lab.environment(), "PYTHONPATH": str(ROOT)}
    environment |= {"PULUMI_BACKEND_URL": f"file://{state}"}
    environment.pop("SSH_AUTH_SOCK", None)
    found = Project(folder, environment)
    found.pulumi("stack", "init", "keys")
    values = {"name": "edge-1", "wan.interface": "wan0", "ssh.address": "127.0.0.1"}
    values |= {"networks[0].name": "web", "networks[0].public_ipv4": "203.0.113.10"}
    values |= {"ssh.key.secret": "edge-key", "ssh.key_passphrase.secret": "edge-phrase"}
    for prefix, sshd in zip(("ssh", "ssh.jump"), sshds, strict=True):
        values |= {f"{prefix}.port": str(sshd.port), f"{prefix}.host_key": sshd.host_key}
    values |= {"ssh.jump.address": "127.0.0.1"}
    words = [("--plaintext", f"wanbound:hosts[0].{key}={value}") for key, value in values.items()]
    found.pulumi("config", "set-all", "--path", *(word for pair in words for word in pair))
    return found


def test_a_key_is_used_and_never_shown(project: Project, sshds: list[Sshd], tmp_path: Path) -> None:
    """During preview, up, refresh, change, failure and destroy."""
    keys = [make_key(tmp_path / kind, kind, PHRASE) for kind in ("ed25519", "rsa")]
    for sshd in sshds:
        for key in keys:
            sshd.accept(Path(f"{key}.pub"))
    texts = [key.read_text() for key in keys]
    project.secret("edge-key", texts[0])
    project.secret("edge-phrase", PHRASE)

    assert project.pulumi("preview", "--diff").count("[secret]") == 2
    assert [len(sshd.logins()) for sshd in sshds] == [0, 0]
    project.pulumi("up", "--yes", "--skip-preview", "--diff")
    assert [len(sshd.logins()) for sshd in sshds] == [1, 1]
    project.pulumi("refresh", "--yes", "--skip-preview", "--diff")
    assert "2 unchanged" in project.pulumi("preview", "--diff")

    project.secret("edge-key", texts[1])
    assert "key: [secret] => [secret]" in project.pulumi("preview", "--diff")
    project.pulumi("up", "--yes", "--skip-preview", "--diff")
    project.secret("edge-phrase", WRONG)
    said = project.pulumi("up", "--yes", "--skip-preview", fails=True)
    assert "host edge-1: ssh.key cannot be decrypted with its passphrase" in said
    project.pulumi("stack", "export")

    # Without the program, no agent would get the key for Docker's provider (docs/ssh.md).
    (project.folder / "ran").unlink()
    project.pulumi("destroy", "--yes", "--skip-preview", "--run-program")
    assert (project.folder / "ran").exists()

    lines = {line for text in texts for line in text.splitlines() if "PRIVATE KEY" not in line}
    shown = project.everything()
    assert len(shown) > 10_000
    assert [each for each in (*lines, PHRASE, WRONG) if each in shown] == []
