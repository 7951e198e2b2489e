"""A container's traffic: sends continuously, and answers every connection with its name.

    python3 talk.py NAME PORT PORT_OF_OURS LATE ADDRESS…

Runs with the standard library alone, in a container's network. To each ADDRESS, at PORT, it sends a
datagram every 20 ms, each from another port, so that each is a connection of its own. It sends its
name to each client that connects to PORT_OF_OURS, and again for all data that arrives there, LATE
seconds later. It prints "ready", and ends with its standard input.
"""

import selectors
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial

EVERY = 0.02


def main() -> None:
    """Send and answer."""
    name, port, ours, late, *addresses = sys.argv[1:]
    waiting = selectors.DefaultSelector()
    server = socket.create_server(("::", int(ours)), family=socket.AF_INET6, dualstack_ipv6=True)
    asked = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    asked.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    asked.bind(("::", int(ours)))
    for each in (server, asked, sys.stdin):
        waiting.register(each, selectors.EVENT_READ)
    mine = f"{name}\n".encode()
    answers: deque[tuple[float, Callable[[], object]]] = deque()
    print("ready", flush=True)
    due = time.monotonic()
    while True:
        until = min(due, answers[0][0]) if answers else due
        for key, _ in waiting.select(max(0.0, until - time.monotonic())):
            at = time.monotonic() + float(late)
            if key.fileobj is server:
                other, _ = server.accept()
                other.sendall(mine)
                waiting.register(other, selectors.EVENT_READ, other)
            elif key.fileobj is asked:
                _, sender = asked.recvfrom(64)
                answers.append((at, partial(asked.sendto, mine, sender)))
            elif key.data is None:
                return
            elif _is_open(key.data):
                answers.append((at, partial(key.data.sendall, mine)))
            else:
                waiting.unregister(key.data)
                key.data.close()
        while answers and answers[0][0] <= time.monotonic():
            # The client has gone, or the guard dropped it.
            with suppress(OSError):
                answers.popleft()[1]()
        if time.monotonic() < due:
            continue
        due += EVERY
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM) as link:
                try:
                    link.sendto(name.encode(), (address, int(port)))
                except OSError:
                    # No route at the moment, or the guard dropped it.
                    continue


def _is_open(other: socket.socket) -> bool:
    """Read what a client sent; return whether it is still connected."""
    try:
        return bool(other.recv(4096))
    except OSError:
        return False


main()
