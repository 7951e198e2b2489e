"""Hypothesis strategies: valid stack configurations as parsed from YAML, and junk."""

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from planner.config import schema
from tests.planner.samples import settled

Raw = dict[str, Any]

ECHO = {"ipv4": "http://198.51.100.1/", "ipv6": "http://[2001:db8:ffff::1]/"}
_COIN = st.booleans()
_FIRST = "abcdefghijklmnopqrstuvwxyzABCXYZ0189"


def names(longest: int) -> st.SearchStrategy[str]:
    """Return names that Docker and the kernel accept, without reserved ones."""
    return st.builds(
        lambda first, rest: f"{first}{rest}",
        st.sampled_from(_FIRST),
        st.text("abcxyz0189_.-", min_size=1, max_size=longest - 1),
    ).filter(lambda name: name not in {"lo", "all", "host", "none", "wan0", "eth0"})


@st.composite
def _ranges(draw: st.DrawFn) -> list[object]:
    """Draw disjoint ports and ranges, unordered and in every form."""
    edges = draw(st.lists(st.integers(23, 65535), min_size=1, max_size=8, unique=True))
    edges.sort()
    items: list[object] = []
    while edges:
        first = edges.pop(0)
        if draw(_COIN) and edges:
            items.append(f"{first}-{edges.pop(0)}")
        else:
            items.append(draw(st.sampled_from([first, str(first)])))
    return draw(st.permutations(items))


_CALLERS = {
    "ipv4": ["198.51.100.0/24", "198.51.100.77", "203.0.0.0/8", "192.0.2.1", "0.0.0.0/0"],
    "ipv6": ["2001:db8:ffff::/48", "2001:db8:ffff::77", "2001:db8::/64", "::/0"],
}
"""Ranges with an outside address, with the networks' public addresses, and with neither."""


@st.composite
def _entries(
    draw: st.DrawFn, protocol: str, targets: list[str | Raw], keys: list[str]
) -> list[Raw]:
    """Draw the ingress entries of one protocol; `keys` are the network's families."""
    if draw(st.integers(0, 3)) == 0 or not targets:
        return []
    if protocol == "tcp" and draw(_COIN):
        found: list[Raw] = [{"ports": "all", "to": draw(st.sampled_from(targets))}]
    else:
        items = draw(_ranges())
        cut = draw(st.integers(0, len(items)))
        found = [
            {"protocol": protocol, "ports": part, "to": draw(st.sampled_from(targets))}
            for part in (items[:cut], items[cut:])
            if part
        ]
    for entry in found:
        if draw(st.integers(0, 3)) == 0:
            of = draw(st.lists(st.sampled_from(keys), min_size=1, unique=True))
            entry["from"] = [draw(st.sampled_from(_CALLERS[key])) for key in of]
    return found


@st.composite
def _containers(draw: st.DrawFn, name: str, subnets: dict[str, str]) -> list[Raw]:
    """Draw containers, with fixed addresses in the known subnets."""
    containers = []
    for place in range(draw(st.integers(0, 2))):
        container: Raw = {"name": f"{name}.c{place}", "image": "wanbound/probe:1"}
        for key, subnet in subnets.items():
            base = subnet.partition("/")[0].rstrip("0")
            container[key] = f"{base}{3 + place}"
        if draw(_COIN):
            container["environment"] = {"REALM": "example.com", "RETRIES": 3}
            container["labels"] = {"traefik.enable": "true"}
            container["volumes"] = [f"{name}-data:/data:ro"]
            container["command"] = ["--verbose", 2]
            container["restart"] = draw(st.sampled_from(["no", "always", False]))
        containers.append(container)
    return containers


