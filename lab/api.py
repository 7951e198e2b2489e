"""The lab for tests, checks and benchmarks.

    lab = Lab.attach()                          # a lab that is up; Lab.up() brings it up
    edge = lab.host("edge-1")
    edge.run("docker ps").stdout                # as root, over ssh, in the guest's shell
    edge.run("sudo -n true", user="operator", check=False).status
    edge.put("/etc/example", "text\n")
    edge.reboot()                               # real; returns when Docker answers again
    lab.internet.run(["curl", "-s", "--interface", lab.internet.ipv4, "http://203.0.113.20/"])
    with lab.internet.capture("host 203.0.113.20 and tcp") as capture:
        ...
    assert {packet.src for packet in capture.packets} == {"203.0.113.20"}

Every call has a time limit in seconds and raises LabError, with all output, on failure.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lab import acme, hosts, keys, lifecycle, names, tools
from lab.capture import Capture, Packet, capture
from lab.errors import LabError
from lab.namespace import exists, inside
from lab.settings import CLIENT_IPV4, CLIENT_IPV6, HostSpec, Settings

__all__ = [
    "RESTART_DOCKER",
    "Capture",
    "Host",
    "Internet",
    "Lab",
    "LabError",
    "Packet",
    "Result",
]

RESTART_DOCKER = "systemctl reset-failed docker.service; systemctl restart docker.service"
"""For a host's shell: systemd refuses Docker's fourth start within a minute; the lab needs more."""


@dataclass(frozen=True)
class Result:
    """How a command ended and what it printed."""

    status: int
    stdout: str
    stderr: str


def _call(args: Sequence[str], what: str, *, check: bool, timeout: float, text: str) -> Result:
    try:
        done = subprocess.run(
            args, input=text, capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{what}: not done within {timeout:g} s") from error
    if check and done.returncode != 0:
        said = (done.stdout + done.stderr).strip()
        raise LabError(f"{what}: status {done.returncode}\n{said}")
    return Result(done.returncode, done.stdout, done.stderr)


class Host:
    """One host of the lab."""

    def __init__(self, settings: Settings, spec: HostSpec) -> None:
        self._settings = settings
        self._spec = spec
        self.name = spec.name
        self.suite = spec.suite
        #: The backend of its iptables: nft or legacy.
        self.backend = spec.backend
        #: Its Docker's firewall backend, which the stacks of the faults and of the matrix use, too.
        self.firewall = spec.docker_backend
        #: Where its sshd listens.
        self.address = settings.address(spec)
        #: Its own addresses on wan0.
        self.wan_ipv4 = spec.wan_ipv4
        self.wan_ipv6 = spec.wan_ipv6
        #: Its port of the internet's bridge, for a capture of its own traffic alone.
        self.wan_link = settings.wan_link(spec)
        #: `ssh-ed25519 AAAA…`, for a stack's `host_key`.
        self.host_key = keys.host_key(spec.name, keys.life(settings, spec.name))[1]

    def run(
        self,
        command: str,
        *,
        check: bool = True,
        timeout: float = 60,
        stdin: str = "",
        user: str = "root",
    ) -> Result:
        """Run a shell command; users are root, admin (sudo, docker) and operator (neither)."""
        args = hosts.ssh(self._settings, self.name, [command], "-l", user)
        what = f"{self.name}: {command}"
        return _call(args, what, check=check, timeout=timeout, text=stdin)

    def put(self, path: str, text: str, *, mode: int = 0o644) -> None:
        """Write a file atomically, as root; create its folder if it is missing."""
        quoted = shlex.quote(path)
        script = f'mkdir -p "$(dirname {quoted})" && cat >{quoted} && chmod {mode:o} {quoted}'
        self.run(script, stdin=text)

    def copy(self, file: Path, path: str, *, mode: int = 0o644) -> None:
        """Copy a file of this machine there atomically, as root; the folder must exist."""
        quoted = shlex.quote(path)
        script = f"cat >{quoted}.next && chmod {mode:o} {quoted}.next && mv {quoted}.next {quoted}"
        args = hosts.ssh(self._settings, self.name, [script], "-l", "root")
        with file.open("rb") as content:
            done = subprocess.run(args, stdin=content, timeout=120, check=False)
        if done.returncode != 0:
            raise LabError(f"{self.name}: {file} was not copied to {path}")

    def reboot(self) -> None:
        """Reboot it and wait until it is on the wan and Docker answers."""
        hosts.reboot(self._settings, self._spec)

    def wait_rebooted(self, before: str) -> None:
        """Wait until it is ready with another boot id than `before`, after a requested reboot."""
        hosts.wait_rebooted(self._settings, self._spec, before)

    @property
    def disk(self) -> Path:
        """Its own files' folder on this machine; for reading only, as the host may be writing."""
        return self._settings.disk(self._spec) / "upper"

    @property
    def boot_id(self) -> str:
        """The kernel's name for this boot."""
        return self.run("cat /proc/sys/kernel/random/boot_id").stdout.strip()

    @property
    def loads(self) -> str:
        """What loads the rules there, as tables name it: nft, legacy (iptables) or nftables."""
        return self.backend if self.firewall == "iptables" else self.firewall

    @cached_property
    def docker_version(self) -> str:
        """The running engine's version, as Debian numbers it: `20.10.24+dfsg1`."""
        return self.run("docker version --format '{{.Server.Version}}'").stdout.strip()


