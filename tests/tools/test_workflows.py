"""The workflows: actionlint finds nothing, and their permissions are minimal."""

import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.golang import go
from tests.go_module import in_module

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTIONLINT = ROOT / "tools" / "actionlint"


def _actionlint(*files: Path) -> subprocess.CompletedProcess[str]:
    """Check workflows; Go builds the pinned program once and keeps it in its own cache."""
    options = ["-no-color", "-shellcheck=", "-pyflakes="]
    return in_module(ACTIONLINT, str(go()), "tool", "actionlint", *options, *map(str, files))


def test_actionlint_finds_nothing() -> None:
    """It checks all workflows."""
    done = _actionlint(*FILES)
    # Go reports on stderr what it downloads for the first build.
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_actionlint_finds_a_mistake(tmp_path: Path) -> None:
    """The mistake is an output that no job has."""
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(FILES[0].read_text().replace("steps.matrix.outputs", "steps.matrx.outputs"))
    done = _actionlint(wrong)
    assert done.returncode == 1
    assert "matrx" in done.stdout


def _workflow() -> dict[str, Any]:
    (file,) = FILES
    found = yaml.safe_load(file.read_text())
    assert isinstance(found, dict)
    return found


def _jobs() -> dict[str, dict[str, Any]]:
    found = _workflow()["jobs"]
    assert isinstance(found, dict)
    return found


def test_every_action_is_pinned_by_its_digest() -> None:
    """Its version is in a comment, for readers and for an update bot."""
    used = re.findall(r"(?m)uses: (.*)$", FILES[0].read_text())
    assert used
    assert [
        each for each in used if not re.fullmatch(r"\S+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each)
    ] == []


@pytest.mark.parametrize(
    ("job", "rights"),
    [
        ("check", {"contents": "read"}),
        ("stacks", {"contents": "read"}),
        ("preview", {"contents": "read"}),
        ("comment", {"actions": "read", "contents": "read", "pull-requests": "write"}),
        ("up", {"contents": "read"}),
    ],
)
def test_least_rights(job: str, rights: dict[str, str]) -> None:
    """No job has a permission that it does not need, and none has the workflow's default."""
    assert _workflow()["permissions"] == {}
    assert _jobs()[job]["permissions"] == rights
    assert len(_jobs()) == 5


def test_the_key_is_only_where_a_person_approves() -> None:
    """No job that starts by itself gives it to unreviewed code."""
    with_key = {
        name: step.get("if")
        for name, job in _jobs().items()
        for step in job["steps"]
        if "SSH_PRIVATE_KEY" in str(step)
    }
    assert with_key == {"preview": "matrix.environment == 'preview-with-hosts'", "up": None}
    assert _jobs()["up"]["environment"] == "up"
    assert "push" in _jobs()["up"]["if"]
    secrets = {name for name, job in _jobs().items() if "secrets." in str(job)}
    assert secrets == {"preview", "up"}
    assert all("environment" in _jobs()[name] for name in secrets)


@pytest.mark.parametrize("job", ["preview", "up"])
def test_pulumi_can_log_in_to_the_backends_for_teams(job: str) -> None:
    """Pulumi Cloud and S3 (docs/state.md) use secrets; a region and an address are not secret."""
    assert _jobs()[job]["env"] == {
        "PULUMI_BACKEND_URL": "${{ vars.PULUMI_BACKEND_URL }}",
        "AWS_REGION": "${{ vars.AWS_REGION }}",
    } | {
        name: f"${{{{ secrets.{name} }}}}"
        for name in (
            "PULUMI_ACCESS_TOKEN",
            "PULUMI_CONFIG_PASSPHRASE",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
        )
    }


def test_every_secret_and_variable_is_documented() -> None:
    """The page says where to store each."""
    used = set(re.findall(r"\b(?:secrets|vars)\.(\w+)", FILES[0].read_text()))
    page = (ROOT / "docs" / "pull-requests.md").read_text()
    assert "AWS_REGION" in used
    assert sorted(name for name in used if f"`{name}`" not in page) == []


def test_the_job_that_may_write_runs_reviewed_code() -> None:
    """It checks out the target branch of the pull request."""
    checkout = _jobs()["comment"]["steps"][0]
    assert checkout["with"]["ref"] == "${{ github.event.pull_request.base.sha }}"


def test_no_expression_is_pasted_into_a_shell() -> None:
    """An external name is passed in a variable."""
    scripts = [step["run"] for job in _jobs().values() for step in job["steps"] if "run" in step]
    assert scripts
    assert [each for each in scripts if "${{" in each] == []


def test_no_stacks_is_a_skip() -> None:
    """The run is green: a matrix without an entry would be an error."""
    for name in ("preview", "up"):
        assert "needs.stacks.outputs.matrix != '[]'" in _jobs()[name]["if"]


def test_pulumi_is_the_pinned_version() -> None:
    """It is the version of the program's SDK."""
    pinned = re.search(r'"pulumi==(\S+)"', (ROOT / "pyproject.toml").read_text())
    assert pinned is not None
    assert _workflow()["env"]["PULUMI_VERSION"] == pinned[1]


def test_a_key_goes_into_an_agent(tmp_path: Path) -> None:
    """Later steps can use it; without a key, the step says so and fails."""
    key, after = tmp_path / "key", tmp_path / "env"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    environment = {**os.environ, "HOME": str(tmp_path), "GITHUB_ENV": str(after)}
    script = ROOT / "tools" / "ssh-agent.sh"
    missing = subprocess.run([script], env=environment, capture_output=True, text=True, check=False)
    assert missing.returncode == 1
    assert "SSH_PRIVATE_KEY" in missing.stderr
    done = subprocess.run(
        [script],
        env={**environment, "SSH_PRIVATE_KEY": key.read_text()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
    started = dict(line.split("=", 1) for line in after.read_text().splitlines())
    try:
        listed = subprocess.run(
            ["ssh-add", "-L"], env=os.environ | started, capture_output=True, text=True, check=True
        )
        assert key.with_suffix(".pub").read_text().split()[1] in listed.stdout
    finally:
        os.kill(int(started["SSH_AGENT_PID"]), signal.SIGTERM)
