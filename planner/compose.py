"""Fixed addresses for the services of a compose file that join a network of the stack."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import chain, count, islice

from planner.addresses import container_address, last_usable
from planner.config import Address, AddressPair, Family, Network
from planner.plan import NetworkPlan


@dataclass(frozen=True)
class Service:
    """A service and its addresses, as an ingress entry names them.

    `declared` says that an entry of the stack names them, so ports lead there.
    """

    name: str
    addresses: AddressPair
    declared: bool


def services(
    network: Network, planned: NetworkPlan, names: Sequence[str], others: Collection[str] = ()
) -> tuple[Service, ...]:
    """Return a service for each name, and for each pair of addresses that the ingress names.

    The names take the pairs in order. Pairs that are left get a name derived from the last one,
    unlike any in `others`. Other services get addresses that no container of the stack has, from
    a hash of their names, so that two compose files do not get the same ones. Raises LookupError
    where a subnet is full.
    """
    pairs = network.undeclared
    numbered = (f"{names[-1]}-{number}" for number in count(2))
    unused = (name for name in numbered if name not in (*names, *others))
    more = islice(unused, max(0, len(pairs) - len(names)))
    used = {
        ip_address(text)
        for container in planned.containers
        for text in (container.ipv4, container.ipv6)
        if text is not None
    }
    used.update(address for pair in pairs for address in pair.known)
    found = []
    for place, name in enumerate((*names, *more)):
        pair = pairs[place] if place < len(pairs) else AddressPair()
        ipv4, ipv6 = pair.ipv4, pair.ipv6
        for family in network.families:
            if family.version == 4 and ipv4 is None:
                ipv4 = _free(family, name, used)
            elif family.version == 6 and ipv6 is None:
                ipv6 = _free(family, name, used)
        given = AddressPair(ipv4, ipv6)
        used.update(given.known)
        found.append(Service(name, given, declared=place < len(pairs)))
    return tuple(found)


def _free(family: Family, name: str, used: Collection[Address]) -> Address:
    """Return the address that a container of this name would derive, or the next free one."""
    subnet, first = family.subnet, int(family.gateway) + 1
    last = min(int(last_usable(subnet)), int(subnet.network_address) + 0xFFFF)
    derived = container_address(subnet, name)
    start = first if derived is None else int(derived)
    for number in chain(range(start, last + 1), range(first, start)):
        address = type(subnet.network_address)(number)
        if address not in used:
            return address
    raise LookupError(f"{subnet} has no free address")
