"""The rules of rules.py and base.py in nftables, for hosts with ``firewall: nftables``.

They are lines of the table ``inet wanbound``, which also has the guard (planner/guard.py), as
``nft list table inet wanbound`` prints them. So a host is loaded in one transaction of nft, without
iptables. providers/host/generation.py writes the base chains and the maps. The nat chains come
before those of Docker and of iptables, because at equal priorities there is no reliable order.

- ``dnat-B``: packets to a public address of network B; the map ``dnat-ipv4`` finds the address;
- ``snat-B``: packets from the network; the map ``snat-ipv4`` finds its subnet, or
  ``snat-by-bridge`` its bridge if Docker chooses the subnet;
- ``input``, ``strangers``: filter packets to the host itself, and packets from untrusted sources
  that the host would forward (with ``baseline``).
"""

from collections.abc import Iterator

from planner.config import Address, Baseline, Family, Network, Subnet
from planner.icmpv6 import MESSAGES
from planner.rule import FIRST, LAST, Element, Rule
from planner.rules import NFT_FAMILY, at_address, entrances, nft_range


def nat(network: Network) -> Iterator[Rule | Element]:
    """Yield the NAT rules of `network`, and the map elements that lead to them."""
    bridge = network.bridge
    if network.docker_ipv4 is not None:
        yield Element("snat-by-bridge", "own", f'"{bridge}" : jump snat-{bridge}')
        yield _egress(bridge, "ipv4", "ip", network.docker_ipv4)
    for family in network.families:
        yield from _family(network, family)


def _family(network: Network, family: Family) -> Iterator[Rule | Element]:
    bridge, name = network.bridge, f"ipv{family.version}"
    ip = NFT_FAMILY[family.version]
    ways = list(entrances(network, family))
    for address in dict.fromkeys(way.address for way in ways):
        role = f"own{at_address(address, family)}"
        yield Element(f"dnat-{name}", role, f"{address} : jump dnat-{bridge}")
    for way in ways:
        match = f"meta l4proto {way.protocol}"
        if way.ports is not None:
            match = f"{way.protocol} dport {way.ports}"
        text = f"{ip} daddr {way.address} {match} dnat {ip} to {way.target}"
        yield Rule("inet", f"dnat-{bridge}", f"ingress {name} {way.role}", text)
    yield Element(f"snat-{name}", "own", f"{family.subnet} : jump snat-{bridge}")
    yield _egress(bridge, name, ip, family.public)
    if network.mode == "nat":
        # The hairpin, as in rules.py.
        text = f'oifname "{bridge}" ct status dnat snat {ip} to {family.public}'
        yield Rule("inet", f"snat-{bridge}", f"hairpin {name}", text)


def _egress(bridge: str, name: str, ip: str, public: Address) -> Rule:
    # The kernel skips it for packets of the other family (nft_nat_inet_eval).
    text = f'oifname != "{bridge}" snat {ip} to {public}'
    return Rule("inet", f"snat-{bridge}", f"egress {name}", text)


def input_rules(baseline: Baseline, ssh_port: int) -> Iterator[Rule]:
    """Yield the rules for packets to the host itself."""

    def accept(role: str, match: str, order: int = 0) -> Rule:
        return Rule("inet", "input", role, f"{match} accept", order)

    yield accept("established", "ct state established,related", FIRST)
    yield accept("loopback", 'iifname "lo"', FIRST)
    yield accept("icmp", "ip protocol icmp")
    for number, _, name in MESSAGES:
        yield accept(f"icmpv6 {number}", f"icmpv6 type {name}")
    yield accept("lease dhcpv6", "ip6 saddr fe80::/10 udp sport 547 udp dport 546")
    for entry in baseline.open:
        for ports in entry.ports:
            match = f"{entry.protocol} dport {ports}"
            yield accept(f"open {match.replace(' dport', '')}", match)
    for source in baseline.ssh_from:
        yield accept(f"ssh {source}", f"{_from(source)} tcp dport {ssh_port}")
    yield Rule("inet", "input", "strangers", "counter drop", LAST)


def _from(source: Subnet) -> str:
    """Return the match on a source as nft prints it."""
    if source.prefixlen == 0:
        return f"meta nfproto ipv{source.version}"
    return f"{NFT_FAMILY[source.version]} saddr {nft_range(source)}"


def strangers(wan: str) -> Iterator[Rule]:
    """Yield rules that drop forwarded packets, except translated ones and replies (base.py)."""
    for role, match in {
        "answers": "ct state established,related accept",
        "translated": "ct status dnat accept",
    }.items():
        yield Rule("inet", "strangers", role, match)
    yield Rule("inet", "strangers", "strangers", f'iifname "{wan}" counter drop', LAST)
