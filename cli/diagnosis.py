"""What may prevent a first `up`, from what the plan wants and what the host says. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Literal, TypeAlias

from components.host import wanted_plan
from planner.config import Protocol, Stack
from planner.explain import Explainer, Target
from planner.plan import HostPlan
from providers.engine.plan import PACKAGES, EngineWanted, engine_change
from providers.engine.state import EngineState
from providers.engine.usable import fault
from providers.errors import HostError
from providers.host.checks import refusals
from providers.host.doctor import Inspection, Listener
from providers.host.facts import STOPPED, Docker, Facts
from providers.host.plan import NOTHING

Level: TypeAlias = Literal["ok", "warning", "problem"]

_PACKAGES = {
    "flock": "util-linux",
    "ip": "iproute2",
    "awk": "mawk",
    "nft": "nftables",
    "iptables": "iptables",
    "ip6tables": "iptables",
    "conntrack": "conntrack",
    "curl": "curl",
}
"""Program → its Debian package."""

_FIREWALLS = {
    "ufw": (
        "ufw is active: it filters only the host's own ports; `ufw deny` has no effect on traffic"
        " that is forwarded to containers",
        "list the ports that containers get in `ingress`, with `from` where only some sources may"
        " reach them, and keep ufw for the host",
    ),
    "ufw unreadable": (
        "ufw is installed and `ufw status` fails: whether it filters is not known",
        "run `ufw status` as root on the host, and remove what it reports or the package ufw",
    ),
    "firewalld": (
        "firewalld is active: its rules for forwarded traffic can drop traffic to containers",
        "after the `up`, check that `firewall-cmd --get-zone-of-interface=BRIDGE` says docker for"
        " each bridge of a network; or turn firewalld off",
    ),
    "fail2ban": (
        "fail2ban is active: its bans in INPUT do not apply to traffic forwarded to containers",
        "have the jails of containers ban before the translation: in raw PREROUTING, or in nftables"
        " at hook prerouting",
    ),
    "nftables.conf": (
        "/etc/nftables.conf has `flush ruleset`: each restart of nftables.service removes the guard"
        " and the rules until the watcher has restored them",
        "let that file delete only your own tables",
    ),
}

_PROJECT = "wanbound"
"""The name in Pulumi.yaml."""
_BY_DOCKER = "docker-proxy"
"""The program that listens for a port which Docker publishes."""

_SLOW = 3
"""A login that takes more than a third of the time for the confirmation is a warning."""


@dataclass(frozen=True)
class Finding:
    """One line: what was found, and for a warning or a problem what to do."""

    level: Level
    what: str
    fix: str = ""


@dataclass(frozen=True)
class Reading:
    """What was read of a host: `seconds` for a login and the first answer.

    `facts` is the error where they could not be read, `engine` None where nothing is wanted of it.
    """

    seconds: float
    inspection: Inspection
    facts: Facts | HostError
    engine: EngineState | HostError | None = None


def diagnose(stack: Stack, host: HostPlan, reading: Reading) -> tuple[Finding, ...]:
    """Return all findings about a host, in the order in which they are shown."""
    inspection, facts = reading.inspection, reading.facts
    found = [
        _ssh(host, reading.seconds),
        *_docker(host, inspection, facts),
        *_login(inspection),
        *_engine(host, reading.engine),
        *_programs(host, inspection),
        *_firewalls(inspection),
        *_kernel(host, inspection),
        *_ports(stack, host, inspection),
    ]
    if isinstance(facts, Facts):
        found += _host(stack, host, facts)
    return tuple(found)


def _ssh(host: HostPlan, seconds: float) -> Finding:
    wait = host.confirm_seconds
    what = f"SSH: a login and a command take {seconds:.1f} s; a change waits {wait} s for them"
    fix = "raise confirm_seconds of the host"
    if seconds >= wait:
        return Finding("problem", f"{what}, so every change would be rolled back", fix)
    if seconds * _SLOW > wait:
        return Finding("warning", f"{what}: a slower connection would cause a rollback", fix)
    return Finding("ok", what)


def _docker(host: HostPlan, inspection: Inspection, facts: Facts | HostError) -> Iterator[Finding]:
    if isinstance(facts, HostError):
        yield Finding("problem", f"its state cannot be read: {facts.what}", facts.remedy)
        return
    docker = facts.docker
    if docker is not None and docker.version != STOPPED:
        left = _as_left(host, docker)
        if (bad := fault(left.version, left.backend, host.firewall)) is not None:
            yield Finding("problem", *bad)
        else:
            yield Finding("ok", f"Docker {docker.version} with its {docker.backend} backend")
    elif "dockerd" in inspection.programs:
        yield Finding("problem", "Docker does not run", "run `systemctl start docker` on the host")
    elif host.engine is not None and host.engine.install:
        yield Finding("ok", "Docker is not installed: `pulumi up` installs it (engine.install)")
    else:
        yield Finding(
            "problem", "Docker is not installed", "install it, or set engine.install of the host"
        )


def _login(inspection: Inspection) -> Iterator[Finding]:
    """Yield that the user of the login cannot use Docker; root always can."""
    if user := inspection.denied:
        # Docker's package creates the group.
        create = "" if "dockerd" in inspection.programs else "groupadd -rf docker && "
        yield Finding(
            "problem",
            f"{user} (ssh.user) may not use Docker, and `pulumi up` uses it as this user",
            f"add it to the group docker: `{create}usermod -aG docker {user}` as root on the host",
        )


def _as_left(host: HostPlan, docker: Docker) -> Docker:
    """Return an engine as the keys of `engine` leave it, before anything else is changed."""
    keys = {} if host.engine is None else host.engine.settings
    return replace(docker, backend=str(keys.get("firewall-backend", docker.backend)))


def _engine(host: HostPlan, state: EngineState | HostError | None) -> Iterator[Finding]:
    """Yield what the keys of `engine` do to Docker and to its containers."""
    if host.engine is None or state is None:
        return
    wanted = EngineWanted(
        host.engine.settings, host.engine.install, host.engine.restart, host.firewall
    )
    try:
        if isinstance(state, HostError):
            raise state
        change = engine_change(host.name, state, wanted)
    except HostError as error:
        yield Finding("problem", f"engine: {error.what}", error.remedy)
        return
    if "restarts" in change.effect:
        yield Finding(
            "warning",
            f"engine: {change.effect}",
            "choose a suitable time; engine.live_restore keeps containers running",
        )
    else:
        yield Finding("ok", f"engine: {change.effect}")


def _programs(host: HostPlan, inspection: Inspection) -> Iterator[Finding]:
    versions = _versions(host)
    unused = {
        name for name, version in (("iptables", 4), ("ip6tables", 6)) if version not in versions
    }
    if host.firewall == "nftables":
        unused |= {"iptables", "ip6tables"}
    if all(network.check is None for network in host.networks):
        unused.add("curl")
    missing = [name for name in _PACKAGES if name not in inspection.programs | unused]
    installs = host.engine is not None and host.engine.install and "apt-get" in inspection.programs
    for package in dict.fromkeys(_PACKAGES[name] for name in missing):
        names = ", ".join(name for name in missing if _PACKAGES[name] == package)
        what = f"{names} is missing (Debian package {package})"
        if installs and package in PACKAGES.values():
            yield Finding("ok", f"{what}: `pulumi up` installs it (engine.install)")
        elif package == "conntrack":
            what += ": open connections keep their old address after a change"
            yield Finding("warning", what, f"run `apt-get install {package}` on the host")
        else:
            yield Finding("problem", what, f"run `apt-get install {package}` on the host")
    if not missing:
        yield Finding("ok", "all programs that a change needs are installed")
    if "systemd" not in inspection.programs:
        yield Finding(
            "warning",
            "systemd does not run: rules are not loaded at boot and not repaired",
            "run `wanbound apply` at boot, and `wanbound watch` as a service",
        )


def _versions(host: HostPlan) -> frozenset[int]:
    """Return the families in which a network of the host has a public address."""
    owned = [address for each in host.networks for address in each.owns.addresses.values()]
    return frozenset(ip_address(address).version for address in owned)


def _firewalls(inspection: Inspection) -> Iterator[Finding]:
    found = [name for name in _FIREWALLS if name in inspection.firewalls]
    for name in found:
        yield Finding("warning", *_FIREWALLS[name])
    if not found:
        yield Finding("ok", "no other firewall is active (ufw, firewalld, fail2ban, nftables.conf)")


def _kernel(host: HostPlan, inspection: Inspection) -> Iterator[Finding]:
    """Yield what the kernel's parameters and default routes mean for the networks of a host."""
    sysctls, versions = inspection.sysctls, _versions(host)
    has_baseline = any(each.section == "sysctls" for each in host.wanted)
    off = [
        key.replace("/", ".")
        for version, key in ((4, "net/ipv4/ip_forward"), (6, "net/ipv6/conf/all/forwarding"))
        if version in versions and sysctls.get(key) != "1"
    ]
    if not off:
        yield Finding("ok", "forwarding is on")
    elif has_baseline:
        yield Finding("ok", f"forwarding is off: `pulumi up` turns it on ({', '.join(off)})")
    else:
        yield Finding(
            "warning",
            f"forwarding is off ({', '.join(off)}): Docker turns it on when it makes its first"
            " network, unless its settings forbid it",
            "set it to 1 in /etc/sysctl.d, or set baseline of the host",
        )
    if 6 in versions and sysctls.get("net/ipv6/conf/all/disable_ipv6", "1") != "0":
        yield Finding(
            "problem",
            "the kernel has IPv6 turned off, and a network has a public IPv6 address",
            "set net.ipv6.conf.all.disable_ipv6 to 0, or remove public_ipv6",
        )
    yield from _routes(host, inspection, has_baseline=has_baseline)


