"""The text of the scripts that run on hosts, and of the units."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from providers.ssh.remote import call_script, engine_script, host_script
from tests.providers.shell import CALL, ENGINE, ONHOST

SCRIPTS = (host_script, call_script, engine_script)
SHELL = [*sorted(ONHOST.glob("*.sh")), *sorted(CALL.glob("*.sh")), ENGINE]

BASHISMS = {
    "[[ ]]": r"(^|[;&|(!\s])\[\[\s",
    "process substitution": r"[<>]\([a-z]",
    "here-string": r"<<<",
    "&> and |&": r"&>|\|&",
    "a pattern replaced": r"\$\{\w+/",
    "a part of a variable": r"\$\{\w+:\d",
    "array": r"\w+=\(|\$\{\w+\[",
    "((arithmetic))": r"(^|[;&|\s])\(\(",
    "$'text'": r"\$'",
    "a keyword of bash": r"(^|[;&|]\s*)\s*(local|declare|function|source|select|let) ",
}


def test_the_scripts_are_made_of_all_parts() -> None:
    """Every placeholder is filled in, and every part is included."""
    text = "".join(script() for script in SCRIPTS)
    assert not re.findall(r"^@\S+@$", text, re.MULTILINE)
    for part in SHELL:
        lines = [line for line in part.read_text().splitlines() if not line.startswith("@")]
        assert lines[-1] in text, part.name


def test_what_an_operator_does_is_not_installed() -> None:
    """It runs only while an operator is connected, and is sent with each call."""
    texts = [part.read_text() for part in SHELL if part.parent != ONHOST]
    names = {name for text in texts for name in re.findall(r"(?m)^(\w+)\(\)", text)}
    assert {"engine_put", "renew", "keep", "confirm", "docker_ask"} <= names
    engine = set(re.findall(r"(?m)^(\w+)\(\)", ENGINE.read_text()))
    assert engine.isdisjoint(re.findall(r"\w+", host_script()))
    # The names of the others occur in texts as well: "change", "confirm".
    code = re.sub(r"(?m)(^|\s)#.*$", "", host_script())
    assert names.isdisjoint(re.findall(r"(?m)(?:^|[({;&|!]) *(\w+)", code))


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("words", ["sh -n", "busybox sh -n", "shellcheck -s sh -"])
def test_a_posix_shell_reads_it(words: str, script: Callable[[], str]) -> None:
    """A syntax error would only show on a host, in the middle of a change."""
    done = subprocess.run(words.split(), input=script(), capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("what", BASHISMS)
@pytest.mark.parametrize("part", SHELL, ids=lambda part: "/".join(part.parts[-2:]))
def test_no_syntax_of_bash_is_used(part: Path, what: str) -> None:
    """/bin/sh is dash on Debian, which takes some of these for the name of a command."""
    text = re.sub(r"'[^']*'", "''", re.sub(r"(?m)(^|\s)#.*$", "", part.read_text()))
    assert not re.search(BASHISMS[what], text, re.MULTILINE)


def test_the_addresses_are_there_before_docker_and_the_watcher_after_them() -> None:
    """No container may send before the guard is in force."""
    boot, docker, watch = (
        _settings(name)
        for name in ("wanbound.service", "wanbound-docker.service", "wanbound-watch.service")
    )
    assert "docker.service" in boot["Before"].split()
    loads_saved_rules = {"nftables.service", "netfilter-persistent.service"}
    assert {"network-online.target", *loads_saved_rules} <= set(boot["After"].split())
    assert docker["After"] == docker["PartOf"] == docker["WantedBy"] == "docker.service"
    assert watch["After"] == "wanbound.service"
    assert watch["Before"] == "docker.service"


def test_the_watcher_comes_back_however_often_it_ends() -> None:
    """By default systemd gives up after the fifth start within ten seconds."""
    watch = _settings("wanbound-watch.service")
    assert (watch["Restart"], watch["StartLimitIntervalSec"]) == ("always", "0")


def test_the_timer_of_the_metrics_fills_no_journal() -> None:
    """systemd logs each start and end of a unit with the level info; errors are warnings."""
    timer, service = _settings("wanbound-metrics.timer"), _settings("wanbound-metrics.service")
    assert timer["WantedBy"] == "timers.target"
    assert (service["Type"], service["LogLevelMax"], service["SyslogLevel"]) == (
        "oneshot",
        "notice",
        "warning",
    )


def _settings(unit: str) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", ONHOST.joinpath(unit).read_text(), re.MULTILINE))