@st.composite
def _networks(draw: st.DrawFn, name: str, slot: int, public: int) -> Raw:
    """Draw a network; `slot` is unique on the host, `public` in the whole stack."""
    network: Raw = {"name": name}
    keys = draw(st.sampled_from([["ipv4"], ["ipv6"], ["ipv4", "ipv6"], ["ipv4", "ipv6"]]))
    subnets: dict[str, str] = {}
    written = {
        "ipv4": f"172.{16 + slot // 256}.{slot % 256}.0/{draw(st.sampled_from([24, 25, 28]))}",
        "ipv6": f"fd5c:1b2a:77f0:{slot:x}::/{draw(st.sampled_from([64, 96, 112, 120]))}",
    }
    addresses = {
        "ipv4": f"203.{public // 256}.{public % 256}.10",
        "ipv6": f"2001:db8::{public:04x}",
    }
    explicit = draw(st.sampled_from([[], keys, keys, keys[:1]]))
    for key in keys:
        network[f"public_{key}"] = addresses[key]
        if key in explicit:
            network[f"subnet_{key}"] = subnets[key] = written[key]
    if draw(_COIN):
        network["bridge"] = f"br.{slot:x}"
    if draw(st.integers(0, 3)) == 0:
        network["manage_addresses"] = draw(_COIN)
    balancer = draw(st.sampled_from(["absent", True, False, {}, {"image": "traefik:v3.7"}]))
    if balancer != "absent":
        network["load_balancer"] = balancer
    targets: list[str | Raw] = [] if balancer is False else ["load_balancer"]
    if draw(_COIN) and targets:
        network["whoami"] = {"domain": f"whoami{slot}.example.com"}
    if containers := draw(_containers(name, subnets)):
        network["containers"] = containers
        if len(subnets) == len(keys):
            targets += [container["name"] for container in containers]
    if len(subnets) == len(keys) and draw(_COIN):
        targets.append(
            {key: f"{subnet.partition('/')[0].rstrip('0')}7" for key, subnet in subnets.items()}
        )
    if draw(_COIN):
        tcp = draw(_entries("tcp", targets, keys))
        network["ingress"] = tcp + draw(_entries("udp", targets, keys))
        if not any(entry.get("to", "load_balancer") == "load_balancer" for entry in tcp):
            network.pop("whoami", None)
    return network


@st.composite
def _moded(draw: st.DrawFn, network: Raw, public: int) -> None:
    """Give a network another mode, or further addresses with ingress."""
    keys = [key for key in ("ipv4", "ipv6") if f"public_{key}" in network]
    mode = draw(st.sampled_from(["nat", "nat", "snat", "masquerade"]))
    if mode == "nat":
        further = {
            "ipv4": f"203.{public // 256}.{public % 256}.11",
            "ipv6": f"2001:db8:1::{public:x}",
        }
        for entry in network.get("ingress", [])[:1]:
            entry["addresses"] = [further[key] for key in keys]
            if draw(_COIN):
                entry["addresses"].append(network[f"public_{keys[0]}"])
        return
    network["mode"] = mode
    network.pop("ingress", None)
    if mode == "masquerade":
        for place, container in enumerate(network.get("containers", [])):
            container["ports"] = [100 + place, f"{200 * (place + 1)}-{200 * (place + 1) + 3}/udp"]
        return
    network.pop("load_balancer", None)
    network.pop("whoami", None)
    fixed = any("ipv4" in container for container in network.get("containers", []))
    if "ipv4" in keys and not fixed and draw(_COIN):
        network["subnet_ipv4"] = "docker"


