"""Every program that the host script runs, and how one call of one of them is made to go wrong.

A stand-in for each program is put where the script looks first. It counts its calls, and at the
one that is meant it ends the script, drops the connection or fails. Which programs there are is
read from the script itself, so that a new one cannot be forgotten: every word of its text that
the host has a program for is one.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeAlias

from lab.api import Host
from providers.ssh.remote import host_script, shell_program

Mode: TypeAlias = Literal["kill before", "kill after", "drop", "fail", "fail for good", "hold"]
"""What happens at the call:

kill before, kill after   SIGKILL to all of the script's process group, before or after the program
drop                      SIGKILL to the sshd process of this connection; the script goes on
fail                      what a full disk does: the program does not run, and ends with status 1
fail for good             so does this call, and every later one of that program
hold                      the call waits until `release`; the file `held` is there meanwhile
"""

BESIDE = "/usr/local/sbin"
"""Where the script looks for programs first."""

FOLDER = "/run/atomic"
"""Where the stand-ins find out what is meant, and leave what they have seen."""

OPERATOR = '[ -n "${SSH_CONNECTION-}" ]'
UNDO = '[ -n "${ATOMIC-}" ] || case $parent in *wanboundundo*) ;; *) false ;; esac'
ALL = "true"
"""Whose calls count: those of an operator's connection, those of a timer's `wanbound undo`, all."""

# Only what the shell itself can do: each further process would cost a millisecond a call.
# `sh -s` is sshd's way in, not a step of the script.
_STAND_IN = """\
#!/bin/sh
real={real}
[ -e {folder}/armed ] && [ ! -e {folder}/fired ] && [ "${{1-}}" != -s ] && . {folder}/armed
exec "$real" "$@"
"""

_ARMED = """\
read -r parent </proc/$PPID/cmdline
if {scope}; then
    name=${{0##*/}}
    [ "$name" = setsid ] || export ATOMIC=1
    call=1
    set -C
    until true >{folder}/calls/$name.$call; do call=$((call + 1)); done 2>/dev/null
    set +C
    [ "$name" = awk ] && args= || args=$*
    echo "$name $call $args" >>{folder}/trace
    if [ "$name" = "{program}" ] && [ "$call" {compare} {call} ]; then
        {action}
    fi
fi
"""

# Armed once. What fails for good has to stay armed, and says so elsewhere.
_FIRED = f"true >{FOLDER}/fired"
_ACTIONS: Mapping[Mode, str] = {
    "kill before": f"{_FIRED}; kill -9 0",
    "kill after": f'"$real" "$@"; {_FIRED}; kill -9 0',
    "drop": f"""{_FIRED}
        pid=$PPID
        while [ "$pid" -gt 1 ]; do
            read -r _ comm _ up _ </proc/$pid/stat
            case $comm in *sshd*) kill -9 "$pid"; break ;; esac
            pid=$up
        done""",
    "fail": f'{_FIRED}; echo "$name: No space left on device" >&2; exit 1',
    "fail for good": f'true >{FOLDER}/failing; echo "$name: No space left on device" >&2; exit 1',
    "hold": f"true >{FOLDER}/held; while [ ! -e {FOLDER}/go ]; do /bin/sleep 0.02; done",
}


@dataclass(frozen=True, order=True)
class Step:
    """One call of one program: the `call`-th since the fault was armed."""

    program: str
    call: int

    def __str__(self) -> str:
        return f"{self.program}.{self.call}"


@dataclass(frozen=True)
class Fault:
    """What goes wrong, where, and whose calls count."""

    mode: Mode
    step: Step
    scope: str = OPERATOR

    def __str__(self) -> str:
        return f"{self.mode} {self.step}"


def externals(host: Host) -> dict[str, str]:
    """Return the programs that the script may run on `host`, by name, and where they are."""
    text = host_script() + shell_program("state", {})
    words = set(re.findall(r"[A-Za-z][\w.+-]*", text))
    words |= {
        f"{family}{tool}"
        for tool in re.findall(r'"\$tool(-\w+)"', text)
        for family in ("iptables", "ip6tables")
    }
    asked = "PATH=/usr/sbin:/usr/bin:/sbin:/bin; while read -r w; do command -v $w; done; true"
    found = host.run(asked, stdin="".join(f"{word}\n" for word in sorted(words))).stdout
    places = [line for line in found.splitlines() if line.startswith("/")]
    return {place.rpartition("/")[2]: place for place in places}


@contextmanager
def stand_ins(host: Host) -> Iterator[None]:
    """Put a stand-in before every program of the script; gone afterwards."""
    programs = externals(host)
    script = f"set -e; mkdir -p {FOLDER}; cd {BESIDE}\n"
    for name, real in programs.items():
        text = _STAND_IN.format(real=real, folder=FOLDER)
        script += f"printf %s {shlex.quote(text)} >{name}; chmod 755 {name}\n"
    places = " ".join(f"{BESIDE}/{name}" for name in programs)
    try:
        host.run("PATH=/usr/bin:/bin sh -s", stdin=script)
        yield
    finally:
        host.run(f"/bin/rm -rf {FOLDER} {places}")


def arm(fault: Fault | None, scope: str = OPERATOR) -> str:
    """Return the shell commands that arm `fault`, or count and trace alone where there is none."""
    step = Step("-", 0) if fault is None else fault.step
    text = _ARMED.format(
        folder=FOLDER,
        scope=scope if fault is None else fault.scope,
        program=step.program,
        call=step.call,
        compare="-ge" if fault is not None and fault.mode == "fail for good" else "-eq",
        action=":" if fault is None else _ACTIONS[fault.mode],
    )
    return (
        f"rm -rf {FOLDER}; mkdir -p {FOLDER}/calls; : >{FOLDER}/trace\n"
        f"printf %s {shlex.quote(text)} >{FOLDER}/arming; mv {FOLDER}/arming {FOLDER}/armed\n"
    )


def disarm() -> str:
    """Return the shell commands after which no stand-in does anything; its traces stay."""
    return f"rm -f {FOLDER}/armed\n"


def steps(trace: str) -> list[Step]:
    """Return the calls that a trace tells of, in their order."""
    found = []
    for line in trace.splitlines():
        if matched := re.match(r"(\S+) (\d+) ", f"{line} "):
            found.append(Step(matched[1], int(matched[2])))
    return found