def _routes(host: HostPlan, inspection: Inspection, *, has_baseline: bool) -> Iterator[Finding]:
    """Yield what is wrong with the default routes that `up` does not set itself (wan.gateway_…)."""
    wan, versions, sysctls = host.wan, _versions(host), inspection.sysctls
    strict = max(sysctls.get(f"net/ipv4/conf/{name}/rp_filter", "0") for name in ("all", wan))
    found = []
    for version in sorted(versions):
        kind = f"ipv{version}"
        if any((each.section, each.role) == ("routes", kind) for each in host.wanted):
            continue
        route = next((line.strip() for family, line in inspection.routes if family == kind), "")
        accepts = sysctls.get(f"net/ipv6/conf/{wan}/accept_ra")
        if not route:
            found.append(
                Finding(
                    "warning",
                    f"there is no default route for IPv{version}: networks cannot use it",
                    f"configure it on the host, or set wan.gateway_{kind}",
                )
            )
        elif f" dev {wan} " not in f"{route} ":
            filtered = version == 4 and strict == "1" and not has_baseline
            found.append(
                Finding(
                    "problem" if filtered else "warning",
                    f"the IPv{version} default route does not use {wan}: {route}. Traffic of"
                    " networks leaves by another interface than that of their addresses"
                    + (", and rp_filter 1 drops incoming packets" if filtered else ""),
                    "set wan.interface to the interface of the default route",
                )
            )
        elif version == 6 and "proto ra" in route and accepts != "2" and not has_baseline:
            key = f"net.ipv6.conf.{wan.replace('.', '/')}.accept_ra"
            found.append(
                Finding(
                    "problem",
                    "the host would lose its IPv6 default route: it is from router advertisements,"
                    f" which a kernel that forwards ignores while {key} is {accepts}",
                    f"set {key} to 2 in /etc/sysctl.d, or set baseline of the host",
                )
            )
    if not found:
        found.append(Finding("ok", f"default routes use {wan}; rp_filter is {strict}"))
    yield from found


