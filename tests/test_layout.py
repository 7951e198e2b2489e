"""Dependencies point one way: which package may import which.

The rule: `__main__, cli → components → planner, providers`. The planner is pure;
planner and providers exchange text and never import each other; only tests and benchmarks
import the lab.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

OURS = frozenset(
    {"__main__", "bench", "cli", "components", "lab", "planner", "providers", "tests", "tools"}
)

PURE_MODULES = frozenset(
    {
        "__future__",
        "abc",
        "base64",
        "binascii",
        "bisect",
        "collections",
        "dataclasses",
        "difflib",
        "enum",
        "functools",
        "hashlib",
        "ipaddress",
        "itertools",
        "json",
        "math",
        "operator",
        "re",
        "string",
        "textwrap",
        "types",
        "typing",
    }
)
"""The planner's part of the standard library: no file, clock, randomness, process or network.

All others are forbidden, whether they are named os, io, sys, pathlib, shutil, tempfile, time,
datetime, random, secrets, uuid, socket, ssl, http, urllib, subprocess, threading, importlib …
"""

IMPURE_NAMES = frozenset(
    ["__import__", "breakpoint", "compile", "eval", "exec", "globals", "input", "open", "print"]
)
"""Built-in functions that a pure function does not need."""


@dataclass(frozen=True)
class Rule:
    """Allowed imports of the Python files in one place: from the tree, and from outside."""

    ours: frozenset[str]
    packages: frozenset[str] | None
    """Packages beside the standard library; a name with "*" at its end is a prefix."""
    pure: bool = False


_PULUMI = frozenset({"pulumi*"})

RULES = {
    "planner": Rule(frozenset({"planner"}), frozenset({"pydantic", "pydantic_core"}), pure=True),
    "providers": Rule(frozenset({"providers"}), frozenset({"cryptography", "paramiko", "pulumi*"})),
    "components": Rule(frozenset({"components", "planner", "providers"}), _PULUMI),
    "__main__.py": Rule(frozenset({"components", "planner"}), _PULUMI),
    "cli": Rule(
        frozenset({"cli", "components", "planner", "providers"}),
        frozenset({"rich", "typer", "yaml"}),
    ),
    "lab": Rule(OURS - {"tests", "bench", "__main__"}, None),
    "tools": Rule(OURS - {"tests", "bench", "lab", "__main__"}, None),
    "images": Rule(OURS - {"tests", "bench", "lab", "__main__"}, None),
    "bench": Rule(OURS, None),
    "tests": Rule(OURS, None),
}
"""By the first part of a file's path."""


def problems(path: str, source: str) -> Iterator[str]:
    """Yield the violations in the file at `path`, which is relative to the root."""
    rule = RULES.get(Path(path).parts[0])
    if rule is None:
        yield f"{path}: no rule for this place; tests/test_layout.py has them all"
        return
    for node in ast.walk(ast.parse(source)):
        for module in _imported(path, node):
            if reason := _refusal(rule, module):
                yield f"{path}:{getattr(node, 'lineno', 0)}: imports {module}, {reason}"
        used = node.id if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) else ""
        # A field of that name is not a use of it.
        if rule.pure and isinstance(node, ast.Name) and used in IMPURE_NAMES:
            yield f"{path}:{node.lineno}: uses {node.id}, which is not pure"


