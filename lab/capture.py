"""Packets on the internet's side: tcpdump in the namespace, read back as data.

A capture proves something only if it covers the whole time and lost nothing. So it begins when it
has a packet of its own, ends when it has another one, and fails if the kernel dropped any.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
import signal
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.internet import BRIDGE, SENTINEL_IPV6
from lab.namespace import inside
from lab.settings import Settings
from lab.steps import wait_until

PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6"}
# Hop-by-hop, routing and destination options (RFC 8200, 4.1); the fragment header has its own form.
OPTIONS = (0, 43, 60)
FRAGMENT = 44
FLAGS = "FSRPAUEC"
HEADERS = 160
SECONDS = 30.0


@dataclass(frozen=True)
class Packet:
    """One IP packet; `time` in seconds since 1970, `length` of the whole packet in bytes.

    Ports are 0 where there are none. `flags` are TCP's, of "FSRPAUEC": a first SYN has "S".
    """

    time: float
    family: int
    src: str
    dst: str
    proto: str
    sport: int
    dport: int
    flags: str
    length: int

    def __str__(self) -> str:
        ports = f" {self.sport}→{self.dport}" if self.sport or self.dport else ""
        return f"{self.src} → {self.dst} {self.proto}{ports} {self.flags}".rstrip()


def _transport(proto: int, data: bytes) -> tuple[str, int, int, str]:
    name = PROTOCOLS.get(proto, str(proto))
    if name not in ("tcp", "udp") or len(data) < 4:
        return name, 0, 0, ""
    sport, dport = struct.unpack_from("!HH", data)
    bits = data[13] if name == "tcp" and len(data) > 13 else 0
    flags = "".join(flag for bit, flag in enumerate(FLAGS) if bits >> bit & 1)
    return name, sport, dport, flags


def _ipv4(time: float, data: bytes) -> Packet:
    length, fragment = struct.unpack_from("!H", data, 2)[0], struct.unpack_from("!H", data, 6)[0]
    src, dst = ipaddress.IPv4Address(data[12:16]), ipaddress.IPv4Address(data[16:20])
    # Only the first fragment has the ports.
    payload = b"" if fragment & 0x1FFF else data[(data[0] & 15) * 4 :]
    return Packet(time, 4, str(src), str(dst), *_transport(data[9], payload), length)


def _ipv6(time: float, data: bytes) -> Packet:
    src, dst = ipaddress.IPv6Address(data[8:24]), ipaddress.IPv6Address(data[24:40])
    length, proto, payload = struct.unpack_from("!H", data, 4)[0] + 40, data[6], data[40:]
    while proto in (*OPTIONS, FRAGMENT) and len(payload) >= 8:
        later = proto == FRAGMENT and struct.unpack_from("!H", payload, 2)[0] >> 3
        size = 8 if proto == FRAGMENT else payload[1] * 8 + 8
        proto, payload = payload[0], b"" if later else payload[size:]
    return Packet(time, 6, str(src), str(dst), *_transport(proto, payload), length)


def parse(data: bytes) -> list[Packet]:
    """Return the IP packets of a pcap file of Ethernet frames, without a partial last record."""
    # pcap-savefile(5): a header of 24 bytes, then records.
    return records(data[24:])[0]


def records(data: bytes) -> tuple[list[Packet], int]:
    """Return the IP packets of a pcap file's complete records, and these records' size in bytes."""
    packets: list[Packet] = []
    at = 0
    # A record is a header of 16 bytes and the frame.
    while at + 16 <= len(data):
        seconds, micros, captured, _ = struct.unpack_from("=IIII", data, at)
        frame = data[at + 16 : at + 16 + captured]
        if len(frame) < captured:
            break
        at += 16 + captured
        kind, time = frame[12:14], seconds + micros / 1e6
        if kind == b"\x08\x00" and captured >= 34:
            packets.append(_ipv4(time, frame[14:]))
        elif kind == b"\x86\xdd" and captured >= 54:
            packets.append(_ipv6(time, frame[14:]))
    return packets, at


class Capture:
    """A running or ended capture."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._packets: list[Packet] = []
        self._read = 24
        self._ended = False

    def _all(self) -> list[Packet]:
        # Only the new part: callers that wait for a packet ask often.
        if not self._ended:
            with self._file.open("rb") as file:
                file.seek(self._read)
                packets, size = records(file.read())
            self._packets += packets
            self._read += size
        return self._packets

    @property
    def packets(self) -> list[Packet]:
        """The packets so far, in the kernel's order; all of them once the capture has ended."""
        return [packet for packet in self._all() if packet.dst != SENTINEL_IPV6]

    def _finish(self) -> None:
        self._all()
        self._ended = True


def _pass_sentinel(lab: Settings, capture: Capture, tcpdump: subprocess.Popen[bytes]) -> None:
    """Send sentinel packets until the capture has one."""
    port = secrets.randbelow(60000) + 1024
    shell = f"echo >/dev/udp/{SENTINEL_IPV6}/{port}"

    def seen() -> bool:
        if tcpdump.poll() is not None:
            raise LabError("tcpdump ended by itself")
        subprocess.run(inside(lab, ["bash", "-c", shell]), timeout=SECONDS, check=True)
        return any(packet.dport == port for packet in capture._all())

    wait_until("tcpdump's sight of a packet", seen, timeout=SECONDS, every=0.05)


@contextmanager
def capture(lab: Settings, expression: str = "", link: str = BRIDGE) -> Iterator[Capture]:
    """Capture packets on the internet's `link` (its bridge) that match the pcap-filter(7)."""
    sentinel = f"udp and dst host {SENTINEL_IPV6}"
    expression = f"({expression}) or ({sentinel})" if expression else "ip or ip6"
    command = ["tcpdump", "-n", "-U", "--immediate-mode", "-B", "16384", "-s", str(HEADERS)]
    # It must not outlive this process. -Z root, because a change of user would clear that signal.
    alone = ["setpriv", "--pdeathsig", "KILL", *command, "-Z", "root", "-i", link, "-w", "-"]
    folder = lab.state / "captures"
    folder.mkdir(exist_ok=True)
    with (
        tempfile.NamedTemporaryFile(dir=folder, suffix=".pcap") as file,
        tempfile.TemporaryFile() as errors,
    ):
        tcpdump = subprocess.Popen(inside(lab, [*alone, expression]), stdout=file, stderr=errors)
        running = Capture(Path(file.name))

        def pass_sentinel() -> None:
            try:
                _pass_sentinel(lab, running, tcpdump)
            except LabError as error:
                errors.seek(0)
                raise LabError(f"{error}: {errors.read().decode().strip()}") from error

        try:
            pass_sentinel()
            yield running
            pass_sentinel()
        finally:
            tcpdump.send_signal(signal.SIGINT)
            try:
                tcpdump.wait(SECONDS)
            except subprocess.TimeoutExpired:
                tcpdump.kill()
                tcpdump.wait(SECONDS)
            running._finish()
        errors.seek(0)
        said = errors.read().decode()
        dropped = re.search(r"(\d+) packets dropped by kernel", said)
        if dropped is None or int(dropped[1]):
            raise LabError(f"the capture is not complete, so it proves nothing: {said.strip()}")
