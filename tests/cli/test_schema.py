"""The JSON Schema of a stack file accepts what wanbound accepts, and refuses common mistakes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft7Validator

from cli import schema
from planner.config import Stack
from planner.errors import ConfigError
from tests.planner import golden
from tests.planner.samples import HOST, MAIL, edited
from tests.planner.strategies import Raw, stacks

FOLDER = Path(__file__).parent.parent.parent / "stacks"
STACKS = sorted(FOLDER.glob("Pulumi.*.yaml"))
SCHEMA: dict[str, Any] = schema.stack_schema()
VALIDATOR = Draft7Validator(SCHEMA, format_checker=Draft7Validator.FORMAT_CHECKER)


def errors(raw: Raw) -> list[str]:
    """Return an editor's errors for a stack file with these keys after `wanbound:`."""
    config = {f"wanbound:{key}": value for key, value in raw.items()}
    return [
        f"{each.json_path}: {each.message}" for each in VALIDATOR.iter_errors({"config": config})
    ]


def test_the_committed_file_is_what_the_command_prints() -> None:
    """`./wanbound schema > stacks/stack.schema.json` updates it after a change of the models."""
    assert (FOLDER / "stack.schema.json").read_text() == schema.text()


def test_it_is_a_schema_of_draft_7() -> None:
    """Most editors support this version."""
    Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", STACKS, ids=lambda path: path.name)
def test_a_stack_names_the_schema_and_follows_it(path: Path) -> None:
    """Editors read the first line, with a path relative to the file."""
    first, _, _ = path.read_text().partition("\n")
    assert first == "# yaml-language-server: $schema=stack.schema.json"
    found = [each.message for each in VALIDATOR.iter_errors(yaml.safe_load(path.read_text()))]
    assert found == []


@pytest.mark.parametrize("name", golden.cases())
def test_a_golden_configuration_follows_it(name: str) -> None:
    """They have nearly every key of wanbound."""
    assert errors(golden.config(name)) == []


@given(stacks())
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
def test_a_valid_stack_follows_it(raw: Raw) -> None:
    """However its values are written."""
    assert errors(raw) == []


CONTAINER = f"{MAIL}.containers.0"

