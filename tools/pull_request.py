"""The part of .github/workflows/wanbound.yml that runs with the code of a pull request.

python -m tools.pull_request stacks                      the matrix of the previews, as JSON
python -m tools.pull_request preview STACK FOLDER RUN    writes FOLDER/comment.md and preview.txt
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from cli.stack_file import StackFileError
from cli.stack_file import read as read_stack
from planner.config import Stack
from planner.errors import ConfigError
from tools.comment import compose
from tools.preview import Preview, read

OFFLINE = "preview"
"""The environment of a preview without contact to hosts: it has no SSH key."""

WITH_HOSTS = "preview-with-hosts"
"""The environment of a preview that asks hosts: it has a key, and a person approves each run."""

_NAME = re.compile(r"[A-Za-z0-9._-]+")


def environment(stack: Stack) -> str:
    """Return the environment that a stack's preview needs.

    `engine` and `adopt` ask the host. The passphrase, which every preview has, decrypts a key in
    the stack: that would give unreviewed code a key of the host, too.
    """
    hosts = stack.hosts
    asks = any(host.engine is not None or host.adopt for host in hosts)
    return WITH_HOSTS if asks or any(host.ssh.key is not None for host in hosts) else OFFLINE


def matrix(names: str) -> list[dict[str, str]]:
    """Return a job for each stack of `names`, a JSON list. Raises ValueError for other text."""
    try:
        found = json.loads(names or "[]")
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(
        isinstance(each, str) and _NAME.fullmatch(each) for each in found
    ):
        raise ValueError(
            'the variable STACKS is not a JSON list of stack names, such as ["production"]'
        )
    jobs = []
    for name in found:
        try:
            where = environment(read_stack(name))
        except (ConfigError, StackFileError):
            # The preview reports the error.
            where = OFFLINE
        jobs.append({"stack": name, "environment": where})
    return jobs


def preview(stack: str, folder: Path, run: str) -> int:
    """Run a stack's preview, write its comment and its text; return the exit status."""
    words = ["pulumi", "preview", "--stack", stack, "--non-interactive", "--color", "never"]
    data = subprocess.run([*words, "--json"], capture_output=True, text=True, check=False)
    found = read(data.stdout, data.stderr, failed=data.returncode != 0)
    # The text is the whole output as an operator sees it; the JSON gives its meaning.
    shown = subprocess.run(
        [*words, "--diff", "--show-full-output"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if shown.returncode != 0 and not found.errors:
        found = Preview(errors=(shown.stdout.strip() or "`pulumi preview --diff` failed",))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "preview.txt").write_text(shown.stdout)
    (folder / "comment.md").write_text(compose(stack, found, shown.stdout, run))
    return 1 if found.errors else 0


def main(words: list[str]) -> int:
    """Run one command and return its status."""
    match words:
        case ["stacks"]:
            try:
                print(json.dumps(matrix(os.environ.get("STACKS", ""))))
            except ValueError as error:
                print(f"tools/pull_request.py: {error}", file=sys.stderr)
                return 1
        case ["preview", stack, folder, run]:
            return preview(stack, Path(folder), run)
        case _:
            print(__doc__, file=sys.stderr)
            return 64
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
