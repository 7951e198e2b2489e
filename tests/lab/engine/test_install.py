"""Docker is installed on a host without it, from the newest distribution."""

from collections.abc import Iterator
from typing import Any

import pytest

from lab import lifecycle
from lab.api import Host, Lab
from lab.registry import ADDRESS
from providers.engine.resource import DockerEngineProvider
from providers.errors import HostError
from tests.lab.engine.test_engine import FILE, Engine

pytestmark = pytest.mark.lab

NAME = "test-8"
PROVIDER = DockerEngineProvider()
KEYS = {"registry-mirrors": [f"http://{ADDRESS}"], "insecure-registries": [ADDRESS]}

# apt-get's own lock, as unattended-upgrades holds it.
BUSY = (
    "python3 -c \"import fcntl, time; f = open('/var/lib/apt/lists/lock', 'w');"
    ' fcntl.lockf(f, fcntl.LOCK_EX); time.sleep(30)" >/dev/null 2>&1 &'
)


@pytest.fixture(scope="module")
def bare(lab: Lab) -> Iterator[Host]:
    """A host without Docker; removed afterwards."""
    yield Lab.up(f"{NAME}=forky+bare", lab.settings).host(NAME)
    lifecycle.remove_host(lab.settings, NAME)


def test_docker_is_installed_where_that_is_wanted(
    lab: Lab,
    bare: Host,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Refused without the key; with it, the run waits for another apt-get and then installs it."""
    monkeypatch.setenv("SSH_AUTH_SOCK", lab.environment()["SSH_AUTH_SOCK"])
    engine = Engine(bare)
    with pytest.raises(HostError, match=r"there is no Docker Engine[^$]*engine\.install"):
        PROVIDER.create(engine.props(KEYS))
    props: dict[str, Any] = engine.props(KEYS, install=True)
    effect = PROVIDER.check({}, props).inputs["effect"]
    assert effect.startswith("installs docker.io, iptables, nftables, conntrack from")
    bare.run(BUSY)
    outs = PROVIDER.create(props).outs
    assert outs is not None
    said = capfd.readouterr().err
    assert "another apt-get is running here" in said
    assert "installed docker.io" in said
    bare.run("command -v dockerd docker iptables nft conntrack && docker version")
    assert engine.info["RegistryConfig"]["Mirrors"] == [f"http://{ADDRESS}/"]
    assert bare.run("dpkg -l docker-cli | grep -c ^ii").stdout == "1\n"
    assert bare.run("ls /var/lib/wanbound/engine").stdout.split() == ["was"]
    PROVIDER.delete("id", outs)
    left = bare.run(f"ls {FILE} /var/lib/wanbound; command -v dockerd", check=False).stdout
    assert left == "/usr/sbin/dockerd\n"
