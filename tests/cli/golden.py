"""The golden pictures, explanations and compose files, for the planner's golden configurations.

After a wanted change

    python -m tests.cli.golden

writes all files again. Look at them before you commit them.
"""

from pathlib import Path

from cli import compose, mermaid, svg
from cli.explain import explain
from cli.picture import picture
from planner.config import Stack
from tests.planner import golden

FOLDER = Path(__file__).parent / "golden"
CASES = (
    "containers",
    "edge",
    "ingress-addresses",
    "ingress-from",
    "ipv6-only",
    "masquerade",
    "several-networks",
    "snat-docker",
    "to-addresses",
)
QUESTIONS = {
    "several-networks": (
        "203.0.113.10:443/tcp",
        "203.0.113.10:443/tcp --from 172.16.0.9",
        "[2001:db8::10]:443/tcp --from fd5c:1b2a:77f0:30::9",
        "203.0.113.20:25/tcp",
        "203.0.113.20:443/udp",
        "203.0.113.10:80/tcp --from 192.0.2.10",
        "203.0.113.10:80/tcp --from 203.0.113.20",
        "203.0.113.110:80/tcp --from 172.20.0.9",
        "172.16.0.9:80/tcp --from 172.16.0.8",
        "[fd5c:1b2a:77f0:30::9]:80/tcp",
        "[fd5c:1b2a:77f0:30::9]:80/tcp --from fd5c:1b2a:77f0:30::8",
        "192.0.2.20:22/tcp",
        "edge-1 mail --to 198.51.100.1 --to 2001:db8:ffff::1 --to 172.20.0.9 --to 172.16.0.9",
        "edge-1 web --to 203.0.113.10 --to 203.0.113.20 --to 203.0.113.110 --to 192.0.2.10",
    ),
    "ingress-addresses": (
        "203.0.113.21:443/tcp",
        "203.0.113.22:25/tcp --from 172.20.0.9",
        "[2001:db8::21]:443/tcp --from 2001:db8::21",
        "203.0.113.20:443/tcp --from 172.20.0.254",
    ),
    "ingress-from": (
        "203.0.113.20:5432/tcp",
        "203.0.113.20:5432/tcp --from 198.51.100.7",
        "203.0.113.20:5432/tcp --from 192.0.2.99",
        "203.0.113.20:5432/tcp --from 172.20.1.9",
        "[2001:db8::20]:5432/tcp --from fd5c:1b2a:77f0:30::9",
        "203.0.113.20:7701/udp --from 192.0.2.10",
        "203.0.113.20:7701/udp --from 172.20.0.10",
        "[2001:db8::20]:7701/udp",
        "[2001:db8::20]:3478/udp --from 2001:db8:ffff::77",
        "203.0.113.40:80/tcp --from 172.17.0.5",
        "203.0.113.40:80/tcp --from 192.0.2.10",
    ),
    "nftables": (
        "203.0.113.20:80/tcp",
        "203.0.113.20:80/tcp --from 172.20.0.9",
        "[2001:db8::21]:443/tcp --from fd5c:1b2a:77f0:30::9",
        "203.0.113.20:9100/tcp",
        "203.0.113.20:22/tcp --from 198.51.100.7",
        "203.0.113.40:25/tcp",
        "edge-1 mail --to 198.51.100.1 --to 203.0.113.20 --to 203.0.113.10",
    ),
    "nftables-iptables-engine": ("edge-1 mail --to 198.51.100.1",),
    "masquerade": (
        "203.0.113.20:25/tcp",
        "[2001:db8::20]:3478/udp --from fd5c:1b2a:77f0:20::9",
        "203.0.113.20:26/tcp",
    ),
    "snat-docker": ("203.0.113.11:80/tcp", "edge-1 bridge-coi --to 198.51.100.1 --to 203.0.113.11"),
    "to-container": ("203.0.113.40:5005/udp", "203.0.113.40:5005/tcp", "203.0.113.40:25"),
    "edge": (
        "10.114.67.10:2375/tcp",
        "10.114.67.10:2375/tcp --from 10.114.67.11",
        "203.0.113.30:443/tcp --from 10.114.67.11",
        "203.0.113.20:443/udp",
    ),
    "baseline": (
        "192.0.2.10:22/tcp",
        "203.0.113.20:2222/tcp",
        "203.0.113.20:2222/tcp --from 198.51.100.7",
        "203.0.113.20:2222/tcp --from 198.51.101.7",
        "203.0.113.20:5005/tcp",
        "203.0.113.20:22/tcp --from 192.0.2.10",
    ),
}
"""The questions about a case: the arguments of `./wanbound explain STACK`."""

SUFFIXES = {"mmd": mermaid.draw, "svg": svg.draw}


SNIPPETS = {
    "to-addresses": ("mail", ["mta", "sftp", "web"], "db", False),
    "edge": ("mail", ["app"], None, False),
    "dns": ("web", ["app"], None, True),
    "ipv6-only": ("mail", ["app"], None, False),
    "masquerade": ("mail", ["app"], None, False),
    "snat-docker": ("bridge-coi", ["app"], None, False),
}
"""For each case: network, services, database, and whether the default network is kept."""


def snippet(name: str) -> str:
    """Return the snippet of a case as it is generated now."""
    network, services, database, default = SNIPPETS[name]
    stack = Stack.parse(golden.config(name), name)
    host = stack.hosts[0].name
    return compose.snippet(stack, host, network, services, database, default=default)


def drawn(name: str, suffix: str) -> str:
    """Return the picture of a case as it is drawn now."""
    return SUFFIXES[suffix](name, picture(Stack.parse(golden.config(name), name)))


def explained(name: str) -> str:
    """Return questions and answers about a case as they are generated now."""
    stack = Stack.parse(golden.config(name), name)
    blocks = []
    for question in QUESTIONS[name]:
        before, *to = question.split(" --to ")
        where, _, source = before.partition(" --from ")
        answer = explain(stack, where.split(), source or None, to)
        blocks.append(f"$ ./wanbound explain {name} {question}\n{answer}")
    return "\n".join(blocks)


def path(name: str, suffix: str) -> Path:
    """Return the golden file of a picture or of explanations."""
    return FOLDER / f"{name}.{suffix}"


def main() -> None:
    """Write every golden file again, and name those that changed."""
    for name in CASES:
        for suffix in SUFFIXES:
            golden.write(path(name, suffix), drawn(name, suffix))
    for name in SNIPPETS:
        golden.write(path(name, "compose.yaml"), snippet(name))
    for name in QUESTIONS:
        golden.write(path(name, "explain"), explained(name))


if __name__ == "__main__":
    main()
