"""A container's traffic: sends continuously, and answers every connection with its name.

    python3 talk.py NAME PORT PORT_OF_OURS SECONDS ADDRESS…

Runs with the standard library alone, in a container's network. To each ADDRESS, at PORT, it sends a
datagram every 20 ms, each from another port, so that each is a connection of its own. It sends its
name to each client that connects to PORT_OF_OURS, and again for all data that arrives there, after
SECONDS. It prints "ready", and ends with its standard input.
"""

import selectors
import socket
import sys
import time

EVERY = 0.02


def _answer(other: socket.socket, name: bytes, seconds: float) -> bool:
    """Send the name in answer to data; return whether the peer is still connected."""
    try:
        if not other.recv(4096):
            return False
        time.sleep(seconds)
        other.sendall(name)
    except OSError:
        return False
    return True


def main() -> None:
    """Send and answer."""
    name, port, ours, taken, *addresses = sys.argv[1:]
    seconds = float(taken)
    waiting = selectors.DefaultSelector()
    server = socket.create_server(("::", int(ours)), family=socket.AF_INET6, dualstack_ipv6=True)
    asked = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    asked.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    asked.bind(("::", int(ours)))
    for each in (server, asked, sys.stdin):
        waiting.register(each, selectors.EVENT_READ)
    mine = f"{name}\n".encode()
    print("ready", flush=True)
    due = time.monotonic()
    while True:
        for key, _ in waiting.select(max(0.0, due - time.monotonic())):
            if key.fileobj is server:
                other, _ = server.accept()
                other.sendall(mine)
                waiting.register(other, selectors.EVENT_READ, other)
            elif key.fileobj is asked:
                _, sender = asked.recvfrom(64)
                time.sleep(seconds)
                asked.sendto(mine, sender)
            elif key.data is None:
                return
            elif not _answer(key.data, mine, seconds):
                waiting.unregister(key.data)
                key.data.close()
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


main()
