"""A second sshd on a host, whose connections and commands are counted from outside.

It runs beside the host's sshd, on another port, so that only the benchmark's connections are
counted. It logs each log-in and each command (LogLevel VERBOSE), and tcpdump on the management
bridge captures each connection to it.
"""

import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.scenario import MARK
from bench.site import BenchError, Site
from lab.steps import ENDS_WITH_US

PORT = 2222
_UNIT = f"{MARK}sshd"
_LOG = f"/run/{_UNIT}.log"
_SECONDS = 10.0


@dataclass(frozen=True)
class Counts:
    """What the sshd received: connections opened (SYNs), log-ins, commands begun."""

    connections: int
    logins: int
    commands: int


@contextmanager
def sshd(site: Site) -> Iterator[None]:
    """Run the sshd for a while. Raises BenchError where it does not start."""
    options = f"-o Port={PORT} -o LogLevel=VERBOSE -o PidFile=none -E {_LOG}"
    stop = f"systemctl stop {_UNIT} 2>/dev/null; rm -f {_LOG}"
    site.host.run(
        f"{stop}; systemd-run --quiet --collect --unit={_UNIT} /usr/sbin/sshd -D {options}"
    )
    try:
        end = time.monotonic() + _SECONDS
        while "Server listening" not in _log(site):
            if time.monotonic() > end:
                raise BenchError(f"{site.name}: a second sshd does not start\n{_log(site)}")
            time.sleep(0.1)
        yield
    finally:
        site.host.run(f"{stop}; :")


class Counter:
    """Counts while it is open; `counts` is the result."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.counts = Counts(0, 0, 0)

    @contextmanager
    def open(self) -> Iterator[None]:
        """Count during the context. Raises BenchError where the capture is not complete."""
        before = _log(self._site)
        # SYN without ACK, pcap-filter(7): a new connection.
        syn = f"dst host {self._site.host.address} and tcp dst port {PORT} and tcp[13] & 18 == 2"
        bridge = self._site.lab.settings.management_bridge
        tcpdump = subprocess.Popen(
            [*ENDS_WITH_US, "tcpdump", "-i", bridge, "-n", "-l", "--immediate-mode", syn],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            _until_listening(tcpdump)
            yield
            # A log line or a captured packet appears a moment later.
            time.sleep(0.3)
        finally:
            tcpdump.send_signal(signal.SIGINT)
            try:
                seen, said = tcpdump.communicate(timeout=_SECONDS)
            except subprocess.TimeoutExpired:
                tcpdump.kill()
                seen, said = tcpdump.communicate()
        if "\n0 packets dropped by kernel" not in said:
            raise BenchError(f"tcpdump on {bridge} did not see everything: {said.strip()}")
        log = _log(self._site)[len(before) :]
        self.counts = Counts(
            connections=seen.count(" Flags ["),
            logins=len(re.findall(r"Accepted publickey for ", log)),
            commands=len(re.findall(r"Starting session: command ", log)),
        )


def _until_listening(tcpdump: "subprocess.Popen[str]") -> None:
    for line in tcpdump.stderr or ():
        if "listening on" in line:
            return
    raise BenchError("tcpdump ended at once")


def _log(site: Site) -> str:
    # Over the lab's shared connection to the host's own sshd.
    return site.host.run(f"cat {_LOG} 2>/dev/null; :").stdout
