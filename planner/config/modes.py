"""What must hold for a network's mode, and for the ports that its containers publish."""

from planner.config.model import BALANCED, LOAD_BALANCER
from planner.config.publish import BY_DOCKER
from planner.config.report import Report
from planner.config.shape import NetworkDraft

_MOST = 256
"""So many ports of a container may be published in mode masquerade."""

_REACHED = {
    "snat": "In mode snat nothing comes in from outside.",
    "masquerade": "In mode masquerade Docker publishes what containers name in ports.",
}


def check_mode(network: NetworkDraft, report: Report) -> None:
    """Report what `network` asks for that its mode does not do."""
    spec, loc = network.spec, network.loc
    _check_subnet(network, report)
    for place, container in enumerate(spec.containers):
        if container.ports and spec.mode == "snat":
            what = f"container {container.name} publishes ports, and the network's mode is snat"
            remedy = "remove ports, or write mode: nat"
            report.add((*loc, "containers", place, "ports"), what, _REACHED["snat"], remedy)
    if spec.mode == "nat":
        _check_default_ingress(network, report)
        return
    if spec.ingress:
        what = f"is there, and the network's mode is {spec.mode}"
        remedy = "remove it, or write mode: nat"
        if spec.mode == "masquerade":
            remedy = "write ports at the containers instead, or mode: nat"
        report.add((*loc, "ingress"), what, _REACHED[spec.mode], remedy)
    if spec.mode == "snat" and spec.load_balancer is not None:
        what = "is there, and the network's mode is snat"
        remedy = "remove it, or write mode: nat"
        report.add((*loc, LOAD_BALANCER), what, _REACHED["snat"], remedy)
    if spec.mode == "masquerade":
        _check_published(network, report)


def _check_subnet(network: NetworkDraft, report: Report) -> None:
    """Refuse a subnet of Docker's choosing where something has to know it beforehand."""
    spec = network.spec
    if not network.by_docker:
        return
    at = (*network.loc, "subnet_ipv4")
    if spec.mode != "snat":
        what = f"is {BY_DOCKER}, and the network's mode is {spec.mode}"
        why = "What comes in is forwarded to addresses, and nobody would know them."
        report.add(
            at, what, why, "write a subnet, or remove the key to get one, or write mode: snat"
        )
    if spec.public_ipv4 is None:
        what, why = f"is {BY_DOCKER}, without public_ipv4", "Nothing would go out of that subnet."
        report.add(at, what, why, "add public_ipv4, or remove this")
    for place, container in enumerate(spec.containers):
        if container.ipv4 is not None:
            what = f"{container.ipv4} is given, and Docker chooses the subnet"
            why = "Nobody knows whether the address will be in it."
            remedy = "remove it, or write the subnet_ipv4"
            report.add((*network.loc, "containers", place, "ipv4"), what, why, remedy)


def _check_default_ingress(network: NetworkDraft, report: Report) -> None:
    """Refuse published ports beside the ingress that is there unasked, which has all TCP."""
    spec = network.spec
    if spec.ingress is not None or spec.load_balancer is None:
        return
    for place, container in enumerate(spec.containers):
        if any(each.protocol == "tcp" for each in container.ports):
            what = f"container {container.name} has tcp ports, and all TCP is the load balancer's"
            why = "Without ingress the load balancer gets all of it."
            remedy = "write what it is to have, like ingress: [{ports: [80, 443]}], or"
            at = (*network.loc, "containers", place, "ports")
            report.add(at, what, why, f"{remedy} load_balancer: false")


def _check_published(network: NetworkDraft, report: Report) -> None:
    """Refuse a port that is published twice: Docker would start the first container alone."""
    seen: dict[tuple[str, int], str] = {}
    if network.spec.load_balancer is not None:
        seen = {("tcp", port): "the load balancer" for port in BALANCED}
    for place, container in enumerate(network.spec.containers):
        at = (*network.loc, "containers", place, "ports")
        count = sum(each.ports.last - each.ports.first + 1 for each in container.ports)
        if count > _MOST:
            what = f"publishes {count} ports, and the network's mode is masquerade"
            why = "Docker starts a process for each port and address."
            report.add(at, what, why, f"list at most {_MOST}, or write mode: nat")
            continue
        for each in container.ports:
            for port in range(each.ports.first, each.ports.last + 1):
                owner = seen.get((each.protocol, port))
                if owner is not None:
                    what = f"{each.protocol} port {port} is published by {owner} already"
                    why = "Docker binds a port of an address once, and this would not start."
                    report.add(at, what, why, f"list {port} once in this network")
                    break
                seen[each.protocol, port] = container.name
