"""The command lines of a stack's egress checks, as Pulumi's engine gets them."""

import shlex
from collections.abc import Iterator

import pulumi

from components import egress_check
from components.names import resource_name
from planner.config import Stack
from planner.plan import plan
from tests.components.mocks import registered


def words_of_checks(stack: Stack) -> Iterator[tuple[list[str], str]]:
    """Yield the expected words of each check, and its command line on the host."""
    wanted: dict[str, list[str]] = {}

    def program() -> None:
        for host in plan(stack):
            for network in host.networks:
                if network.check is None:
                    continue
                run = [] if host.ssh.user == "root" else ["sudo", "-n"]
                run += ["sh", "-s", "--", f"host {host.name}, network {network.name}"]
                for server in network.check.dns:
                    run += ["--dns", server]
                run += ["--network", network.name]
                name = resource_name(host.name, "egress_check", network.name)
                wanted[name] = run
                options = pulumi.ResourceOptions()
                egress_check.egress_check(name, network.check, host.ssh, network.name, (), options)

    found = registered(program)
    assert {resource.name for resource in found} == wanted.keys()
    for resource in found:
        local = resource.inputs["create"].removeprefix(egress_check.SEND)
        yield wanted[resource.name], shlex.split(local)[-1]
