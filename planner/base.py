"""What a host wants besides its networks: default routes, sysctls, and who may reach it itself.

Every line is as the tool prints it that shows it on the host: ``ip route show default``,
``sysctl``, ``iptables-save``. The input chain is jumped to as the last rule of INPUT: whatever
others decide there (fail2ban, an operator's own accept) is decided before it.
"""

from collections.abc import Iterator

from planner.config import Baseline, Host, PortRange, Subnet, Version
from planner.rule import FIRST, LAST, Rule, Setting, Wanted
from planner.rules import FORWARD_CHAIN

INPUT_CHAIN = "WANBOUND-INPUT"
"""Jumped to last from filter INPUT."""

_ICMPV6 = {
    1: "destination-unreachable",
    2: "packet-too-big",
    3: "time-exceeded",
    4: "parameter-problem",
    128: "echo-request",
    129: "echo-reply",
    130: "listener-query",
    131: "listener-report",
    132: "listener-done",
    133: "router-solicitation",
    134: "router-advertisement",
    135: "neighbour-solicitation",
    136: "neighbour-advertisement",
    143: "listener-report-v2",
}
"""What must not be dropped on a link (RFC 4890 sections 4.4.1 and 4.4.2): without neighbours there
is no IPv6 at all, without packet-too-big connections hang, without listener reports a switch that
snoops on them stops delivering neighbour solicitations."""


def base(host: Host) -> list[Wanted]:
    """Return what `host` wants for itself, nothing where its configuration asks for nothing."""
    wan, baseline = host.wan.interface, host.baseline
    routes = _routes(host)
    found: list[Wanted] = list(routes)
    if routes:
        found.append(Setting("links", wan, f"{wan} up"))
    if baseline is not None:
        found += _sysctls(host)
        for version in (4, 6):
            found += _input(baseline, host.ssh.port, version)
            found.append(_forward(wan, version))
    return found


def _routes(host: Host) -> list[Setting]:
    wan = host.wan
    gateways = {"ipv4": wan.gateway_ipv4, "ipv6": wan.gateway_ipv6}
    return [
        Setting("routes", family, f"default via {gateway} dev {wan.interface}")
        for family, gateway in gateways.items()
        if gateway is not None
    ]


def _sysctls(host: Host) -> Iterator[Setting]:
    """Yield the kernel's settings; the reason for each is in docs/configuration.md.

    Those of IPv6 only where a network has IPv6: nothing else should make the host a router of it.
    """
    # As in sysctl(8): a dot in an interface's name is written as a slash.
    wan = host.wan.interface.replace(".", "/")
    yield Setting("sysctls", "forwarding ipv4", "net.ipv4.ip_forward = 1")
    yield Setting("sysctls", "rp_filter", f"net.ipv4.conf.{wan}.rp_filter = 2")
    if any(network.ipv6 is not None for network in host.networks):
        if host.wan.gateway_ipv6 is None:
            # Else the route is ours, and a host that was told to ignore advertisements goes on to.
            # First, because the kernel forgets the router that it learned in the moment in which
            # forwarding is turned on, unless this is 2.
            accept_ra = f"net.ipv6.conf.{wan}.accept_ra = 2"
            yield Setting("sysctls", "accept_ra", accept_ra, FIRST)
        yield Setting("sysctls", "forwarding ipv6", "net.ipv6.conf.all.forwarding = 1")


def _input(baseline: Baseline, ssh_port: int, version: Version) -> Iterator[Rule]:
    def rule(role: str, match: str, target: str = "ACCEPT", order: int = 0) -> Rule:
        space = " " if match else ""
        text = f"-A {INPUT_CHAIN} {match}{space}-j {target}"
        return Rule("ipv4" if version == 4 else "ipv6", INPUT_CHAIN, role, text, order)

    # Most packets are of these: a packet walks the chain no further than this.
    yield rule("established", "-m conntrack --ctstate RELATED,ESTABLISHED", order=FIRST)
    yield rule("loopback", "-i lo", order=FIRST)
    if version == 4:
        yield rule("icmp", "-p icmp")
    else:
        for number, name in _ICMPV6.items():
            yield rule(f"icmp {number} {name}", f"-p ipv6-icmp -m icmp6 --icmpv6-type {number}")
        # A DHCPv6 client asks a multicast address, so conntrack knows no answer to it. (A DHCPv4
        # client reads its first answers past the filter, from a packet socket.)
        yield rule("lease dhcpv6", "-s fe80::/10 -p udp -m udp --sport 547 --dport 546")
    for protocol, ports in _open(baseline):
        match = f"-p {protocol} -m {protocol} --dport {str(ports).replace('-', ':')}"
        yield rule(f"open {protocol} {ports}", match)
    for source in baseline.ssh_from:
        if source.version == version:
            yield rule(f"ssh {source}", f"{_from(source)}-p tcp -m tcp --dport {ssh_port}")
    yield rule("strangers", "", "DROP", LAST)


def _open(baseline: Baseline) -> Iterator[tuple[str, PortRange]]:
    for entry in baseline.open:
        for ports in entry.ports:
            yield entry.protocol, ports


def _from(source: Subnet) -> str:
    """Return the match on a source; iptables-save prints none for every address there is."""
    return f"-s {source} " if source.prefixlen else ""


def _forward(wan: str, version: Version) -> Rule:
    """Return the rule that lets in what was translated and answers, and no stranger's packet.

    Docker closes FORWARD by a policy, but only in a family whose forwarding it turned on itself
    (libnetwork, setupIPForwarding), and 20.10 never for IPv6. With the sysctls above, which are
    set before Docker starts, it would find nothing to turn on and leave both families open.
    """
    match = f"-i {wan} -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT"
    text = f"-A {FORWARD_CHAIN} {match} -j DROP"
    return Rule("ipv4" if version == 4 else "ipv6", FORWARD_CHAIN, "strangers", text, LAST)
