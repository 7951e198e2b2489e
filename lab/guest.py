"""The files of a lab host's disk: those common to all hosts and those of each host.

A host is in the state of an operator's server after the recipes: dual stack, forwarding on, the
distribution's Docker with a mirror configured, sshd for root by key, nothing of wanbound.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from lab.settings import (
    NAMES_IPV4,
    NAMES_IPV6,
    REGISTRY_IPV4,
    REGISTRY_PORT,
    ROUTER_IPV4,
    ROUTER_LINK_LOCAL,
    HostSpec,
    Settings,
)

PACKAGES = (
    "busybox-static,ca-certificates,conntrack,curl,dbus,docker.io,iproute2,iptables,iputils-ping,"
    "nftables,openssh-server,procps,python3,sudo,systemd,systemd-sysv,tcpdump"
)
# From trixie on docker.io lacks the client, and docker-compose is Docker's plugin.
EXTRA_PACKAGES: Mapping[str, str] = {
    "bookworm": "",
    "trixie": ",docker-cli,docker-compose",
    "forky": ",docker-cli,docker-compose",
}

# Missing on a bare host, but installable by its apt-get: from a local folder, as the lab cannot
# reach any mirror.
ENGINE_PACKAGES = ("conntrack", "docker.io", "iptables", "nftables")
OFFERED = (*ENGINE_PACKAGES, "firewalld", "ufw")

MIRROR = f"{REGISTRY_IPV4}:{REGISTRY_PORT}"
DAEMON_JSON = {"registry-mirrors": [f"http://{MIRROR}"], "insecure-registries": [MIRROR]}

# The same on every host of a suite, so part of the cached root.
ROOT_FILES: Mapping[str, str] = {
    "etc/docker/daemon.json": json.dumps(DAEMON_JSON, indent=2) + "\n",
    "etc/sysctl.d/90-router.conf": (
        "net.ipv4.ip_forward = 1\n"
        "net.ipv6.conf.all.forwarding = 1\n"
        "net.ipv6.conf.default.forwarding = 1\n"
    ),
    "etc/ssh/sshd_config.d/lab.conf": (
        "HostKey /etc/ssh/ssh_host_ed25519_key\n"
        "PermitRootLogin prohibit-password\n"
        "PasswordAuthentication no\n"
        "AuthorizedKeysFile .ssh/authorized_keys /etc/ssh/lab_authorized_keys\n"
        # A reverse lookup would wait for a name server that the lab does not have.
        "UseDNS no\n"
    ),
    "etc/sudoers.d/admin": "admin ALL=(ALL) NOPASSWD: ALL\n",
    # The router refuses it at once, so that a look-up fails quickly and nothing leaves the machine.
    "etc/resolv.conf": "nameserver 198.51.100.53\noptions timeout:1 attempts:1\n",
}

# Since 27.3 Docker does not load br_netfilter by itself. All hosts of a lab share one kernel, in
# which older ones load it; it can be turned off in each network namespace.
BRIDGED_UNSEEN: Mapping[str, tuple[str, int]] = {
    "etc/sysctl.d/91-bridge.conf": (
        "".join(f"net.bridge.bridge-nf-call-{tool} = 0\n" for tool in ("iptables", "ip6tables")),
        0o644,
    ),
}

# 29.0 to 29.2 refuse clients of an API below 1.44, later releases of 29 below 1.40.
STRICT_API: Mapping[str, tuple[str, int]] = {
    "etc/systemd/system/docker.service.d/lab.conf": (
        "[Service]\nEnvironment=DOCKER_MIN_API_VERSION=1.44\n",
        0o644,
    ),
}

# Runs in the new root, after its packages and before its files are installed.
CUSTOMISE = """\
set -eu
useradd --create-home --shell /bin/bash --no-user-group operator
useradd --create-home --shell /bin/bash --user-group --groups docker admin
systemctl enable systemd-networkd.service ssh.service docker.service
# There is nothing to load in a container, and a failed unit would make the host `degraded`.
systemctl mask systemd-modules-load.service apt-daily.timer apt-daily-upgrade.timer
rm -f /etc/ssh/ssh_host_* /etc/machine-id /var/lib/dbus/machine-id /etc/resolv.conf /etc/hostname
mkdir -p /var/log/journal /var/lib/docker /var/lib/containerd
apt-get clean
rm -rf /var/lib/apt/lists/*
"""


# The same for a bare host. The host contains the packages and their dependencies from the mirror,
# and its apt reads them from there.
CUSTOMISE_BARE = """\
set -eu
groupadd --system docker
# A mirror may be one of a day long gone, whose lists say that they are no longer valid.
apt-get -q -o Acquire::Check-Valid-Until=false update
apt-get -q -y --no-install-recommends --download-only install $OFFERED
mkdir /srv/debian
mv /var/cache/apt/archives/*.deb /srv/debian/
cd /srv/debian
for deb in *.deb; do
    dpkg-deb -f "$deb"
    sum=$(sha256sum "$deb")
    printf 'Filename: ./%s\\nSize: %s\\nSHA256: %s\\n\\n' "$deb" "$(stat -c %s "$deb")" "${sum%% *}"
done >Packages
rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*
echo 'deb [trusted=yes] file:/srv/debian ./' >/etc/apt/sources.list
"""


def packages(suite: str, *, bare: bool) -> str:
    """Return debootstrap's list of packages."""
    names = [*PACKAGES.split(","), *EXTRA_PACKAGES[suite].split(",")]
    left_out = {"docker-cli", "docker-compose", *ENGINE_PACKAGES} if bare else set()
    return ",".join(name for name in names if name and name not in left_out)


def customise(suite: str, *, bare: bool) -> str:
    """Return the script that runs in a new root, before its files are written."""
    if not bare:
        return CUSTOMISE
    offered = " ".join([*OFFERED, *EXTRA_PACKAGES[suite].strip(",").split(",")]).strip()
    rest = CUSTOMISE.removeprefix("set -eu\n").replace(" docker.service", "")
    return f"OFFERED='{offered}'\n{CUSTOMISE_BARE}{rest}"


def root_files(*, bare: bool) -> Mapping[str, str]:
    """Return path → text of the root's files; a bare host has none of Docker's."""
    return {path: text for path, text in ROOT_FILES.items() if not bare or "docker" not in path}


def root_key(suite: str, mirror: str, *, bare: bool = False) -> str:
    """Return a short digest of all contents of the suite's root, for the name of its folder."""
    parts = [suite, mirror, PACKAGES, EXTRA_PACKAGES[suite], CUSTOMISE, json.dumps(ROOT_FILES)]
    if bare:
        parts += [packages(suite, bare=True), customise(suite, bare=True)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def host_files(
    settings: Settings, host: HostSpec, *, host_key: str, public_key: str, client_key: str
) -> dict[str, tuple[str, int]]:
    """Return path in the host → (text, mode), for what differs from host to host.

    `host_key` and `public_key` are the two halves of its SSH key, `client_key` the authorized_keys
    line of the lab's user.
    """
    machine = hashlib.sha256(f"wanbound lab machine {settings.machine(host)}".encode()).hexdigest()[
        :32
    ]
    length = settings.management.prefixlen
    daemon = {**DAEMON_JSON, "firewall-backend": "nftables"}
    docker = {"etc/docker/daemon.json": (json.dumps(daemon, indent=2) + "\n", 0o644)}
    return {
        **(docker if host.docker_backend == "nftables" else {}),
        **(BRIDGED_UNSEEN if host.suite == "forky" else {}),
        **(STRICT_API if host.docker29 else {}),
        "etc/hostname": (f"{host.name}\n", 0o644),
        "etc/hosts": (f"127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {host.name}\n", 0o644),
        "etc/machine-id": (f"{machine}\n", 0o444),
        # Docker passes both to the containers; from 28 on it asks them itself, as the host.
        "etc/resolv.conf": (f"nameserver {NAMES_IPV4}\nnameserver {NAMES_IPV6}\n", 0o644),
        "etc/ssh/ssh_host_ed25519_key": (host_key, 0o600),
        "etc/ssh/ssh_host_ed25519_key.pub": (f"{public_key}\n", 0o644),
        "etc/ssh/lab_authorized_keys": (f"{client_key}\n", 0o644),
        "etc/systemd/network/10-host0.network": (
            "[Match]\nName=host0\n\n"
            f"[Network]\nAddress={settings.address(host)}/{length}\n"
            "LinkLocalAddressing=no\nIPv6AcceptRA=no\nLLDP=no\n",
            0o644,
        ),
        "etc/systemd/network/10-wan0.network": (
            "[Match]\nName=wan0\n\n"
            f"[Network]\nAddress={host.wan_ipv4}/24\nAddress={host.wan_ipv6}/64\n"
            f"Gateway={ROUTER_IPV4}\nGateway={ROUTER_LINK_LOCAL}\n"
            "LinkLocalAddressing=ipv6\nIPv6AcceptRA=no\nLLDP=no\n",
            0o644,
        ),
    }


def write_files(root: Path, files: Mapping[str, tuple[str, int]]) -> None:
    """Write the files below `root`, owned by root, without following an existing link."""
    for name, (text, mode) in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(mode)