SPELLINGS: dict[str, tuple[str, object]] = {
    "a port as text": (f"{HOST}.ssh.port", "2222"),
    "seconds as text": (f"{HOST}.confirm_seconds", "60"),
    "a flag as text": (f"{HOST}.adopt", "true"),
    "no load balancer": (f"{MAIL}.load_balancer", False),
    "a load balancer without keys": (f"{MAIL}.load_balancer", {}),
    "one port without a list": (f"{MAIL}.ingress", [{"ports": 25, "to": "turn"}]),
    "a pair of addresses": (
        f"{MAIL}.ingress",
        [{"ports": 25, "to": {"ipv4": "172.20.2.25", "ipv6": "fd5c:1b2a:77f0:2::25"}}],
    ),
    "one address of a pair": (
        f"{MAIL}.ingress",
        [{"ports": 25, "to": {"ipv4": "172.20.2.25"}, "addresses": ["203.0.113.21"]}],
    ),
    "a range": (f"{MAIL}.ingress", [{"ports": ["5000 - 5010"], "to": "turn"}]),
    "all ports": (f"{MAIL}.ingress", [{"ports": "all", "to": "turn"}]),
    "a published UDP port": (f"{CONTAINER}.ports", "3478/udp"),
    "restart no, as YAML 1.1 reads it": (f"{CONTAINER}.restart", False),
    "a number in the environment": (f"{CONTAINER}.environment", {"WORKERS": 4}),
    "a subnet that Docker chooses": (
        f"{HOST}.networks",
        [{"name": "out", "mode": "snat", "public_ipv4": "203.0.113.20", "subnet_ipv4": "docker"}],
    ),
    "a mark as text": ("mark", "0x01000000"),
    "an encrypted secret": ("secrets", {"PASSWORD": {"secure": "v1:…"}}),
    "a source range of one": (f"{HOST}.baseline", {"ssh_from": ["198.51.100.7"]}),
    "further keys of daemon.json": (
        f"{HOST}.engine",
        {"settings": {"log-driver": "journald", "new-key": {"a": [1]}}},
    ),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_each_spelling_that_wanbound_takes_follows_it(name: str) -> None:
    """An editor must not mark a valid value."""
    raw = edited(SPELLINGS[name])
    assert Stack.parse(raw, "any")
    assert errors(raw) == []


MISTAKES: dict[str, tuple[str, object]] = {
    "a misspelt key of the stack": ("host", []),
    "a misspelt key of a host": (f"{HOST}.confirm_second", 30),
    "a misspelt key of a container": (f"{CONTAINER}.imgae", "mail:1"),
    "a field that wanbound computes": (f"{MAIL}.load_balancer", {"socket_name": "x"}),
    "the key guard, which is no more": (f"{HOST}.guard", True),
    "a missing key": (HOST, {"name": "edge-1"}),
    "no host": ("hosts", []),
    "no network": (f"{HOST}.networks", []),
    "a key without a value": (f"{HOST}.wan", None),
    "a key that may be missing, without a value": (f"{HOST}.engine", None),
    "a list in place of a mapping": (f"{HOST}.ssh", ["192.0.2.10"]),
    "a mapping in place of a list": ("hosts", {"edge-1": {}}),
    "a text in place of a list": (f"{CONTAINER}.command", "--verbose"),
    "a list in place of labels": (f"{CONTAINER}.labels", ["traefik.enable=true"]),
    "a label with a space": (f"{CONTAINER}.labels", {"a b": "c"}),
    "a boolean as a label": (f"{CONTAINER}.labels", {"traefik.enable": True}),
    "a misspelt key in a pair of addresses": (
        f"{MAIL}.ingress",
        [{"ports": 25, "to": {"ip4": "172.20.2.25"}}],
    ),
    "port 0": (f"{HOST}.ssh.port", 0),
    "a port beyond 65535": (f"{HOST}.ssh.port", 65536),
    "an ingress port beyond 65535": (f"{MAIL}.ingress", [{"ports": [70000], "to": "turn"}]),
    "no ingress port": (f"{MAIL}.ingress", [{"ports": [], "to": "turn"}]),
    "a port and another": (f"{CONTAINER}.ports", ["80:8080"]),
    "another protocol": (f"{MAIL}.ingress", [{"ports": [25], "protocol": "sctp", "to": "turn"}]),
    "too few seconds": (f"{HOST}.confirm_seconds", 4),
    "another mode": (f"{MAIL}.mode", "bridge"),
    "an IPv6 address as IPv4": (f"{MAIL}.public_ipv4", "2001:db8::20"),
    "no address": (f"{MAIL}.public_ipv4", "203.0.113.256"),
    "a prefix length behind an address": (f"{MAIL}.public_ipv4", "203.0.113.20/32"),
    "a subnet without prefix length": (f"{MAIL}.subnet_ipv4", "172.20.0.0"),
    "a name that is too long": (f"{MAIL}.name", "a-name-of-16-chr"),
    "a name of Docker's": (f"{MAIL}.name", "bridge"),
    "an image in upper case": (f"{CONTAINER}.image", "Mail:1"),
    "a user in the address": (f"{HOST}.ssh.address", "root@192.0.2.10"),
    "a password in clear": (f"{HOST}.ssh.key", "secret"),
    "a private key as host key": (f"{HOST}.ssh.host_key", "-----BEGIN PRIVATE KEY-----"),
    "a wrong type in daemon.json": (f"{HOST}.engine", {"settings": {"debug": "yes"}}),
    "a key of engine in settings": (f"{HOST}.engine", {"settings": {"live-restore": True}}),
    "four DNS servers": (f"{HOST}.dns", [f"198.51.100.{each}" for each in range(1, 5)]),
    "a mark of 33 bits": ("mark", 1 << 32),
    "a list of secrets": ("secrets", ["PASSWORD"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_usual_mistake_is_underlined(name: str) -> None:
    """wanbound refuses each of them too."""
    raw = edited(MISTAKES[name])
    with pytest.raises(ConfigError):
        Stack.parse(raw, "any")
    assert errors(raw)


def test_keys_of_other_programs_are_left_alone() -> None:
    """Pulumi and its providers have keys beside `config` and in it."""
    config = {f"wanbound:{key}": value for key, value in edited().items()}
    others = {"docker:host": "ssh://192.0.2.10", "aws:tags": {"a": [1]}}
    stack = {"encryptionsalt": "v1:…", "environment": ["base"], "config": config | others}
    assert VALIDATOR.is_valid(stack)
    assert not VALIDATOR.is_valid({"config": config | {"hosts": []}}), "a key without wanbound:"
    assert not VALIDATOR.is_valid({"config": config | {"wanbound:hsots": []}})
    assert not VALIDATOR.is_valid({})


def _keys() -> Iterator[tuple[str, dict[str, Any]]]:
    models = {"config": SCHEMA["properties"]["config"], **SCHEMA["$defs"]}
    for model, found in models.items():
        for name, key in found["properties"].items():
            yield f"{model}.{name}", key


KEYS = dict(_keys())


@pytest.mark.parametrize("name", KEYS)
def test_each_key_is_described_and_its_example_follows_it(name: str) -> None:
    """Editors show the description, and offer the example as a value."""
    key = KEYS[name]
    assert key["description"].endswith(".")
    validator = VALIDATOR.evolve(schema={**key, "$defs": SCHEMA["$defs"]})
    for example in key["examples"]:
        assert [each.message for each in validator.iter_errors(example)] == []
