"""The parts' own arithmetic; the measurements need hosts."""

from bench.datapath import network_command
from bench.part_datapath import BARE, BESIDE, FIRST, LAST, _row
from bench.part_pulumi import without_dynamic
from bench.scenario import config, host_plan
from tests.bench.test_scenario import PLACE


def test_the_data_path_is_held_against_masquerade_without_our_rules() -> None:
    """A cost of ours that also slows the peer must not appear as speed."""
    values = {BARE: [100.0] * 3, BESIDE: [80.0] * 3, FIRST: [99.0] * 3, LAST: [80.0] * 3}
    assert _row("connections", "ipv4", "iptables", values) == [
        "connections ipv4",
        "100",
        "0.990",
        "0.800",
        "0.800",
        "1.24",
        "1.00",
        "0.85: NOT met",
    ]
    better = {**values, BESIDE: [95.0] * 3, LAST: [86.0] * 3}
    assert _row("connections", "ipv6", "iptables", better)[-1] == "0.85: met"
    assert _row("connections", "ipv6", "nftables", better)[-1] == "0.95: NOT met"
    slow_beside = {**better, BESIDE: [94.0] * 3}
    assert _row("connections", "ipv6", "iptables", slow_beside)[-1] == "0.85: NOT met"


def test_a_longer_time_is_a_lower_speed() -> None:
    """In each row 1 is equal speed and more is faster."""
    values = {BARE: [0.001] * 3, BESIDE: [0.001] * 3, FIRST: [0.002] * 3, LAST: [0.0005] * 3}
    row = _row("p99", "ipv4", "nftables", values)
    assert row == ["p99 ipv4", "0.0010 s", "0.500", "2.00", "1.00", "0.500", "2.00", ""]


def test_the_measured_networks_are_made_as_the_program_makes_them() -> None:
    """Masquerade is off; bridge, gateways and bindings of both families are set."""
    [network] = host_plan(config(PLACE, 1)).networks
    command = network_command(network.docker)
    assert command.startswith("docker network create --driver=bridge --attachable --ipv6")
    assert "--subnet=10.110.1.0/24" in command
    assert "--opt=com.docker.network.bridge.enable_ip_masquerade=false" in command
    assert "--opt=com.docker.network.bridge.name=bench-001" in command
    assert command.endswith(" bench-001")


def test_the_peers_state_is_ours_without_the_dynamic_resources() -> None:
    """No other resource refers to them, and the exported state is not modified."""
    network = {
        "urn": "urn:network",
        "type": "docker:index/network:Network",
        "dependencies": ["urn:networking", "urn:host"],
        "propertyDependencies": {"options": ["urn:networking"], "name": None},
    }
    exported = {
        "version": 3,
        "deployment": {
            "manifest": {},
            "resources": [
                {"urn": "urn:stack", "type": "pulumi:pulumi:Stack"},
                {"urn": "urn:python", "type": "pulumi:providers:pulumi-python"},
                {"urn": "urn:networking", "type": "pulumi-python:dynamic/wanbound:HostNetworking"},
                network,
            ],
        },
    }
    found = without_dynamic(exported)["deployment"]["resources"]
    assert [each["urn"] for each in found] == ["urn:stack", "urn:network"]
    assert found[1]["dependencies"] == ["urn:host"]
    assert found[1]["propertyDependencies"] == {"options": [], "name": []}
    assert network["dependencies"] == ["urn:networking", "urn:host"]
