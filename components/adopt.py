"""The existing Docker networks of hosts with `adopt`, read over SSH before any declaration.

One call per host. Docker's provider could look a network up too (`docker.get_network`), but it
takes every failure for "no such network" and knows neither IPv6 nor labels.
"""

import contextlib
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from components.ssh import ssh_options
from planner.plan import HostPlan
from planner.takeover import HostFindings, Same, findings, takeover
from providers.errors import readable
from providers.host.plan import from_json

_SECONDS = 60
_MAX_BYTES = 8 << 20
_MAX_REASON = 4000
_SECTION = "== "

_SCRIPT = f"""set -e
echo '{_SECTION}networks'
ids=$(docker network ls -q --no-trunc --filter type=custom)
[ -z "$ids" ] || docker network inspect $ids
echo '{_SECTION}containers'
docker ps -a --format '{{{{.Names}}}}'
echo '{_SECTION}managed'
plan=/etc/wanbound/current/plan.json
[ ! -e "$plan" ] || cat "$plan"
echo '{_SECTION}end'
"""


class TakeoverError(Exception):
    """A manually created object cannot be taken over, or a host cannot be read."""

    def __init__(self, blocks: Sequence[str]) -> None:
        self.blocks = tuple(blocks)
        super().__init__(self.blocks)

    def __str__(self) -> str:
        count = len(self.blocks)
        head = f"adopt: {count} problem{'s' if count != 1 else ''}; nothing has been changed."
        return "\n\n".join((head, *self.blocks))


def taken_over(hosts: Sequence[HostPlan]) -> Mapping[str, Mapping[str, Same]]:
    """Return the Docker networks that are there and as planned, by host and network.

    Only hosts with `adopt` are read, all of them in parallel. Raises TakeoverError with the
    problems of all of them.
    """
    asked = [(index, host) for index, host in enumerate(hosts) if host.adopt]
    if not asked:
        return {}
    with ThreadPoolExecutor(max_workers=len(asked)) as pool:
        answers = list(pool.map(lambda each: _answer(*each), asked))
    blocks = [block for one in answers for block in one[1]]
    if blocks:
        raise TakeoverError(blocks)
    return {host.name: one[0] for (_, host), one in zip(asked, answers, strict=True)}


def _answer(index: int, host: HostPlan) -> tuple[Mapping[str, Same], Sequence[str]]:
    try:
        found = takeover(host, index, look_up(host))
    except (OSError, ValueError) as error:
        return {}, [
            f"wanbound:hosts[{index}].adopt (host {host.name})\n"
            f"  the host does not say which Docker networks it has: {error}\n"
            "  With adopt: true, a preview reads the host, too.\n"
            "  Fix: check that ssh and docker on it answer; or remove adopt if all is"
            " taken over"
        ]
    return found.same, [str(problem) for problem in found.problems]


def look_up(host: HostPlan) -> HostFindings:
    """Ask a host for its Docker networks, its containers, and which networks are under management.

    Raises OSError if the host cannot be reached or refuses, ValueError for an unexpected answer.
    """
    words = ["ssh", *ssh_options(host.ssh), "-p", str(host.ssh.port)]
    words += [f"{host.ssh.user}@{host.ssh.address}"]
    words += ["sh -s"] if host.ssh.user == "root" else ["sudo -n sh -s"]
    said = _run(words)
    parts: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in said.splitlines():
        if line.startswith(_SECTION):
            lines = parts[line.removeprefix(_SECTION)] = []
        else:
            lines.append(line)
    if "end" not in parts:
        raise ValueError("its answer is cut off")
    networks = "\n".join(parts.get("networks", []))
    managed = _managed("\n".join(parts.get("managed", [])))
    return findings(networks or "[]", parts.get("containers", []), managed)


def _managed(plan: str) -> Sequence[str]:
    """Return the networks that a host's plan names. Raises ValueError if it is not a plan."""
    if not plan:
        return []
    try:
        return list(from_json(plan).networks)
    except ValueError as error:
        raise ValueError(f"/etc/wanbound/current/plan.json: {readable(str(error))}") from error


def _run(words: Sequence[str]) -> str:
    """Return the script's output on the host; an answer that is too long or late is an error."""
    late = threading.Event()
    # Errors go to a file: the master that ControlPersist leaves behind keeps that end open.
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        ) as process,
    ):

        def give_up() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(_SECONDS, give_up)
        timer.start()
        try:
            said = _talk(process)
            if len(said) > _MAX_BYTES:
                process.kill()
            status = process.wait()
        finally:
            timer.cancel()
        errors.seek(0)
        reason = readable(errors.read(_MAX_REASON).decode(errors="replace").strip())
    if late.is_set():
        raise TimeoutError(f"no answer within {_SECONDS} s")
    if len(said) > _MAX_BYTES:
        raise ValueError(f"its answer is longer than {_MAX_BYTES >> 20} MiB")
    if status != 0:
        raise OSError(reason or f"ssh ended with status {status}")
    return said.decode(errors="replace")


def _talk(process: subprocess.Popen[bytes]) -> bytes:
    if process.stdin is None or process.stdout is None:
        raise OSError("no pipes to ssh")
    # If ssh could not log in, the pipe has no reader; the reason is on ssh's standard error.
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(_SCRIPT.encode())
        process.stdin.close()
    return process.stdout.read(_MAX_BYTES + 1)
