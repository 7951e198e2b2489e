"""What a host reports about containers: Docker's output, and the routes of a real namespace."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from providers.host.facts import Container, parse
from tests.providers.fake_remote import FakeRemote
from tests.providers.shell import CALL

SETUP = """\
ip link add d0 type veth peer name d1
ip link set d1 up
ip addr add 10.9.0.2/24 dev d0
ip addr add fd09::2/64 dev d0 nodad
ip link set d0 up
ip route add default via 10.9.0.1
ip -6 route add default via fd09::1
exec sleep 60
"""

DOCKER = """\
#!/bin/sh
case $1 in
ps) echo one; echo two ;;
inspect) # Both; and a third one has ended since it was listed.
    echo '{pid} ["/app","","shop","app"]'
    echo '999999999 ["/gone","edge-1/web","",""]'
    echo 'Error: No such object: three' >&2
    exit 1 ;;
esac
"""


@pytest.fixture(name="pid")
def _pid() -> Iterator[int]:
    """Return a process that has a network namespace with default routes of both families."""
    process = subprocess.Popen(["unshare", "--net", "sh", "-ec", SETUP])
    try:
        for _ in range(100):
            command = Path(f"/proc/{process.pid}/cmdline").read_bytes()
            if command.startswith(b"sleep"):
                break
            time.sleep(0.05)
        yield process.pid
    finally:
        process.kill()
        process.wait()


FAIL = 'fail() { echo "$2" >&2; exit "$1"; }\n'


def _said(
    folder: Path, pid: int, word: str, docker: str = DOCKER, status: int = 0, error: str = ""
) -> list[str]:
    program = folder / "docker"
    program.write_text(docker.replace("{pid}", str(pid)))
    program.chmod(0o755)
    call = f"main=1 work={folder}\ndocker_containers {word}\n"
    done = subprocess.run(
        ["sh", "-uc", FAIL + (CALL / "docker.sh").read_text() + call],
        env={"PATH": f"{folder}:/usr/sbin:/usr/bin:/sbin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (status, error)
    return done.stdout.splitlines()


def _parsed(lines: list[str]) -> dict[str, Container]:
    remote = FakeRemote()
    remote.containers = lines
    return dict(parse(remote.facts()).containers)


def test_the_routes_are_those_of_the_containers_namespace(tmp_path: Path, pid: int) -> None:
    """They are not the host's; a container that has ended in between has none."""
    assert _parsed(_said(tmp_path, pid, "drift")) == {
        "app": Container("app", "", "shop", "app", (("ipv4", "10.9.0.1"), ("ipv6", "fd09::1"))),
        "gone": Container("gone", "edge-1/web"),
    }


def test_a_change_reads_no_routes(tmp_path: Path, pid: int) -> None:
    """Reading them costs two processes per container."""
    found = _parsed(_said(tmp_path, pid, ""))
    assert [each.gateways for each in found.values()] == [(), ()]


def test_without_containers_nothing_is_inspected(tmp_path: Path) -> None:
    """`docker inspect` without names is an error."""
    assert _said(tmp_path, 1, "drift", "#!/bin/sh\n[ $1 = ps ]\n") == []


def test_a_silent_docker_is_no_docker_without_containers(tmp_path: Path) -> None:
    """timeout(1) exits with 124."""
    docker = "#!/bin/sh\n[ $1 = ps ] && echo one || exit 124\n"
    told = "Docker does not answer: no answer within 60 s\n"
    assert _said(tmp_path, 1, "drift", docker, status=24, error=told) == []


@pytest.mark.parametrize(
    "route",
    [
        "blackhole default",
        "unreachable default dev lo metric 4294967295 error -101",
        "default proto static \\ nexthop via 10.9.0.1 dev eth0 weight 1",
        "default via inet6 fe80::1 dev eth0",
        "default from 10.9.0.0/24 via 10.9.0.1 dev eth0",
    ],
)
def test_what_a_container_does_with_its_routes_stops_no_refresh(route: str) -> None:
    """A container may have any route, as with a VPN; one in an unusual form yields no gateway."""
    found = _parsed(['["/vpn","","",""]', f"ipv4 {route}", '["/next","","",""]'])
    assert {name: each.gateways for name, each in found.items()} == {"vpn": (), "next": ()}
