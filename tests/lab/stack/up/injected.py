"""What somebody changes on a host by hand, and what a refresh has to say about it, by line."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from shlex import quote

from planner.plan import HostPlan, NetworkPlan
from providers.ssh.remote import host_script

WATCHER = ("~", "wanbound-watch.service", "enabled, inactive")
"""Every network's: the watcher is stopped first, or it would mend the rest before it is seen."""


@dataclass(frozen=True)
class Injected:
    """Commands for one host, and what is said: resource → (sign, role, what is there now)."""

    commands: list[str] = field(default_factory=list)
    said: dict[str, set[tuple[str, str, str]]] = field(default_factory=dict)

    def add(self, resource: str, command: str, *leaves: tuple[str, str, str]) -> None:
        """Add a command and what is said of it about a resource ("test-1-web", "test-1")."""
        self.commands.append(command)
        self.said.setdefault(resource, set()).update(leaves)


@dataclass(frozen=True)
class Line:
    """A rule as iptables-save prints it, in its table."""

    version: int
    table: str
    text: str

    @property
    def _tool(self) -> str:
        return "iptables" if self.version == 4 else "ip6tables"

    @property
    def _words(self) -> str:
        return f"{self._tool} -w 10 -t {self.table}"

    def deleted(self) -> str:
        """Return the command that deletes it."""
        return f"{self._words} -D {self.text[3:]}"

    def edited(self, text: str) -> str:
        """Return the command that puts `text` in its place."""
        chain = self.text.split()[1]
        return (
            f"number=$({self._tool}-save -t {self.table} | grep -e '^-A {chain} ' |"
            f" grep -nxF -e {quote(self.text)} | cut -d: -f1);"
            f" {self._words} -R {chain} $number {text.removeprefix(f'-A {chain} ')}"
        )

    def added(self, place: int | None = None) -> str:
        """Return the command that adds it, at a place from 1 or at the end."""
        chain = self.text.split()[1]
        rest = self.text.removeprefix(f"-A {chain} ")
        where = f"-A {chain}" if place is None else f"-I {chain} {place}"
        return f"{self._words} {where} {rest}"


def changes(shown: str) -> dict[str, set[tuple[str, str, str]]]:
    """Read ``pulumi preview --refresh --diff``: what its refresh found, by resource.

    Only of HostNat and HostBase, and of what is different there.
    """
    found: dict[str, set[tuple[str, str, str]]] = {}
    leaves: set[tuple[str, str, str]] | None = None
    ours = False
    for line in shown.splitlines():
        if header := re.match(r"^ *[-+~]* *[\w:/.-]+:(\w+): \((\w+)\)", line):
            ours = header[1] in ("HostNat", "HostBase") and header[2] == "refresh"
            leaves = None
        elif ours and (name := re.match(r"^ *\[urn=.*::([^:\]]+)\]$", line)):
            leaves = found.setdefault(name[1], set())
        elif leaves is not None and (leaf := re.match(r'^ +([-+~]) (\S.*?) *: "(.*)"$', line)):
            value = leaf[3].rpartition('" => "')[2].replace('\\"', '"')
            leaves.add((leaf[1], leaf[2], value))
    return found


def _forward(network: NetworkPlan, version: int) -> Mapping[str, str]:
    return network.rules.forward_ipv4 if version == 4 else network.rules.forward_ipv6


def _nat(network: NetworkPlan, version: int) -> Mapping[str, str]:
    return network.rules.nat_ipv4 if version == 4 else network.rules.nat_ipv6


