"""Open connections that the rules now translate differently end, and no others.

These conntrack entries are made with `conntrack -I`; tests/lab/atomic/test_flows.py has real
packets.
"""

import pytest

from tests.providers.onhost.box import Box
from tests.providers.onhost.generations import files

IN4, IN6, FRONT4, FRONT6 = (
    "172.20.0.7",
    "fd5c:1b2a:77f0:20::7",
    "172.20.0.254",
    "fd5c:1b2a:77f0:20::fffe",
)
"""A container of the network, and the target of all its TCP, in the golden case dual-stack."""

PUBLIC4, PUBLIC6, HOST4 = "203.0.113.20", "2001:db8::20", "203.0.113.101"
OUT4, OUT6 = "198.51.100.10", "2001:db8:ffff::10"

Entry = tuple[str, str, str, int, str, str]
"""Protocol, source, destination and its port; then source and destination of the answers."""

STALE: dict[str, Entry] = {
    "out as the host": ("udp", IN4, OUT4, 53, OUT4, HOST4),
    "out untranslated": ("udp", IN4, OUT4, 53, OUT4, IN4),
    "out as another address": ("tcp", IN6, OUT6, 443, OUT6, "2001:db8::99"),
    "out with the last address of the subnet": ("udp", "172.20.0.255", OUT4, 53, OUT4, HOST4),
    "in to the host itself": ("tcp", OUT4, PUBLIC4, 443, PUBLIC4, OUT4),
    "to itself with its own source": ("tcp", IN4, PUBLIC4, 443, FRONT4, IN4),
    "another's with our address": ("udp", "172.17.0.2", OUT4, 53, OUT4, PUBLIC4),
}

RIGHT: dict[str, Entry] = {
    "out": ("udp", IN4, OUT4, 53, OUT4, PUBLIC4),
    "out in IPv6": ("tcp", IN6, OUT6, 443, OUT6, PUBLIC6),
    "in": ("tcp", OUT4, PUBLIC4, 443, FRONT4, OUT4),
    "in in IPv6": ("tcp", OUT6, PUBLIC6, 443, FRONT6, OUT6),
    "in for what no rule is for": ("udp", OUT4, PUBLIC4, 53, PUBLIC4, OUT4),
    "in by a rule made by hand, to another container": ("tcp", OUT6, PUBLIC6, 443, IN6, OUT6),
    "in by another program's rule": ("udp", OUT4, PUBLIC4, 500, "172.17.0.2", OUT4),
    "to itself": ("tcp", IN4, PUBLIC4, 443, FRONT4, PUBLIC4),
    "to another of its network": ("tcp", IN4, FRONT4, 80, FRONT4, IN4),
    "to the host": ("tcp", IN4, HOST4, 80, HOST4, IN4),
    "to many": ("udp", IN4, "224.0.0.251", 5353, "224.0.0.251", IN4),
    "to many in IPv6": ("udp", IN6, "ff02::fb", 5353, "ff02::fb", IN6),
    "the host's own": ("tcp", HOST4, OUT4, 443, OUT4, HOST4),
    "a neighbouring subnet's": ("udp", "172.20.1.7", OUT4, 53, OUT4, HOST4),
    "another network's": ("udp", "172.17.0.2", OUT4, 53, OUT4, HOST4),
    "the host's, with our address": ("udp", PUBLIC4, OUT4, 53, OUT4, PUBLIC4),
}


def _track(host: Box, entries: dict[str, Entry]) -> None:
    """Add these connections to conntrack, each with its own source port."""
    for number, entry in enumerate(entries.values(), 4000):
        host.out(f"conntrack {_entry(entry, number)}")


def _entry(entry: Entry, number: int) -> str:
    """Return the arguments that add a connection from this source port to conntrack."""
    protocol, src, dst, port, answerer, answered = entry
    state = "--state ESTABLISHED" if protocol == "tcp" else ""
    return (
        f"-I -p {protocol} -t 600 -u SEEN_REPLY {state} -s {src} -d {dst}"
        f" --sport {number} --dport {port} --reply-src {answerer} --reply-dst {answered}"
        f" --reply-port-src {port} --reply-port-dst {number}"
    )


def _tracked(host: Box, entries: dict[str, Entry]) -> set[str]:
    """Return which of them are still in conntrack."""
    text = host.out("{ conntrack -L -f ipv4; conntrack -L -f ipv6; } 2>/dev/null")
    return {name for number, name in enumerate(entries, 4000) if f" sport={number} " in text}


def test_a_load_ends_what_is_stale_and_nothing_else(host: Box) -> None:
    """All entries exist at once, so that each stale one is among those that must stay."""
    host.bridge("mail", "172.20.0.1/24")
    host.deploy(files("dual-stack"), "a1")
    entries = STALE | RIGHT
    _track(host, entries)
    assert _tracked(host, entries) == entries.keys()
    assert host.run("apply").code == 0
    assert _tracked(host, entries) == RIGHT.keys()


