"""The internet's IP-echo service: answers an HTTP request with the caller's address and a newline.

python -m lab.echo PORT ADDRESS [ADDRESS…]
"""

from __future__ import annotations

import asyncio
import sys


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one connection until its client closes it or is silent for 30 s."""
    peer = writer.get_extra_info("peername")
    body = f"{peer[0]}\n".encode() if peer else b""
    try:
        while True:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), timeout=30)
            start = head.split(b"\r\n", 1)[0].split()
            lower = head.lower()
            last = b"connection: close" in lower or start[-1:] == [b"HTTP/1.0"]
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n%s\r\n"
                % (len(body), b"Connection: close\r\n" if last else b"")
            )
            if start[:1] != [b"HEAD"]:
                writer.write(body)
            await writer.drain()
            if last:
                break
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, OSError):
        pass
    finally:
        writer.close()


async def serve(port: int, addresses: list[str]) -> None:
    """Listen on all addresses for ever."""
    server = await asyncio.start_server(answer, addresses, port, backlog=4096)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2:]))
