"""What must hold for a host's own keys: nothing here may lock the operator out, or say a lie."""

from planner.config.model import PortRange
from planner.config.references import check_secret
from planner.config.report import Loc, Report
from planner.config.resolve import ssh_address
from planner.config.shape import VERSIONS, HostDraft
from planner.config.spec import BaselineSpec, HostSpec, SshSpec


def check_host(host: HostDraft, secrets: frozenset[str] | None, report: Report) -> None:
    """Report what is wrong with `host` itself; its networks' families are known by now."""
    if host.spec is None:
        return
    _check_ssh(host.loc, host.spec.ssh, secrets, report)
    _check_gateways(host, host.spec, report)
    _check_guard(host, host.spec, report)
    if host.spec.baseline is not None:
        _check_sources(host, host.spec.baseline, report)
        _check_open(host.loc, host.spec.baseline, host.spec.ssh.port, report)


def _check_ssh(loc: Loc, ssh: SshSpec, secrets: frozenset[str] | None, report: Report) -> None:
    for key in ("key", "key_passphrase"):
        why = "There would be nothing to log in with."
        check_secret(getattr(ssh, key), secrets, (*loc, "ssh", key), why, report)
    if ssh.jump is not None and (ssh.jump.address, ssh.jump.port) == (ssh.address, ssh.port):
        what = f"{ssh.jump.address} port {ssh.jump.port} is the host itself"
        why = "A jump host stands before the host; this one could be reached through itself alone."
        remedy = "write the jump host's address, or remove jump"
        report.add((*loc, "ssh", "jump", "address"), what, why, remedy)


def _check_gateways(host: HostDraft, spec: HostSpec, report: Report) -> None:
    for version in VERSIONS:
        gateway = spec.wan.gateway(version)
        if gateway is None:
            continue
        loc: Loc = (*host.loc, "wan", f"gateway_ipv{version}")
        remedy = "write the address of your provider's router"
        for network in host.networks:
            family = network.families.get(version)
            if gateway in (network.public(version), *network.extras):
                what = f"{gateway} is the public address of network {network.spec.name}"
                why = "The host would send all it sends to itself, and nobody could reach it."
                report.add(loc, what, why, remedy)
                break
            if family is not None and gateway in family.subnet:
                what = f"{gateway} lies in {family.subnet}, the subnet of {network.spec.name}"
                why = "The bridge would take the way to the router, and the host would be cut off."
                report.add(loc, what, why, f"{remedy}, or give the network another subnet")
                break


def _check_guard(host: HostDraft, spec: HostSpec, report: Report) -> None:
    open_ = [n.spec.name for n in host.networks if n.versions == (6,)]
    if spec.guard or not open_:
        return
    what = f"is false, and {_listed(open_)} no public_ipv4"
    why = (
        "Docker gives every network IPv4 inside, asked for or not, and only the guard stops it:"
        " packets would leave with a private source."
    )
    remedy = "remove guard: false and install nftables on the host, or write public_ipv4 there"
    report.add((*host.loc, "guard"), what, why, remedy)


def _listed(names: list[str]) -> str:
    if len(names) == 1:
        return f"network {names[0]} has"
    return f"networks {', '.join(names[:-1])} and {names[-1]} have"


def _check_sources(host: HostDraft, baseline: BaselineSpec, report: Report) -> None:
    loc: Loc = (*host.loc, "baseline", "ssh_from")
    for place, source in enumerate(baseline.ssh_from):
        if source in baseline.ssh_from[:place]:
            what, why = f"{source} is there twice", "One of the two was meant to be another."
            report.add((*loc, place), what, why, "correct it, or remove it")
    address = ssh_address(host)
    if address is not None and address.version not in {s.version for s in baseline.ssh_from}:
        what = f"has no IPv{address.version} range, and SSH goes to {address}"
        why = f"Nobody could log in any more: over IPv{address.version} no source is let in."
        remedy = f"add the IPv{address.version} range that you (or your jump host) come from"
        report.add(loc, what, why, remedy)


def _check_open(loc: Loc, baseline: BaselineSpec, ssh_port: int, report: Report) -> None:
    seen: dict[str, list[PortRange]] = {"tcp": [], "udp": []}
    for place, entry in enumerate(baseline.open):
        at: Loc = (*loc, "baseline", "open", place, "ports")
        for ports in entry.ports:
            if entry.protocol == "tcp" and ports.first <= ssh_port <= ports.last:
                what = f"{ports} opens port {ssh_port}, the host's SSH, to everybody"
                why = "ssh_from says who may log in, and would say it for nothing."
                remedy = f"remove {ssh_port}; where all may log in, write ssh_from: [0.0.0.0/0]"
                report.add(at, what, why, f'{remedy} and "::/0"')
            twice = next((p for p in seen[entry.protocol] if _meet(p, ports)), None)
            if twice is not None:
                first = max(twice.first, ports.first)
                what = f"{entry.protocol} port {first} is opened twice"
                why = "One of the two was meant to be another."
                report.add(at, what, why, f"list {first} once")
            seen[entry.protocol].append(ports)


def _meet(one: PortRange, other: PortRange) -> bool:
    return one.first <= other.last and other.first <= one.last
