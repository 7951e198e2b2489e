"""A Docker network with a container, made by hand, and its fragment with another address."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from lab.api import Host
from tests.lab.atomic.drill import network


class Network:
    """A Docker network with one container, which is also where its ingress goes."""

    def __init__(self, host: Host, name: str, number: int) -> None:
        self.host = host
        self.name = name
        self.text = network(host, name, number)
        found = re.search(r"claim address 203\.0\.113\.(\d+)", self.text)
        assert found is not None
        self.number = int(found[1])

    def public(self, number: int = 0) -> tuple[str, str]:
        """Its public addresses, or those with another number."""
        number = number or self.number
        return f"203.0.113.{number}", f"2001:db8::{number}"

    def renumbered(self, number: int) -> str:
        """Its fragment with other public addresses."""
        text = self.text
        for old, new in zip(self.public(), self.public(number), strict=True):
            text = re.sub(rf"{re.escape(old)}\b", new, text)
        return text

    @contextmanager
    def made(self, command: str = "sleep 99999") -> Iterator[None]:
        """Have it, with a container that runs the command and comes back after a reboot."""
        number = self.number
        try:
            self.host.run(
                f"docker network create --ipv6 --subnet 10.66.{number}.0/24"
                f" --subnet fd66:{number}::/64 -o com.docker.network.bridge.name={self.name}"
                f" -o com.docker.network.bridge.enable_ip_masquerade=false {self.name} &&"
                f" docker run -d --name {self.name} --network {self.name} --restart always"
                f" --ip 10.66.{number}.254 --ip6 fd66:{number}::fffe busybox:1 sh -c '{command}'",
                timeout=120,
            )
            yield
        finally:
            self.host.run(
                f"docker rm -f {self.name}; docker network rm {self.name}", check=False, timeout=60
            )
