"""The form of the configuration, and the form of the errors."""

import base64

import pytest

from planner.config import Stack
from planner.errors import ConfigError, Problem
from tests.planner.samples import ED25519, HOST, MAIL, WEB, edited, only_problem, parsed, problems

_TURN = f"{MAIL}.containers.0"
_KEY = f"{HOST}.ssh.host_key"


@pytest.mark.parametrize(
    ("path", "key", "near"),
    [
        ("host", "wanbound:host", "did you mean hosts?"),
        ("secret", "wanbound:secret", "did you mean secrets?"),
        ("echo", "wanbound:echo.ip4", "did you mean ipv4?"),
        ("images", "wanbound:images.traefic", "did you mean traefik?"),
        (f"{HOST}.adpot", "wanbound:hosts[0].adpot", "did you mean adopt?"),
        (f"{HOST}.ssh.hostkey", "wanbound:hosts[0].ssh.hostkey", "did you mean host_key?"),
        (f"{HOST}.wan.gateway", "wanbound:hosts[0].wan.gateway", "did you mean gateway_ipv"),
        (f"{WEB}.subnet_v4", "wanbound:hosts[0].networks[0].subnet_v4", "subnet_ipv4?"),
        (f"{WEB}.load_balancer.ip", "wanbound:hosts[0].networks[0].load_balancer.ip", "ipv"),
        (f"{WEB}.whoami", "wanbound:hosts[0].networks[0].whoami.domian", "did you mean domain?"),
        (f"{WEB}.ingress", "wanbound:hosts[0].networks[0].ingress[0].port", "mean ports?"),
        (
            f"{_TURN}.volume",
            "wanbound:hosts[0].networks[1].containers[0].volume",
            "did you mean volumes?",
        ),
    ],
)
def test_an_unknown_key_is_refused_at_every_level(path: str, key: str, near: str) -> None:
    """The error suggests a similar known key if there is one, and lists all of them."""
    values: dict[str, object] = {
        "echo": {"ip4": "http://198.51.100.1/"},
        "images": {"traefic": "traefik:v3.7"},
        f"{WEB}.whoami": {"domain": "a.example.com", "domian": "a.example.com"},
        f"{WEB}.ingress": [{"ports": [443], "port": 443}],
    }
    extra = [("echo.ipv4", "http://192.0.2.1/"), ("echo.ipv6", "http://[2001:db8::1]/")]
    edits = [(path, values.get(path, "something")), *(extra if path.endswith("whoami") else [])]
    problem = only_problem(*edits)
    assert (problem.key, problem.what) == (key, "is an unknown key")
    assert near in problem.remedy


@pytest.mark.parametrize(
    ("path", "value", "what", "remedy"),
    [
        (
            "hosts",
            {"edge-1": {}},
            "is a mapping, not a list",
            "write wanbound:hosts: [{name: edge-1",
        ),
        ("hosts.0", "edge-1", "is text, not a mapping", "- {name: edge-1"),
        (f"{HOST}.ssh", "root@192.0.2.1", "not a mapping", "ssh: {address: 192.0.2.10"),
        (f"{HOST}.networks", "web", "is text, not a list", "networks: [{name: mail"),
        (WEB, ["web"], "is a list, not a mapping", "- {name: mail"),
        (f"{WEB}.ingress", {"ports": "all"}, "is a mapping, not a list", "ingress: [{protocol"),
        (f"{_TURN}.command", "run hidden", "is text, not a list", 'command: ["--verbose"]'),
        (f"{_TURN}.environment", ["A=hidden"], "is a list, not a mapping", "{TURN_REALM"),
        ("secrets", "hidden", "is not a mapping", "pulumi config set --secret"),
        ("seed", ["x"], "is a list, not text", "quotes"),
        ("echo", "http://198.51.100.1/", "not a mapping", "write wanbound:echo: {ipv4:"),
    ],
)
def test_another_kind_of_value_is_refused(path: str, value: object, what: str, remedy: str) -> None:
    """The error is worded by wanbound; a value that may be a password is not printed."""
    problem = only_problem((path, value))
    assert what in problem.what
    assert remedy in problem.remedy
    assert "hidden" not in str(problem)


@pytest.mark.parametrize(
    ("value", "what", "why"),
    [
        (None, "has no value", "another text"),
        (["hidden"], "is not text", "another text"),
        ({"password": "hidden"}, "is not text", "a dot in a name without quotes"),
    ],
)
def test_a_secret_that_is_no_text_is_refused(value: object, what: str, why: str) -> None:
    """A container would get `None` as its password, or the secret's name could not be found."""
    problem = only_problem(("secrets", {"db": value}))
    assert problem.key == "wanbound:secrets.db"
    assert what in problem.what
    assert why in problem.why
    assert "--path 'wanbound:secrets[\"NAME\"]'" in problem.remedy
    assert "hidden" not in str(problem)


def test_keys_that_are_no_text_are_refused() -> None:
    """YAML reads a bare `on` as true, and 1 as a number."""
    problem = only_problem((f"{_TURN}.labels", {True: "x"}))
    assert problem.key == "wanbound:hosts[0].networks[1].containers[0].labels"
    assert "has true as a key" in problem.what
    assert problem.remedy == "quote the key"
    assert "line break" in only_problem((f"{_TURN}.labels", {"a\nb": "x"})).what


