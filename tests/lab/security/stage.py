"""Two networks on each host with an attacker in the first; their `up` is recorded."""

import base64
import secrets
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_ssh_private_key,
)

from lab.api import Host, Lab
from lab.images import probe_program
from lab.keys import client_key
from lab.settings import ROUTER_IPV4, ROUTER_LINK_LOCAL
from lab.stacks import Config, LabStack, Run
from tests.lab.security.processes import Sampler

PROBE = "wanbound/probe:1"
ATTACKER, NEIGHBOUR = "attacker", "neighbour"
"""The containers of the networks `one` and `two`; both answer on port 80."""

OPEN, CLOSED = 7900, 7901
"""Ports of the host itself on which a server listens."""

LISTENER = "/root/listener"


@dataclass(frozen=True)
class Place:
    """One host of the stage; addresses are pairs, IPv4 and IPv6."""

    host: Host
    number: int

    def public(self, network: str) -> tuple[str, str]:
        """Return the public addresses of a network of this host."""
        last = 53 + 2 * self.number + (network == "two")
        return f"203.0.113.{last}", f"2001:db8::{last}"

    def private(self, network: str) -> tuple[str, str]:
        """Return the addresses of the network's container."""
        prefix = self.subnet(network)
        return prefix[0].replace("0/24", "10"), prefix[1].replace("/64", "10")

    def gateway(self, network: str) -> tuple[str, str]:
        """Return the addresses of the network's bridge, which are the host's own."""
        prefix = self.subnet(network)
        return prefix[0].replace("0/24", "1"), prefix[1].replace("/64", "1")

    def subnet(self, network: str) -> tuple[str, str]:
        """Return the subnets of a network of this host."""
        third = 1 + (network == "two")
        return f"10.5{self.number}.{third}.0/24", f"fd5{self.number}:{third}::/64"

    @property
    def wan(self) -> tuple[str, str]:
        """The host's own addresses."""
        return self.host.wan_ipv4, self.host.wan_ipv6


@dataclass
class Stage:
    """The stack is up; `up`, `previews` and `processes` are records of bringing it up.

    `secrets` has the texts, by name, that may not appear in clear anywhere.
    """

    lab: Lab
    stack: LabStack
    places: tuple[Place, ...]
    secrets: Mapping[str, str]
    up: Run
    previews: dict[str, Run]
    processes: Sampler

    def place(self, number: int) -> Place:
        """Return the host of that number, from 1."""
        return self.places[number - 1]


def _network(place: Place, name: str) -> Config:
    (public4, public6), (subnet4, subnet6) = place.public(name), place.subnet(name)
    private4, private6 = place.private(name)
    container = ATTACKER if name == "one" else NEIGHBOUR
    return {
        "name": name,
        "public_ipv4": public4,
        "public_ipv6": public6,
        "subnet_ipv4": subnet4,
        "subnet_ipv6": subnet6,
        "load_balancer": False,
        "ingress": [{"protocol": "tcp", "ports": [80], "to": container}],
        "containers": [
            {
                "name": container,
                "image": PROBE,
                "command": ["serve-tcp", ":80"],
                "environment": {"TOKEN": {"secret": "TOKEN"}},
                "ipv4": private4,
                "ipv6": private6,
            }
        ],
    }


def config(lab: Lab, places: tuple[Place, ...]) -> Config:
    """Return the configuration without secrets, which the file does not have."""
    return {"hosts": [_host(lab, place) for place in places]}


def _host(lab: Lab, place: Place) -> Config:
    ssh: Config = {"address": place.host.address, "host_key": place.host.host_key}
    if place.number == 1:
        # The other host takes the key from the operator's agent.
        ssh |= {"key": {"secret": "LOGIN"}, "key_passphrase": {"secret": "PHRASE"}}
    wan = {
        "interface": "wan0",
        "gateway_ipv4": ROUTER_IPV4,
        "gateway_ipv6": ROUTER_LINK_LOCAL,
    }
    baseline = {
        "ssh_from": [str(lab.settings.management)],
        "open": [{"protocol": "tcp", "ports": [OPEN]}],
    }
    return {
        "name": place.host.name,
        "ssh": ssh,
        "wan": wan,
        "baseline": baseline,
        "networks": [_network(place, "one"), _network(place, "two")],
    }


@contextmanager
def staged(lab: Lab, folder: Path) -> Iterator[Stage]:
    """Bring the stack up, as an operator does, while all processes of this machine are sampled.

    This includes the hosts' processes: the hosts are containers of this machine.
    """
    places = tuple(Place(host, number) for number, host in enumerate(lab.hosts.values(), 1))
    stack = LabStack.copy(lab, "secured", config(lab, places), folder)
    hidden = _keep_secrets(lab, stack)
    try:
        previews = {"before": stack.preview("--diff", "--show-full-output")}
        with Sampler() as processes:
            up = stack.up("-v=9", "--logtostderr", "--logflow")
        previews["after"] = stack.preview("--diff", "--show-full-output", "--refresh")
        previews["json"] = stack.preview("--json")
        with _listeners(lab, places):
            yield Stage(lab, stack, places, hidden, up, previews, processes)
    finally:
        stack.destroy()


def _keep_secrets(lab: Lab, stack: LabStack) -> dict[str, str]:
    """Store the secrets as an operator does; return the texts to search for, each on one line."""
    token, phrase = (f"hunter2-{secrets.token_hex(16)}" for _ in range(2))
    clear = client_key(lab.settings).read_text()
    key = load_ssh_private_key(clear.encode(), None)
    locked = key.private_bytes(
        Encoding.PEM, PrivateFormat.OpenSSH, BestAvailableEncryption(phrase.encode())
    ).decode()
    values = {"TOKEN": token, "LOGIN": locked, "PHRASE": phrase}
    words = [f"--secret=wanbound:secrets.{name}={value}" for name, value in values.items()]
    stack.run("config", "set-all", "--stack", stack.name, "--path", *words)
    # From the middle of the files: not the frame, and not the public half at the start.
    return {
        "a container's variable": token,
        "the key's passphrase": phrase,
        "the key": locked.splitlines()[4],
        "the opened key": clear.splitlines()[4],
    }


@contextmanager
def _listeners(lab: Lab, places: tuple[Place, ...]) -> Iterator[None]:
    """Run a server on each host on these ports, so that only the filter can refuse."""
    program = probe_program(lab.settings.cache)
    try:
        for place in places:
            _copy(program, place.host)
            run = f"systemd-run --unit=listener -q {LISTENER} serve-tcp :{OPEN} :{CLOSED}"
            place.host.run(run)
        yield
    finally:
        for place in places:
            stop = f"systemctl stop listener; systemctl reset-failed listener; rm -f {LISTENER}"
            place.host.run(stop, check=False)


def _copy(program: Path, host: Host) -> None:
    data = base64.b64encode(program.read_bytes()).decode()
    host.run(f"base64 -d >{LISTENER} && chmod 755 {LISTENER}", stdin=data)


@contextmanager
def stranger(
    host: Host, name: str, network: Sequence[str], container: Sequence[str] = ()
) -> Iterator[None]:
    """Run a container that wanbound does not manage, in a Docker network of the same name.

    `network` and `container` are further options of both, as Docker takes them.
    """
    bridge = f"com.docker.network.bridge.name={name}"
    host.run(
        f"docker network create {shlex.join(network)} -o {bridge} {name}\n"
        f"docker run -d {shlex.join(container)} --name {name} --network {name}"
        f" {PROBE} serve-tcp :80"
    )
    try:
        yield
    finally:
        host.run(f"docker rm -f {name}; docker network rm {name}", check=False)
