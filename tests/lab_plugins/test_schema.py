"""Which differences are a change, and its effect: measured on the real plugins, recorded here."""

from __future__ import annotations

import pytest

from lab.plugins.docker.container_schema import CONTAINER
from lab.plugins.docker.simple_schemas import NETWORK, REMOTE_IMAGE, VOLUME
from lab.plugins.schema import (
    DEFAULTS_KEY,
    Change,
    Field,
    Kind,
    Schema,
    changes,
    checked,
    deleted_first,
    details,
    inputs_after_read,
    planned,
)
from lab.plugins.values import UNKNOWN, Plain, Properties

NETWORK_REPLACES = (
    "attachable driver ingress internal ipamConfigs ipamDriver ipamOptions ipv6 labels name options"
)
CONTAINER_REPLACES = (
    "capabilities command dns envs image labels name networkMode networksAdvanced ports uploads "
    "user volumes"
)
CONTAINER_UPDATES = "healthcheck mustRun restart"

CASES = [
    *((NETWORK, key, True) for key in NETWORK_REPLACES.split()),
    *((CONTAINER, key, True) for key in CONTAINER_REPLACES.split()),
    *((CONTAINER, key, False) for key in CONTAINER_UPDATES.split()),
    (VOLUME, "name", True),
    (REMOTE_IMAGE, "name", True),
    (REMOTE_IMAGE, "keepLocally", False),
]


def sample(spec: Field, which: int) -> Plain:
    """Return one of two different values of this type."""
    match spec.kind:
        case Kind.TEXT:
            return f"value{which}"
        case Kind.NUMBER:
            return which + 1
        case Kind.FLAG:
            return bool(which)
        case Kind.LIST | Kind.SET:
            return [sample(spec.item, which)] if spec.item is not None else [which]
        case Kind.MAP:
            return {"key": f"value{which}"}
        case Kind.OBJECT:
            return {key: sample(field, which) for key, field in spec.fields.items()}
        case Kind.ANY:
            return which


def only(key: str, value: Plain) -> Properties:
    """Return the one property, or none if its value is None."""
    return {} if value is None else {key: value}


@pytest.mark.parametrize(
    ("schema", "key", "replaces"), CASES, ids=[f"{s.token}-{k}" for s, k, _ in CASES]
)
def test_what_a_change_of_each_input_does(schema: Schema, key: str, replaces: bool) -> None:
    """A changed or unknown value is a change; the list has whether it replaces."""
    spec = schema.fields[key]
    old: Properties = {key: sample(spec, 0)}
    for new in (sample(spec, 1), UNKNOWN):
        assert list(changes(schema, old, {key: new})) == [key]
    assert changes(schema, old, dict(old)) == {}
    assert spec.replace is replaces


def test_the_lists_name_every_input() -> None:
    """Every input has a rule or is refused."""
    listed = f"{CONTAINER_REPLACES} {CONTAINER_UPDATES}".split()
    assert sorted(listed) == sorted(k for k, field in CONTAINER.fields.items() if not field.refused)
    assert sorted(NETWORK_REPLACES.split()) == sorted(NETWORK.fields)


