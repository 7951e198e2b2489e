"""The data path of one host: real networks, containers with a probe, a sink in the internet."""

import json
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from bench import scenario
from bench.scenario import MARK, Firewall
from bench.site import BenchError, Site
from lab.images import probe_program
from lab.settings import CLIENT_IPV4, CLIENT_IPV6
from planner.docker import DockerNetwork

IMAGE = "wanbound/probe:1"
PORT = 5299
SETTLE_SECONDS = 1.0
CONTAINER_CPU, SINK_CPU = "0", "1"
"""The kernel would move both between processors, which changes the speed by half."""

PLAIN = f"{MARK}plain"
_PLAIN_IPV4, _PLAIN_IPV6 = "10.111.0.0/24", "fd62:656e:6368:ff00::/64"

Kind = Literal["connections", "throughput", "p50", "p99"]
"""New connections per second, bytes per second, and the seconds that opening one takes."""

Family = Literal["ipv4", "ipv6"]

_SINK = {"ipv4": f"{CLIENT_IPV4}:{PORT}", "ipv6": f"[{CLIENT_IPV6}]:{PORT}"}
_CALLS: tuple[tuple[str, dict[Kind, str]], ...] = (
    ("connect-rate", {"connections": "per_second"}),
    ("throughput", {"throughput": "bytes_per_second"}),
    ("connect-rate -workers=1", {"p50": "p50_seconds", "p99": "p99_seconds"}),
)
_PARTS = 3

Json = dict[str, Any]
"""What the probe prints."""


class DataPath:
    """Measures on a host prepared by `prepared`."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._loaded = True

    def rules(self, *, loaded: bool) -> None:
        """Load our rules and guard, or remove them from the packets' path; let the host settle."""
        if loaded == self._loaded:
            return
        if loaded:
            self._site.load()
        else:
            self._site.unhook()
        self._loaded = loaded
        time.sleep(SETTLE_SECONDS)

    def speed(self, container: str, family: Family, seconds: float) -> dict[Kind, float]:
        """Return how fast a container reaches the sink.

        Each of the measurements takes `seconds`, in three parts of which the fastest counts: other
        work on the machine only makes one slower. Raises BenchError if a connection fails: the
        result would not be a speed.
        """
        speeds: dict[Kind, float] = {}
        for call, keys in _CALLS:
            parts = [
                self._measured(container, family, call, seconds / _PARTS) for _ in range(_PARTS)
            ]
            for kind, key in keys.items():
                best = min if kind in ("p50", "p99") else max
                speeds[kind] = best(float(part[key]) for part in parts)
        return speeds

    def _measured(self, container: str, family: Family, call: str, seconds: float) -> Json:
        words = ["docker", "exec", container, "/probe", *call.split()]
        words += [f"-duration={seconds:g}s", _SINK[family]]
        done = self._site.host.run(shlex.join(words), timeout=seconds + 60)
        found: Json = json.loads(done.stdout)
        if found.get("failed"):
            raise BenchError(f"{container}: {call} over {family}: {found}")
        return found

    def source(self, container: str, family: Family) -> str:
        """Return the address from which the internet sees a container's connection."""
        url = f"http://{'198.51.100.1' if family == 'ipv4' else '[2001:db8:ffff::1]'}/"
        words = ["docker", "exec", container, "/probe", "get", url]
        return self._site.host.run(shlex.join(words)).stdout.strip()


@contextmanager
def prepared(site: Site, count: int, firewall: Firewall) -> Iterator[DataPath]:
    """Make the first and the last of `count` networks and a plain one, each with a container.

    They stay until `Site.clean`.
    """
    config = scenario.config(site.place, count, firewall=firewall)
    networks = scenario.host_plan(config).networks
    site.route_back()
    props = scenario.props(config)
    site.work("create", props, props)
    for network in {network.name: network for network in (networks[0], networks[-1])}.values():
        site.host.run(network_command(network.docker), timeout=120)
        _start(site, network.name, network.name)
    plain = ["docker", "network", "create", "--ipv6", f"--subnet={_PLAIN_IPV4}"]
    site.host.run(shlex.join([*plain, f"--subnet={_PLAIN_IPV6}", PLAIN]), timeout=120)
    _start(site, PLAIN, PLAIN)
    probe = str(probe_program(site.lab.settings.cache))
    sink = site.start_outside(["taskset", "--cpu-list", SINK_CPU, probe, "sink", *_SINK.values()])
    try:
        yield DataPath(site)
    finally:
        sink.kill()
        sink.wait()


def network_command(network: DockerNetwork) -> str:
    """Return the shell command that makes a network as the program makes it."""
    words = ["docker", "network", "create", "--driver=bridge", "--attachable"]
    words += ["--ipv6"] if network.ipv6 else []
    for ipam in network.ipam:
        words += [f"--subnet={ipam.subnet}", f"--gateway={ipam.gateway}"]
    words += [f"--opt={name}={value}" for name, value in sorted(network.options.items())]
    return shlex.join([*words, network.name])


def _start(site: Site, name: str, network: str) -> None:
    words = ["docker", "run", "--detach", f"--name={name}", f"--network={network}"]
    words += [f"--cpuset-cpus={CONTAINER_CPU}", IMAGE, "sleep"]
    site.host.run(shlex.join(words), timeout=300)
