"""The small internet: one network namespace with the router and every service behind it.

It has routes to the hosts' wan and to nothing else. So a packet with a private source is captured
and never answered.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lab import acme, names, processes, registry, settings
from lab.ledger import Ledger
from lab.namespace import answers, exists, has_link, inside
from lab.settings import Settings
from lab.steps import step, wait_until

CHECKOUT = Path(__file__).resolve().parent.parent
BRIDGE = "wan"
# An address without a neighbour: packets to it pass the bridge without an answer. Captures send to
# it, to find out when they see packets.
SENTINEL_IPV6 = "2001:db8::ffff:fffe"
SENTINEL_MAC = "02:77:62:ff:ff:fe"
SYSCTLS = (
    "net.ipv4.ip_forward=1",
    "net.ipv6.conf.all.forwarding=1",
    # Redirects between two hosts of its own link would only be noise.
    "net.ipv4.conf.all.send_redirects=0",
    "net.ipv4.conf.default.send_redirects=0",
    # A wrong source must reach the capture, and stay unanswered for lack of a route.
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
    "net.core.somaxconn=4096",
)


def _addresses(lab: Settings) -> list[tuple[str, str]]:
    router = [
        (BRIDGE, f"{settings.ROUTER_IPV4}/24"),
        (BRIDGE, f"{settings.ROUTER_LINK_LOCAL}/64"),
        (BRIDGE, f"{settings.ROUTER_IPV6}/64"),
    ]
    return router + [("lo", address) for address in settings.SERVICE_ADDRESSES]


def up(lab: Settings) -> None:
    """Make the missing parts of the namespace, its router and its services."""
    ip = ["ip", "-n", lab.namespace]
    log_path = lab.logs / "internet.log"
    if not has_link(lab, BRIDGE):
        with step("making the internet", log_path) as log:
            Ledger(lab).claim("namespace", lab.namespace, exists=exists(lab))
            if not exists(lab):
                log.run(["ip", "netns", "add", lab.namespace])
            log.run(inside(lab, ["sysctl", "-q", "-w", *SYSCTLS]))
            log.run([*ip, "link", "set", "lo", "up"])
            for link, address in _addresses(lab):
                if link == "lo":
                    log.run([*ip, "address", "replace", address, "dev", "lo"])
            # The bridge gets its name last: if it exists, all steps before it are done.
            router = [
                "link",
                "add",
                "router.next",
                "address",
                settings.ROUTER_MAC,
                "type",
                "bridge",
            ]
            subprocess.run([*ip, "link", "del", "router.next"], capture_output=True, check=False)
            # No snooping: no querier here asks for the groups of neighbour discovery.
            log.run([*ip, *router, "forward_delay", "0", "stp_state", "0", "mcast_snooping", "0"])
            log.run([*ip, "link", "set", "router.next", "addrgenmode", "none"])
            for link, address in _addresses(lab):
                if link == BRIDGE:
                    nodad = ["nodad"] if ":" in address else []
                    log.run([*ip, "address", "add", address, "dev", "router.next", *nodad])
            log.run([*ip, "link", "set", "router.next", "name", BRIDGE])
            log.run([*ip, "link", "set", BRIDGE, "up"])
            sentinel = ["neighbour", "replace", SENTINEL_IPV6, "lladdr", SENTINEL_MAC]
            log.run([*ip, *sentinel, "dev", BRIDGE, "nud", "permanent"])
    names.add_addresses(lab)
    start_echo(lab)
    names.start(lab)
    acme.start(lab)
    registry.up(lab)


def start_echo(lab: Settings) -> None:
    """Start the IP-echo service on port 80 of both families, unless it runs."""
    if processes.find(lab, "echo"):
        return
    program = [sys.executable, "-m", "lab.echo", "80", settings.ECHO_IPV4, settings.ECHO_IPV6]
    log = lab.logs / "echo.log"
    with step("starting the address echo", log):
        processes.spawn(
            lab, "echo", inside(lab, program), log=log, cwd=CHECKOUT, env=lab.environment
        )
        url = f"http://[{settings.ECHO_IPV6}]/"
        wait_until("the address echo", lambda: answers(lab, url), timeout=60, every=0.1)
