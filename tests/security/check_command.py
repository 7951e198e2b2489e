"""The command lines of a stack's egress checks, as the engine gets them."""

from collections.abc import Iterator

import pulumi

from components.egress_check import egress_check
from planner.config import Stack
from planner.plan import plan
from tests.components.mocks import registered


def words_of_checks(stack: Stack) -> Iterator[tuple[list[str], str]]:
    """Yield the words that each check is to be made of, and the command line that it is."""
    wanted: dict[str, list[str]] = {}

    def program() -> None:
        for host in plan(stack):
            for network in host.networks:
                if network.check is None:
                    continue
                run = [] if host.ssh.user == "root" else ["sudo", "-n"]
                run += ["docker", "run", "--rm", "-i"]
                for key, value in network.check.environment.items():
                    run += ["-e", f"{key}={value}"]
                run += ["--network", network.name, network.check.image, "check"]
                name = f"{host.name}-{network.name}"
                wanted[name] = run
                options = pulumi.ResourceOptions()
                egress_check(name, network.check, host.ssh, network.name, (), options)

    found = registered(program)
    assert {resource.name for resource in found} == wanted.keys()
    for resource in found:
        yield wanted[resource.name], resource.inputs["create"]