def _ports(stack: Stack, host: HostPlan, inspection: Inspection) -> Iterator[Finding]:
    """Yield the ports of the host that are reachable at its networks' public addresses, too."""
    if inspection.listeners is None:
        yield Finding(
            "warning",
            "`ss` is missing or fails (Debian package iproute2): whether ports of the host answer"
            " at a network's public address is not known",
            "make `ss -lntup` work as root on the host",
        )
        return
    found, explainer = False, Explainer(stack)
    # A baseline has no effect on ports that Docker publishes.
    by_docker = any(each.program == _BY_DOCKER for each in inspection.listeners)
    unfiltered = Explainer(_without_baseline(stack)) if by_docker else explainer
    for listener in inspection.listeners:
        port = f"{listener.protocol} port {listener.port} ({listener.program})"
        if taken := _published(host, listener):
            found = True
            yield Finding(
                "problem",
                f"{port} is in use at every address, so Docker cannot publish it at"
                f" {', '.join(taken)}",
                "let the program listen only at the host's own address",
            )
        elif answering := _answers(
            unfiltered if listener.program == _BY_DOCKER else explainer, host, listener
        ):
            found = True
            yield Finding(
                "warning",
                f"{port} listens at every address, and so at {', '.join(answering)}",
                _closed(listener),
            )
    if not found:
        yield Finding("ok", "no port of the host answers at a network's public address")