def _imported(path: str, node: ast.AST) -> Iterator[str]:
    """Yield the full names of the modules that a statement imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.level == 0:
        yield node.module or ""
    elif isinstance(node, ast.ImportFrom):
        folder = Path(path).parts[: -node.level]
        yield ".".join([*folder, *([node.module] if node.module else [])]) or "__main__"
    elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if name in ("import_module", "__import__"):
            yield str(node.args[0].value)


def _refusal(rule: Rule, module: str) -> str:
    """Return why a place may not import `module`, an empty text if it may."""
    top = module.partition(".")[0]
    if top in OURS:
        return (
            "" if top in rule.ours else f"which is above or beside it; it may: {sorted(rule.ours)}"
        )
    if top in sys.stdlib_module_names:
        return "which is not pure" if rule.pure and top not in PURE_MODULES else ""
    if rule.packages is None or top in rule.packages:
        return ""
    if any(name.endswith("*") and top.startswith(name[:-1]) for name in rule.packages):
        return ""
    return f"which is for others to use; it may: {sorted(rule.packages)}"


def _files() -> list[str]:
    found = [*ROOT.glob("*.py")]
    for folder in ROOT.iterdir():
        # A user's virtual environment may have any name.
        if folder.name[0] != "." and folder.is_dir() and not (folder / "pyvenv.cfg").exists():
            found += folder.rglob("*.py")
    return sorted(str(path.relative_to(ROOT)) for path in found)


def test_the_tree_keeps_to_the_rule() -> None:
    """It checks every Python file of the tree, also in new folders."""
    files = _files()
    assert {
        "__main__.py",
        "cli/__main__.py",
        "planner/plan.py",
        "providers/ssh/remote.py",
        "lab/api.py",
    } <= set(files)
    found = [p for path in files for p in problems(path, (ROOT / path).read_text())]
    assert found == []


BAD = [
    ("planner/x.py", "import pulumi", "for others"),
    ("planner/x.py", "import paramiko.client", "for others"),
    ("planner/x.py", "from providers.fragment import fragment", "above or beside"),
    ("planner/config/x.py", "from ...components import host", "above or beside"),
    ("planner/x.py", "from ..providers import live", "above or beside"),
    ("planner/x.py", "import os.path", "not pure"),
    ("planner/x.py", "from socket import create_connection", "not pure"),
    ("planner/x.py", "import subprocess, re", "not pure"),
    ("planner/x.py", "from pathlib import Path", "not pure"),
    ("planner/x.py", "from datetime import datetime", "not pure"),
    ("planner/x.py", "def f() -> None:\n    import random", "not pure"),
    ("planner/x.py", "def f() -> str:\n    return open('x').read()", "not pure"),
    ("planner/x.py", "clock = __import__('time')", "not pure"),
    ("planner/x.py", "print('loaded')", "not pure"),
    ("providers/x.py", "from planner.plan import Rules", "above or beside"),
    ("providers/x.py", "import components", "above or beside"),
    ("providers/x.py", "from lab import api", "above or beside"),
    ("providers/x.py", "import pydantic", "for others"),
    ("providers/x.py", "importlib.import_module('planner.plan')", "above or beside"),
    ("components/x.py", "import lab.api", "above or beside"),
    ("components/x.py", "import paramiko", "for others"),
    ("components/x.py", "from tests.planner import golden", "above or beside"),
    ("__main__.py", "from providers.ssh.remote import remote_at", "above or beside"),
    ("__main__.py", "from lab.api import Lab", "above or beside"),
    ("cli/x.py", "from lab.api import Lab", "above or beside"),
    ("cli/x.py", "import paramiko", "for others"),
    ("components/x.py", "from cli.hosts import read", "above or beside"),
    ("cli/x.py", "import pulumi", "for others"),
    ("planner/x.py", "from cli.picture import picture", "above or beside"),
    ("tools/x.py", "from lab.api import Lab", "above or beside"),
    ("lab/x.py", "from tests.planner import golden", "above or beside"),
    ("elsewhere/x.py", "", "no rule"),
]


@pytest.mark.parametrize(("path", "source", "what"), BAD)
def test_a_bad_file_is_found(path: str, source: str, what: str) -> None:
    """Each of these gives at least one violation of the expected kind."""
    found = list(problems(path, source))
    assert found
    assert all(what in problem for problem in found), found


GOOD = [
    ("planner/x.py", "import hashlib\nfrom pydantic import BaseModel\nfrom planner import rules"),
    ("planner/config/x.py", "from .schema import Network\nfrom ..errors import ConfigError"),
    ("planner/x.py", "text = thing.open()"),
    ("planner/x.py", "class Baseline:\n    open: int = 1"),
    ("providers/x.py", "import paramiko\nimport time\nfrom pulumi.dynamic import Resource"),
    ("components/x.py", "import pulumi_docker\nfrom planner.plan import plan\nimport providers"),
    ("cli/x.py", "import typer\nfrom pathlib import Path\nfrom planner.plan import plan"),
    ("lab/x.py", "import rich\nfrom planner.config import Stack"),
    ("bench/x.py", "from lab.api import Lab"),
    ("tests/x.py", "from lab.api import Lab"),
]


@pytest.mark.parametrize(("path", "source"), GOOD)
def test_a_good_file_passes(path: str, source: str) -> None:
    """Allowed code gives no violation."""
    assert list(problems(path, source)) == []
