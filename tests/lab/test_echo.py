"""The address echo, over loopback."""

import asyncio

import pytest

from lab.echo import answer


async def ask(address: str, request: bytes) -> bytes:
    """Return the echo's output until it closes the connection."""
    server = await asyncio.start_server(answer, address, 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection(address, port)
        writer.write(request)
        said = await asyncio.wait_for(reader.read(), timeout=5)
        writer.close()
        return said


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_answers_the_callers_address(address: str) -> None:
    """The answer is plain text with a newline, and nothing else."""
    said = asyncio.run(ask(address, b"GET / HTTP/1.0\r\n\r\n"))
    head, _, body = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body == f"{address}\n".encode()


def test_keeps_a_connection_until_asked_to_close() -> None:
    """Two requests on one connection get two answers."""
    first = b"GET / HTTP/1.1\r\nHost: echo\r\n\r\n"
    last = b"HEAD / HTTP/1.1\r\nConnection: close\r\n\r\n"
    said = asyncio.run(ask("127.0.0.1", first + last))
    assert said.count(b"HTTP/1.1 200 OK") == 2
    assert said.count(b"127.0.0.1\n") == 1
