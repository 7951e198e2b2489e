"""Every whoami page of a stack, as a client on the internet sees it: by name, over HTTPS.

The name is looked up in the lab's DNS; the certificate must be one of the lab's authority, which
validates a name through the host's own rules. No name or certificate is set manually.
"""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from lab.api import Lab
from lab.settings import CLIENT_IPV4, CLIENT_IPV6
from planner.config import Network, Stack, Version

PATIENCE = 60.0
"""Seconds in which a load balancer that has just started must have its certificate."""


@dataclass(frozen=True)
class Page:
    """One page in one family: curl's output, and the expected one."""

    host: str
    network: str
    family: Version
    url: str
    status: int
    body: str
    expected: dict[str, str]

    @property
    def ok(self) -> bool:
        """Whether the page has the recipe's three words with the right values."""
        return self.status == 0 and self.answer == self.expected

    @property
    def answer(self) -> dict[str, str]:
        """The values of the recipe's words on the page; {} if it is not whoami's."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        # Our whoami also names the client.
        return (
            {key: str(found.get(key)) for key in self.expected} if isinstance(found, dict) else {}
        )

    @property
    def why(self) -> str:
        """The difference in words."""
        return (
            f"expected {json.dumps(self.expected)}, seen {self.body} (curl's status {self.status})"
        )


def pages(lab: Lab, stack: Stack) -> list[Page]:
    """Return every page of `stack` that is served over HTTPS, in each family of its network."""
    wanted = list(_wanted(stack))
    with ThreadPoolExecutor(max_workers=4) as pool:
        return list(pool.map(lambda page: _seen(lab, page), wanted))


def _wanted(stack: Stack) -> Iterator[Page]:
    for host in stack.hosts:
        for network in host.networks:
            balancer = network.load_balancer
            if network.whoami is None or balancer is None or balancer.acme is None:
                continue
            for family in network.families:
                yield Page(
                    host.name,
                    network.name,
                    family.version,
                    f"https://{network.whoami.domain}/",
                    -1,
                    "",
                    _expected(network, family.version),
                )


def _expected(network: Network, version: Version) -> dict[str, str]:
    publics = {f"ipv{family.version}": str(family.public) for family in network.families}
    return {"x-forwarded-for": CLIENT_IPV4 if version == 4 else CLIENT_IPV6, **publics}


def _seen(lab: Lab, page: Page) -> Page:
    end = time.monotonic() + PATIENCE
    while True:
        done = lab.internet.curl(f"-{page.family}", "-m", "10", page.url, check=False)
        said = (done.stdout if done.status == 0 else done.stderr).strip()
        found = Page(
            page.host, page.network, page.family, page.url, done.status, said, page.expected
        )
        # A missing certificate is waited for; a wrong answer is not.
        waiting = done.status != 0 or said == "404 page not found"
        if not waiting or time.monotonic() > end:
            return found
        time.sleep(0.5)
