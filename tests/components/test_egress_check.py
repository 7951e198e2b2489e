"""The egress check's script, with the real curl and sh, and with servers on loopback.

Docker is a stand-in: it logs its calls, and `run` starts the container's program here.
"""

import shlex
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import AF_INET, AF_INET6

import pytest

from components import egress_check

SCRIPT = Path(egress_check.__file__).with_suffix(".sh")
CHECKOUT = SCRIPT.parent.parent
WHO = "host edge-1, network web"

_DOCKER = """\
#!/bin/sh
echo "$*" >>"$RECORD"
case $1 in
    import) cat >"$RECORD.image"; echo sha256:0123 ;;
    run) while [ "$1" != sha256:0123 ]; do shift; done; shift; exec "$@" ;;
esac
"""


@contextmanager
def _service(say: Callable[[str], str | None], version: int = 4) -> Iterator[str]:
    """Serve on loopback what `say` returns for a client's address; None breaks the connection."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = say(self.client_address[0])
            if text is None:
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_args: object) -> None:
            """Log nothing."""

    class Server(ThreadingHTTPServer):
        address_family = AF_INET if version == 4 else AF_INET6

    with Server(("127.0.0.1" if version == 4 else "::1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        place = "127.0.0.1" if version == 4 else "[::1]"
        try:
            yield f"http://{place}:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


def _sent(*options: str) -> list[str]:
    """Return the command that Pulumi runs, with a local shell in place of the host's."""
    return ["sh", "-c", egress_check.SEND + shlex.join(["sh", "-s", "--", WHO, *options])]


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs the script for expected lines and options of `docker run`."""
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(_DOCKER)
    docker.chmod(0o755)
    path = f"{docker.parent}:/usr/sbin:/usr/bin:/sbin:/bin"
    environment = {"PATH": path, "RECORD": str(tmp_path / "record")}

    def run(*expected: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        lines = "".join(f"{line}\n" for line in expected)
        return subprocess.run(
            _sent("--network", "web", *options),
            input=lines,
            env=environment,
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


Check = Callable[..., subprocess.CompletedProcess[str]]


def test_declared_addresses_pass(check: Check) -> None:
    """Each family is checked over its own protocol only."""
    with _service(str, 4) as four, _service(str, 6) as six:
        done = check(f"ipv4 127.0.0.1 {four}", f"ipv6 ::1 {six}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "ipv4: the internet sees 127.0.0.1, as declared",
        "ipv6: the internet sees ::1, as declared",
    ]


@pytest.mark.parametrize(
    "answer", ["203.0.113.10", "203.0.113.10\r\n", "IPv4,203.0.113.10,v1.1,,,See http://x/\n"]
)
def test_an_answer_may_be_a_line_or_the_csv_of_ip4only(check: Check, answer: str) -> None:
    """A service of either format can be configured."""
    with _service(lambda _: answer) as url:
        assert check(f"ipv4 203.0.113.10 {url}").returncode == 0


def test_an_address_may_be_spelled_otherwise(check: Check) -> None:
    """RFC 4291 allows many spellings of one address."""
    with _service(lambda _: "2001:0DB8:0::0010", 6) as url:
        assert check(f"ipv6 2001:db8::10 {url}").returncode == 0


def test_a_wrong_address_fails_and_the_other_family_is_still_told(check: Check) -> None:
    """It is asked once, because a wrong answer does not change."""
    answers = iter(["203.0.113.101"])
    with _service(lambda _: next(answers)) as four, _service(str, 6) as six:
        done = check(f"ipv4 203.0.113.20 {four}", f"ipv6 ::1 {six}")
    assert done.returncode == 1
    assert done.stdout == "ipv6: the internet sees ::1, as declared\n"
    assert done.stderr.startswith(
        f"{WHO}: wanbound:echo.ipv4 sees 203.0.113.101 instead of public_ipv4 203.0.113.20."
    )
    assert "\n  Fix: " in done.stderr


def test_a_network_that_is_late_is_waited_for(check: Check) -> None:
    """A broken connection is retried."""
    answers = iter([None, None, "203.0.113.10"])
    with _service(lambda _: next(answers)) as url:
        done = check(f"ipv4 203.0.113.10 {url}")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("answer", ["", "<html>a portal, please log in</html>", "example.com"])
def test_an_answer_that_is_no_address_fails(check: Check, answer: str) -> None:
    """The address is not known then; the error quotes the answer."""
    with _service(lambda _: answer) as url:
        done = check(f"ipv4 203.0.113.10 {url}")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{WHO}: wanbound:echo.ipv4 gives its containers no address" in done.stderr
    assert f"The answer is: {answer or 'empty'}\n" in done.stderr


def test_a_long_answer_does_not_fill_the_message(check: Check) -> None:
    """Its control characters do not reach the terminal either."""
    with _service(lambda _: "\x1b[31m" + "z" * 100_000) as url:
        done = check(f"ipv4 203.0.113.10 {url}")
    assert done.returncode == 1
    assert len(done.stderr) < 1000
    assert "\x1b" not in done.stderr


def test_the_container_sees_the_host_read_only_and_the_image_goes(
    check: Check, tmp_path: Path
) -> None:
    """It has no rights, the network's DNS servers are set, and nothing is pulled or left behind."""
    with _service(str) as url:
        check(f"ipv4 127.0.0.1 {url}", options=("--dns", "192.0.2.53"))
    made, run, removed = (tmp_path / "record").read_text().splitlines()
    assert (made, removed) == ("import -", "rmi sha256:0123")
    assert (tmp_path / "record.image").read_bytes() == b"\0" * 1024
    options = run.partition(" sha256:0123 ")[0].split()
    assert options[:5] == ["run", "--rm", "--user", "65534:65534", "--cap-drop"]
    at = options.index("--network")
    assert options[at : at + 4] == ["--network", "web", "--dns", "192.0.2.53"]
    folders = options[at + 5 :: 2]
    assert "/usr:/usr:ro" in folders
    assert all(each.endswith(":ro") for each in folders)


def test_a_host_without_curl_is_told_what_to_install(check: Check, tmp_path: Path) -> None:
    """The error comes before anything is created on the host."""
    for name in ("sh", "cat"):
        (tmp_path / "bin" / name).symlink_to(str(shutil.which(name)))
    environment = {"PATH": str(tmp_path / "bin"), "RECORD": str(tmp_path / "record")}
    done = subprocess.run(
        _sent("--network", "web"),
        env=environment,
        cwd=CHECKOUT,
        input="",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert f"{WHO}: the egress check did not run, because the host has no curl." in done.stderr
    assert "Fix: run `apt-get install curl ca-certificates` on the host" in done.stderr
    assert not (tmp_path / "record").exists()


@pytest.mark.parametrize("words", ["sh -n", "busybox sh -n", "shellcheck -s sh -"])
def test_a_posix_shell_reads_it(words: str) -> None:
    """A syntax error would show only on hosts."""
    done = subprocess.run(words.split(), input=SCRIPT.read_text(), capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
