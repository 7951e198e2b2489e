"""Which containers of our networks send through another one: where their default routes lead. Pure.

A container has one default route for each family, for any number of its networks. Packets that
leave through another network do not have our public address, and the host cannot distinguish them
from that network's own traffic.

The routes are those in the container's network namespace (facts.py), and not Docker's rule for
choosing one, which has changed from version to version (docs/compose.md).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from providers.host.facts import Container, Facts
from providers.host.plan import Plan, overlap


@dataclass(frozen=True)
class Elsewhere:
    """A container of `network` whose default route of a family is that of `other`.

    `other` is empty where no Docker network has the gateway; `ours` says that it is a network of
    the plan. `public` is the address that the container should leave with.
    """

    network: str
    container: Container
    family: str
    public: str
    other: str
    ours: bool

    def __str__(self) -> str:
        where = f"network {self.other}" if self.other else "no Docker network"
        instead = f"the address of {where}" if self.ours else "the host's address"
        family = f"IPv{self.family[-1]}"
        return (
            f"network {self.network}: the {family} default route of container {self.container} is"
            f" in {where}, so it leaves with {instead} and not with {self.public}. Fix: give it"
            f" gw_priority: 1 in {self.network} (Docker 28, compose 2.33.1), make the other network"
            " internal, or take the container out of it (docs/compose.md)"
        )


def elsewhere(plan: Plan, facts: Facts) -> Iterator[Elsewhere]:
    """Yield the containers that send through another network, by network and container."""
    named = facts.docker_networks_by_name
    for name, network in plan.networks.items():
        for found in named.get(name, ()):
            for container in facts.inside(found):
                # The first route is the one with the best metric.
                for family, gateway in dict(reversed(container.gateways)).items():
                    public = network.addresses.get(family)
                    if public is None or any(overlap(gateway, each) for each in found.subnets):
                        continue
                    others = [
                        each.name
                        for each in facts.docker_networks
                        if any(overlap(gateway, subnet) for subnet in each.subnets)
                    ]
                    other = others[0] if others else ""
                    ours = other in plan.networks
                    yield Elsewhere(name, container, family, public, other, ours)