@pytest.mark.parametrize("name", STALE)
def test_each_stale_connection_ends_without_the_others(host: Box, name: str) -> None:
    """It ends also as the only entry."""
    host.deploy(files("dual-stack"), "a1")
    _track(host, {name: STALE[name]})
    assert host.run("apply").code == 0
    assert _tracked(host, {name: STALE[name]}) == set()


def test_a_check_without_a_repair_ends_no_connection(host: Box) -> None:
    """Without a difference nothing is loaded, and no connection ends."""
    host.deploy(files("dual-stack"), "a1")
    _track(host, STALE)
    assert host.run("mend").err == ""
    assert _tracked(host, STALE) == STALE.keys()
    host.out("iptables -t nat -F WANBOUND-SNAT")
    assert "repairing" in host.run("mend").err
    assert _tracked(host, STALE) == set()


FORMER: dict[str, Entry] = {
    "out of a network that has gone": ("udp", IN4, OUT4, 53, OUT4, PUBLIC4),
    "in to a network that has gone": ("tcp", OUT6, PUBLIC6, 443, FRONT6, OUT6),
}


@pytest.mark.parametrize("way", ["change", "undo"])
def test_what_only_the_former_rules_translated_ends(host: Box, way: str) -> None:
    """No rule has the network any more, and the host does not have its addresses."""
    host.deploy(files("snat-docker"), "a1")
    if way == "change":
        host.deploy(files("dual-stack"), "a2")
        _track(host, FORMER)
        host.deploy(files("snat-docker"), "a3")
    else:
        assert host.change(files("dual-stack"), "a2").code == 0
        _track(host, FORMER)
        host.overdue()
        assert host.run("undo", "a2").code == 0
    assert _tracked(host, FORMER) == set()


def test_ports_that_go_to_another_container_end_alone(host: Box) -> None:
    """Connections to other ports of the address stay."""
    host.deploy(files("udp-ports"), "a1")
    text = files("udp-ports")["flows"]
    ways = [line.split() for line in text.splitlines() if line.startswith("to 203.")]
    entries: dict[str, Entry] = {}
    for _, address, protocol, ports, container in ways:
        port = int(ports.partition("-")[2])
        entries[f"{protocol} {port}"] = (protocol, OUT4, address, port, container, OUT4)
    _track(host, entries)
    _, *others = entries
    changed = files("udp-ports")
    for name in ("flows", "ipv4.rules"):
        changed[name] = changed[name].replace(*_other_target(ways[0], name))
    host.deploy(changed, "a2")
    assert len(others) > 1
    assert _tracked(host, entries) == set(others)


TO = "203.0.113.10"
"""The public address of the golden case udp-ports: all of its TCP goes to the container OLD."""

OLD, NEW = "172.16.0.254", "172.16.0.99"


def _moved() -> dict[str, str]:
    """Return the files in which all of its TCP goes to the container NEW."""
    found = files("udp-ports")
    for name in ("flows", "ipv4.rules"):
        way = ["to", TO, "tcp", "0-65535", OLD]
        before, after = _other_target(way, name)
        assert before in found[name]
        found[name] = found[name].replace(before, after)
    return found


def _asked(host: Box, port: int) -> None:
    """Track a connection from a port of OUT4 to port 443 of OLD."""
    host.out(f"conntrack {_entry(('tcp', OUT4, TO, 443, OLD, OUT4), port)}")


def _answer(container: str, port: int) -> str:
    """Return the arguments that track what an answer to a port of OUT4 begins by itself."""
    return _entry(("tcp", container, OUT4, port, OUT4, TO), 443)


def _answered(host: Box) -> set[tuple[str, int]]:
    """Return container and caller's port of the connections that answers began."""
    lines = host.out(f"conntrack -L -f ipv4 -d {OUT4} 2>/dev/null").splitlines()
    pairs = [
        dict(word.split("=") for word in reversed(line.split()) if "=" in word) for line in lines
    ]
    return {(pair["src"], int(pair["dport"])) for pair in pairs}


OTHERS = [(OLD, 4002), (NEW, 4003)]
"""Connections that both containers have begun by themselves."""


@pytest.mark.parametrize("others", [OTHERS, []], ids=["beside others", "alone"])
@pytest.mark.parametrize("when", ["during the load", "before the confirmation"])
def test_an_answer_does_not_begin_its_connection_again(
    host: Box, when: str, others: list[tuple[str, int]]
) -> None:
    """The kernel would take the caller's next packets to the container that has answered late."""
    host.deploy(files("udp-ports"), "a1")
    _asked(host, 4001)
    for other in others:
        host.out(f"conntrack {_answer(*other)}")
    if when == "during the load":
        _at_each_end(host, f"mkdir /mnt/answered 2>/dev/null && $real {_answer(OLD, 4001)}")
    assert host.change(_moved(), "a2").code == 0
    if when != "during the load":
        host.out(f"conntrack {_answer(OLD, 4001)}")
        assert host.confirm("a2").code == 0
    assert _answered(host) == set(others)