class Internet:
    """The namespace behind the hosts' wan."""

    #: Addresses of an outside client, for `curl --interface`.
    ipv4 = CLIENT_IPV4
    ipv6 = CLIENT_IPV6

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def run(
        self, args: Sequence[str], *, check: bool = True, timeout: float = 60, stdin: str = ""
    ) -> Result:
        """Run a program of this machine in the namespace."""
        what = f"internet: {shlex.join(args)}"
        return _call(inside(self._settings, args), what, check=check, timeout=timeout, text=stdin)

    def curl(self, *words: str, check: bool = True, timeout: float = 60) -> Result:
        """Run curl as an outside client, which asks the lab's DNS and trusts the lab's authority.

        Choose a family by -4 or -6: the client has one address of each.
        """
        script = 'mount --bind "$0" /etc/resolv.conf && exec curl "$@"'
        client = ["--interface", self.ipv6 if "-6" in words else self.ipv4]
        trusted = ["--cacert", str(acme.root(self._settings))]
        # In a mount namespace, so that this machine's own resolv.conf is unchanged.
        own = ["unshare", "--mount", "sh", "-c", script, str(names.resolver(self._settings))]
        args = [*own, "-sS", "--noproxy", "*", *client, *trusted, *words]
        return self.run(args, check=check, timeout=timeout)

    def capture(self, expression: str = "", link: str = "wan") -> AbstractContextManager[Capture]:
        """Capture packets at the router; see lab.capture. `wan-edge-1` is one host's own link."""
        return capture(self._settings, expression, link)


class Lab:
    """A lab that is up."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.internet = Internet(settings)
        self.hosts = {spec.name: Host(settings, spec) for spec in lifecycle.specs(settings)}

    @classmethod
    def attach(cls, settings: Settings | None = None) -> Lab:
        """Return the running lab; LabError if there is none."""
        settings = settings or Settings()
        if not lifecycle.specs(settings) or not exists(settings):
            raise LabError("the lab is not up: run `python -m lab up`")
        return cls(settings)

    @classmethod
    def up(cls, wanted: str | None = None, settings: Settings | None = None) -> Lab:
        """Bring up the missing parts and attach; `wanted` is `NAME=SUITE[+legacy],…`."""
        settings = settings or Settings()
        lifecycle.up(settings, wanted)
        return cls(settings)

    def host(self, name: str) -> Host:
        """Return the host of that name."""
        try:
            return self.hosts[name]
        except KeyError:
            raise LabError(f"the lab has no host {name}, only {', '.join(self.hosts)}") from None

    def environment(self) -> Mapping[str, str]:
        """Return the variables for the lab's users, as `python -m lab env` exports them."""
        return tools.environment(self.settings)
