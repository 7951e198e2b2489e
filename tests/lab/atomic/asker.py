"""Asks for the peer's name over one connection, continuously.

    python3 asker.py tcp|udp ADDRESS PORT

Runs with the standard library alone, in a container's network and on the internet's side. It sends
a question every 20 ms and prints "asking"; when its standard input ends it prints a line of JSON:
the first and the last time of each name that answered, and of each error.
"""

import json
import select
import socket
import sys
import time

EVERY = 0.02


def main() -> None:
    """Ask until told to stop, or until the connection is broken."""
    kind, address, port = sys.argv[1:]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    link = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    link.settimeout(10)
    link.connect((address, int(port)))
    heard: dict[str, list[float]] = {}
    print("asking", flush=True)
    due = time.time()
    while True:
        ready = select.select([link, sys.stdin], [], [], max(0.0, due - time.time()))[0]
        if sys.stdin in ready:
            break
        said = ""
        try:
            if link in ready:
                said = link.recv(4096).decode().split("\n")[0]
            if time.time() >= due:
                due += EVERY
                link.send(b"?")
        except OSError as error:
            said = type(error).__name__
        if said:
            heard.setdefault(said, [time.time(), 0.0])[1] = time.time()
        if kind == "tcp" and ((link in ready and not said) or said.endswith("Error")):
            heard.setdefault("end", [time.time(), time.time()])
            sys.stdin.read()
            break
    print(json.dumps(heard), flush=True)


main()
