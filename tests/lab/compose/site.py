"""A host on which a documentation page's blocks are run, with stand-ins for its images."""

import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from cli.doctor import print_findings
from lab.api import Host, Lab
from lab.errors import LabError
from lab.settings import ECHO_IPV4, ECHO_IPV6
from lab.stacks import PREFIX, LabStack, parsed, read
from lab.traffic import PROBE
from tests.lab.modes.networks import MAIL
from tests.lab.stand_ins import make
from tests.pages import Step, steps

PROJECTS = ("shop", "mail")
LISTENING_SECONDS = 2.0
"""Within which a started container accepts connections."""

WHOAMI = "wanbound/whoami:1"

STAND_INS = {
    "nginxinc/nginx-unprivileged:1.29": (
        WHOAMI,
        "ENV LISTEN=:8080",
        f"ENV ECHO_IPV4=http://{ECHO_IPV4}/",
        f"ENV ECHO_IPV6=http://[{ECHO_IPV6}]/",
    ),
    "postgres:18": (PROBE, 'CMD ["serve-tcp", ":5432"]'),
    "mailserver/docker-mailserver:15": (
        PROBE,
        f"CMD {['serve-tcp', *(f':{port}' for port in MAIL)]}".replace("'", '"'),
    ),
}
"""Image of the page → the image and settings that replace it. The shop shows its public address."""


@dataclass
class Site:
    """The host, and the steps of the page that are still to be run."""

    lab: Lab
    host: Host
    stack: LabStack
    left: list[Step] = field(default_factory=list)

    def follow(self, count: int) -> None:
        """Run the next blocks of the page, exactly as they are."""
        for step in [self.left.pop(0) for _ in range(count)]:
            if step.kind == "server":
                self.host.run(step.text, timeout=300)
                time.sleep(LISTENING_SECONDS)
            elif step.kind == "machine":
                for line in step.text.splitlines():
                    self._run(shlex.split(line))
            elif step.where.startswith("stacks/"):
                self.stack.configure(adapted(step.text, self.host))
            else:
                self.host.put(f"/root/{step.where}", step.text)

    def _run(self, words: list[str]) -> None:
        match words:
            case ["pulumi", "up", "--stack", "myserver"]:
                self.stack.up()
            case ["pulumi", "preview", "--diff", "--stack", "myserver"]:
                self.stack.preview("--diff")
            case ["./wanbound", "doctor", "myserver"]:
                self._doctor()
            case _:
                raise LabError(f"the page has a command that this test does not know: {words}")

    def _doctor(self) -> None:
        """Check the host as the command does. Raises LabError for a problem; warnings are usual."""
        with pytest.MonkeyPatch.context() as patch:
            # An agent with the operator's key.
            patch.setenv("SSH_AUTH_SOCK", self.lab.environment()["SSH_AUTH_SOCK"])
            status = print_findings(parsed(read(self.stack.file), self.stack.name), None)
        if status > 1:
            raise LabError("the doctor reports a problem: see its output")

    def compose(self, project: str, words: str) -> str:
        """Run compose in the folder of a project."""
        return self.host.run(f"cd /root/{project} && docker compose {words}", timeout=300).stdout

    def inside(self, container: str, command: str) -> str:
        """Run a command of the host in a container's network; return "" if it fails."""
        pid = f"$(docker inspect --format '{{{{.State.Pid}}}}' {container})"
        entered = f"nsenter --net --target {pid} {command}"
        return self.host.run(entered, check=False).stdout.strip()

    def leaves_with(self, container: str, family: int) -> str:
        """Return the address that the internet sees of a container, "" without an answer."""
        echo = f"[{ECHO_IPV6}]" if family == 6 else ECHO_IPV4
        return self.inside(container, f"curl -g -s -m 4 http://{echo}/")

    def shop(self, address: str) -> str:
        """Ask the shop from the internet by name at one address; return "" without an answer."""
        at = f"[{address}]" if ":" in address else address
        family = "-6" if ":" in address else "-4"
        name = "shop.example.com"
        # Traefik needs a moment to notice a container, and answers 404 until then.
        patient = ["-f", "--retry", "40", "--retry-delay", "1", "--retry-all-errors", "-m", "60"]
        asked = [family, *patient, "--resolve", f"{name}:80:{at}", f"http://{name}/"]
        return self.lab.internet.curl(*asked, check=False).stdout


def adapted(text: str, host: Host) -> dict[str, object]:
    """Return a page's stack with the lab host's SSH access and interface, otherwise unchanged."""
    config = {
        key.removeprefix(PREFIX): value for key, value in yaml.safe_load(text)["config"].items()
    }
    (only,) = config["hosts"]
    only["ssh"] = {"address": host.address, "host_key": host.host_key}
    only["wan"] = {"interface": "wan0"}
    return config


@contextmanager
def following(lab: Lab, host: Host, page: str, folder: Path) -> Iterator[Site]:
    """Yield a host for a page; bare afterwards. Its compose is the distribution's own."""
    host.run("docker compose version")
    # Another host may have had the page's addresses, and the router remembers its MAC for seconds.
    lab.internet.run(["ip", "neigh", "flush", "all"])
    blocks = list(steps(page))
    first = next(step.text for step in blocks if step.where.startswith("stacks/"))
    stack = LabStack.copy(lab, page.removesuffix(".md"), adapted(first, host), folder)
    site = Site(lab, host, stack, blocks)
    for image, (base, *changes) in STAND_INS.items():
        make(host, image, base, changes)
    try:
        yield site
    finally:
        for project in PROJECTS:
            host.run(
                f"if cd /root/{project} 2>/dev/null; then"
                " docker compose down --volumes --remove-orphans; fi",
                check=False,
                timeout=300,
            )
        stack.destroy()
        host.run(f"docker network prune --force; rm -rf {' '.join(f'/root/{p}' for p in PROJECTS)}")
        host.run(f"docker rmi --force {' '.join(STAND_INS)}", check=False)
