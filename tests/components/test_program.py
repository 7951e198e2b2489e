"""The program as Pulumi starts it: a configuration gives resources or one error."""

from collections.abc import Callable
from typing import Any

import pytest

from components.settings import raw_settings
from tests.components.mocks import (
    ExitedError,
    Registered,
    StoppedError,
    environment,
    main_program,
    registered,
    without_secrets,
)
from tests.planner import golden

Run = Callable[[dict[str, Any]], list[Registered]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run __main__.py with a configuration."""

    def run_with(settings: dict[str, Any]) -> list[Registered]:
        for name, value in environment(settings).items():
            monkeypatch.setenv(name, value)
        return registered(main_program())

    return run_with


def test_a_configuration_becomes_resources(run: Run) -> None:
    """Pulumi passes only text; every key arrives."""
    keys = [each.key for each in run(golden.config("containers"))]
    assert keys[0] == "Host edge-1"
    assert "HostNetworking edge-1" in keys
    assert keys[-1] == "Command edge-1/egress_check/web"


def test_a_secret_is_never_in_clear(run: Run) -> None:
    """It reaches the container, and nothing that can be read."""
    raw = {**golden.config("containers"), "secrets": {"DB_PASSWORD": "hunter2"}}
    found = run(raw)
    assert "DB_PASSWORD=hunter2" in str([each.inputs for each in found])
    assert "hunter2" not in str([without_secrets(each.inputs) for each in found])


def _shown(error: Exception) -> bool:
    """Whether the program exited with the status for which Pulumi adds no text of its own."""
    return isinstance(error, ExitedError) and error.args == (32,)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hosts": []}, ["wanbound:hosts", "is an empty list"]),
        ({"hots": []}, ["wanbound:hots", "is an unknown key", "did you mean hosts?"]),
        ({"hosts": "edge-1"}, ["wanbound:hosts", "not a list"]),
        ({"ipv4_pool": "10.0.0.0/33"}, ["wanbound:ipv4_pool"]),
        ({"echo": {}}, ["wanbound:echo"]),
        ({"secrets": {}}, ["DB_PASSWORD", "wanbound:secrets"]),
    ],
)
def test_bad_configuration_is_one_error_before_anything(
    run: Run, change: dict[str, Any], words: list[str]
) -> None:
    """Key and remedy, no traceback, and no resource: no host has been contacted."""
    with pytest.raises(StoppedError) as caught:
        run({**golden.config("containers"), **change})
    assert _shown(caught.value.error)
    assert caught.value.found == []
    text = caught.value.said
    assert "no host has been contacted" in text
    for word in (*words, "Fix: "):
        assert word in text


def test_all_mistakes_are_told_at_once(run: Run) -> None:
    """One run reports all of them."""
    raw = golden.config("several-networks")
    raw["hosts"][0]["networks"][0]["subnet_ipv4"] = "172.16.0.1/24"
    raw["hosts"][1]["wan"] = {}
    with pytest.raises(StoppedError) as caught:
        run(raw)
    text = caught.value.said
    assert "2 problems" in text
    assert "wanbound:hosts[0].networks[0].subnet_ipv4 (host edge-1, network web)" in text
    assert "wanbound:hosts[1].wan.interface (host edge-2)" in text


def test_no_configuration_at_all_is_one_error(run: Run) -> None:
    """The stack is new."""
    with pytest.raises(StoppedError) as caught:
        run({})
    assert _shown(caught.value.error)
    assert "wanbound:hosts" in caught.value.said


def test_settings_are_what_the_planner_parses() -> None:
    """Objects are parsed from JSON, text stays as it is, and foreign keys are ignored."""
    config = {
        "wanbound:seed": "12345",
        "wanbound:verify": "true",
        "wanbound:hosts": '[{"name": "edge-1"}]',
        "wanbound:echo": "{broken",
        "wanbound:unknown": "[1]",
        "aws:region": "eu",
    }
    assert raw_settings(config) == {
        "seed": "12345",
        "verify": True,
        "hosts": [{"name": "edge-1"}],
        "echo": "{broken",
        "unknown": "[1]",
    }


def test_a_number_too_long_to_read_is_the_planners_to_refuse(run: Run) -> None:
    """Python raises ValueError for 5,000 digits in JSON; the rest of the value is parsed."""
    digits = "9" * 5000
    engine = '{"settings": {"mtu": ' + digits + "}}"
    text = '[{"name": "edge-1", "engine": ' + engine + "}]"
    read = raw_settings({"wanbound:hosts": text, "wanbound:secrets": f'{{"PIN": {digits}}}'})
    assert read["hosts"] == [{"name": "edge-1", "engine": {"settings": {"mtu": digits}}}]
    assert read["secrets"] == {"PIN": digits}
    with pytest.raises(StoppedError) as caught:
        run(read)
    assert _shown(caught.value.error)
    assert "wanbound:hosts[0].engine.settings" in caught.value.said


def test_a_value_that_nests_too_deep_to_read_is_the_planners_to_refuse(run: Run) -> None:
    """Python's JSON parser fails with a traceback at a thousand levels."""
    with pytest.raises(StoppedError) as caught:
        run(raw_settings({"wanbound:hosts": "[" * 5000 + "]" * 5000}))
    assert _shown(caught.value.error)
    assert "nests deeper than any key" in caught.value.said
