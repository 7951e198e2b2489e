"""Manual changes of a host, and the lines with which a refresh must report them."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from shlex import quote

from components.host import wanted_plan
from planner.plan import HostPlan, NetworkPlan
from planner.rule import sections
from providers.host.generation import compose
from providers.ssh.remote import host_script

Leaf = tuple[str, str, str]
"""Sign, path of the property ("networks/web/snat_ipv4/egress"), and its present value."""

WATCHER: Leaf = ("~", "installed/wanbound-watch.service", "enabled, inactive")
"""On every host the watcher is stopped first: it would repair the changes before the refresh."""


@dataclass(frozen=True)
class Injected:
    """Commands for one host, and what a refresh must report."""

    commands: list[str] = field(default_factory=list)
    said: set[Leaf] = field(default_factory=set)

    def add(self, command: str, *leaves: Leaf) -> None:
        """Add a command and what is reported of it."""
        self.commands.append(command)
        self.said.update(leaves)


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


def changes(shown: str) -> dict[str, set[Leaf]]:
    """Parse ``pulumi preview --refresh --diff``: what its refresh found, by host.

    Only of HostNetworking, and only differences.
    """
    found: dict[str, set[Leaf]] = {}
    leaves: set[Leaf] | None = None
    ours = False
    path: list[tuple[int, str]] = []
    for line in shown.splitlines():
        if header := re.match(r"^ *[-+~]* *[\w:/.-]+:(\w+): \((\w+)\)", line):
            ours = header[1] == "HostNetworking" and header[2] == "refresh"
            leaves = None
        elif ours and (name := re.match(r"^ *\[urn=.*::([^:\]]+)\]$", line)):
            leaves = found.setdefault(name[1], set())
            path = []
        elif leaves is not None and (part := re.match(r"^( +)([-+~]) (\S.*?) *: (.*)$", line)):
            depth = len(part[1])
            path = [(at, name) for at, name in path if at < depth]
            if part[4] == "{":
                path.append((depth, part[3]))
            elif value := re.fullmatch(r'"(.*)"', part[4]):
                now = value[1].rpartition('" => "')[2].replace('\\"', '"')
                leaves.add((part[2], "/".join([*(name for _, name in path), part[3]]), now))
    return found


def _lines(network: NetworkPlan | HostPlan) -> dict[str, dict[str, str]]:
    return sections(network.wanted)


def _of(network: NetworkPlan, section: str, role: str) -> str:
    return f"networks/{network.name}/{section}/{role}"


def lines(host: HostPlan) -> Injected:
    """Change single rules: another kind of change for each network, and the host's own."""
    done = Injected()
    web, mail, special, four, six, ports = host.networks[:6]

    egress = _lines(web)["snat_ipv4"]["egress"]
    gone = ("-", _of(web, "snat_ipv4", "egress"), egress)
    done.add(Line(4, "nat", egress).deleted(), gone)

    ingress = _lines(mail)["dnat_ipv6"]["ingress tcp"]
    edited = re.sub(r"--to-destination .*", "--to-destination fd00::666", ingress)
    place = _of(mail, "dnat_ipv6", "ingress tcp")
    done.add(Line(6, "nat", ingress).edited(edited), ("~", place, edited))

    # The comment is kept, as far as our lines have one, so it must not decide.
    ingress = _lines(six)["dnat_ipv6"]["ingress tcp"]
    comment = "-m comment --comment kept"
    edited = re.sub(r"-j DNAT .*", f"{comment} -j DNAT --to-destination fd00::7", ingress)
    place = _of(six, "dnat_ipv6", "ingress tcp")
    done.add(Line(6, "nat", ingress).edited(edited), ("~", place, edited))

    added = f"-A WANBOUND-FORWARD -i {special.bridge} -p udp -j DROP"
    done.add(Line(4, "filter", added).added(1), _surplus("drift/ipv4 WANBOUND-FORWARD", 1, added))

    ingress = _lines(four)["dnat_ipv4"]["ingress tcp"]
    done.add(
        f"{Line(4, 'nat', ingress).deleted()}; {Line(4, 'nat', ingress).added()}",
        ("-", _of(four, "dnat_ipv4", "ingress tcp"), ingress),
        _surplus("drift/ipv4 WANBOUND-DNAT", 1, ingress),
    )

    rule = "udp dport 53 accept"
    done.add(
        f"nft insert rule inet wanbound source-{ports.bridge} {rule}",
        _surplus(f"drift/guard source-{ports.bridge}", 1, rule),
    )

    own = _lines(host)
    strangers = own["input_ipv4"]["strangers"]
    edited = strangers.replace("DROP", "ACCEPT")
    done.add(Line(4, "filter", strangers).edited(edited), ("~", "own/input_ipv4/strangers", edited))
    added = "-A WANBOUND-INPUT -p tcp -m tcp --dport 23 -j ACCEPT"
    done.add(Line(6, "filter", added).added(1), _surplus("drift/ipv6 WANBOUND-INPUT", 1, added))
    # Delete the chain's last line, and insert the first again at its place.
    again, strangers = own["forward_ipv6"]["marked"], own["forward_ipv6"]["strangers"]
    done.add(
        f"{Line(6, 'filter', strangers).deleted()}; {Line(6, 'filter', again).added()}",
        ("~", "own/forward_ipv6/strangers", again),
    )
    return done


