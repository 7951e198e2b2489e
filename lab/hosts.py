"""Boots hosts, reads their state, reboots them."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from lab import cgroups, docker29, guest, internet, keys, processes, roots
from lab.errors import LabError
from lab.ledger import Ledger
from lab.namespace import has_link
from lab.settings import HostSpec, Settings
from lab.steps import ENDS_WITH_US, output, step, wait_until
from lab.supervisor import NSPAWN

# Ten times the usual duration, for a busy machine.
BOOT_SECONDS = 180


def ssh(lab: Settings, name: str, command: Sequence[str], *options: str) -> list[str]:
    """The ssh command line of a call on a host, as root, over a shared connection."""
    return ["ssh", "-F", str(lab.ssh_config), *options, name, *command]


def answer(lab: Settings, name: str, command: str, *, timeout: float = 30) -> str | None:
    """Return what the command prints on the host; None if the host or the command fails."""
    call = ssh(lab, name, [command], "-o", "ConnectTimeout=10", "-o", "ControlPath=none")
    args = [*ENDS_WITH_US, *call]
    try:
        done = subprocess.run(
            args,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def boot_id(lab: Settings, name: str) -> str | None:
    """The kernel's name for the host's current boot; None when the host does not answer."""
    return answer(lab, name, "cat /proc/sys/kernel/random/boot_id")


def docker_version(lab: Settings, name: str) -> str | None:
    """The version of the host's running Docker Engine; None when there is no answer."""
    return answer(lab, name, "docker version --format '{{.Server.Version}}'")


def listens(lab: Settings, host: HostSpec) -> bool:
    """Whether its sshd accepts connections; fails faster than ssh does."""
    try:
        with socket.create_connection((lab.address(host), 22), timeout=1):
            return True
    except OSError:
        return False


def close_connections(lab: Settings, name: str = "*") -> None:
    """Ask the shared ssh connections to a host, or to all, to end; each is a separate process.

    A connection to a removed host would block its next caller until the keepalive fails.
    """
    for shared in lab.state.glob(f"cm-{name}-*"):
        args = ["ssh", "-F", "/dev/null", "-S", str(shared), "-O", "exit", "lab"]
        subprocess.run(args, capture_output=True, timeout=30, check=False)


def ready(lab: Settings, host: HostSpec) -> bool:
    """Whether the host has booted, is on the wan in both families, and its Docker, if any, answers.

    Docker answers before systemd starts the units that follow it.
    """
    # After a reboot request, the old sshd still answers for a moment.
    command = (
        "test ! -e /run/nologin && ip -4 route show default dev wan0 | grep -q . && "
        "ip -6 route show default dev wan0 | grep -q . && "
        "! ip -6 addr show dev wan0 tentative | grep -q . && "
        "systemctl is-system-running | grep -qx -e running -e degraded"
    )
    if not host.bare:
        command += " && docker version >/dev/null"
    return listens(lab, host) and answer(lab, host.name, command) is not None


def management_up(lab: Settings) -> None:
    """Make the bridge between this machine and its hosts."""
    bridge = lab.management_bridge
    exists = (Path("/sys/class/net") / bridge).exists()
    Ledger(lab).claim("link", bridge, exists=exists)
    if not exists:
        output(["ip", "link", "add", bridge, "type", "bridge", "forward_delay", "0"])
        output(["ip", "link", "set", bridge, "addrgenmode", "none"])
    output(["ip", "address", "replace", lab.management_address, "dev", bridge])
    output(["ip", "link", "set", bridge, "up"])


def start(lab: Settings, host: HostSpec) -> None:
    """Begin to boot the host unless it runs and is connected; `wait` waits for it."""
    keeper, machine = (
        processes.find(lab, f"{what}-{host.name}") for what in ("supervisor", "nspawn")
    )
    if keeper and machine and has_link(lab, lab.wan_link(host)):
        return
    root = roots.root(lab, host.root)
    stop(lab, host)
    ledger = Ledger(lab)
    group = cgroups.name(lab, host)
    ledger.claim("cgroup", group, exists=cgroups.exists(group))
    for link in (lab.management_link(host), lab.wan_link(host)):
        ledger.claim("link", link, exists=(Path("/sys/class/net") / link).exists())
    for what in ("propagate", "unix-export"):
        folder = NSPAWN / what / lab.machine(host)
        ledger.claim("path", str(folder), exists=folder.exists())
    disk = lab.disk(host)
    if disk.exists() and not ledger.has("path", str(disk)):
        # The machine was rebooted, and the ledger in /run is new: this is an old disk of the lab.
        shutil.rmtree(disk)
    ledger.claim("path", str(disk), exists=False)
    private, public = keys.host_key(host.name, keys.life(lab, host.name))
    client = keys.client_key(lab).with_suffix(".pub").read_text().strip()
    files = guest.host_files(lab, host, host_key=private, public_key=public, client_key=client)
    guest.write_files(disk / "upper", files)
    if host.docker29:
        docker29.install(lab, disk / "upper")
    log = lab.log(host)
    arguments = [str(host), str(root)]
    with step(f"booting {host.name} ({host.system})", log):
        processes.spawn(
            lab,
            f"supervisor-{host.name}",
            ["unshare", "--mount", sys.executable, "-m", "lab.supervisor", *arguments],
            log=log,
            env=lab.environment,
            cwd=internet.CHECKOUT,
        )


def stop(lab: Settings, host: HostSpec) -> None:
    """Kill the host's processes; its disk stays."""
    close_connections(lab, host.name)
    # The supervisor first, or it would boot the host again.
    for what in ("supervisor", "nspawn"):
        if process := processes.find(lab, f"{what}-{host.name}"):
            process.end()
    group = cgroups.name(lab, host)
    if Ledger(lab).has("cgroup", group):
        cgroups.kill(group)


def wait(lab: Settings, host: HostSpec) -> None:
    """Wait until the host is ready."""
    if ready(lab, host):
        return
    with step(f"waiting for {host.name}", lab.log(host)) as log:
        try:
            wait_until(
                f"{host.name}: sshd, wan0 and Docker",
                lambda: ready(lab, host),
                timeout=BOOT_SECONDS,
                every=0.2,
            )
        except LabError as error:
            raise log.fail(str(error)) from error


def reboot(lab: Settings, host: HostSpec) -> None:
    """Reboot the host from inside and wait until it is ready again."""
    before = boot_id(lab, host.name)
    if before is None:
        raise LabError(f"{host.name} does not answer: see `python -m lab status`")
    close_connections(lab, host.name)
    answer(lab, host.name, "systemctl reboot")
    wait_rebooted(lab, host, before)


def wait_rebooted(lab: Settings, host: HostSpec, before: str) -> None:
    """Wait until the host is ready with another boot id than `before`, after a requested reboot."""
    with step(f"rebooting {host.name}", lab.log(host)):
        wait_until(
            f"the reboot of {host.name}",
            lambda: listens(lab, host) and boot_id(lab, host.name) not in (None, before),
            timeout=BOOT_SECONDS,
            every=0.2,
        )
        # Shared connections from before the reboot are dead.
        close_connections(lab, host.name)
        wait_until(
            f"{host.name} after its reboot",
            lambda: ready(lab, host),
            timeout=BOOT_SECONDS,
            every=0.2,
        )
