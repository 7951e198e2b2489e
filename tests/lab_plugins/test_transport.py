"""The connection to an Engine over ssh: a program `ssh` on PATH, and an Engine behind a socket."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from lab.plugins.docker.engine import DockerEngine, EngineError, NotFoundError
from lab.plugins.docker.transport import SshTarget
from lab.plugins.values import PluginError

FAKE_SSH = """#!/usr/bin/env python3
import os, select, socket, sys
with open({log!r}, "a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\n")
if {fail!r}:
    sys.stderr.write({fail!r})
    sys.exit(255)
engine = socket.socket(socket.AF_UNIX)
engine.connect({socket!r})
while True:
    for ready in select.select([0, engine], [], [])[0]:
        data = os.read(0, 65536) if ready == 0 else engine.recv(65536)
        if not data:
            sys.exit(0)
        if ready == 0:
            engine.sendall(data)
        else:
            os.write(1, data)
"""


class Handler(BaseHTTPRequestHandler):
    """An Engine of API 1.41 that has one container."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer as the Engine does."""
        match self.path.removeprefix("/v1.41"):
            case "/version":
                self._answer(200, {"ApiVersion": "1.41"})
            case "/containers/lb/json":
                self._answer(200, {"Id": "1"})
            case _:
                self._answer(404, {"message": "No such container: it"})

    def do_POST(self) -> None:
        """Echo the request."""
        length = int(self.headers.get("Content-Length") or 0)
        sent = self.rfile.read(length).decode()
        if "refuse" in self.path:
            self._answer(409, {"message": "name is in use"})
        else:
            self._answer(201, {"sent": sent, "type": self.headers.get("Content-Type") or ""})

    def address_string(self) -> str:
        """Unix sockets have no address."""
        return "test"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        """Log nothing."""

    def _answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """The Engine's socket."""

    daemon_threads = True


@pytest.fixture
def engine_socket(tmp_path: Path) -> Iterator[str]:
    """Serve the Engine for one test."""
    path = str(tmp_path / "docker.sock")
    with Server(path, Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield path
        server.shutdown()


def fake_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, socket: str, fail: str = "") -> Path:
    """Put an `ssh` first on PATH that records its command lines; return the record."""
    log = tmp_path / "ssh.log"
    log.touch()
    program = tmp_path / "ssh"
    program.write_text(FAKE_SSH.format(log=str(log), socket=socket, fail=fail))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return log


def test_ssh_gets_the_options_as_they_are(
    engine_socket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One ssh process serves all calls, with exactly the command line of docker's own CLI."""
    log = fake_ssh(tmp_path, monkeypatch, engine_socket)
    engine = DockerEngine("ssh://root@192.0.2.1:2222", ["-o", "ControlMaster=auto"])
    assert log.read_text() == ""
    for _ in range(5):
        assert engine.get("/containers/lb/json") == {"Id": "1"}
    assert log.read_text() == (
        "-o ConnectTimeout=30 -T -o ControlMaster=auto -l root -p 2222 -- 192.0.2.1 "
        "docker system dial-stdio\n"
    )


def test_what_the_engine_refuses_is_told_from_what_is_not_there(engine_socket: str) -> None:
    """The error has the Engine's message and status, over unix:// as over ssh://."""
    engine = DockerEngine(f"unix://{engine_socket}", [])
    with pytest.raises(NotFoundError, match="No such container"):
        engine.get("/containers/it/json")
    with pytest.raises(EngineError, match="name is in use"):
        engine.post("/containers/refuse", {})
    assert engine.post("/x", {"a": 1}) == {"sent": '{"a": 1}', "type": "application/json"}
    assert engine.post("/x") == {"sent": "", "type": ""}


def test_the_error_of_ssh_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has ssh's reason, not only "connection reset"."""
    fake_ssh(tmp_path, monkeypatch, "", fail="Host key verification failed.\r\n")
    engine = DockerEngine("ssh://root@192.0.2.1", [])
    with pytest.raises(PluginError, match="status 255: Host key verification failed") as failed:
        engine.get("/containers/lb/json")
    assert not isinstance(failed.value, EngineError)


def test_a_host_that_does_not_answer_is_tried_once_for_all_who_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight resources do not wait for eight timeouts in sequence."""
    log = fake_ssh(tmp_path, monkeypatch, "", fail="no route to host")
    program = tmp_path / "ssh"
    program.write_text(
        program.read_text().replace("import os", "import time; time.sleep(0.5)\nimport os", 1)
    )
    engine = DockerEngine("ssh://root@192.0.2.1", [])
    errors: list[str] = []

    def ask() -> None:
        try:
            engine.get("/version")
        except PluginError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(errors) == 8
    assert len(log.read_text().splitlines()) == 1


def test_connections_are_opened_again_after_the_engine_has_gone_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restarted Engine, as after a change of daemon.json, needs no new run."""
    path = str(tmp_path / "docker.sock")
    log = fake_ssh(tmp_path, monkeypatch, path)
    engine = DockerEngine("ssh://root@192.0.2.1", [])
    for _ in range(2):
        with Server(path, Handler) as server:
            server.daemon_threads = True
            thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
            thread.start()
            assert engine.get("/containers/lb/json") == {"Id": "1"}
            server.shutdown()
        Path(path).unlink()
        adapter = engine._connected().get_adapter("http://docker:80")
        for connection in list(adapter._pool.pool.queue):
            if connection is not None and connection._process is not None:
                connection._process.terminate()
                connection._process.wait(5)
    assert len(log.read_text().splitlines()) == 2


@pytest.mark.parametrize("host", ["ssh://root:pw@h", "ssh://h/var/run/docker.sock", "ssh://"])
def test_hosts_that_docker_refuses_are_refused(host: str) -> None:
    """A password or a path in the host is a mistake in the stack."""
    with pytest.raises(PluginError, match="docker provider: host"):
        SshTarget(host).command()


def test_other_ways_to_an_engine_are_refused() -> None:
    """The lab has ssh:// and unix://."""
    with pytest.raises(PluginError, match="tcp://h:2375"):
        DockerEngine("tcp://h:2375", [])