def _surplus(where: str, number: int, line: str) -> Leaf:
    return "+", f"{where} {number}", f"should not be there: {line}"


FIRST = Line(6, "nat", "-A POSTROUTING -o wan0 -j MASQUERADE")
LAST = Line(4, "filter", "-A INPUT -p tcp -m tcp --dport 23 -j ACCEPT")
"""Rules that are not ours, in the places of our jumps; a repair leaves them."""


def tables(host: HostPlan) -> Injected:
    """Change what all networks share: jumps, a flushed table, the guard, the units."""
    done = Injected()
    for command in (
        Line(4, "nat", "-A POSTROUTING -j WANBOUND-SNAT").added(1),
        Line(4, "nat", "-A PREROUTING -j WANBOUND-DNAT").deleted(),
        FIRST.added(1),
        LAST.added(),
        "nft delete table inet wanbound",
        "ip6tables -w 10 -F WANBOUND-FORWARD",
        "systemctl disable -q wanbound.service",
        "echo '# by hand' >>/etc/systemd/system/wanbound-docker.service",
        "echo '# by hand' >>/usr/local/sbin/wanbound",
    ):
        done.commands.append(command)
    script = hashlib.sha256(f"{host_script()}# by hand\n".encode()).hexdigest()
    done.said.update(
        {
            ("~", "installed/script", f"/usr/local/sbin/wanbound {script[:12]}"),
            ("~", "installed/wanbound.service", "disabled"),
            ("~", "installed/wanbound-docker.service", "enabled, edited"),
            ("+", "drift/guard", "the table inet wanbound is gone"),
        }
    )
    jump = {
        hook: f"-A {hook} -j WANBOUND-{to}"
        for hook, to in (("POSTROUTING", "SNAT"), ("PREROUTING", "DNAT"), ("INPUT", "INPUT"))
    }
    for key, text in {
        "ipv4 jump POSTROUTING": f"{jump['POSTROUTING']} is there 2 times",
        "ipv4 jump PREROUTING": f"{jump['PREROUTING']} is gone",
        "ipv6 jump POSTROUTING": f"{jump['POSTROUTING']} is not the first rule",
        "ipv6 jump POSTROUTING, the first is": FIRST.text,
        "ipv4 jump INPUT": f"{jump['INPUT']} is not the last rule",
        "ipv4 jump INPUT, the last is": LAST.text,
    }.items():
        done.said.add(("+", f"drift/{key}", text))
    everything = {"own": _lines(host)}
    everything |= {f"networks/{each.name}": _lines(each) for each in host.networks}
    for where, found in everything.items():
        for section, roles in found.items():
            if section == "forward_ipv6" or section.startswith(("chain ", "map ")):
                gone = {("-", f"{where}/{section}/{role}", line) for role, line in roles.items()}
                done.said.update(gone)
    return done


