"""From a host without Docker to the first answer in one `up`; then again on a replacement host.

The steps run once; each test checks one aspect.
"""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from lab import lifecycle
from lab.api import Host, Lab
from lab.checks import matrix, run
from lab.registry import ADDRESS
from lab.settings import ECHO_IPV4, ECHO_IPV6
from lab.stacks import Config, LabStack, Run, parsed
from lab.traffic import PROBE
from tests.lab.stack.evidence import container_addresses, own_rules

pytestmark = pytest.mark.lab

NAME = "test-7"
SYSTEM = f"{NAME}=bookworm+bare"
PUBLIC_IPV4, PUBLIC_IPV6 = "203.0.113.70", "2001:db8::70"
DOMAIN = "whoami.mail.example.com"
VOLUMES = "/var/lib/docker/volumes"
KEPT = "kept-data"
ANSWER_SECONDS = 240.0


def config(host: Host) -> Config:
    """A network with load balancer, whoami and a container that stores data."""
    return {
        "seed": "rebuild",
        "verify": True,
        "echo": {"ipv4": f"http://{ECHO_IPV4}/", "ipv6": f"http://[{ECHO_IPV6}]/"},
        "hosts": [
            {
                "name": host.name,
                "ssh": {"address": host.address, "host_key": host.host_key},
                "wan": {"interface": "wan0"},
                "engine": {
                    "install": True,
                    "registry_mirrors": [f"http://{ADDRESS}"],
                    "settings": {"insecure-registries": [ADDRESS]},
                },
                "networks": [
                    {
                        "name": "mail",
                        "public_ipv4": PUBLIC_IPV4,
                        "public_ipv6": PUBLIC_IPV6,
                        "whoami": {"domain": DOMAIN},
                        "containers": [
                            {
                                "name": "keeper",
                                "image": PROBE,
                                "command": ["serve-tcp", ":7000"],
                                "volumes": [f"{KEPT}:/data"],
                            }
                        ],
                    }
                ],
            }
        ],
    }


@dataclass
class Life:
    """The observations of one of the two hosts."""

    key: str
    tools: str
    preview: Run
    up: Run
    answer_seconds: dict[str, float]
    failed: list[str]
    rules: str
    addresses: dict[str, str]
    kept: str
    left: str = ""
    """What is left after `destroy`."""


