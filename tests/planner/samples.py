"""A valid configuration to damage in one place, and the errors that result."""

import copy
import re
from typing import Any

from planner.config import Stack
from planner.errors import ConfigError, Problem

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHnL3yLMBoYh1jA8ckG7z7rO0Eh0kkTmdNMQqU0n6XG0"

_SAMPLE: dict[str, Any] = {
    "seed": "3f1c9a5e77d0",
    "hosts": [
        {
            "name": "edge-1",
            "ssh": {"address": "192.0.2.10"},
            "wan": {"interface": "wan0"},
            "networks": [
                {
                    "name": "web",
                    "public_ipv4": "203.0.113.10",
                    "public_ipv6": "2001:db8::10",
                    "subnet_ipv4": "172.20.1.0/24",
                    "subnet_ipv6": "fd5c:1b2a:77f0:1::/64",
                },
                {
                    "name": "mail",
                    "public_ipv4": "203.0.113.20",
                    "public_ipv6": "2001:db8::20",
                    "subnet_ipv4": "172.20.2.0/24",
                    "subnet_ipv6": "fd5c:1b2a:77f0:2::/64",
                    "containers": [
                        {
                            "name": "turn",
                            "image": "coturn/coturn:4.6",
                            "ipv4": "172.20.2.10",
                            "ipv6": "fd5c:1b2a:77f0:2::10",
                        },
                        {"name": "worker", "image": "example/worker"},
                    ],
                },
            ],
        },
        {
            "name": "edge-2",
            "ssh": {"address": "192.0.2.20"},
            "wan": {"interface": "wan0"},
            "networks": [{"name": "web", "public_ipv4": "203.0.113.110"}],
        },
    ],
}

HOST = "hosts.0"
WEB = "hosts.0.networks.0"
MAIL = "hosts.0.networks.1"
EDGE_2_WEB = "hosts.1.networks.0"

ABSENT = object()
"""A value for `edited` that removes the key."""

Edits = list[tuple[str, object]]
"""Dotted paths into the sample with the values to set there."""


def edited(*edits: tuple[str, object]) -> dict[str, Any]:
    """Return the sample with each value set at its dotted path; missing keys are created."""
    raw = copy.deepcopy(_SAMPLE)
    for path, value in edits:
        here: Any = raw
        *way, last = path.split(".")
        for part in way:
            here = here[int(part)] if isinstance(here, list) else here.setdefault(part, {})
        if value is ABSENT:
            here.pop(int(last) if isinstance(here, list) else last)
        elif isinstance(here, list):
            place = int(last)
            here[place : place + 1] = [copy.deepcopy(value)]
        else:
            here[last] = copy.deepcopy(value)
    return raw


def problems(*edits: tuple[str, object]) -> tuple[Problem, ...]:
    """Return the problems of the edited sample, none if it is valid."""
    try:
        Stack.parse(edited(*edits), "test")
    except ConfigError as error:
        return error.problems
    return ()


def only_problem(*edits: tuple[str, object]) -> Problem:
    """Return the only problem of the edited sample."""
    found = problems(*edits)
    assert len(found) == 1, [str(problem) for problem in found]
    return found[0]


_OFFER = re.compile(
    r'write (subnet_ipv4|subnet_ipv6|inner_subnet|socket_subnet|ipv4|ipv6): "?([^"]+)"?'
)


def offers(error: ConfigError) -> dict[str, str]:
    """Return the free values that errors about derived ones offer, by their dotted paths."""
    found = {}
    for problem in error.problems:
        if (offer := _OFFER.fullmatch(problem.remedy)) is not None:
            path = re.sub(r"\[(\d+)\]", r".\1", problem.key.removeprefix("wanbound:"))
            assert path.endswith(f".{offer[1]}")
            found[path] = offer[2]
    return found


def settled(raw: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration with every offered value written at its key, once.

    Raises ConfigError for problems that remain, and for other problems of the configuration.
    """
    raw = copy.deepcopy(raw)
    try:
        Stack.parse(raw, "any")
    except ConfigError as error:
        for path, value in offers(error).items():
            here: Any = raw
            *way, last = path.split(".")
            for part in way:
                inner = here[int(part)] if isinstance(here, list) else here.get(part)
                if not isinstance(inner, dict | list):  # a load balancer that is true, or missing
                    inner = here[part] = {}
                here = inner
            here[last] = value
        Stack.parse(raw, "any")
    return raw


def check_only_problem(edits: Edits, key: str, what: str, remedy: str) -> None:
    """Check that the edited sample has one problem, with these words in its parts."""
    problem = only_problem(*edits)
    assert problem.key == key
    assert what in problem.what
    assert remedy in problem.remedy


def parsed(*edits: tuple[str, object]) -> Stack:
    """Return the stack that the edited sample describes."""
    return Stack.parse(edited(*edits), "test")