@pytest.mark.parametrize(
    ("schema", "key", "old", "new"),
    [
        (NETWORK, "labels", None, []),
        (NETWORK, "attachable", None, False),
        (NETWORK, "ipv6", False, None),
        (NETWORK, "driver", "bridge", None),
        (NETWORK, "options", {"a": "1"}, None),
        (NETWORK, "options", {"a": "1", "b": "2"}, {"b": "2", "a": "1"}),
        (
            NETWORK,
            "ipamConfigs",
            [{"subnet": "172.20.0.0/24", "gateway": "172.20.0.1"}, {"subnet": "fd00::/64"}],
            [{"subnet": "fd00::/64"}, {"gateway": "172.20.0.1", "subnet": "172.20.0.0/24"}],
        ),
        (CONTAINER, "envs", ["B=2", "A=1"], ["A=1", "B=2"]),
        (CONTAINER, "envs", ["A=1"], None),
        (CONTAINER, "command", ["from", "image"], None),
        (CONTAINER, "user", "nobody", None),
        (CONTAINER, "user", "nobody", ""),
        (CONTAINER, "user", "", None),
        (CONTAINER, "healthcheck", {"interval": "1m30s"}, {"interval": "90s", "retries": 0}),
        (
            CONTAINER,
            "networksAdvanced",
            [{"name": "web"}],
            [{"name": "web", "ipv4Address": ""}],
        ),
        (CONTAINER, "ports", [{"internal": 80, "ip": "0.0.0.0"}], [{"internal": 80, "ip": ""}]),
    ],
)
def test_what_is_no_change(schema: Schema, key: str, old: Plain, new: Plain) -> None:
    """Empty equals absent, sets have no order, and values from the Engine may be left out."""
    assert changes(schema, only(key, old), only(key, new)) == {}


@pytest.mark.parametrize(
    ("schema", "key", "old", "new", "change"),
    [
        (CONTAINER, "command", ["a", "b"], ["b", "a"], Change.UPDATE),
        (CONTAINER, "mustRun", False, True, Change.UPDATE),
        (CONTAINER, "uploads", [{"file": "/a"}], None, Change.DELETE),
        (CONTAINER, "volumes", None, [{"containerPath": "/a"}], Change.ADD),
        (NETWORK, "labels", [{"label": "a", "value": "1"}], None, Change.DELETE),
        (NETWORK, "options", {"a": "1"}, {"a": UNKNOWN}, Change.UPDATE),
        (NETWORK, "ipamConfigs", [{"subnet": "fd00::/64"}], [{"subnet": UNKNOWN}], Change.UPDATE),
    ],
)
def test_what_is_a_change(schema: Schema, key: str, old: Plain, new: Plain, change: Change) -> None:
    """Order counts in lists; a removed input that is not computed and an unknown one count too."""
    assert changes(schema, only(key, old), only(key, new)) == {key: change}


def test_a_preview_shows_only_the_labels_and_options_that_change() -> None:
    """A label added at the front is one line, not a change of all that follow."""
    old: Plain = [{"label": "b", "value": "1"}, {"label": "c", "value": "1"}]
    new: Plain = [
        {"label": "a", "value": "1"},
        {"label": "b", "value": "1"},
        {"label": "c", "value": "1"},
    ]
    assert details(CONTAINER.fields["labels"], "labels", old, new) == {"labels[0]": Change.ADD}
    assert details(NETWORK.fields["options"], "options", {"a.b": "1"}, {"c": "2"}) == {
        'options["a.b"]': Change.DELETE,
        'options["c"]': Change.ADD,
    }
    assert details(CONTAINER.fields["command"], "command", ["a", "b"], ["a", "c"]) == {
        "command[1]": Change.UPDATE
    }
    assert details(CONTAINER.fields["image"], "image", "a", "b") == {"image": Change.UPDATE}


def test_defaults_are_those_of_the_plugin() -> None:
    """A container with only an image gets the real plugin's defaults."""
    inputs, failures = checked(CONTAINER, "web", {}, {"image": "web:1", "name": "web"}, b"")
    assert failures == []
    del inputs[DEFAULTS_KEY]
    assert inputs == {
        "attach": False,
        "containerReadRefreshTimeoutMilliseconds": 15000,
        "image": "web:1",
        "logs": False,
        "memoryReservation": 0,
        "mustRun": True,
        "name": "web",
        "networkMode": "bridge",
        "readOnly": False,
        "removeVolumes": True,
        "restart": "no",
        "rm": False,
        "start": True,
        "stdinOpen": False,
        "tty": False,
        "wait": False,
        "waitTimeout": 60,
    }