@dataclass
class Story:
    """Two hosts, the `up` between them with the old key, and the recovery of a lost host."""

    lives: list[Life] = field(default_factory=list)
    refused: Run | None = None
    lost_rules: str = ""
    lost_addresses: dict[str, str] = field(default_factory=dict)
    lost_failed: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def story(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Run all steps."""
    told = Story()
    site = Lab.up(SYSTEM, lab.settings)
    first = config(site.host(NAME))
    stack = LabStack.copy(site, "rebuild", first, tmp_path_factory.mktemp("rebuild"))
    try:
        told.lives.append(_live(site, stack, first, "written by the first host\n"))
        told.lives[0].left = _destroyed(site, stack)
        volume = _saved(site.host(NAME))
        lifecycle.replace_host(lab.settings, NAME)
        site = Lab.attach(lab.settings)
        told.refused = stack.up(check=False)
        second = config(site.host(NAME))
        stack.configure(second)
        _restore(site.host(NAME), volume)
        told.lives.append(_live(site, stack, second, ""))
        # Replaced without `destroy`: the state still has all of its resources.
        lifecycle.replace_host(lab.settings, NAME)
        site = Lab.attach(lab.settings)
        third = config(site.host(NAME))
        stack.configure(third)
        stack.up(check=False)
        stack.up("--refresh")
        told.lost_rules = own_rules(site.host(NAME))
        told.lost_addresses = container_addresses(site.host(NAME))
        told.lost_failed = _failed(site, third)
        told.lives[1].left = _destroyed(site, stack)
        yield told
    finally:
        lifecycle.remove_host(lab.settings, NAME)


def _live(site: Lab, stack: LabStack, wanted: Config, write: str) -> Life:
    """Bring a bare host up and record its state."""
    host = site.host(NAME)
    tools = host.run("command -v dockerd docker iptables nft conntrack", check=False).stdout
    preview = stack.preview("--diff", "--show-full-output")
    with _Watch(site) as watch:
        up = stack.up()
        watch.wait()
    failed = _failed(site, wanted)
    if write:
        host.run(f"cat >{VOLUMES}/{KEPT}/_data/note", stdin=write)
    kept = host.run("docker cp keeper:/data/note - | tar -xO").stdout
    rules, addresses = own_rules(host), container_addresses(host)
    stack.preview("--refresh", "--expect-no-changes")
    return Life(host.host_key, tools, preview, up, watch.seconds, failed, rules, addresses, kept)


def _failed(site: Lab, wanted: Config) -> list[str]:
    results = run(site, matrix(parsed(wanted, "rebuild")))
    return [str(result) for result in results if not result.ok]


def _destroyed(site: Lab, stack: LabStack) -> str:
    """Destroy the stack; return what is left on the host."""
    stack.destroy()
    return (
        site.host(NAME)
        .run(
            "ls -d /etc/docker/daemon.json /etc/wanbound /var/lib/wanbound 2>/dev/null;"
            " iptables-save | grep WANBOUND; docker ps -aq;"
            " docker network ls -q --filter type=custom;"
            f" docker volume ls -q | grep {KEPT}; command -v dockerd",
            check=False,
        )
        .stdout
    )


class _Watch:
    """Asks from the internet until whoami answers in both families."""

    def __init__(self, site: Lab) -> None:
        self.seconds: dict[str, float] = {}
        self._site = site
        self._began = time.monotonic()
        self._threads = [
            threading.Thread(target=self._ask, args=(family, url), daemon=True)
            for family, url in (
                ("ipv4", f"http://{PUBLIC_IPV4}/"),
                ("ipv6", f"http://[{PUBLIC_IPV6}]/"),
            )
        ]

    def __enter__(self) -> "_Watch":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def wait(self) -> None:
        """Wait until both have answered."""
        for thread in self._threads:
            thread.join(60)

    def _ask(self, family: str, url: str) -> None:
        words = ["curl", "-gsf", "-m", "1", "-H", f"Host: {DOMAIN}", url]
        while time.monotonic() < self._began + ANSWER_SECONDS:
            if self._site.internet.run(words, check=False).status == 0:
                self.seconds[family] = time.monotonic() - self._began
                return
            time.sleep(0.25)


def _saved(host: Host) -> str:
    return host.run(f"tar -C {VOLUMES} -c {KEPT} | base64").stdout


def _restore(host: Host, volume: str) -> None:
    """Restore from a backup, on a host that has no Docker yet."""
    host.run(f"mkdir -p {VOLUMES} && base64 -d | tar -C {VOLUMES} -x", stdin=volume)


@pytest.mark.parametrize("life", [0, 1])
def test_a_bare_host_answers_after_one_up(story: Story, life: int) -> None:
    """It has no Docker, iptables, nft or conntrack before; every check of the matrix passes."""
    told = story.lives[life]
    print(
        f"{'first' if life == 0 else 'new'} host: up took {told.up.seconds:.1f} s, first answer"
        f" after {told.answer_seconds['ipv4']:.1f} s over IPv4,"
        f" {told.answer_seconds['ipv6']:.1f} s over IPv6"
    )
    assert told.tools == ""
    assert told.failed == []
    assert set(told.answer_seconds) == {"ipv4", "ipv6"}
    assert max(told.answer_seconds.values()) < ANSWER_SECONDS


@pytest.mark.parametrize("life", [0, 1])
def test_the_preview_of_a_bare_host_is_whole(story: Story, life: int) -> None:
    """It shows what is installed, and network, rules and containers as for any host."""
    said = story.lives[life].preview.output
    assert "installs docker.io" in said
    assert "wanbound:DockerEngine" in said
    for line in ("-A WANBOUND-SNAT", "docker:index/network:Network", "keeper"):
        assert line in said
    assert "may not correctly represent" not in said


def test_the_old_key_is_refused_for_the_new_host(story: Story) -> None:
    """The replacement is refused as another machine until its key is configured."""
    assert story.lives[0].key != story.lives[1].key
    assert story.refused is not None
    assert story.refused.status != 0
    assert "not the one that is pinned" in story.refused.output


def test_the_new_host_has_the_same_rules_and_addresses(story: Story) -> None:
    """Rules are equal byte for byte, and every container has its address."""
    first, second = story.lives
    assert "WANBOUND-SNAT" in first.rules
    assert first.rules == second.rules
    assert first.addresses == second.addresses


def test_a_restored_volume_is_the_containers_own(story: Story) -> None:
    """The second host's container reads the data of the first's."""
    first, second = story.lives
    assert first.kept == second.kept == "written by the first host\n"


def test_a_host_that_was_lost_comes_back_on_another(story: Story) -> None:
    """Without a destroy: one `up` for Docker and rules, one with a refresh for the containers."""
    assert story.lost_failed == []
    assert story.lost_rules == story.lives[1].rules
    assert story.lost_addresses == story.lives[1].addresses


@pytest.mark.parametrize("life", [0, 1])
def test_destroy_leaves_docker_and_the_volume(story: Story, life: int) -> None:
    """daemon.json is absent again, and nothing of wanbound is left."""
    assert story.lives[life].left.split() == [KEPT, "/usr/sbin/dockerd"]
