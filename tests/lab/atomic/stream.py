"""Numbered data both ways over one connection until stopped; no number may be missing.

    python3 stream.py tcp|udp listen|connect ADDRESS PORT

Runs with the standard library alone, in a container's network and on the internet's side. It prints
"listening" when it does, and "ready" when data flows; when its standard input ends it stops, and
prints a line of JSON: how many numbers it sent and received, the longest silence in seconds, and
what went wrong.
"""

import json
import select
import socket
import sys
import threading
import time

EVERY = 0.005
"""Seconds from one number to the next."""

SO_RCVBUFFORCE = 33

QUIET = 3.0
"""How long the last numbers may take, at the end."""


def opened(kind: str, role: str, address: str, port: int) -> tuple[socket.socket, bytes]:
    """Return the connection, and the data that the other side has sent by then."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    if kind == "tcp" and role == "listen":
        with socket.create_server((address, port), family=family) as server:
            print("listening", flush=True)
            return server.accept()[0], b""
    if kind == "tcp":
        return socket.create_connection((address, port), 10), b""
    link = socket.socket(family, socket.SOCK_DGRAM)
    # A busy second of the machine must not look like lost datagrams (socket(7)).
    link.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 22)
    if role == "connect":
        link.connect((address, port))
        return link, b""
    link.bind((address, port))
    print("listening", flush=True)
    first, other = link.recvfrom(8)
    link.connect(other)
    return link, first


def main() -> None:
    """Send and receive."""
    kind, role, address, port = sys.argv[1:]
    link, data = opened(kind, role, address, int(port))
    stop = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        stop.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    sent = received = 0
    problem, silence = "", 0.0
    last = due = time.monotonic()
    ready = ended = False
    while not ended:
        now = time.monotonic()
        try:
            if not stop.is_set():
                if now >= due:
                    link.send(sent.to_bytes(8, "big"))
                    sent += 1
                    due = now + EVERY
            elif kind == "tcp" and sent >= 0:
                link.shutdown(socket.SHUT_WR)
                sent = -sent - 1
            if select.select([link], [], [], EVERY)[0]:
                part = link.recv(65536)
                ended = kind == "tcp" and not part
                data += part
                silence, last = max(silence, now - last), now
        except OSError as error:
            problem, ended = f"{type(error).__name__}: {error}", True
        while len(data) >= 8:
            number, data = int.from_bytes(data[:8], "big"), data[8:]
            if number != received:
                problem = problem or f"{number} came, and not {received}"
            received = number + 1
        if received and not ready:
            ready = True
            print("ready", flush=True)
        if stop.is_set() and now - last > QUIET:
            ended = True
    sent = sent if sent >= 0 else -sent - 1
    seen = {"sent": sent, "received": received, "silence": silence, "problem": problem}
    print(json.dumps(seen), flush=True)


main()