def lines(host: HostPlan) -> Injected:
    """Change single rules: each network's in another way, and the host's own."""
    done = Injected()
    web, mail, special, four, six, ports = host.networks[:6]

    def resource(network: NetworkPlan) -> str:
        return f"{host.name}-{network.name}"

    egress = _nat(web, 4)["egress"]
    done.add(resource(web), Line(4, "nat", egress).deleted(), ("-", "egress", egress))

    ingress = _nat(mail, 6)["ingress tcp"]
    edited = re.sub(r"--to-destination .*", "--to-destination fd00::666", ingress)
    done.add(resource(mail), Line(6, "nat", ingress).edited(edited), ("~", "ingress tcp", edited))

    # With the comment kept, as far as our lines have one: whoever goes by it is deceived.
    ingress = _nat(six, 6)["ingress tcp"]
    comment = "-m comment --comment kept"
    edited = re.sub(r"-j DNAT .*", f"{comment} -j DNAT --to-destination fd00::7", ingress)
    done.add(resource(six), Line(6, "nat", ingress).edited(edited), ("~", "ingress tcp", edited))

    added = f"-A WANBOUND-FORWARD -i {special.bridge} -p udp -j DROP"
    done.add(resource(special), Line(4, "filter", added).added(1), ("+", "drift 1", added))

    replies = _forward(four, 4)["replies"]
    done.add(
        resource(four),
        f"{Line(4, 'filter', replies).deleted()}; {Line(4, 'filter', replies).added(1)}",
        ("+", "drift order WANBOUND-FORWARD", f"too early: {replies}"),
    )

    again = _forward(ports, 6)["egress"]
    done.add(resource(ports), Line(6, "filter", again).added(), ("+", "drift 1", again))
    rule = f"from-{ports.bridge} udp dport 53 accept"
    done.add(
        resource(ports),
        f"nft insert rule inet wanbound {rule}",
        ("+", "drift 1", f"add rule inet wanbound {rule}"),
    )

    assert host.base is not None
    strangers = host.base.input_ipv4["strangers"]
    edited = strangers.replace("DROP", "ACCEPT")
    done.add(host.name, Line(4, "filter", strangers).edited(edited), ("~", "strangers", edited))
    added = "-A WANBOUND-INPUT -p tcp -m tcp --dport 23 -j ACCEPT"
    done.add(host.name, Line(6, "filter", added).added(1), ("+", "drift 1", added))
    strangers = host.base.forward_ipv6["strangers"]
    done.add(host.name, Line(6, "filter", strangers).deleted(), ("-", "strangers", strangers))
    return done


def tables(host: HostPlan) -> Injected:
    """Change what all networks have in common: jumps, a flushed table, the guard, the units."""
    done = Injected()
    masquerade = "-A POSTROUTING -o wan0 -j MASQUERADE"
    for command in (
        Line(4, "nat", "-A POSTROUTING -j WANBOUND-SNAT").added(1),
        Line(4, "nat", "-A PREROUTING -j WANBOUND-DNAT").deleted(),
        Line(6, "nat", masquerade).added(1),
        "nft delete table inet wanbound",
        "ip6tables -w 10 -F WANBOUND-FORWARD",
        "systemctl disable -q wanbound.service",
        "echo '# by hand' >>/etc/systemd/system/wanbound-docker.service",
        "echo '# by hand' >>/usr/local/sbin/wanbound",
    ):
        done.commands.append(command)
    jump = {chain: f"-A {chain} -j WANBOUND-{to}" for chain, to in
            (("POSTROUTING", "SNAT"), ("PREROUTING", "DNAT"))}  # fmt: skip
    script = hashlib.sha256(f"{host_script()}# by hand\n".encode()).hexdigest()
    for network in host.networks:
        said = done.said.setdefault(f"{host.name}-{network.name}", set())
        said.add(("~", "script", f"/usr/local/sbin/wanbound {script[:12]}"))
        said.add(("~", "wanbound.service", "disabled"))
        said.add(("~", "wanbound-docker.service", "enabled, edited"))
        if network.rules.nat_ipv4:
            said.add(("+", "drift jump POSTROUTING", f"{jump['POSTROUTING']} is there 2 times"))
            said.add(("+", "drift jump PREROUTING", f"{jump['PREROUTING']} is gone"))
        if network.rules.nat_ipv6:
            not_first = f"{jump['POSTROUTING']} is not the first rule"
            said.add(("+", "drift jump POSTROUTING", not_first))
            said.add(("+", "drift jump POSTROUTING behind", masquerade))
        said.update(("-", role, line) for role, line in network.rules.guard.items())
        said.update(("-", role, line) for role, line in network.rules.forward_ipv6.items())
        said.add(("+", "drift base", "the table inet wanbound is gone"))
    assert host.base is not None
    done.said[host.name] = {("-", role, line) for role, line in host.base.forward_ipv6.items()}
    jump_input = "-A INPUT -j WANBOUND-INPUT"
    behind = "-A INPUT -p tcp -m tcp --dport 23 -j ACCEPT"
    done.add(
        host.name,
        Line(4, "filter", behind).added(),
        ("+", "drift jump INPUT", f"{jump_input} is not the last rule"),
        ("+", "drift jump INPUT before", behind),
    )
    return done


