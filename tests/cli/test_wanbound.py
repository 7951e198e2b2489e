"""The program as an operator starts it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cli import compose, schema
from cli.__main__ import app
from cli.mermaid import draw
from cli.picture import picture
from cli.stack_file import read
from providers.version import VERSION

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(name="checkout")
def _checkout(tmp_path: Path) -> Path:
    """Return a separate checkout, with this test's Python in .venv."""
    root = tmp_path / "a checkout"
    (root / ".venv/bin").mkdir(parents=True)
    python = root / ".venv/bin/python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    for name in ("cli", "components", "planner", "providers", "stacks"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("wanbound", "pyproject.toml"):
        shutil.copy(ROOT / name, root)
    return root


def _run(
    program: Path, *words: str, cwd: Path | None = None, path: str = ""
) -> tuple[int, str, str]:
    environment = {"PATH": path or os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [str(program), *words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_schema_prints_the_schema(checkout: Path, tmp_path: Path) -> None:
    """From any folder, also one with foreign files of the same names, and over a link."""
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "cli").mkdir(parents=True)
    (elsewhere / "cli/__main__.py").write_text("raise SystemExit('not ours')\n")
    link = tmp_path / "wanbound"
    link.symlink_to(checkout / "wanbound")
    assert _run(link, "schema", cwd=elsewhere) == (0, schema.text(), "")


def test_the_version_is_that_of_the_provider(checkout: Path) -> None:
    """The hosts get the same version from there."""
    assert _run(checkout / "wanbound", "--version") == (0, f"wanbound {VERSION}\n", "")


def test_the_version_is_read_in_one_place(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """providers/version.py reads it for the hosts and for the operator."""
    monkeypatch.setattr("cli.__main__.VERSION", "9.9.9")
    app(["--version"], standalone_mode=False)
    assert capsys.readouterr().out == "wanbound 9.9.9\n"


def test_help_and_docs_say_which_commands_contact_hosts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exactly these two; the page lists all others as offline."""
    online = {"doctor", "status"}
    commands = {str(each.name) for each in app.registered_commands}
    app(["--help"], standalone_mode=False)
    said = " ".join(capsys.readouterr().out.partition("Options")[0].split())
    assert set(re.findall(r"`(\w+)`", said)) == online
    assert "contact its hosts" in said
    text = " ".join((ROOT / "docs/cli.md").read_text().partition("\n## ")[0].split())
    offline = re.search(r"nothing\. (.*) only read its file: they contact no host", text)
    assert offline is not None
    assert set(re.findall(r"`(\w+)`", offline[1])) == commands - online


def test_topology_draws_mermaid_unless_told_otherwise(checkout: Path) -> None:
    """The output is the whole picture of the demo."""
    program = checkout / "wanbound"
    assert _run(program, "topology", "demo") == (0, draw("demo", picture(read("demo"))), "")
    status, text, _ = _run(program, "topology", "demo", "--format", "svg")
    assert (status, text[:4]) == (0, "<svg")


def test_compose_prints_a_snippet_for_the_services_named(checkout: Path) -> None:
    """Options are passed to the snippet; an unknown network is an error with status 1."""
    host, program = read("demo").hosts[0].name, checkout / "wanbound"
    options = ("--service", "a", "--service", "b", "--database", "db", "--default")
    status, text, error = _run(program, "compose", "demo", host, "mail", *options)
    expected = compose.snippet(read("demo"), host, "mail", ["a", "b"], "db", default=True)
    assert (status, text, error) == (0, expected, "")
    status, text, error = _run(program, "compose", "demo", host, "none")
    assert (status, text) == (1, "")
    assert error.startswith(f"Host {host} of stack demo has no network none\n  Fix: name one of ")


def test_an_error_of_the_configuration_is_printed_as_it_is(checkout: Path) -> None:
    """It is on standard error, with status 1 and without a traceback."""
    file = checkout / "stacks/Pulumi.demo.yaml"
    file.write_text(file.read_text().replace("public_ipv4: 203.0.113.10", "public_ipv4: 203.0.113"))
    status, output, error = _run(checkout / "wanbound", "topology", "demo")
    assert (status, output) == (1, "")
    assert error.startswith("The configuration of stack demo has ")
    assert "Fix: " in error
    assert "Traceback" not in error


def test_a_missing_stack_is_an_error(checkout: Path) -> None:
    """The error lists the existing ones."""
    status, output, error = _run(checkout / "wanbound", "topology", "dmo")
    assert (status, output) == (1, "")
    assert error.startswith("There is no stack dmo")


def test_a_missing_host_is_an_error_before_any_is_contacted(checkout: Path) -> None:
    """The error lists the existing ones."""
    status, output, error = _run(checkout / "wanbound", "status", "demo", "edge-3")
    assert (status, output) == (1, "")
    assert error == "stack demo has no host edge-3\n  Fix: name one of edge-1, edge-2\n"


def test_what_asks_no_host_imports_no_ssh() -> None:
    """The import takes a second, and a machine that only draws pictures may have no Pulumi."""
    program = "import sys, cli.__main__; print({'paramiko', 'pulumi'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


def test_without_packages_the_program_says_how_to_get_them(checkout: Path, tmp_path: Path) -> None:
    """There is no .venv, and python3 has none of the packages."""
    shutil.rmtree(checkout / ".venv")
    bare = tmp_path / "bin"
    bare.mkdir()
    python = bare / "python3"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    python.chmod(0o755)
    path = f"{bare}:/usr/bin:/bin"
    status, output, error = _run(checkout / "wanbound", "schema", path=path)
    assert (status, output) == (1, "")
    assert "Fix: python3 -m venv .venv" in error
    assert "Traceback" not in error


def test_the_picture_in_the_docs_is_that_of_the_example() -> None:
    """Readers compare it with the file."""
    text = (ROOT / "docs/cli.md").read_text()
    drawn = draw("example-dual-stack", picture(read("example-dual-stack")))
    assert f"```mermaid\n{drawn}```\n" in text


def test_the_docs_name_each_command() -> None:
    """Each command has one heading, and there is no other."""
    text = (ROOT / "docs/cli.md").read_text()
    headings = re.findall(r"^## `./wanbound ([a-z]+)", text, re.MULTILINE)
    assert sorted(headings) == sorted(each.name for each in app.registered_commands if each.name)
