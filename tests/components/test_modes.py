"""What a mode changes in networks and containers, and docker-ipv6nat beside them."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from components.host import Host
from components.ipv6nat import CHECK
from planner.config import Stack
from planner.plan import plan
from tests.components.mocks import Registered, registered
from tests.planner import golden


def _declared(raw: dict[str, Any]) -> dict[str, Registered]:
    def program() -> None:
        for host in plan(Stack.parse(raw, "test")):
            Host(host, {})

    return {each.key: each for each in registered(program)}


def test_docker_publishes_at_both_families() -> None:
    """A port has the same number inside and outside, only at the network's own addresses."""
    found = _declared(golden.config("masquerade"))
    ports = found["Container edge-1/container/mailserver"].inputs["ports"]
    for address in ("203.0.113.20", "2001:db8::20"):
        udp = {"internal": 3478, "external": 3478, "ip": address, "protocol": "udp"}
        assert udp in ports
    assert {port["ip"] for port in ports} == {"203.0.113.20", "2001:db8::20"}
    options = found["Network edge-1/network/mail"].inputs["options"]
    assert options["com.docker.network.bridge.host_binding_ipv4"] == "203.0.113.20"
    assert "HostNetworking edge-1" in found["Container edge-1/container/mailserver"].after


def test_a_subnet_that_docker_chooses_is_no_change() -> None:
    """No subnet is given, and changes of the one that the provider records are ignored."""
    network = _declared(golden.config("snat-docker"))["Network edge-1/network/bridge-coi"]
    assert "ipamConfigs" not in network.inputs
    assert "ipamConfigs" in network.ignored
    other = _declared(golden.config("snat"))["Network edge-1/network/out"]
    assert len(other.inputs["ipamConfigs"]) == 2
    assert "ipamConfigs" not in other.ignored


@pytest.mark.parametrize("case", ["dual-stack", "to-container", "with docker-ipv6nat"])
def test_what_daemon_json_gives_to_containers_is_no_change(case: str) -> None:
    """Limits and the size of logs; otherwise every `up` would replace all containers."""
    found = _declared(_with_ipv6nat() if "ipv6nat" in case else golden.config(case))
    containers = [each for key, each in found.items() if key.startswith("Container ")]
    assert containers
    for each in containers:
        assert {"logOpts", "ulimits"} <= {*each.ignored}


def test_options_that_docker_adds_are_no_change() -> None:
    """Of every network, also of the load balancer's; but not those that are declared."""
    words = ("bridge.enable_icc", "bridge.name", "some.option")
    names = [f"com.docker.network.{each}" for each in words]
    raw = golden.config("dual-stack")
    opts = {"bridge": dict.fromkeys(names, "x"), "macvlan": {"parent": "eth0"}}
    raw["hosts"][0]["engine"] = {"settings": {"default-network-opts": opts}}
    found = _declared(raw)
    for name in ("network/mail", "socket/mail"):
        ignored = found[f"Network edge-1/{name}"].ignored
        # Declared, so that a new network is what the state says.
        options = found[f"Network edge-1/{name}"].inputs["options"]
        assert [options[each] == "x" for each in names] == [True, False, True]
        assert f'options["{names[0]}"]' in ignored
        assert f'options["{names[2]}"]' in ignored
        assert 'options["com.docker.network.driver.mtu"]' in ignored
        assert f'options["{names[1]}"]' not in ignored
        assert "parent" not in "".join(ignored)
    del raw["hosts"][0]["engine"]
    # Nor is it a change when Docker does so no more.
    for name in ("network/mail", "socket/mail"):
        assert f'options["{names[0]}"]' in _declared(raw)[f"Network edge-1/{name}"].ignored


def _with_ipv6nat() -> dict[str, Any]:
    raw = golden.config("masquerade")
    host = {**raw["hosts"][0], "ipv6nat": "container"}
    return {**raw, "images": {"ipv6nat": "example.com/ipv6nat:1"}, "hosts": [host]}


