"""A TCP connection that is never idle and checks each of its bytes; runs on hosts, standalone.

steady.py serve PORT          send everything back, to every client, in both families
steady.py keep ADDRESS PORT   send numbers until SIGTERM, then print as JSON what came back
"""

import json
import signal
import socket
import struct
import sys
import threading
import time
from dataclasses import asdict, dataclass

EVERY_SECONDS = 0.005
PATIENCE_SECONDS = 30
NUMBER = struct.Struct("!Q")


def serve(port: int) -> None:
    """Echo, for ever."""
    listener = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    while True:
        peer, _ = listener.accept()
        threading.Thread(target=_echo, args=(peer,), daemon=True).start()


def _echo(peer: socket.socket) -> None:
    with peer:
        while data := peer.recv(65536):
            peer.sendall(data)


@dataclass
class Told:
    """What became of the numbers; `longest` is the longest silence, both in seconds."""

    sent: int = 0
    back: int = 0
    seconds: float = 0.0
    longest: float = 0.0
    error: str = ""


def keep(address: str, port: int) -> int:
    """Return 0 if every number came back once and in its order, over the one connection."""
    # Not an Event: its set() in a handler waits for ever for the lock that wait() below it holds.
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    told, began = Told(), time.monotonic()
    with socket.create_connection((address, port), timeout=PATIENCE_SECONDS) as peer:
        reader = threading.Thread(target=_read, args=(peer, told))
        reader.start()
        try:
            while not stopped and reader.is_alive():
                peer.sendall(NUMBER.pack(told.sent))
                told.sent += 1
                time.sleep(EVERY_SECONDS)
            peer.shutdown(socket.SHUT_WR)
        except OSError as error:
            told.error = f"sending: {error}"
        reader.join()
    told.seconds = time.monotonic() - began
    sys.stdout.write(json.dumps(asdict(told)) + "\n")
    return 0 if not told.error and told.sent == told.back else 1


def _read(peer: socket.socket, told: Told) -> None:
    rest, last = b"", time.monotonic()
    try:
        while data := peer.recv(65536):
            told.longest = max(told.longest, time.monotonic() - last)
            last = time.monotonic()
            rest += data
            while len(rest) >= NUMBER.size:
                (number,) = NUMBER.unpack_from(rest)
                rest = rest[NUMBER.size :]
                if number != told.back:
                    told.error = f"{number} came back in place of {told.back}"
                    return
                told.back += 1
    except OSError as error:
        told.error = f"receiving: {error}"


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]))
    sys.exit(keep(sys.argv[2], int(sys.argv[3])))
