"""What Pulumi's own plugin answers when a provider fails, called as the CLI calls it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import struct_pb2
from pulumi.dynamic import ReadResult, ResourceProvider
from pulumi.dynamic.dynamic import serialize_provider
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from providers.errors import HostError

ROOT = Path(__file__).resolve().parents[2]


class Failing(ResourceProvider):
    """Pickled by reference, as the providers of the program are."""

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Fail with an error for the operator, or with an unexpected exception."""
        try:
            raise OSError("no route to host")
        except OSError as error:
            if id_ == "host":
                raise HostError("edge-1", "it cannot be reached", "unknown", "wait") from error
            raise KeyError("subnets") from error


@pytest.fixture(scope="module")
def answer() -> Iterator[Callable[[str], str]]:
    """Start the plugin; yield a function that returns the error of reading this id."""
    properties = struct_pb2.Struct()
    properties["__provider"] = serialize_provider(Failing())
    command = [sys.executable, "-u", "-m", "pulumi.dynamic", "127.0.0.1:1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        killer = threading.Timer(30, process.kill)
        killer.start()
        try:
            assert process.stdout is not None
            address = f"127.0.0.1:{int(process.stdout.readline())}"
            with grpc.insecure_channel(address) as channel:
                client = provider_pb2_grpc.ResourceProviderStub(channel)

                def ask(id_: str) -> str:
                    with pytest.raises(grpc.RpcError) as failed:
                        client.Read(
                            provider_pb2.ReadRequest(id=id_, properties=properties), timeout=20
                        )
                    return str(failed.value.details())

                yield ask
        finally:
            killer.cancel()
            process.kill()


def test_a_host_s_error_is_told_in_its_own_words(answer: Callable[[str], str]) -> None:
    """The text has the problem, the host's state and the remedy, and nothing else."""
    assert answer("host") == (
        "host edge-1: it cannot be reached\n  The host now: unknown\n  Fix: wait"
    )


def test_a_mistake_of_the_program_keeps_its_traceback(answer: Callable[[str], str]) -> None:
    """Nothing else helps to find the error."""
    said = answer("mistake")
    assert said.startswith("Traceback")
    assert said.rstrip().endswith("KeyError: 'subnets'")
