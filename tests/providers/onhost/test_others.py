"""Where many networks have rules, connections of others return before them."""

import sys

from tests.providers.onhost.generations import files
from tests.providers.onhost.test_mark import FAMILIES, OUTSIDE, PUBLIC, STRANGER, Stage, stage

__all__ = ["stage"]  # the fixture


def _counted(stage: Stage, tool: str) -> list[tuple[int, int]]:
    """Return what the first rule of each chain has counted, and all others; begin again at 0."""
    found = []
    for chain in ("WANBOUND-DNAT", "WANBOUND-SNAT"):
        listed = stage.host.out(f"{tool} -t nat -nvxL {chain}").splitlines()[2:]
        stage.host.out(f"{tool} -t nat -Z {chain}")
        assert "RETURN" in listed[0]
        first, *rules = (int(line.split()[0]) for line in listed)
        found.append((first, sum(rules)))
    return found


@FAMILIES
def test_only_other_connections_return_early(stage: Stage, at: int) -> None:
    """Egress, ingress and the host's own calls are translated as before."""
    tool = ("iptables", "ip6tables")[at]
    stage.host.deploy(files("many"), "b1")
    _counted(stage, tool)
    assert stage.ask("container", OUTSIDE[at]) == PUBLIC[at]
    # In IPv4 the server is among the public addresses: no rule matches, and none returns early.
    far = [(0, 0), (1, 0)][at]
    assert _counted(stage, tool) == [far, (0, 1)]
    assert stage.ask("outside", PUBLIC[at], "tcp") == OUTSIDE[at]
    assert _counted(stage, tool) == [(0, 1), (1, 0)]
    by_host = f"{sys.executable} /mnt/peer.py tcp {PUBLIC[at]} 0 10"
    assert stage.host.out(by_host).strip() == PUBLIC[at]
    assert _counted(stage, tool) == [(0, 1), (1, 0)]
    way_back = ("203.0.113.101", "2001:db8::101")[at]
    stage.host.out(f"{tool} -F DOCKER-USER; ip -n outside route add {STRANGER[at]} via {way_back}")
    assert stage.ask("stranger", OUTSIDE[at]) == STRANGER[at]
    assert _counted(stage, tool) == [far, (1, 0)]
