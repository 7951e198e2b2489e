"""The demo's three networks with an operator's additions, for all tests of this folder."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from lab import names
from lab.api import Lab, Packet
from lab.checks import pages
from lab.settings import ROUTER_IPV4, ROUTER_IPV6
from lab.stacks import Config, LabStack, Run, parsed
from planner.config import Stack
from tests.lab.stack.configs import demo, network

USER, PASSWORD = "testmonitor", "wanbound-demo"
FOUR = ("four.web.example.com", "four.web.example.net")
"""A name with only an A record, for each host."""

HTTP_CHALLENGE = (2, "special")
"""The network that is validated on port 80, with its host, counted from 1."""


@dataclass
class Edge:
    """The stack that is up, what its `up` said, and how its names were validated."""

    lab: Lab
    stack: LabStack
    config: Config
    up: Run
    validations: Sequence[Packet]
    """What the authority sent to the hosts' ports 80 and 443 during the `up`."""

    @property
    def plan(self) -> Stack:
        """The configuration as the program parses it."""
        return parsed(self.config, self.stack.name)

    def changed(self) -> Config:
        """Return a copy of the configuration to change; `back` undoes the change."""
        return copy.deepcopy(self.config)

    def back(self) -> None:
        """Bring the hosts back to the configuration that all tests start from."""
        self.stack.configure(self.config)
        self.stack.up("--refresh")


@pytest.fixture(scope="package")
def edge(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """Run one `up` on both engines, and capture the authority's packets meanwhile."""
    config = demo(lab)
    records = []
    for number, name in enumerate(FOUR, 1):
        web = network(config, number, "web")
        web["containers"] = [_own_container(config, name)]
        records.append((name, web["public_ipv4"]))
    network(config, *HTTP_CHALLENGE)["load_balancer"]["acme"]["challenge"] = "http"
    stack = LabStack.copy(lab, "edge", config, tmp_path_factory.mktemp("edge"))
    names.publish(lab.settings, "four", records)
    asks = f"(dst port 443 or dst port 80) and (src host {ROUTER_IPV4} or src host {ROUTER_IPV6})"
    try:
        with lab.internet.capture(asks) as capture:
            done = stack.up()
            # The checks wait for the certificates of all names.
            assert [
                page.why for page in pages(lab, parsed(config, stack.name)) if not page.ok
            ] == []
            _wait_for_certificate(lab, FOUR)
        yield Edge(lab, stack, config, done, capture.packets)
    finally:
        stack.destroy()
        names.publish(lab.settings, "four", ())


def _own_container(config: Config, name: str) -> dict[str, object]:
    """The container that an operator adds, as in docs/edge.md."""
    return {
        "name": "app",
        "image": "wanbound/whoami:1",
        "environment": {
            "ECHO_IPV4": config["echo"]["ipv4"],
            "ECHO_IPV6": config["echo"]["ipv6"],
        },
        "labels": {
            "lb.net": "web",
            # A rule with more than the host: wanbound does not publish its name for both families.
            "traefik.http.routers.app.rule": f"Host(`{name}`) && PathPrefix(`/`)",
            "traefik.http.routers.app.entrypoints": "websecure",
            "traefik.http.routers.app.tls.certresolver": "lec",
            "traefik.http.services.app.loadbalancer.server.port": "80",
        },
    }


def _wait_for_certificate(lab: Lab, of: Sequence[str]) -> None:
    for name in of:
        words = ["--retry", "60", "--retry-all-errors", "--retry-delay", "1", "-o", "/dev/null"]
        lab.internet.curl("-4", "-m", "5", *words, f"https://{name}/", timeout=120)