def test_a_generated_name_is_kept_and_lets_the_successor_come_first() -> None:
    """Only a name from the program must be free before it can be used again."""
    first, _ = checked(NETWORK, "web", {}, {}, b"\x01\x02\x03\x04")
    assert first["name"] == "web-0102030"
    again, _ = checked(NETWORK, "web", first, {"ipv6": True}, b"\x09\x09\x09\x09")
    assert again["name"] == first["name"]
    assert not deleted_first(NETWORK, again)
    named, _ = checked(NETWORK, "web", first, {"name": "web"}, b"")
    assert deleted_first(NETWORK, named)
    image, _ = checked(REMOTE_IMAGE, "web", {}, {"name": "web:1"}, b"")
    assert not deleted_first(REMOTE_IMAGE, image)
    container, _ = checked(CONTAINER, "web", {}, {"image": "web:1"}, b"")
    assert deleted_first(CONTAINER, container)


@pytest.mark.parametrize(
    ("schema", "inputs", "path", "reason"),
    [
        (CONTAINER, {}, "image", "is required"),
        (CONTAINER, {"image": "a", "restart": "sometimes"}, "restart", "does not match"),
        (CONTAINER, {"image": "a", "command": "run"}, "command", "must be a list"),
        (CONTAINER, {"image": "a", "gpus": "all"}, "gpus", "not implemented by the lab's"),
        (CONTAINER, {"image": "a", "hsots": []}, "hsots", "has no input"),
        (
            CONTAINER,
            {"image": "a", "networksAdvanced": [{"name": "n", "gwPriority": 1}]},
            "networksAdvanced[0].gwPriority",
            "not implemented",
        ),
        (
            CONTAINER,
            {"image": "a", "networksAdvanced": [{"ipv4Address": "172.20.0.2"}]},
            "networksAdvanced[0].name",
            "is required",
        ),
        (CONTAINER, {"image": "a", "labels": [{"lable": "x"}]}, "labels[0].lable", "not an input"),
        (REMOTE_IMAGE, {"name": "a", "build": {"context": "."}}, "build", "not implemented"),
        (VOLUME, {"cluster": {}}, "cluster", "not implemented"),
    ],
)
def test_what_is_refused(schema: Schema, inputs: Properties, path: str, reason: str) -> None:
    """An input that would be ignored is refused by its path."""
    _, failures = checked(schema, "x", {}, inputs, b"")
    assert any(at == path and reason in why for at, why in failures), failures


def test_unknown_values_pass_the_check() -> None:
    """A value that is not known yet gives no error."""
    inputs: Properties = {"image": UNKNOWN, "envs": UNKNOWN, "restart": UNKNOWN}
    assert checked(CONTAINER, "x", {}, inputs, b"")[1] == []


def test_a_preview_of_a_create_has_unknown_outputs_and_one_of_an_update_the_old_ones() -> None:
    """So a user of an output sees in the preview whether it may change."""
    created = planned(NETWORK, {}, {"name": "web", "driver": "bridge"})
    assert created["driver"] == "bridge"
    assert {created[key] for key in ("internal", "options", "scope", "ipamConfigs")} == {UNKNOWN}
    updated = planned(CONTAINER, {"bridge": "abc", "restart": "no"}, {"restart": "always"})
    assert updated == {"bridge": "abc", "restart": "always"}


def test_a_refresh_gives_back_the_inputs_that_were_given() -> None:
    """The inputs after a read are the old ones, with drift applied."""
    old: Properties = {"name": "web", "labels": [], DEFAULTS_KEY: ["ipamDriver"]}
    state: Properties = {"name": "web", "labels": [{"label": "a", "value": "b"}], "scope": "local"}
    assert inputs_after_read(NETWORK, old, state) == {
        "name": "web",
        "labels": [{"label": "a", "value": "b"}],
        DEFAULTS_KEY: ["ipamDriver"],
    }
