"""Reading a stack's file, and the errors for files that cannot be read."""

from pathlib import Path

import pytest

from cli import stack_file
from cli.stack_file import StackFileError, read
from planner.errors import ConfigError

STACK = """\
encryptionsalt: v1:salt
config:
  docker:host: ssh://192.0.2.10
  wanbound:secrets: {password: {secure: "v1:…"}}
  wanbound:hosts:
    - name: edge-1
      ssh: {address: 192.0.2.10}
      wan: {interface: wan0}
      networks:
        - name: mail
          public_ipv4: 203.0.113.20
          load_balancer: false
          containers:
            - name: turn
              image: turn:1
              restart: no
              labels: {on: yes, at: 12:30, since: 2026-01-01, kept: "true", workers: 0x10}
              environment: {PASSWORD: {secret: password}}
"""


@pytest.fixture(autouse=True)
def _stacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_file, "STACKS", tmp_path)


def _write(folder: Path, text: str | bytes) -> None:
    path = folder / "Pulumi.any.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)


def _refusal(folder: Path, text: str | bytes) -> str:
    """Return the error of a file that is refused."""
    _write(folder, text)
    with pytest.raises(StackFileError) as raised:
        read("any")
    return str(raised.value)


def test_a_stack_is_read_as_pulumi_reads_it(tmp_path: Path) -> None:
    """YAML 1.1 booleans and times stay text, and secrets stay encrypted."""
    _write(tmp_path, STACK)
    stack = read("any")
    assert stack.name == "any"
    (container,) = stack.hosts[0].networks[0].containers
    assert container.restart == "no"
    assert container.labels == {
        "on": "yes",
        "at": "12:30",
        "since": "2026-01-01",
        "kept": "true",
        "workers": "16",
    }


def test_errors_of_the_configuration_are_the_planners(tmp_path: Path) -> None:
    """The text is that of `pulumi preview`, with the name of the stack."""
    _write(tmp_path, STACK.replace("public_ipv4: 203.0.113.20", "public_ipv4: 203.0.113.256"))
    with pytest.raises(ConfigError) as raised:
        read("any")
    assert "The configuration of stack any has 1 problem" in str(raised.value)
    assert "wanbound:hosts[0].networks[0].public_ipv4 (host edge-1, network mail)" in str(
        raised.value
    )


def test_a_missing_stack_is_named_with_those_there_are(tmp_path: Path) -> None:
    """The name is usually misspelt."""
    _write(tmp_path, STACK)
    with pytest.raises(StackFileError, match=r"no file stacks/Pulumi\.ayn\.yaml\n  Fix: .* any"):
        read("ayn")


def test_without_any_stack_the_error_says_where_to_begin() -> None:
    """A fresh checkout without the examples has no stack."""
    with pytest.raises(StackFileError, match=r"Fix: write stacks/Pulumi\.any\.yaml"):
        read("any")


BROKEN: dict[str, tuple[str | bytes, str]] = {
    "a colon too many": ("config:\n  a: hunter2: b\n", "line 2, column 13"),
    "a tab": ("config:\n\thunter2: b\n", "line 2, column 1"),
    "an alias that is not there": ("config: *hunter2\n", "line 1, column 9"),
    "a tag of a program": ("config: !hunter2 {}\n", "line 1, column 9"),
    "a number of 5,000 digits": (f"config: {'9' * 5000}\n", ""),
    "no UTF-8": (b"config: hunter2\xff\n", ""),
    "a nesting without end": ("[" * 5000, ""),
}


CONVERTED: dict[str, tuple[str, str]] = {
    "an octal number": ("config:\n  wanbound:seed: 0755\n", "line 2, column 18"),
    "an octal number of YAML 1.2": ("config:\n  wanbound:seed: 0o17\n", "line 2, column 18"),
    "an exponent after a point": ("config:\n  wanbound:seed: 1.234e5\n", "line 2, column 18"),
    "an exponent": ("config:\n  wanbound:seed: 1234e5\n", "line 2, column 18"),
    "a key twice": ("config:\n  a: {ipv4: 1, ipv6: 2, ipv4: 3}\n", "line 2, column 25"),
}


