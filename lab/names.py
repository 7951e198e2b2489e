"""The internet's DNS: dnsmasq with the names of the stacks that are brought up here.

A stack's configuration has the names that it serves and their public addresses; a real operator
would have the same records in their zone. All other names do not exist.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

from lab import processes, settings
from lab.ledger import Ledger
from lab.namespace import inside
from lab.settings import Settings
from lab.steps import output, step
from planner.config import Network, Stack
from planner.config.names import ROUTING_LABEL, host_names_of

SERVICES = {settings.ACME_NAME: (settings.ACME_IPV4, settings.ACME_IPV6)}


def folder(lab: Settings) -> Path:
    """Return the folder of names, a file for each stack in the form of /etc/hosts."""
    return lab.state / "names"


def resolver(lab: Settings) -> Path:
    """Return a resolv.conf(5) that names this DNS."""
    return lab.state / "resolv.conf"


def start(lab: Settings) -> None:
    """Serve the names in both families, unless that runs already."""
    if processes.find(lab, "names"):
        return
    addresses = (settings.NAMES_IPV4, settings.NAMES_IPV6)
    resolver(lab).write_text("".join(f"nameserver {each}\n" for each in addresses))
    _write(lab, "services", [(name, each) for name, all_ in SERVICES.items() for each in all_])
    listen = ",".join(addresses)
    words = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file="]
    words += ["--no-hosts", "--no-resolv", "--no-poll", "--user=root", "--log-facility=-"]
    # No other server is asked: an unknown name is answered with NXDOMAIN immediately.
    words += ["--local=/#/", f"--addn-hosts={folder(lab)}"]
    words += ["--bind-interfaces", f"--listen-address={listen}", "--max-ttl=1", "--max-cache-ttl=1"]
    log = lab.logs / "names.log"
    with step("starting the DNS", log):
        processes.spawn(lab, "names", inside(lab, words), log=log)


def publish(lab: Settings, label: str, found: Iterable[tuple[str, str]]) -> None:
    """Publish names with their addresses, in place of those published under `label` before."""
    _write(lab, label, found)
    process = processes.find(lab, "names")
    if process is not None:
        # dnsmasq(8): it clears its cache and reads all files of names again.
        os.kill(process.pid, signal.SIGHUP)


def records(stack: Stack) -> Iterator[tuple[str, str]]:
    """Yield every name that the stack serves with each of its public addresses."""
    for host in stack.hosts:
        for network in host.networks:
            for name in _names(network):
                for family in network.families:
                    yield name, str(family.public)


def _names(network: Network) -> Iterator[str]:
    balancer = network.load_balancer
    if balancer is not None and balancer.dashboard is not None:
        yield balancer.dashboard.domain
    if network.whoami is not None:
        yield network.whoami.domain
    for container in network.containers:
        if container.labels.get(ROUTING_LABEL) == network.name:
            yield from (name for _, name in host_names_of(container.labels))


def _write(lab: Settings, label: str, found: Iterable[tuple[str, str]]) -> None:
    folder(lab).mkdir(parents=True, exist_ok=True)
    path = folder(lab) / re.sub("[^A-Za-z0-9-]", "_", label)
    following = lab.state / "names.next"
    following.write_text("".join(f"{address} {name}\n" for name, address in dict.fromkeys(found)))
    following.rename(path)


def add_addresses(lab: Settings) -> None:
    """Add the missing addresses of its services to the namespace."""
    if not Ledger(lab).has("namespace", lab.namespace):
        return
    for address in settings.SERVICE_ADDRESSES:
        output(["ip", "-n", lab.namespace, "address", "replace", address, "dev", "lo"])