@st.composite
def _own(draw: st.DrawFn, host: Raw) -> None:
    """Give a host some keys of its own, outside of its networks."""
    if draw(_COIN):
        host["ssh"]["port"] = draw(st.sampled_from([22, 2222, 65535]))
    if draw(_COIN):
        host["ssh"]["jump"] = {"address": "bastion.example.com"}
    gateways = {"gateway_ipv4": "192.0.2.254", "gateway_ipv6": "fe80::1"}
    for key in draw(st.sets(st.sampled_from(sorted(gateways)))):
        host["wan"][key] = gateways[key]
    if draw(_COIN):
        host["baseline"] = {"ssh_from": draw(_sources())}
        # None of these is among the SSH ports that are drawn above.
        ports = [port for port in draw(_ranges()) if not _has(port, (22, 2222, 65535))]
        if ports:
            protocol = draw(st.sampled_from(["tcp", "udp"]))
            host["baseline"]["open"] = [{"protocol": protocol, "ports": ports}]
    if draw(_COIN):
        host["confirm_seconds"] = draw(st.integers(5, 600))
        host["adopt"] = draw(_COIN)
        host["persist"] = "iptables-files"
    if draw(_COIN):
        host["log_drops"] = True
        host["metrics"] = "/srv/wanbound.prom"


@st.composite
def _sources(draw: st.DrawFn) -> list[str]:
    """Draw ranges of both families, of IPv4 at least one: the hosts' SSH addresses are IPv4."""
    found = draw(st.lists(st.integers(0, 200), min_size=1, max_size=4, unique=True))
    wide = draw(st.sampled_from(["0.0.0.0/0", "198.51.100.0/24", "10.0.0.0/8", "100.64.1.1"]))
    mixed = [f"198.18.{n}.0/24" if n % 2 else f"2001:db8:{n:x}::/48" for n in found]
    return draw(st.permutations([wide, *mixed, *draw(st.sampled_from([[], ["::/0"]]))]))


def _has(item: object, ports: tuple[int, ...]) -> bool:
    first, _, last = str(item).partition("-")
    return any(int(first) <= port <= int(last or first) for port in ports)


@st.composite
def stacks(draw: st.DrawFn, max_hosts: int = 3, max_networks: int = 4, moded: bool = False) -> Raw:
    """Draw a valid configuration: the keys after `wanbound:`, for `Stack.parse`.

    Hosts and networks have every combination of families, written and derived subnets, load
    balancers on and off, TCP and UDP ports and ranges to the load balancer and to containers. If
    derived values collide, as in a small pool, the free ones that the errors offer are written.
    With `moded`, some networks have another mode or more public addresses.
    """
    hosts: list[Raw] = []
    counts = draw(st.lists(st.integers(1, max_networks), min_size=1, max_size=max_hosts))
    total = sum(counts)
    publics = draw(st.lists(st.integers(1, 0xFFFE), min_size=total, max_size=total, unique=True))
    for place, count in enumerate(counts):
        named = draw(st.lists(names(15), min_size=count, max_size=count, unique=True))
        taken = publics[-count:]
        slots = draw(st.lists(st.integers(0, 4095), min_size=count, max_size=count, unique=True))
        host: Raw = {
            "name": f"edge-{place}",
            "ssh": {"address": f"192.0.2.{place + 1}"},
            "wan": {"interface": draw(st.sampled_from(["wan0", "eth0"]))},
            "networks": [
                draw(_networks(name, slot, publics.pop()))
                for name, slot in zip(named, slots, strict=True)
            ],
        }
        if moded:
            for network in host["networks"]:
                draw(_moded(network, taken.pop()))
        draw(_own(host))
        hosts.append(host)
    stack: Raw = {"seed": draw(st.text("abc0123", min_size=1, max_size=8)), "hosts": hosts}
    stack["echo"] = ECHO
    if draw(_COIN):
        stack["verify"] = draw(_COIN)
    if draw(_COIN):
        stack["ipv4_pool"] = draw(st.sampled_from(["10.0.0.0/8", "10.7.0.0/16", "192.168.0.0/20"]))
    if draw(_COIN):
        stack["socket_pool"] = draw(st.sampled_from(["10.6.0.0/16", "192.168.16.0/24"]))
    return settled(stack)


