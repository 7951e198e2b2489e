"""An IPv6 address in use by another machine on the link: the kernel finds it, the host reports."""

from tests.providers.onhost.box import Box
from tests.providers.onhost.generations import files

OURS = "2001:db8::20"

_PEER = """\
ip netns add peer && ip link set wan0-peer netns peer
ip -n peer link set lo up && ip -n peer link set wan0-peer up
# As on a real host, where the kernel asks the link for an address.
echo 1 >/proc/sys/net/ipv6/conf/wan0/accept_dad
"""

_DECIDED = f"""\
tries=0
until ip -6 addr show dev wan0 to {OURS} | grep -q dadfailed ||
    ! ip -6 addr show dev wan0 to {OURS} tentative | grep -q .; do
    sleep 0.1
    tries=$((tries + 1))
    [ "$tries" -lt 60 ] || exit 1
done
"""


_COUNT = 'case "$*" in "-o addr show"*) echo x >>/mnt/asked ;; esac; exec $real "$@"'


def _kernel(host: Box) -> str:
    """Return what is in force; a new address is tentative for a second."""
    return host.kernel.replace(" tentative", "")


def _asked(host: Box) -> int:
    """Return how often the host has read its addresses since `_COUNT`."""
    return (host.root / "mnt/asked").read_text().count("x")


def _peer_has_it(host: Box) -> None:
    host.out(f"ip -n peer addr add {OURS}/64 dev wan0-peer nodad")


def _peer_has_it_not(host: Box) -> None:
    host.out(f"ip -n peer addr del {OURS}/64 dev wan0-peer")


def _deployed_and_taken(host: Box) -> None:
    """Let another machine take the host's address while the host is down."""
    host.out(_PEER)
    host.deploy(files("dual-stack"), "a1")
    _peer_has_it(host)
    host.reboot()
    host.out("echo 1 >/proc/sys/net/ipv6/conf/wan0/accept_dad")
    assert host.run("apply").code == 0
    host.out(_DECIDED)
    assert "dadfailed" in host.kernel


def test_a_change_that_adds_it_is_undone(host: Box) -> None:
    """All of it, at once; the message names the address and the interface."""
    host.out(_PEER)
    before, names = host.kernel, host.files
    _peer_has_it(host)
    assert host.change(files("dual-stack"), "a1").code == 0
    done = host.confirm("a1")
    assert done.code == 25, done
    said = f"wanbound: {OURS} is in use by another machine on the link of wan0: "
    assert said in done.err
    assert (host.kernel, host.files) == (before, names)
    # The answer was lost, and the confirmation is sent again.
    assert host.confirm("a1").code == 17
    _peer_has_it_not(host)
    host.deploy(files("dual-stack"), "a2")
    assert "dadfailed" not in host.kernel
    assert f"{OURS}/128" in host.kernel


def test_the_old_state_is_back_after_it(host: Box) -> None:
    """The old generation is back, with its rules and addresses."""
    host.out(_PEER)
    host.deploy(files("udp-ports"), "a1")
    kernel, names = _kernel(host), host.files
    _peer_has_it(host)
    assert host.change(files("dual-stack", "udp-ports"), "a2").code == 0
    assert host.confirm("a2").code == 25
    assert (_kernel(host), host.files, host.current) == (kernel, names, "a1")
    assert host.run("mend").err == ""


def test_a_confirmation_waits_for_the_kernels_answer_alone(host: Box) -> None:
    """Where no address was added, the confirmation does not wait."""
    host.out(_PEER)
    host.deploy(files("dual-stack"), "a1")
    assert OURS in host.kernel
    assert " tentative" not in host.kernel
    assert host.change(files("dual-stack", "dual-stack"), "a2").code == 0
    host.shim("ip", _COUNT)
    assert host.confirm("a2").code == 0
    assert _asked(host) < 5


def test_the_watcher_says_it_once(host: Box) -> None:
    """A load cannot repair a duplicate, so none is tried, and it is reported once."""
    _deployed_and_taken(host)
    done = host.run("mend")
    assert done.code == 0
    assert "repairing" not in done.err
    assert done.err.count(f"{OURS} is in use by another machine on the link of wan0") == 1
    assert "wanbound apply" in done.err
    for _ in range(2):
        assert host.run("mend").err == ""
    # A repair of something else adds the address again, with the same result.
    host.out("iptables -t nat -D WANBOUND-SNAT 1")
    assert "loaded: ipv4\n" in host.run("mend").err
    assert host.run("mend").err == ""
    host.out(_DECIDED)
    assert host.run("mend").err == ""


def test_a_change_of_something_else_is_made(host: Box) -> None:
    """The change neither caused the duplicate nor can repair it; a note reports it."""
    _deployed_and_taken(host)
    assert host.change(files("dual-stack", "dual-stack"), "a2").code == 0
    done = host.confirm("a2")
    assert done.code == 0, done
    assert f"note {OURS} is in use by another machine on the link of wan0" in done.err
    assert (host.current, host.confirmed) == ("a2", "a2")


def test_an_apply_asks_again(host: Box) -> None:
    """The message asks for an apply once the other machine has released the address."""
    _deployed_and_taken(host)
    host.run("mend")
    _peer_has_it_not(host)
    assert host.run("apply").code == 0
    host.out(_DECIDED)
    assert "dadfailed" not in host.kernel
    assert host.run("mend").err == ""
    assert host.out(f"ip -6 route show table local {OURS}") != ""


def test_a_confirmation_does_not_wait_for_ever(host: Box) -> None:
    """Without a carrier the kernel never checks for duplicates."""
    host.out(
        f"{_PEER} ip -n peer link set wan0-peer down\nip link set wan0 down && ip link set wan0 up"
    )
    assert host.change(files("dual-stack"), "a1").code == 0
    host.shim("ip", _COUNT)
    assert host.confirm("a1").code == 0
    assert _asked(host) > 20
    assert host.confirmed == "a1"
    assert " tentative" in host.kernel
