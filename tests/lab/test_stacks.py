"""Which of Pulumi's output is kept."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from lab.stacks import LabStack

SAID = """\
warning: using pulumi-resource-docker from $PATH at /x/lab/plugins/bin/pulumi-resource-docker
error: no such stack
"""


def test_where_the_lab_s_plugins_come_from_is_said_to_the_log_alone(tmp_path: Path) -> None:
    """The CLI warns about it at each start of a plugin; the shown output omits that."""
    pulumi = tmp_path / "pulumi"
    pulumi.write_text(f"#!/bin/sh\ncat <<'END'\n{SAID}END\nexit 3\n")
    pulumi.chmod(0o755)
    lab = SimpleNamespace(
        settings=SimpleNamespace(logs=tmp_path / "logs"),
        environment=lambda: {"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )
    lines: list[str] = []
    stack = LabStack(cast(Any, lab), "demo")
    done = stack.run("preview", check=False, on_line=lines.append)
    assert (done.status, done.output) == (3, "error: no such stack\n")
    assert lines == ["error: no such stack"]
    assert SAID in stack.log.read_text()