def test_what_the_container_begins_while_its_late_answer_ends_stays(host: Box) -> None:
    """The rules translate both in the same way, and only the late answer's has been read."""
    host.deploy(files("udp-ports"), "a1")
    _asked(host, 4001)
    assert host.change(_moved(), "a2").code == 0
    host.out(f"conntrack {_answer(OLD, 4001)}")
    host.shim("conntrack", f'[ "$1" != -D ] || "$real" {_answer(OLD, 4002)}\nexec "$real" "$@"')
    assert host.confirm("a2").code == 0
    assert _answered(host) == {(OLD, 4002)}


def test_a_late_answer_to_a_caller_on_the_same_host_ends_too(host: Box) -> None:
    """The caller's own port is forwarded to it, so that the answer reaches it."""
    host.deploy(files("udp-ports"), "a1")
    host.out(f"conntrack {_entry(('tcp', NEW, TO, 443, OLD, TO), 4001)}")
    assert host.change(_moved(), "a2").code == 0
    host.out(f"conntrack {_entry(('tcp', OLD, TO, 4001, NEW, TO), 443)}")
    assert host.confirm("a2").code == 0
    assert host.out("conntrack -L -f ipv4 -p tcp 2>/dev/null") == ""


def test_an_answer_of_the_container_that_has_the_port_stays(host: Box) -> None:
    """It goes to the same caller, from the same port."""
    host.deploy(files("udp-ports"), "a1")
    _asked(host, 4001)
    assert host.change(_moved(), "a2").code == 0
    host.out(f"conntrack {_answer(NEW, 4001)}")
    assert host.confirm("a2").code == 0
    assert _answered(host) == {(NEW, 4001)}


def test_a_container_that_sends_continuously_does_not_hold_a_change_up(host: Box) -> None:
    """Its connection begins again each time that it has ended."""
    host.deploy(files("udp-ports"), "a1")
    _asked(host, 4001)
    _at_each_end(host, f"$real {_answer(OLD, 4001)}")
    assert host.change(_moved(), "a2").code == 0
    assert host.confirm("a2").code == 0
    assert _answered(host) == {(OLD, 4001)}


def test_a_change_does_not_fail_because_the_ended_connections_cannot_be_kept(host: Box) -> None:
    """On a full disk, nothing is left of the file, and the confirmation does not look again."""
    host.deploy(files("udp-ports"), "a1")
    _asked(host, 4001)
    host.shim(
        "cp", 'case "$*" in *ended*) echo half >"$2/ended"; exit 1 ;; esac\nexec "$real" "$@"'
    )
    assert host.change(_moved(), "a2").code == 0
    assert not (host.etc / "a2/ended").exists()
    host.out(f"conntrack {_answer(OLD, 4001)}")
    assert host.confirm("a2").code == 0
    assert _answered(host) == {(OLD, 4001)}


def _at_each_end(host: Box, command: str) -> None:
    """Run a command each time that conntrack has ended connections."""
    host.shim("conntrack", f'"$real" "$@" || exit\n[ "$1" != -D ] || {{ {command}; }}')


def _other_target(way: list[str], file: str) -> tuple[str, str]:
    _, address, protocol, ports, container = way
    start, end = ports.split("-")
    text = f"to {address} {protocol} {ports} "
    if file == "ipv4.rules":
        ports = start if start == end else f"{start}:{end}"
        text = (
            f"-d {address}/32 -p {protocol} -m {protocol} --dport {ports} -j DNAT --to-destination "
        )
        if ports == "0:65535":
            text = f"-d {address}/32 -p {protocol} -j DNAT --to-destination "
    return f"{text}{container}\n", f"{text}{NEW}\n"


def test_a_subnet_that_docker_chose_is_known_by_its_bridge(host: Box) -> None:
    """The rules identify it by its bridge too."""
    host.bridge("bridge-coi", "172.31.0.1/16")
    host.deploy(files("snat-docker"), "a1")
    entries: dict[str, Entry] = {
        "wrong": ("udp", "172.31.7.7", OUT4, 53, OUT4, HOST4),
        "right": ("udp", "172.31.7.7", "198.51.100.11", 53, "198.51.100.11", "203.0.113.11"),
    }
    _track(host, entries)
    assert host.run("apply").code == 0
    assert _tracked(host, entries) == {"right"}


@pytest.mark.parametrize("missing", ["the program", "its answer"])
def test_connections_that_cannot_be_read_are_said_to_stay(host: Box, missing: str) -> None:
    """The rules are loaded anyway: they apply to all new connections."""
    if missing == "the program":
        host.out("mount --bind /dev/null /usr/sbin/conntrack")
    else:
        host.shim("conntrack", "echo 'conntrack: Operation not permitted' >&2; exit 1")
    done = host.change(files("dual-stack"), "a1")
    assert (done.code, done.out) == (0, "armed a1\n")
    said = "not installed here" if missing == "the program" else "Operation not permitted"
    assert f"{said}" in done.err