def addresses(host: HostPlan) -> Injected:
    """Change addresses, a bridge, files, routes and parameters."""
    done = Injected()
    web, mail, special, four, six, ports = host.networks[:6]

    def resource(network: NetworkPlan) -> str:
        return f"{host.name}-{network.name}"

    line = web.rules.addresses["wan0 ipv4"]
    done.add(resource(web), f"ip addr del {_address(line)} dev wan0", ("-", "wan0 ipv4", line))
    line = mail.rules.addresses["wan0 ipv6"]
    address = _address(line)
    # Not on host0, by which the operator comes; lo is on every host.
    done.add(
        resource(mail),
        f"ip addr del {address} dev wan0; ip addr add {address} dev lo",
        ("-", "wan0 ipv6", line),
        ("+", "drift lo wan0 ipv6", f"inet6 {address} scope global (on lo)"),
    )
    line = special.rules.addresses["wan0 ipv4"]
    wide = _address(line).replace("/32", "/24")
    done.add(
        resource(special),
        f"ip addr del {_address(line)} dev wan0; ip addr add {wide} dev wan0",
        ("~", "wan0 ipv4", line.replace("/32", "/24")),
    )
    gateway = four.docker.ipam[0].gateway
    done.add(
        resource(four),
        f"ip link set {four.bridge} down; ip link set {four.bridge} name by-hand;"
        " ip link set by-hand up",
        ("+", "drift bridge", f"bridge {four.bridge} is gone; {gateway} stands on by-hand"),
    )
    path = f"/etc/wanbound/{six.name}.rules"
    done.add(
        resource(six),
        f"sed -i 's/^claim bridge .*/& by hand/' {path}",
        ("+", "drift file", f"{path} was edited"),
        ("+", "drift file 1", f"lacks: claim bridge {six.bridge}"),
        ("+", "drift file 2", f"has: claim bridge {six.bridge} by hand"),
    )
    path = f"/etc/wanbound/{ports.name}.rules"
    done.add(resource(ports), f"rm {path}", ("+", "drift file", f"{path} is gone"))
    _host(host, done)
    return done


def _host(host: HostPlan, done: Injected) -> None:
    assert host.base is not None
    old, other = host.base.routes["ipv4"], "default via 203.0.113.254 dev wan0"
    done.add(host.name, f"ip route replace {other}", ("~", "ipv4", other))
    old = host.base.routes["ipv6"]
    done.add(host.name, "ip -6 route del default", ("-", "ipv6", old))
    for role in ("forwarding ipv4", "rp_filter"):
        key, _, _ = host.base.sysctls[role].partition(" = ")
        done.add(host.name, f"sysctl -q {key}=0", ("~", role, f"{key} = 0"))
    path = "/etc/wanbound/_host.rules"
    done.add(
        host.name,
        f"sed -i 's/^link wan0 up$/link wan0 down/' {path}",
        ("+", "drift file", f"{path} was edited"),
        ("+", "drift file 1", "lacks: link wan0 up"),
        ("+", "drift file 2", "has: link wan0 down"),
    )


def _address(line: str) -> str:
    return line.split()[1]


def remade(host: HostPlan, network: NetworkPlan, containers: Iterable[str]) -> Injected:
    """Have somebody make a Docker network of ours anew, without its containers."""
    done = Injected()
    docker = network.docker
    options = {**docker.options, "com.docker.network.bridge.name": network.bridge}
    words = [f"--opt {key}={value}" for key, value in options.items()]
    words += ["--ipv6"] if docker.ipv6 else []
    words += [f"--subnet {each.subnet} --gateway {each.gateway}" for each in docker.ipam]
    leave = "; ".join(f"docker network disconnect -f {docker.name} {each}" for each in containers)
    done.add(
        f"{host.name}-{network.name}",
        f"{leave}; docker network rm {docker.name};"
        f" docker network create {' '.join(words)} {docker.name}",
        (
            "+",
            "drift network",
            f"Docker network {docker.name} was made by hand"
            f" (no label wanbound={host.name}/{network.name})",
        ),
    )
    return done


def unplugged(host: HostPlan, done: Injected) -> None:
    """Take the wan link down: with it the kernel drops routes, and IPv6 addresses."""
    assert host.base is not None
    # networkd hears of it, and takes away what it had set up itself.
    done.add(
        host.name,
        "ip link set wan0 down; sleep 3",
        ("~", "wan0", "wan0 down"),
        *(("-", family, route) for family, route in host.base.routes.items()),
    )
    for network in host.networks:
        if line := network.rules.addresses.get("wan0 ipv6"):
            said = done.said.setdefault(f"{host.name}-{network.name}", set())
            said.add(("-", "wan0 ipv6", line))
