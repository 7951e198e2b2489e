"""Networks reach each other by public names; no name is resolved to a private address."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from lab.acme import root
from lab.settings import NAMES_IPV4, NAMES_IPV6
from tests.lab.edge.conftest import Edge

pytestmark = pytest.mark.lab

NETWORKS = ("web", "mail", "special")
EMBEDDED = ("127.0.0.11",)
"""Docker's own DNS, as in the resolv.conf of a container in a user-defined network."""

DIRECT = (NAMES_IPV4, NAMES_IPV6)
"""The server on the internet, asked by the container itself, as Mastodon and others do."""

_SCRIPT = """\
set -u
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
base64 -d >"$work/root.pem" <<<{pem}
export CURL_CA_BUNDLE="$work/root.pem" work
ask() {{ # NUMBER RESOLVERS PID CURL…: as a program of the container, which has that resolv.conf
    number=$1 pid=$3
    printf 'nameserver %s\\n' $2 >"$work/resolv.$number"
    shift 3
    unshare --mount sh -c 'mount --bind "$1" /etc/resolv.conf; shift; exec "$@"' \\
        sh "$work/resolv.$number" nsenter --target "$pid" --net -- "$@" >"$work/out.$number" 2>&1
    echo $? >"$work/status.$number"
}}
{asks}
wait
for file in "$work"/status.*; do
    number=${{file##*.}}
    printf '%s %s %s\\n' "$number" "$(cat "$file")" "$(base64 -w0 <"$work/out.$number")"
done
"""


@dataclass(frozen=True)
class Call:
    """One container of a host asks for one page by its name."""

    host: int
    origin: str
    resolver: tuple[str, ...]
    family: int
    name: str
    sees: str
    """The caller's public address, which the other side must see."""


def _calls(edge: Edge) -> Iterator[Call]:
    everywhere = [
        network.whoami.domain
        for host in edge.plan.hosts
        for network in host.networks
        if network.whoami is not None
    ]
    for number, host in enumerate(edge.plan.hosts):
        for origin in host.networks:
            for family in origin.families:
                for resolver in (EMBEDDED, DIRECT):
                    for name in everywhere:
                        sees = str(family.public)
                        yield Call(number, origin.name, resolver, family.version, name, sees)


@pytest.fixture(scope="module")
def answers(edge: Edge) -> dict[Call, str]:
    """What the other side saw, or curl's error."""
    found: dict[Call, str] = {}
    calls = list(_calls(edge))
    for number, host in enumerate(edge.plan.hosts):
        mine = [call for call in calls if call.host == number]
        asks = []
        for origin in NETWORKS:
            inspect = f"docker inspect -f '{{{{.State.Pid}}}}' whoami-{origin}"
            asks.append(f"{origin}=$({inspect}) || exit 1")
        for place, call in enumerate(mine):
            curl = ["curl", "-sS", f"-{call.family}", "-m", "10", "--noproxy", "*"]
            words = shlex.join([*curl, f"https://{call.name}/"])
            resolvers = shlex.quote(" ".join(call.resolver))
            asks.append(f'ask {place} {resolvers} "${call.origin}" {words} &')
            if place % 8 == 7:
                asks.append("wait")
        pem = base64.b64encode(root(edge.lab.settings).read_bytes()).decode()
        script = _SCRIPT.format(pem=pem, asks="\n".join(asks))
        said = edge.lab.host(host.name).run("bash -s", stdin=script, timeout=120).stdout
        for line in said.splitlines():
            which, status, packed = line.split(" ")
            text = base64.b64decode(packed).decode(errors="replace").strip()
            found[mine[int(which)]] = _seen(text) if status == "0" else f"status {status}: {text}"
    assert set(found) == set(calls)
    return found


def _seen(text: str) -> str:
    try:
        return str(json.loads(text)["x-forwarded-for"])
    except (ValueError, KeyError):
        return text


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("resolver", [EMBEDDED, DIRECT], ids=["embedded", "direct"])
@pytest.mark.parametrize("origin", NETWORKS)
@pytest.mark.parametrize("number", [0, 1])
def test_every_page_is_reached_by_name_and_sees_the_callers_public_address(
    answers: dict[Call, str], number: int, origin: str, resolver: tuple[str, ...], family: int
) -> None:
    """Its own network's page, those of its host's other networks, and the other host's; HTTPS."""
    mine = {
        call: seen
        for call, seen in answers.items()
        if (call.host, call.origin, call.resolver, call.family)
        == (number, origin, resolver, family)
    }
    assert len(mine) == 6
    assert [f"{call.name}: {seen}" for call, seen in mine.items() if seen != call.sees] == []


@pytest.mark.parametrize("number", [0, 1])
def test_containers_are_given_the_embedded_resolver(edge: Edge, number: int) -> None:
    """Their resolv.conf has the resolver that the requests above used."""
    host = edge.lab.host(edge.plan.hosts[number].name)
    path = host.run("docker inspect -f '{{.ResolvConfPath}}' whoami-web").stdout.strip()
    assert "nameserver 127.0.0.11" in host.run(f"cat {shlex.quote(path)}").stdout
