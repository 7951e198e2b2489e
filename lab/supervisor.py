"""One host's supervisor: mounts its disk, boots it, connects it, and boots it again on a reboot.

    unshare --mount python -m lab.supervisor NAME=SUITE[+legacy] ROOT

Runs in a mount namespace of its own, so that its overlay ends with it in any case.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from lab import cgroups, internet, processes
from lab.errors import LabError
from lab.ledger import Ledger
from lab.namespace import has_link
from lab.settings import HostSpec, Settings, parse_hosts
from lab.steps import output

# Where nspawn keeps locks and two folders per machine name, and leaves them behind.
NSPAWN = Path("/run/systemd/nspawn")
# systemd-nspawn's status when the guest asked for a reboot and --keep-unit is set.
REBOOT = 133


def nspawn(lab: Settings, host: HostSpec) -> list[str]:
    """The command line of one boot."""
    disk = lab.disk(host)
    return [
        "systemd-nspawn",
        "--quiet",
        f"--directory={disk / 'root'}",
        f"--machine={lab.machine(host)}",
        f"--hostname={host.name}",
        f"--network-bridge={lab.management_bridge}",
        f"--network-veth-extra={lab.wan_link(host)}:wan0",
        # Docker keeps its data on a real file system: it cannot stack overlays.
        f"--bind={disk / 'docker'}:/var/lib/docker",
        f"--bind={disk / 'containerd'}:/var/lib/containerd",
        "--capability=all",
        "--system-call-filter=add_key keyctl bpf",
        "--resolv-conf=off",
        "--timezone=off",
        "--register=no",
        "--keep-unit",
        "--boot",
    ]


def mount(lab: Settings, host: HostSpec, root: Path) -> None:
    """Mount the host's disk: an overlay of its own files on the suite's shared root."""
    disk = lab.disk(host)
    for name in ("upper", "work", "root", "docker", "containerd"):
        (disk / name).mkdir(parents=True, exist_ok=True)
    options = f"lowerdir={root},upperdir={disk / 'upper'},workdir={disk / 'work'}"
    output(["mount", "-t", "overlay", "overlay", "-o", options, disk / "root"])
    if host.backend == "legacy":
        # Before its first boot: Docker keeps the backend that it finds at its start.
        for tool in ("iptables", "ip6tables"):
            choose = ["update-alternatives", "--set", tool, f"/usr/sbin/{tool}-legacy"]
            output(["chroot", disk / "root", *choose], env=BOOT_ENVIRONMENT)
    # nspawn's lock on the folder, which a killed nspawn leaves behind.
    inode = (disk / "root").stat()
    lock = NSPAWN / "locks" / f"inode-{inode.st_dev}:{inode.st_ino}"
    Ledger(lab).claim("path", str(lock), exists=False)


def plug(lab: Settings, host: HostSpec, boot: subprocess.Popen[bytes]) -> None:
    """Move the outer end of wan0 to the internet's bridge, as soon as nspawn has made it."""
    link = Path("/sys/class/net") / lab.wan_link(host)
    end = time.monotonic() + 30
    while not link.exists():
        if boot.poll() is not None or time.monotonic() > end:
            return
        time.sleep(0.02)
    output(["ip", "link", "set", lab.wan_link(host), "netns", lab.namespace])
    port = ["ip", "-n", lab.namespace, "link", "set", lab.wan_link(host)]
    # A port must not send packets itself, as it would with an address: every capture has them.
    output([*port, "addrgenmode", "none"])
    output([*port, "master", internet.BRIDGE, "up"])
    print(f"{host.name}: wan0 is plugged in", flush=True)


def unplug(lab: Settings, host: HostSpec) -> None:
    """Remove what the last boot left: the kernel removes a namespace a while after its end."""
    if has_link(lab, lab.wan_link(host)):
        args = ["ip", "-n", lab.namespace, "link", "del", lab.wan_link(host)]
        # It may vanish between the check and the removal.
        subprocess.run(args, capture_output=True, timeout=20, check=False)
    for link in (lab.wan_link(host), lab.management_link(host)):
        if (Path("/sys/class/net") / link).exists():
            subprocess.run(
                ["ip", "link", "del", link], capture_output=True, timeout=20, check=False
            )


def keep(lab: Settings, host: HostSpec, root: Path) -> int:
    """Boot the host until it ends other than by a reboot; return nspawn's last status."""
    mount(lab, host, root)
    while True:
        unplug(lab, host)
        print(f"{host.name}: booting", flush=True)
        joined = cgroups.joined(cgroups.name(lab, host), nspawn(lab, host))
        command = processes.wrapped(lab, f"nspawn-{host.name}", joined)
        boot = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=BOOT_ENVIRONMENT)
        try:
            plug(lab, host, boot)
        except LabError as error:
            print(f"{host.name}: wan0 is not plugged in: {error}", flush=True)
        status = boot.wait()
        print(f"{host.name}: ended with status {status}", flush=True)
        if status != REBOOT:
            # A guest outlives a killed nspawn.
            cgroups.kill(cgroups.name(lab, host))
            return status


# Only with the unified hierarchy can Docker make cgroups for its containers and forky's systemd
# boot. The environment is nspawn's own: the caller's does not reach the guest.
BOOT_ENVIRONMENT = {
    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
}

if __name__ == "__main__":
    sys.exit(keep(Settings(), parse_hosts(sys.argv[1])[0], Path(sys.argv[2])))