def _closed(listener: Listener) -> str:
    """Return how a port stops answering at public addresses."""
    if listener.program != _BY_DOCKER:
        return "let it listen only at the host's own address, forward the port, or set baseline"
    udp = "/udp" if listener.protocol == "udp" else ""
    return (
        "publish it at the host's own address only"
        f' ("HOST-ADDRESS:{listener.port}:CONTAINER-PORT{udp}" in the compose file);'
        " baseline does not close ports that Docker publishes"
    )


def _without_baseline(stack: Stack) -> Stack:
    """Return the stack without any host's baseline."""
    hosts = tuple(host.model_copy(update={"baseline": None}) for host in stack.hosts)
    return stack.model_copy(update={"hosts": hosts})


def _publics(host: HostPlan, listener: Listener) -> list[str]:
    """Return the public addresses that wanbound adds, at which a listener would answer."""
    managed = [
        address
        for network in host.networks
        if any(each.section == "addresses" for each in network.wanted)
        for address in network.owns.addresses.values()
    ]
    return [each for each in managed if ip_address(each).version in listener.versions]


def _published(host: HostPlan, listener: Listener) -> list[str]:
    """Return where Docker is to publish the port itself (mode masquerade)."""
    if listener.program == _BY_DOCKER:
        return []
    wanted = {
        port.address
        for network in host.networks
        for container in network.containers
        for port in container.ports
        if (port.protocol, port.number) == (listener.protocol, listener.port)
    }
    return [address for address in _publics(host, listener) if address in wanted]


def _answers(explainer: Explainer, host: HostPlan, listener: Listener) -> list[str]:
    protocol: Protocol = "udp" if listener.protocol == "udp" else "tcp"
    return [
        address
        for address in _publics(host, listener)
        for answer in explainer.arriving(Target(ip_address(address), listener.port, protocol))
        if (answer.host, answer.verdict) == (host.name, "host")
    ]


def _host(stack: Stack, host: HostPlan, facts: Facts) -> Iterator[Finding]:
    """Yield who owns the host, and what is in use on it."""
    organization, _, rest = facts.owner.partition("/")
    if facts.owner and rest != f"{_PROJECT}/{stack.name}":
        yield Finding(
            "problem",
            f"the host belongs to stack {facts.owner}",
            "use that stack, or destroy it first",
        )
    elif facts.owner:
        # Only Pulumi's backend knows the organization of a stack.
        what = f"the host belongs to stack {facts.owner}; `pulumi up` also needs the organization"
        yield Finding("ok", f"{what} {organization}")
    if host.wan not in facts.links:
        yield Finding(
            "problem",
            f"there is no interface {host.wan}: it has {', '.join(sorted(facts.links))}",
            "set wan.interface to the interface of the default route",
        )
    elif facts.links[host.wan] != "up":
        yield Finding(
            "warning", f"the interface {host.wan} is down", f"run `ip link set {host.wan} up`"
        )
    if facts.docker is not None:
        left = _as_left(host, facts.docker)
        if fault(left.version, left.backend, host.firewall) is not None:
            return
        facts = replace(facts, docker=left)
    wanted = wanted_plan(host, facts.owner or stack.name, {})
    if host.adopt:
        same = {
            each.name: each.id
            for each in facts.docker_networks
            if each.name in wanted.networks and each.label is None
        }
        wanted = replace(wanted, taken_over=same)
        for name in same:
            yield Finding(
                "warning",
                f"Docker network {name} exists: it is taken over if it is what the stack declares",
                "run `pulumi preview`, which compares the two",
            )
    found = refusals(host.name, wanted, facts.plan or NOTHING, facts)
    for each in found:
        yield Finding("problem", f"network {each.network}: {each.what}", each.remedy)
    if not found:
        yield Finding("ok", "all addresses, subnets, bridges and network names are free")
