"""Every program that the host script runs, and how one call of one of them is made to fail.

A stand-in for each program is put where the script looks first. At the chosen call it kills the
script, drops the connection or fails. The programs are read from the script itself, so that a new
one cannot be forgotten: every word of its text for which the host has a program counts as one.
"""

import re
import shlex
from collections import Counter
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
fail                      like a full disk: the program does not run, and the call has status 1
fail for good             this call fails, and every later one of that program
hold                      the call waits until `release`; the file `held` is there meanwhile
"""

BESIDE = "/usr/local/sbin"
"""Where the script looks for programs first."""

FOLDER = "/run/atomic"
"""Where the stand-ins read which call is meant, and record what they have seen."""

OPERATOR = '[ -n "${SSH_CONNECTION-}" ]'
UNDO = '[ -n "${ATOMIC-}" ] || case $parent in *wanboundundo*) ;; *) false ;; esac'
ALL = "true"
"""Whose calls count: those of an operator's connection, those of a timer's `wanbound undo`, all."""

# Shell builtins only: each further process would cost a millisecond per call.
# `sh -s` is the call by sshd, not a step of the script.
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
    case "$name $*" in {pattern})
        {action}
    esac
fi
"""

_NTH = """\
call=1
        set -C
        until true >{folder}/calls/$call; do call=$((call + 1)); done 2>/dev/null
        set +C
        if [ "$call" {compare} {call} ]; then
            {action}
        fi"""

_CALL = "\037"
_RECORD = f"""printf '%s{_CALL}' "$name $*" >>{FOLDER}/trace"""

_READERS = re.compile(
    r"(awk|base64|cat|cksum|cmp|cut|date|docker|find|flock|grep|head|id|ls|mktemp|ps|readlink|sed"
    r"|seq|setpriv|sha256sum|sleep|sort|stat|sync|tail|timeout|tr|uname|wc)\b(?! .*/proc/sys/net)"
    r"|ip .*\b(show|monitor)\b|nft (-c|.*\blist)\b|ip6?tables-(save|restore .*--test)"
    r"|conntrack -L|systemctl show|(cp|mkdir|mv|rm|rmdir)( -\S+)*( \*\S*)+$"
)
"""Calls that change nothing, or only a folder in memory of their own run. Programs that read a
kernel parameter are not listed: the shell writes parameters itself, between two such calls."""

# Fires once. `fail for good` stays armed, and records itself elsewhere.
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

# Different in each run: names of folders, tokens, processes, and how long the host waits.
_VOLATILE = re.compile(
    r"/run/wanbound/run\.\d+\.\w+|\b[0-9a-f]{16}\b|(?<=/proc/)\d+"
    r"|(?<=--on-active=)\d+|(?<=-c sleep )\d+|\b\d+ (none|[0-9a-f]{16})$"
)


@dataclass(frozen=True, order=True)
class Step:
    """The `call`-th call, since the fault was armed, of a program with these words.

    In its words, an asterisk replaces what differs from run to run.
    """

    words: str
    call: int

    def __str__(self) -> str:
        return f"{' '.join(self.words.split())[:150]} ({self.call})"

    @property
    def pattern(self) -> str:
        """The words as the shell's `case` matches them."""
        return "*".join(shlex.quote(part) if part else "" for part in self.words.split("*"))


@dataclass(frozen=True)
class Fault:
    """What fails, where, and whose calls count."""

    mode: Mode
    step: Step
    scope: str = OPERATOR

    def __str__(self) -> str:
        return f"{self.mode} {self.step}"


def externals(host: Host) -> dict[str, str]:
    """Return the programs that the script may run on `host`, by name, and where they are."""
    text = host_script() + shell_program("facts", {})  # and the script sent for a call
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
    """Put a stand-in before every program of the script; remove them afterwards."""
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


def arm(fault: Fault) -> str:
    """Return the shell commands that arm `fault`."""
    action = _NTH.format(
        folder=FOLDER,
        call=fault.step.call,
        compare="-ge" if fault.mode == "fail for good" else "-eq",
        action=_ACTIONS[fault.mode],
    )
    return _arming(fault.scope, fault.step.pattern, action)


def record(scope: str = OPERATOR) -> str:
    """Return the shell commands after which every call is recorded."""
    return _arming(scope, "*", _RECORD)


def _arming(scope: str, pattern: str, action: str) -> str:
    text = _ARMED.format(scope=scope, pattern=pattern, action=action)
    return (
        f"rm -rf {FOLDER}; mkdir -p {FOLDER}/calls; : >{FOLDER}/trace\n"
        f"printf %s {shlex.quote(text)} >{FOLDER}/arming; mv {FOLDER}/arming {FOLDER}/armed\n"
    )


def disarm() -> str:
    """Return the shell commands after which no stand-in does anything; the trace stays."""
    return f"rm -f {FOLDER}/armed\n"


@dataclass(frozen=True)
class Recorded:
    """A step, and whether its effect outlives its run."""

    step: Step
    changes: bool


def steps(trace: str) -> list[Recorded]:
    """Return the calls of a trace, in their order."""
    found = []
    calls: Counter[str] = Counter()
    for text in trace.split(_CALL)[:-1]:
        words = _VOLATILE.sub("*", text)
        calls[words] += 1
        found.append(Recorded(Step(words, calls[words]), _READERS.match(words) is None))
    return found