def without_one(raw: Raw) -> Iterator[tuple[Raw, str, str]]:
    """Yield the configuration without each network in turn, with its host's name and its own.

    A host without networks is removed as well. Nothing is yielded if there is only one network.
    """
    known = [(place, at) for place, host in enumerate(raw["hosts"]) for at in host["networks"]]
    for place, gone in known if len(known) > 1 else ():
        hosts = list(raw["hosts"])
        left = [network for network in hosts[place]["networks"] if network is not gone]
        hosts[place : place + 1] = [{**hosts[place], "networks": left}] if left else []
        yield {**raw, "hosts": hosts}, raw["hosts"][place]["name"], gone["name"]


_HOSTS_ALIKE = ["edge", "edge-1", "edge-1-web", "web"]
_NETWORKS_ALIKE = [
    *("web", "1-web", "web-1", "web-sock", "web-socket", "web_lb", "whoami-web"),
    *("a", "a_lb", "a_socket", "whoami-a", "network", "image", "volume"),
]
_CONTAINERS_ALIKE = [*_NETWORKS_ALIKE, "a_lb_lb", "whoami-a_lb", "web_socket", "ipv6nat", "app"]


@st.composite
def alike(draw: st.DrawFn) -> Raw:
    """Draw a configuration in which only names may be wrong: many consist of parts of others."""
    hosts: list[Raw] = []
    for name in draw(st.lists(st.sampled_from(_HOSTS_ALIKE), min_size=1, max_size=3, unique=True)):
        networks: list[Raw] = []
        named = st.lists(st.sampled_from(_NETWORKS_ALIKE), min_size=1, max_size=4, unique=True)
        for network in draw(named):
            public = 1 + 4 * len(hosts) + len(networks)
            found: Raw = {
                "name": network,
                "public_ipv4": f"203.0.113.{public}",
                "subnet_ipv4": f"172.20.{public}.0/24",
                "load_balancer": {"socket_subnet": f"172.21.{public}.0/29"},
            }
            if draw(_COIN):
                found["load_balancer"]["acme"] = {"email": "a@example.com"}
                if draw(st.integers(0, 4)) == 0:
                    found["load_balancer"]["acme"]["volume"] = "web_letsencrypt"
            if draw(_COIN):
                found["whoami"] = {"domain": f"whoami{public}.example.com"}
            if draw(st.integers(0, 4)) == 0:
                found["bridge"] = draw(st.sampled_from(_NETWORKS_ALIKE))
            containers = st.lists(st.sampled_from(_CONTAINERS_ALIKE), max_size=1)
            found["containers"] = [
                {"name": each, "image": f"{draw(st.sampled_from(['a/b', 'b']))}:1",
                 "ipv4": f"172.20.{public}.9"}
                for each in draw(containers)
            ]  # fmt: skip
            networks.append(found)
        host: Raw = {
            "name": name,
            "ssh": {"address": f"192.0.2.{len(hosts) + 1}"},
            "wan": {"interface": "wan0"},
            "networks": networks,
        }
        if draw(_COIN):
            host |= {"ipv6nat": "container", "engine": {"live_restore": True}}
        hosts.append(host)
    return {"seed": "any", "echo": ECHO, "hosts": hosts}


_MODELS = (
    schema.Acme,
    schema.Baseline,
    schema.Container,
    schema.Dashboard,
    schema.Echo,
    schema.Host,
    schema.Ingress,
    schema.Jump,
    schema.LoadBalancer,
    schema.Network,
    schema.Open,
    schema.Root,
    schema.Ssh,
    schema.Wan,
    schema.Whoami,
)
_KEYS = st.sampled_from(sorted({key for kind in _MODELS for key in kind.model_fields} | {"secret"}))
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=4)
    | st.sampled_from(
        [
            "mail",
            "all",
            "tcp",
            "203.0.113.20",
            "2001:db8::20",
            "172.20.0.0/24",
            "fd00::/64",
            "::1%0",
        ]
    )
)


def junk() -> st.SearchStrategy[Any]:
    """Return values of any nesting, most of whose keys occur in a configuration."""
    keys = _KEYS | st.text(max_size=5) | st.integers() | st.none()
    return st.recursive(
        _SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5),
        max_leaves=25,
    )
