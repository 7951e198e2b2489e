"""The process of a provider: the Pulumi CLI starts it, talks gRPC to it, and reads its errors.

The SDK has a `main` of its own, but that shows every error with a class name and a traceback, and
survives the CLI that started it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import inspect
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

# Neither package ships types, and their stubs are not among the pinned requirements.
import grpc
import grpc.aio
from pulumi.provider.experimental.provider import Provider
from pulumi.provider.experimental.server import ProviderServicer
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, provider_pb2_grpc

from lab.plugins.values import PluginError

# The engine's own limit: sdk/go/common/util/rpcutil of pulumi 3.260.0.
_MAX_MESSAGE_BYTES = 400 * 1024 * 1024
_CHANNEL_OPTIONS = [("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES)]
# The CLI makes at most some dozens of calls at a time; nearly all of them wait for a host.
_THREADS = 64
_ORPHAN_CHECK_SECONDS = 5.0
_LOG_SECONDS = 5.0


class EngineLog:
    """Status lines for the CLI's user, shown beside the resource during its operation."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._stub: Any = None

    def status(self, urn: str, line: str) -> None:
        """Show one line until the next one; lost lines are harmless, so errors are not raised."""
        if not self._address:
            return
        if self._stub is None:
            channel = grpc.insecure_channel(self._address, options=_CHANNEL_OPTIONS)
            self._stub = engine_pb2_grpc.EngineStub(channel)
        request = engine_pb2.LogRequest(
            severity=engine_pb2.INFO, message=line, urn=urn, ephemeral=True
        )
        try:
            self._stub.Log(request, timeout=_LOG_SECONDS)
        except grpc.RpcError:
            self._address = ""


class _Guarded:
    """A servicer whose failures reach the user as one clear message."""

    def __init__(self, servicer: ProviderServicer) -> None:
        self._servicer = servicer

    def __getattr__(self, name: str) -> Callable[[Any, Any], Awaitable[Any]]:
        method = getattr(self._servicer, name)

        async def call(request: Any, context: Any) -> Any:  # protobuf has no types
            try:
                answer = method(request, context)
                return await answer if inspect.isawaitable(answer) else answer
            except NotImplementedError:
                await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"no {name} in this stand-in")
            except Exception as error:
                # The SDK replaces our error by an Exception with a traceback in its text.
                ours = error if isinstance(error, PluginError) else error.__context__
                if not isinstance(ours, PluginError):
                    raise
                await context.abort(grpc.StatusCode.UNKNOWN, str(ours))

        return call


async def _run(provider: Provider, version: str, arguments: list[str], engine: str) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS))
    server = grpc.aio.server(options=_CHANNEL_OPTIONS)
    servicer = ProviderServicer(arguments, version, provider, engine_address=engine)
    guarded: Any = _Guarded(servicer)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(guarded, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    # The CLI sends Cancel and then SIGINT; it kills a plugin that still runs a while later.
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, ended.set)
    parent = os.getppid()
    while os.getppid() == parent and not ended.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), _ORPHAN_CHECK_SECONDS)
    await server.stop(grace=None)


def serve(make: Callable[[EngineLog], Provider], version: str, given: list[str]) -> None:
    """Serve the provider until the CLI ends this process or has ended itself."""
    parser = argparse.ArgumentParser(description="Pulumi resource plugin, the lab's stand-in")
    parser.add_argument("engine", nargs="?", default="", help="address of the engine")
    known, _ = parser.parse_known_args(given)
    asyncio.run(_run(make(EngineLog(known.engine)), version, given, known.engine))
    # Threads that wait for a host would keep the process alive; there is nothing to save.
    os._exit(0)
