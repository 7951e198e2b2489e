"""The plugin processes as the CLI starts, calls and ends them."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

BIN = Path(__file__).resolve().parents[2] / "lab" / "plugins" / "bin"


@contextmanager
def plugin(name: str) -> Iterator[tuple[subprocess.Popen[str], Any]]:
    """Start the plugin; yield its process and a client."""
    command = [str(BIN / f"pulumi-resource-{name}"), "127.0.0.1:1", "--logtostderr", "-v=9"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd="/") as process:
        killer = threading.Timer(20, process.kill)
        killer.start()
        try:
            assert process.stdout is not None
            address = f"127.0.0.1:{int(process.stdout.readline())}"
            with grpc.insecure_channel(address) as channel:
                yield process, provider_pb2_grpc.ResourceProviderStub(channel)
        finally:
            killer.cancel()
            process.kill()


@pytest.mark.parametrize(("name", "version"), [("docker", "5.2.0"), ("command", "1.2.1")])
def test_a_plugin_serves_and_ends_when_told(name: str, version: str) -> None:
    """From any folder, with the version that the SDK asks for; it ends at the CLI's SIGINT."""
    with plugin(name) as (process, client):
        assert client.GetPluginInfo(Empty(), timeout=10).version == version
        urn = "urn:pulumi:s::p::docker:index/tag:Tag::it"
        with pytest.raises(grpc.RpcError) as failed:
            client.Check(provider_pb2.CheckRequest(urn=urn), timeout=10)
        said = failed.value.details() or ""
        assert said.startswith(f"the lab's stand-in of pulumi-resource-{name}")
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(10) == 0
