"""Names and networks of the stack that the tests of this folder share."""

from planner.config import Network
from tests.lab.edge.conftest import Edge


def network_of(edge: Edge, number: int, name: str) -> Network:
    """The network called `name` of a host, counted from 0."""
    (found,) = [each for each in edge.plan.hosts[number].networks if each.name == name]
    return found


def web_of(edge: Edge, number: int) -> Network:
    """The network `web` of a host."""
    return network_of(edge, number, "web")


def page(edge: Edge, number: int, name: str) -> str:
    """The host name of a network's whoami."""
    whoami = network_of(edge, number, name).whoami
    assert whoami is not None
    return whoami.domain


def dashboard(edge: Edge, number: int) -> str:
    """The host name of the dashboard, which the network `mail` has."""
    balancer = network_of(edge, number, "mail").load_balancer
    assert balancer is not None
    assert balancer.dashboard is not None
    return balancer.dashboard.domain
