"""The lines of a host that belong to no network: the accept of their traffic, and the host's own.

The host's own lines are default routes, sysctls, and the filter of packets to the host itself.

Every line is written as the tool on the host prints it: ``ip route show default``, ``sysctl``,
``iptables-save``. The jump to the input chain is the last rule of INPUT, so other rules there
(fail2ban, an operator's own accept) decide first.
"""

from collections.abc import Iterator, Mapping

from planner.config import Baseline, Firewall, Host, PortRange, Subnet, Version
from planner.guard import log_and_drop, marks
from planner.icmpv6 import MESSAGES
from planner.nftables import input_rules, strangers
from planner.rule import FIRST, LAST, Rule, Setting, Wanted
from planner.rules import FORWARD_CHAIN, dport, family_name, forward, others

INPUT_CHAIN = "WANBOUND-INPUT"
"""The last rule of filter INPUT jumps to it."""

MARKED: Mapping[Firewall, str] = {
    "iptables": "marked",
    "nftables": "marked, where Docker uses iptables",
}
"""The role of the accept in WANBOUND-FORWARD. With nftables it is the only iptables rule, and it is
loaded only if Docker uses iptables (providers/onhost/load.sh)."""


def base(host: Host, mark: int) -> list[Wanted]:
    """Return the lines of `host` that belong to no network; `mark` is the bit of the guard.

    Only for families that a network has: a host without IPv6 networks should need no ip6tables and
    no IPv6. (With `baseline`, the host is closed in both families.)
    """
    versions = sorted({version for each in host.networks for version, _ in each.publics})
    role = MARKED[host.firewall]
    found = [*marks(mark), *(forward(mark, version, role) for version in versions), *_own(host)]
    if host.firewall == "iptables":
        for version in versions:
            found += others(host.networks, version)
    if host.log_drops:
        # The rule itself belongs to no network; providers/host/generation.py has it.
        found += log_and_drop("forged")
    return found


def _own(host: Host) -> list[Wanted]:
    """Return the host's own lines; nothing if its configuration asks for none."""
    wan, baseline = host.wan.interface, host.baseline
    routes = _routes(host)
    found: list[Wanted] = list(routes)
    if routes:
        found.append(Setting("links", wan, f"{wan} up"))
    # Docker with nftables never turns forwarding on and does not start if it is off. It does not
    # close forwarding to untrusted sources, either.
    forwards = host.engine is not None and host.engine.firewall_backend == "nftables"
    if baseline is not None or forwards:
        found += _sysctls(host)
    if host.firewall == "nftables":
        if baseline is not None:
            found += input_rules(baseline, host.ssh.port)
        if baseline is not None or forwards:
            found += strangers(wan)
    elif baseline is not None:
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

    Those of IPv6 only if a network has IPv6: otherwise the host should not become an IPv6 router.
    """
    # As in sysctl(8): a dot in an interface's name is written as a slash.
    wan = host.wan.interface.replace(".", "/")
    yield Setting("sysctls", "forwarding ipv4", "net.ipv4.ip_forward = 1")
    yield Setting("sysctls", "rp_filter", f"net.ipv4.conf.{wan}.rp_filter = 2")
    if any(network.ipv6 is not None for network in host.networks):
        if host.wan.gateway_ipv6 is None:
            # With a gateway the route is ours, and accept_ra stays as it is.
            # Before forwarding: the kernel forgets the router that it learned as soon as
            # forwarding is turned on, unless this is 2.
            accept_ra = f"net.ipv6.conf.{wan}.accept_ra = 2"
            yield Setting("sysctls", "accept_ra", accept_ra, FIRST)
        yield Setting("sysctls", "forwarding ipv6", "net.ipv6.conf.all.forwarding = 1")


def _input(baseline: Baseline, ssh_port: int, version: Version) -> Iterator[Rule]:
    def rule(role: str, match: str, target: str = "ACCEPT", order: int = 0) -> Rule:
        space = " " if match else ""
        text = f"-A {INPUT_CHAIN} {match}{space}-j {target}"
        return Rule(family_name(version), INPUT_CHAIN, role, text, order)

    # First, because most packets match it.
    yield rule("established", "-m conntrack --ctstate RELATED,ESTABLISHED", order=FIRST)
    yield rule("loopback", "-i lo", order=FIRST)
    if version == 4:
        yield rule("icmp", "-p icmp")
    else:
        for number, name, _ in MESSAGES:
            yield rule(f"icmp {number} {name}", f"-p ipv6-icmp -m icmp6 --icmpv6-type {number}")
        # A DHCPv6 client asks a multicast address, so conntrack knows no answer to it. (A DHCPv4
        # client reads its first answers past the filter, from a packet socket.)
        yield rule("lease dhcpv6", "-s fe80::/10 -p udp -m udp --sport 547 --dport 546")
    for protocol, ports in _open(baseline):
        yield rule(f"open {protocol} {ports}", f"-p {protocol} {dport(protocol, ports)}")
    for source in baseline.ssh_from:
        if source.version == version:
            yield rule(f"ssh {source}", f"{_from(source)}-p tcp -m tcp --dport {ssh_port}")
    yield rule("strangers", "", "DROP", LAST)


def _open(baseline: Baseline) -> Iterator[tuple[str, PortRange]]:
    for entry in baseline.open:
        for ports in entry.ports:
            yield entry.protocol, ports


def _from(source: Subnet) -> str:
    """Return the match on a source; iptables-save prints none for all addresses."""
    return f"-s {source} " if source.prefixlen else ""


def _forward(wan: str, version: Version) -> Rule:
    """Return the rule that drops forwarded packets from the wan unless translated or replies.

    Docker sets the policy of FORWARD to DROP, but only in a family whose forwarding it turned on
    itself (libnetwork, setupIPForwarding), and 20.10 never for IPv6. The sysctls above are set
    before Docker starts. So Docker finds forwarding on, and would leave both families open.
    """
    match = f"-i {wan} -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT"
    text = f"-A {FORWARD_CHAIN} {match} -j DROP"
    return Rule(family_name(version), FORWARD_CHAIN, "strangers", text, LAST)