def addresses(host: HostPlan) -> Injected:
    """Change addresses, a bridge, files, routes and parameters."""
    done = Injected()
    web, mail, special, four, six = host.networks[:5]
    line = _lines(web)["addresses"]["ipv4"]
    gone = ("-", _of(web, "addresses", "ipv4"), line)
    done.add(f"ip addr del {_address(line)} dev wan0", gone)
    line = _lines(mail)["addresses"]["ipv6"]
    address = _address(line)
    # Not on host0, the operator's way in; lo exists on every host.
    done.add(
        f"ip addr del {address} dev wan0; ip addr add {address} dev lo",
        ("-", _of(mail, "addresses", "ipv6"), line),
        ("+", f"drift/address {address.partition('/')[0]} on lo", f"inet6 {address} scope global"),
    )
    line = _lines(special)["addresses"]["ipv4"]
    wide = _address(line).replace("/32", "/24")
    done.add(
        f"ip addr del {_address(line)} dev wan0; ip addr add {wide} dev wan0",
        (
            "~",
            _of(special, "addresses", "ipv4"),
            line.replace("/32", "/24").replace("host", "global"),
        ),
    )
    gateway = four.docker.ipam[0].gateway
    done.add(
        f"ip link set {four.bridge} down; ip link set {four.bridge} name by-hand;"
        " ip link set by-hand up",
        (
            "+",
            f"drift/bridge {four.bridge}",
            f"bridge {four.bridge} is gone; {gateway} is on by-hand",
        ),
    )
    path = "/etc/wanbound/current"
    done.add(
        f"sed -i 's/^{six.bridge}$/& by hand/' {path}/bridges",
        ("+", "drift/file bridges", f"{path}/bridges was edited"),
        ("+", "drift/file bridges 1", f"lacks: {six.bridge}"),
        ("+", "drift/file bridges 2", f"has: {six.bridge} by hand"),
    )
    done.add(
        f"sed -i 's/^link wan0 up$/link wan0 down/' {path}/host",
        ("+", "drift/file host", f"{path}/host was edited"),
        ("+", "drift/file host 1", "lacks: link wan0 up"),
        ("+", "drift/file host 2", "has: link wan0 down"),
    )
    plan = wanted_plan(host, "any", {})
    lost = compose(plan).files["addresses"].splitlines()
    done.add(
        f"rm {path}/addresses",
        ("+", "drift/file addresses", f"{path}/addresses was edited"),
        *(("+", f"drift/file addresses {n}", f"lacks: {line}") for n, line in enumerate(lost, 1)),
    )
    own = _lines(host)
    old, other = own["routes"]["ipv4"], "default via 203.0.113.254 dev wan0"
    done.add(f"ip route replace {other}", ("~", "own/routes/ipv4", other))
    old = own["routes"]["ipv6"]
    done.add("ip -6 route del default", ("-", "own/routes/ipv6", old))
    for role in ("forwarding ipv4", "rp_filter"):
        key, _, _ = own["sysctls"][role].partition(" = ")
        done.add(f"sysctl -q {key}=0", ("~", f"own/sysctls/{role}", f"{key} = 0"))
    return done


def _address(line: str) -> str:
    return line.split()[1]


def remade(host: HostPlan, network: NetworkPlan, containers: Iterable[str]) -> Injected:
    """Replace a Docker network of ours with a manual one, without its containers."""
    done = Injected()
    docker = network.docker
    words = [f"--opt {key}={value}" for key, value in docker.options.items()]
    words += ["--ipv6"] if docker.ipv6 else []
    words += [f"--subnet {each.subnet} --gateway {each.gateway}" for each in docker.ipam]
    leave = "; ".join(f"docker network disconnect -f {docker.name} {each}" for each in containers)
    done.add(
        f"{leave}; docker network rm {docker.name};"
        f" docker network create {' '.join(words)} {docker.name}",
        (
            "+",
            f"drift/docker network {docker.name}",
            f"Docker network {docker.name} was created manually"
            f" (no label wanbound={host.name}/{network.name})",
        ),
    )
    return done


def unplugged(host: HostPlan, done: Injected) -> None:
    """Set the wan link down: the kernel then drops routes and IPv6 addresses."""
    # networkd also removes what it had configured.
    routes = _lines(host)["routes"].items()
    done.add(
        "ip link set wan0 down; sleep 3",
        ("~", "own/links/wan0", "wan0 down"),
        *(("-", f"own/routes/{family}", route) for family, route in routes),
    )
    for network in host.networks:
        if line := _lines(network)["addresses"].get("ipv6"):
            done.said.add(("-", _of(network, "addresses", "ipv6"), line))