def test_a_value_that_contains_itself_ends() -> None:
    """A YAML alias can create a cycle."""
    cycle: list[object] = []
    cycle.append(cycle)
    assert any("nests deeper" in p.what for p in problems((f"{WEB}.ingress", cycle)))
    assert any("nests deeper" in p.what for p in problems(("hosts", cycle)))


def _line(kind: str, *fields: bytes) -> str:
    blob = b"".join(len(field).to_bytes(4) + field for field in fields)
    return f"{kind} {base64.b64encode(blob).decode()}"


_P256 = "ecdsa-sha2-nistp256"
_KEY_BYTES = bytes(range(32))


@pytest.mark.parametrize(
    ("key", "what"),
    [
        ("", "not an SSH host key of a known type"),
        (7, "not an SSH host key"),
        ("ssh-ed25519", "not such a key"),
        ("ssh-ed25519 AAAA…", "no valid base64"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5", "not such a key"),
        (_line("ssh-ed25519", b"ssh-rsa", b"\1\0\1", bytes(256)), "not such a key"),
        (_line("ssh-ed25519", b"ssh-ed25519", bytes(31)), "not such a key"),
        (_line("ssh-ed25519", b"ssh-ed25519", _KEY_BYTES, b"more"), "not such a key"),
        (_line(_P256, _P256.encode(), b"nistp384", bytes(65)), "not such a key"),
        (_line("ssh-rsa", b"ssh-rsa", b"\1\0\1", bytes(64)), "not such a key"),
        (_line("ssh-dss", b"ssh-dss", b"1", b"2", b"3", b"4"), "known type"),
        (f"192.0.2.10 {ED25519}", "before the type"),
        ("SHA256:uNiVztksCsDhcc0u9e8BrrJXVGDZUM", "a fingerprint"),
        ("-----BEGIN OPENSSH PRIVATE KEY----- hidden", "a private key"),
    ],
)
def test_a_host_key_that_is_none(key: object, what: str) -> None:
    """Type and content must match; the written key is not printed."""
    problem = only_problem((_KEY, key))
    assert problem.key == "wanbound:hosts[0].ssh.host_key"
    assert what in problem.what
    assert "/etc/ssh/ssh_host_ed25519_key.pub" in problem.remedy
    assert "hidden" not in str(problem)


@pytest.mark.parametrize(
    "key",
    [
        ED25519,
        _line("ssh-ed25519", b"ssh-ed25519", _KEY_BYTES),
        _line(_P256, _P256.encode(), b"nistp256", bytes(65)),
        _line("ecdsa-sha2-nistp521", b"ecdsa-sha2-nistp521", b"nistp521", bytes(133)),
        _line("ssh-rsa", b"ssh-rsa", b"\1\0\1", bytes(257)),
    ],
)
def test_host_keys_lose_their_comment(key: str) -> None:
    """A comment is free text, which must not get into a command line or a file."""
    assert parsed((_KEY, f"{key} root@edge-1 $(reboot)")).hosts[0].ssh.host_key == key


def test_all_problems_are_told_at_once() -> None:
    """An error in one network hides none in another, and none between networks."""
    found = problems(
        (f"{WEB}.public_ipv4", "203.0.113"),
        (f"{MAIL}.subnet_ipv4", "172.10.0.0/24"),
        ("hosts.1.networks.0.public_ipv4", "203.0.113.20"),
        ("hosts.1.wan", {}),
        ("verify", "perhaps"),
    )
    assert {problem.key for problem in found} == {
        "wanbound:verify",
        "wanbound:hosts[0].networks[0].public_ipv4",
        "wanbound:hosts[0].networks[1].subnet_ipv4",
        "wanbound:hosts[1].wan.interface",
        "wanbound:hosts[1].networks[0].public_ipv4",
    }


def test_no_configuration_at_all() -> None:
    """A new user sees this error first."""
    with pytest.raises(ConfigError) as caught:
        Stack.parse({}, "demo")
    assert [(p.key, p.what) for p in caught.value.problems] == [("wanbound:hosts", "is missing")]
    assert caught.value.__cause__ is None


def test_the_text_of_an_error() -> None:
    """Each problem is a block: key, place, reason, remedy."""
    with pytest.raises(ConfigError) as caught:
        Stack.parse(edited((f"{WEB}.subnet_ipv4", "172.20.1.1/24")), "demo")
    assert str(caught.value) == (
        "The configuration of stack demo has 1 problem; no host has been contacted.\n"
        "\n"
        "wanbound:hosts[0].networks[0].subnet_ipv4 (host edge-1, network web)\n"
        '  "172.20.1.1/24" has host bits set\n'
        "  A subnet is written with its first address. iptables-save would print that one,"
        " and not the text written here.\n"
        "  Fix: write 172.20.1.0/24"
    )
    two = ConfigError([Problem("k", "w", "", "r"), Problem("l", "w", "", "r", "host h")])
    assert str(two) == (
        "The configuration has 2 problems; no host has been contacted.\n"
        "\nk\n  w\n  Fix: r\n\nl (host h)\n  w\n  Fix: r"
    )