MERGED = """\
x-base: &base {ports: [80]}
x-web: &web
  <<: *base
  ports: [443]
config:
  wanbound:seed: !!str 022
  wanbound:other: [{<<: *web}, {deeper: {<<: *web, ports: [8443]}}]
"""


def test_merge_keys_are_no_key_twice(tmp_path: Path) -> None:
    """Pulumi's reader has them too. Only the key `other` is wrong here."""
    _write(tmp_path, MERGED)
    with pytest.raises(ConfigError, match="wanbound:other"):
        read("any")


@pytest.mark.parametrize("name", CONVERTED)
def test_what_pulumi_reads_in_another_way_is_refused(tmp_path: Path, name: str) -> None:
    """The answers would be about another configuration than that which Pulumi applies."""
    text, place = CONVERTED[name]
    said = _refusal(tmp_path, text)
    assert f"stacks/Pulumi.any.yaml, {place}\n" in said
    assert "  Fix: " in said
    assert not any(each in said for each in ("0755", "0o17", "1234e5"))


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_no_yaml_is_refused_without_quoting_it(tmp_path: Path, name: str) -> None:
    """The text at that place may be a secret."""
    text, place = BROKEN[name]
    said = _refusal(tmp_path, text)
    assert f"stacks/Pulumi.any.yaml{', ' if place else ''}{place}\n" in said
    assert "is not valid YAML" in said
    assert "indent with spaces, not tabs" in said
    assert "hunter2" not in said


@pytest.mark.parametrize("text", ["", "- a\n", "wanbound:hosts: []\n", "config: []\n"])
def test_a_file_without_config_is_refused(tmp_path: Path, text: str) -> None:
    """For example, wanbound's keys may be at the top level."""
    _write(tmp_path, text)
    with pytest.raises(StackFileError, match="has no mapping `config`") as raised:
        read("any")
    assert "Fix: begin with a copy of stacks/Pulumi.starter.yaml" in str(raised.value)


def test_a_key_without_a_namespace_is_wanbounds(tmp_path: Path) -> None:
    """Pulumi reads it as a key of the project, and writes the prefix into the file itself."""
    _write(tmp_path, STACK.replace("wanbound:hosts:", "hosts:"))
    assert [host.name for host in read("any").hosts] == ["edge-1"]
    _write(tmp_path, STACK.replace("config:", "config:\n  seed: a"))
    assert read("any").seed == "a"


def test_a_key_with_and_without_the_prefix_is_refused(tmp_path: Path) -> None:
    """Which of the two values Pulumi takes is not defined."""
    _write(tmp_path, STACK.replace("config:", "config:\n  seed: a\n  wanbound:seed: b"))
    with pytest.raises(StackFileError, match="has seed both with and without the prefix") as raised:
        read("any")
    assert "Fix: write wanbound:seed once" in str(raised.value)


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    """A folder is in its place, because root can read every file."""
    (tmp_path / "Pulumi.any.yaml").mkdir()
    with pytest.raises(StackFileError, match=r"stacks/Pulumi\.any\.yaml cannot be read: Is a dir"):
        read("any")


@pytest.mark.parametrize("key", ["secrets", "seed"])
def test_a_key_that_is_encrypted_as_a_whole_is_named(tmp_path: Path, key: str) -> None:
    """The planner would take it for a misplaced mapping."""
    _write(tmp_path, f"config: {{'wanbound:{key}': {{secure: 'v1:hunter2'}}}}\n")
    with pytest.raises(StackFileError, match=f"wanbound:{key} is encrypted") as raised:
        read("any")
    assert "hunter2" not in str(raised.value)
