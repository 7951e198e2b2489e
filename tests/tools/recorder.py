"""Records previews of the real `pulumi`, without a host: its output is in recorded/.

The state of a deployed configuration is made from the preview that would create it: its
steps have all inputs. So `python -m tests.tools.recorder` needs only pulumi and the lab's
stand-ins for its plugins; a preview contacts no host. It also updates the comment in
docs/pull-requests.md.
"""

import copy
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml

from lab.stacks import PROGRAM
from lab.tools import CHECKOUT, STAND_INS, pulumi
from tests.tools.previews import FOLDER, PAGE, SHOWN, comment

STACK = "production"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""Pulumi's text for a value that is unknown until the resource exists."""

BEFORE = """
seed: recorded
hosts:
  - name: edge-1
    ssh:
      address: 203.0.113.2
      host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFdrYmRlbW9rZXlkZW1va2V5ZGVtb2tleWRlbW9rZXlk
    wan: {interface: eth0}
    networks:
      - name: web
        public_ipv4: 203.0.113.10
        public_ipv6: "2001:db8::10"
      - name: mail
        public_ipv4: 203.0.113.20
        subnet_ipv4: 172.20.0.0/24
        load_balancer: false
        containers:
          - {name: postfix, image: "mail:1", ipv4: 172.20.0.25}
        ingress:
          - {ports: [25, 465], to: postfix}
"""


def cases() -> dict[str, Any]:
    """Return the configurations to which BEFORE is changed, by name."""
    before = yaml.safe_load(BEFORE)
    found = {
        name: copy.deepcopy(before) for name in ("nothing", "address", "containers", "refused")
    }
    found["address"]["hosts"][0]["networks"][1]["public_ipv4"] = "203.0.113.21"
    host = found["containers"]["hosts"][0]
    mail = host["networks"][1]
    mail["containers"][0]["image"] = "mail:2"
    mail["ingress"][0]["ports"] = [25, 587]
    host["networks"][0] = {"name": "jobs", "mode": "snat", "public_ipv4": "203.0.113.30"}
    found["refused"]["hosts"][0]["networks"][1]["public_ipv4"] = "203.0.113.10"
    return found


class Project:
    """A project in its own folder, with the checkout's program."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for part in PROGRAM:
            (folder / part).symlink_to(CHECKOUT / part)
        (folder / "stacks").mkdir()
        (folder / "backend").mkdir()
        path = [CHECKOUT / ".venv" / "bin", STAND_INS, pulumi().parent, os.environ["PATH"]]
        self.environment = {
            **os.environ,
            "PULUMI_BACKEND_URL": f"file://{folder}/backend",
            "PULUMI_CONFIG_PASSPHRASE": "recorded",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PATH": os.pathsep.join(map(str, path)),
        }
        self.file = folder / "stacks" / f"Pulumi.{STACK}.yaml"
        self.configure(yaml.safe_load(BEFORE))
        self.run("stack", "init", STACK)
        self._deploy()

    def configure(self, config: dict[str, Any]) -> None:
        """Write the stack's file; Pulumi's own keys in it stay."""
        content = yaml.safe_load(self.file.read_text()) if self.file.exists() else {}
        content["config"] = {f"wanbound:{key}": value for key, value in config.items()}
        self.file.write_text(json.dumps(content, indent=2))

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run pulumi; with `check`, raise CalledProcessError if it fails."""
        return subprocess.run(
            ["pulumi", *words, "--non-interactive", "--color", "never"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=None if check else subprocess.PIPE,
            text=True,
            check=check,
        )

    def preview(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a preview of the stack."""
        return self.run("preview", "--stack", STACK, *words, check=check)

    def _deploy(self) -> None:
        """Write the state of a stack after a successful `up`."""
        text = self.preview("--json").stdout
        resources = []
        for step in json.loads(text.replace(UNKNOWN, "known"))["steps"]:
            state = step["newState"]
            if state["custom"]:
                outputs = {**state.get("inputs", {})}
                outputs.pop("__internal", None)
                state = {"id": "known", "outputs": outputs, **state}
            resources.append(state)
        # A preview does not show the default providers that Pulumi creates.
        known = {each["urn"] for each in resources}
        used = {each["provider"].rpartition("::")[0] for each in resources if "provider" in each}
        for urn in sorted(used - known):
            kind = urn.split("::")[-2]
            resources.insert(0, {"urn": urn, "custom": True, "type": kind, "id": "known"})
        exported = json.loads(self.run("stack", "export", "--stack", STACK).stdout)
        exported["deployment"]["resources"] = resources
        file = self.folder / "state.json"
        file.write_text(json.dumps(exported))
        self.run("stack", "import", "--stack", STACK, "--file", str(file))


def _plain(value: object) -> object:
    """Return a preview without source positions and folder names."""
    if isinstance(value, dict):
        gone = ("sourcePosition", "stackTrace", "__provider", "duration")
        return {key: _plain(each) for key, each in value.items() if key not in gone}
    if isinstance(value, list):
        return [_plain(each) for each in value if "from $PATH" not in str(each)]
    return value


def main() -> None:
    """Record every case again."""
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder))
        for name, config in cases().items():
            project.configure(config)
            data = project.preview("--json", check=False)
            shown = project.preview("--diff", "--show-full-output", check=False)
            text = json.dumps(_plain(json.loads(data.stdout)), indent=1, sort_keys=True)
            (FOLDER / f"{name}.json").write_text(text + "\n")
            (FOLDER / f"{name}.txt").write_text(shown.stdout)
            print(name, data.returncode, shown.returncode)
    PAGE.write_text(SHOWN.sub(lambda _: comment("address"), PAGE.read_text()))


if __name__ == "__main__":
    main()
