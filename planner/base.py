"""What a host wants besides its networks: default routes, sysctls, and who may reach it itself.

Every line is as the tool prints it that shows it on the host: ``ip route show default``,
``sysctl``, ``iptables-save``. The input chain is jumped to as the last rule of INPUT: whatever
others decide there (fail2ban, an operator's own accept) is decided before it. Lines are loaded in
the order of their roles' names, and the drop has the name that comes last ("strangers").
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from planner.config import Baseline, Host, Persist, PortRange, Subnet, Version
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


@dataclass(frozen=True)
class BasePlan:
    """Everything that a host wants for itself, each a map from role to line.

    `routes` by family ("ipv4", "ipv6") as ``ip route show default`` prints them, `link` by
    interface, `sysctls` as ``sysctl KEY`` does, the rules as ``iptables-save`` and
    ``ip6tables-save``. `persist` says whether all rules are written to /etc/iptables as well.
    """

    routes: Mapping[str, str]
    link: Mapping[str, str]
    sysctls: Mapping[str, str]
    input_ipv4: Mapping[str, str]
    input_ipv6: Mapping[str, str]
    forward_ipv4: Mapping[str, str]
    forward_ipv6: Mapping[str, str]
    persist: Persist | None


def base_plan(host: Host) -> BasePlan | None:
    """Return what `host` wants for itself, None where its configuration does not ask for any."""
    wan, baseline = host.wan.interface, host.baseline
    routes = _routes(host)
    if not routes and baseline is None and host.persist is None:
        return None
    return BasePlan(
        routes=routes,
        link={wan: f"{wan} up"} if routes else {},
        sysctls=_sysctls(host) if baseline is not None else {},
        input_ipv4=_input(baseline, host.ssh.port, 4) if baseline is not None else {},
        input_ipv6=_input(baseline, host.ssh.port, 6) if baseline is not None else {},
        forward_ipv4=_forward(wan) if baseline is not None else {},
        forward_ipv6=_forward(wan) if baseline is not None else {},
        persist=host.persist,
    )


def _routes(host: Host) -> dict[str, str]:
    wan = host.wan
    gateways = {"ipv4": wan.gateway_ipv4, "ipv6": wan.gateway_ipv6}
    return {
        family: f"default via {gateway} dev {wan.interface}"
        for family, gateway in gateways.items()
        if gateway is not None
    }


def _sysctls(host: Host) -> dict[str, str]:
    """Return the kernel's settings; the reason for each is in docs/configuration.md.

    Those of IPv6 only where a network has IPv6: nothing else should make the host a router of it.
    """
    # As in sysctl(8): a dot in an interface's name is written as a slash.
    wan = host.wan.interface.replace(".", "/")
    values = {
        "forwarding ipv4": ("net.ipv4.ip_forward", 1),
        "rp_filter": (f"net.ipv4.conf.{wan}.rp_filter", 2),
    }
    if any(network.ipv6 is not None for network in host.networks):
        if host.wan.gateway_ipv6 is None:
            # Else the route is ours, and a host that was told to ignore advertisements goes on to.
            # Roles are loaded in their order, and this one has to be first: the kernel forgets the
            # router that it learned in the moment in which forwarding is turned on, unless it is 2.
            values["accept_ra"] = (f"net.ipv6.conf.{wan}.accept_ra", 2)
        values["forwarding ipv6"] = ("net.ipv6.conf.all.forwarding", 1)
    return {role: f"{key} = {value}" for role, (key, value) in sorted(values.items())}


def _input(baseline: Baseline, ssh_port: int, version: Version) -> dict[str, str]:
    chain = f"-A {INPUT_CHAIN}"
    lines = {
        "established": f"{chain} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "loopback": f"{chain} -i lo -j ACCEPT",
    }
    if version == 4:
        lines["icmp"] = f"{chain} -p icmp -j ACCEPT"
    else:
        for number, name in _ICMPV6.items():
            match = f"-p ipv6-icmp -m icmp6 --icmpv6-type {number}"
            lines[f"icmp {number} {name}"] = f"{chain} {match} -j ACCEPT"
        # A DHCPv6 client asks a multicast address, so conntrack knows no answer to it. (A DHCPv4
        # client reads its first answers past the filter, from a packet socket.)
        match = "-s fe80::/10 -p udp -m udp --sport 547 --dport 546"
        lines["lease dhcpv6"] = f"{chain} {match} -j ACCEPT"
    for protocol, ports in _open(baseline):
        match = f"-p {protocol} -m {protocol} --dport {str(ports).replace('-', ':')}"
        lines[f"open {protocol} {ports}"] = f"{chain} {match} -j ACCEPT"
    for source in baseline.ssh_from:
        if source.version == version:
            match = f"{_from(source)}-p tcp -m tcp --dport {ssh_port}"
            lines[f"ssh {source}"] = f"{chain} {match} -j ACCEPT"
    lines["strangers"] = f"{chain} -j DROP"
    return dict(sorted(lines.items()))


def _open(baseline: Baseline) -> Iterator[tuple[str, PortRange]]:
    for entry in baseline.open:
        for ports in entry.ports:
            yield entry.protocol, ports


def _from(source: Subnet) -> str:
    """Return the match on a source; iptables-save prints none for every address there is."""
    return f"-s {source} " if source.prefixlen else ""


def _forward(wan: str) -> dict[str, str]:
    """Return the line that lets in what was translated and answers, and no stranger's packet.

    Docker closes FORWARD by a policy, but only in a family whose forwarding it turned on itself
    (libnetwork, setupIPForwarding), and 20.10 never for IPv6. With the sysctls above, which are
    set before Docker starts, it would find nothing to turn on and leave both families open.
    """
    match = f"-i {wan} -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT"
    return {"strangers": f"-A {FORWARD_CHAIN} {match} -j DROP"}
