"""docker-ipv6nat, or its stand-in, as an image on a host of the lab."""

import os
import subprocess
from pathlib import Path
from typing import Any

from lab.api import Host, Lab
from lab.golang import go
from lab.hosts import ssh
from lab.stacks import Config
from lab.traffic import PROBE

STANDIN = Path(__file__).parent / "standin"
IMAGE = "stand-in/ipv6nat:1"

_IMPORT = """\
set -eu
mkdir -p /run/ipv6nat && cd /run/ipv6nat
cat >docker-ipv6nat && chmod 755 docker-ipv6nat
# The host's own ip6tables, with what it loads; the stand-in is static.
program=$(readlink -f /usr/sbin/ip6tables)
mkdir -p usr/sbin && cp -L "$program" usr/sbin/ip6tables
folder=$(dirname "$(find /usr/lib -name libip6t_REJECT.so | head -1)")
mkdir -p ".$folder" && cp "$folder"/*.so ".$folder/"
for file in $(ldd "$program" | grep -o '/[^ ]*'); do
    mkdir -p ".$(dirname "$file")" && cp -L "$file" ".$file"
done
mkdir -p run
tar -cf - . | docker import -c 'ENTRYPOINT ["/docker-ipv6nat"]' - "$1" >/dev/null
cd / && rm -rf /run/ipv6nat
"""


def bring(lab: Lab, host: Host, folder: Path) -> None:
    """Build the stand-in on this machine, and make an image of it on the host."""
    program = folder / "docker-ipv6nat"
    subprocess.run(
        [str(go()), "build", "-trimpath", "-ldflags=-s -w", "-o", str(program), "."],
        cwd=STANDIN,
        env={**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"},
        check=True,
        timeout=300,
    )
    host.put("/run/import-ipv6nat", _IMPORT, mode=0o755)
    with program.open("rb") as stream:
        command = ssh(lab.settings, host.name, [f"sh /run/import-ipv6nat {IMAGE}"])
        subprocess.run(command, stdin=stream, check=True, timeout=120)
    host.run("rm /run/import-ipv6nat")


def config(host: Host) -> Config:
    """Two networks in mode nat, and one for docker-ipv6nat, on one host."""
    networks: list[dict[str, Any]] = [
        {
            "name": name,
            "public_ipv4": f"203.0.113.{last}",
            "public_ipv6": f"2001:db8::{last}",
            "subnet_ipv4": f"10.{last}.0.0/24",
            "subnet_ipv6": f"fd00:{last}::/64",
            "whoami": {"domain": f"whoami.{name}.example.com"},
        }
        for name, last in (("web", 50), ("mail", 60))
    ]
    networks.append(
        {
            "name": "posted",
            "mode": "masquerade",
            "public_ipv4": "203.0.113.70",
            "public_ipv6": "2001:db8::70",
            "subnet_ipv4": "10.70.0.0/24",
            "subnet_ipv6": "fd00:70::/64",
            "load_balancer": False,
            "containers": [
                {"name": "posted", "image": PROBE, "command": ["serve-tcp", ":80"], "ports": [80]},
                {
                    "name": "posted-udp",
                    "image": PROBE,
                    "command": ["serve-udp", ":3478"],
                    "ports": ["3478/udp"],
                },
            ],
        }
    )
    return {
        "echo": {"ipv4": "http://198.51.100.1/", "ipv6": "http://[2001:db8:ffff::1]/"},
        "images": {"ipv6nat": IMAGE},
        "hosts": [
            {
                "name": host.name,
                "ssh": {"address": host.address, "host_key": host.host_key},
                "wan": {"interface": "wan0"},
                "ipv6nat": "container",
                "networks": networks,
            }
        ],
    }