def test_ipv6nat_runs_as_the_recipe_runs_it() -> None:
    """In the host's network namespace with a read-only socket; unprivileged, which is enough."""
    found = _declared(_with_ipv6nat())
    container = found["Container edge-1/ipv6nat/container"]
    assert container.inputs["image"] == "example.com/ipv6nat:1"
    assert container.inputs["networkMode"] == "host"
    assert container.inputs["capabilities"] == {"adds": ["CAP_NET_ADMIN"]}
    assert "privileged" not in container.inputs
    assert container.inputs["restart"] == "always"
    (volume,) = container.inputs["volumes"]
    assert volume["readOnly"]
    # The check comes first, over the user's own ssh, and after the rules, which load kernel
    # modules.
    check = found["Command edge-1/ipv6nat/check"]
    assert check.key in container.after
    assert "HostNetworking edge-1" in check.after
    assert check.inputs["interpreter"][-1] == "root@192.0.2.10"
    assert check.inputs["create"] == "sh -s"


def test_another_user_asks_by_sudo() -> None:
    """Only root sees all processes and Docker."""
    raw = _with_ipv6nat()
    raw["hosts"][0]["ssh"]["user"] = "admin"
    check = _declared(raw)["Command edge-1/ipv6nat/check"]
    assert check.inputs["create"] == "sudo -n sh -s"


def test_without_the_key_there_is_none() -> None:
    """Most hosts do not need it."""
    assert not [key for key in _declared(golden.config("masquerade")) if "ipv6nat" in key]


def _checked(
    folder: Path,
    version: str,
    *,
    daemon: str = "",
    flags: str = "-H fd://",
    running: bool = False,
    ours: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run the check on a host with these processes and this engine."""
    processes = {"10": ("dockerd", f"/usr/sbin/dockerd {flags}")}
    if running:
        processes["11"] = ("docker-ipv6nat", "/docker-ipv6nat")
    for number, (name, line) in processes.items():
        (folder / "proc" / number).mkdir(parents=True)
        (folder / "proc" / number / "comm").write_text(f"{name}\n")
        (folder / "proc" / number / "cmdline").write_text(line.replace(" ", "\0") + "\0")
    (folder / "daemon.json").write_text(daemon)
    docker = folder / "docker"
    found = "0123456789ab" if ours else ""
    docker.write_text(f"#!/bin/sh\ncase $1 in ps) echo {found} ;; *) echo {version} ;; esac\n")
    docker.chmod(0o755)
    text = CHECK.replace("/proc/", f"{folder}/proc/")
    text = text.replace("/etc/docker/daemon.json", str(folder / "daemon.json"))
    return subprocess.run(
        ["sh", "-s"],
        input=text,
        capture_output=True,
        text=True,
        env={"PATH": f"{folder}:/usr/bin:/bin"},
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    ("version", "more", "said"),
    [
        ("20.10.24+dfsg1", {}, ""),
        ("26.1.5", {"daemon": '{"experimental": true}'}, ""),
        ("28.5.2", {"daemon": '{\n  "ip6tables": false\n}'}, ""),
        ("28.5.2", {"flags": "--ip6tables=false"}, ""),
        ("20.10.24", {"running": True, "ours": True}, ""),
        ("20.10.24", {"running": True}, "already runs on this host"),
        ("28.5.2", {}, "translates IPv6 itself"),
        ("29.0.0", {"flags": "--ip6tables"}, "translates IPv6 itself"),
        ("20.10.24", {"daemon": '{"ip6tables":\n true}'}, "translates IPv6 itself"),
        ("26.1.5", {"flags": "--ip6tables -H fd://"}, "translates IPv6 itself"),
    ],
)
def test_ipv6nat_is_refused_where_it_would_conflict(
    tmp_path: Path, version: str, more: dict[str, Any], said: str
) -> None:
    """Two of them, or one beside an engine that does the same, would flush each other's chains."""
    done = _checked(tmp_path, version, **more)
    assert said in done.stderr
    assert done.returncode == (1 if said else 0), done.stderr
    assert ("Nothing was changed." in done.stderr) == bool(said)
