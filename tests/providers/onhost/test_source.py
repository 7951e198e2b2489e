"""The source address of the host's own connections does not depend on the order of addresses."""

from tests.providers.onhost.box import Box
from tests.providers.onhost.generations import files

OURS, OWN, GATEWAY = "203.0.113.20", "203.0.113.101", "203.0.113.1"
OWN_LAST = f"ip addr del {OWN}/24 dev wan0; ip addr add {OWN}/32 dev wan0"
"""The host's own address comes after the public one, as after a restart of its interface."""

ROUTE = f"ip route replace default via {GATEWAY} dev wan0 onlink"

_PEER = f"""\
ip netns add peer && ip link set wan0-peer netns peer
ip -n peer link set lo up && ip -n peer link set wan0-peer up
ip -n peer addr add {GATEWAY}/24 dev wan0-peer
"""

_HEAR = f"""\
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as at:
    at.bind(("{GATEWAY}", 5000))
    at.settimeout(10)
    open("/mnt/hears", "w").close()
    while True:
        word, (address, port) = at.recvfrom(99)
        at.sendto(b"answer", (address, port))
        print(word.decode(), address, flush=True)
        if word == b"end":
            break
"""

_SEND = f"""\
import socket
for word, source in ((b"own", ""), (b"bound", "{OURS}"), (b"end", "")):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as to:
        to.settimeout(5)
        to.bind((source, 0))
        to.sendto(word, ("{GATEWAY}", 5000))
        assert to.recv(99) == b"answer"
"""


def _scope(host: Box, address: str = OURS) -> str:
    words = host.out(f"ip -o -4 addr show to {address}/32 dev wan0").split()
    return words[words.index("scope") + 1]


def _source(host: Box) -> str:
    words = host.out("ip route get 198.51.100.1").split()
    return words[words.index("src") + 1]


def test_the_host_keeps_its_own_source(host: Box) -> None:
    """Without a repair, both the kernel's choice and a real packet have the host's own source."""
    host.out(_PEER)
    host.deploy(files("dual-stack"), "a1")
    host.out(f"{OWN_LAST}; {ROUTE}")
    assert _source(host) == OWN
    for name, text in (("hear", _HEAR), ("send", _SEND)):
        (host.root / f"mnt/{name}.py").write_text(text)
    with host.popen("exec ip netns exec peer python3 /mnt/hear.py") as hears:
        host.out("until [ -e /mnt/hears ]; do sleep 0.1; done; python3 /mnt/send.py")
        heard, _ = hears.communicate(timeout=20)
    # A program that binds to the public address gets it, and answers reach it.
    assert heard.splitlines() == [f"own {OWN}", f"bound {OURS}", f"end {OWN}"]
    assert host.run("mend").err == ""


_LEASES = f"""\
start {OWN}
end {OWN}
interface wan0-peer
lease_file /mnt/leases
pidfile /mnt/udhcpd.pid
option subnet 255.255.255.255
option router {GATEWAY}
option lease 20
"""

# As in Debian's script: flush the interface, then add the leased address.
_LEASED = """\
#!/bin/dash
case $1 in
deconfig) ip -4 addr flush dev $interface ;;
bound | renew)
    ip -4 addr replace $ip/$mask dev $interface
    ip route replace default via $router dev $interface onlink
    ;;
esac
"""


def test_an_address_from_dhcp_is_its_source(host: Box) -> None:
    """Ours exist before the lease comes, and each new lease is added after them."""
    host.out(_PEER)
    (host.root / "mnt/udhcpd.conf").write_text(_LEASES)
    (host.root / "mnt/leased").write_text(_LEASED)
    (host.root / "mnt/again").write_text(_LEASED.replace("ip -4 addr flush dev $interface", ":"))
    host.out("touch /mnt/leases; chmod 755 /mnt/leased /mnt/again; ip -4 addr flush dev wan0")
    host.deploy(files("dual-stack"), "a1")
    with host.popen("exec ip netns exec peer busybox udhcpd -f /mnt/udhcpd.conf") as server:
        try:
            for _ in range(2):
                host.out("busybox udhcpc -f -q -n -i wan0 -s /mnt/leased")
                host.run("mend")
                assert _source(host) == OWN
                # Ours come first: added before the lease, or by the repair before the next one.
                assert _scope(host) == "host"
            host.out(
                f"ip addr del {OWN}/32 dev wan0; busybox udhcpc -f -q -n -i wan0 -s /mnt/again"
            )
            shown = host.out("ip -o -4 addr show dev wan0")
            assert shown.index(OURS) < shown.index(OWN)
            assert _source(host) == OWN
        finally:
            # Processes that it started end with the box.
            server.kill()


def test_an_address_that_the_host_had_gets_its_scope(host: Box) -> None:
    """It was added manually; routes with it as their source stay."""
    host.out(f"ip addr add {OURS}/32 dev wan0; {OWN_LAST}; {ROUTE} src {OURS}")
    routes = host.out("ip -4 route; ip -4 route show table local")
    host.deploy(files("dual-stack"), "a1")
    assert _scope(host) == "host"
    assert host.out("ip -4 route; ip -4 route show table local") == routes
    host.out(ROUTE)
    assert _source(host) == OWN


def test_the_address_is_there_all_the_time(host: Box) -> None:
    """It never disappears while its scope changes; the undo finishes an interrupted change."""
    host.out(f"ip addr add {OURS}/32 dev wan0")
    before = host.kernel
    host.shim(
        "ip",
        'case "$1" in -batch) ;; *) exec $real "$@" ;; esac\n'
        "while read -r line; do\n"
        "    echo $line | $real -batch - || exit\n"
        "    [ ! -e /mnt/refused ] || continue\n"
        f"    $real -4 route show table local | grep -q '^local {OURS} ' || echo gone >>/mnt/gone\n"
        '    case "$line" in "addr del"*/32*)\n'
        "        echo refused | tee /mnt/refused >&2; exit 1 ;;\n"
        "    esac\n"
        'done <"$2"\n',
    )
    done = host.change(files("dual-stack"), "a1")
    assert (done.code, host.files, host.kernel) == (12, [], before), done
    assert not (host.root / "mnt/gone").exists()


def test_an_undo_gives_the_scope_back(host: Box) -> None:
    """The host had the address before the first change."""
    host.out(f"ip addr add {OURS}/32 dev wan0")
    before = host.kernel
    assert host.change(files("dual-stack"), "a1").code == 0
    assert _scope(host) == "host"
    host.overdue()
    host.run("undo", "a1")
    assert (host.kernel, _scope(host)) == (before, "global")


def test_another_scope_is_noticed_and_repaired(host: Box) -> None:
    """Here the address was deleted and added again."""
    host.deploy(files("dual-stack"), "a1")
    host.out(f"ip addr del {OURS}/32 dev wan0; ip addr add {OURS}/32 dev wan0")
    assert "loaded: host\n" in host.run("mend").err
    assert _scope(host) == "host"
    assert host.run("mend").err == ""


def test_a_change_of_scope_that_was_cut_short_is_finished(host: Box) -> None:
    """The temporary second prefix of the address is removed."""
    host.deploy(files("dual-stack"), "a1")
    host.out(
        f"ip addr add {OURS}/31 dev wan0 scope host noprefixroute; ip addr del {OURS}/32 dev wan0"
    )
    assert "repairing" in host.run("mend").err
    assert f"{OURS}/31" not in host.kernel
    assert _scope(host) == "host"
