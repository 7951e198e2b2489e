"""The host's own connections leave with its own address, whatever the order of the addresses.

As at hosters where a server has a /32 and a gateway outside of it: the kernel goes by order there.
"""

from collections.abc import Iterator, Sequence

import pytest

from lab.api import Host, Lab
from lab.settings import ECHO_IPV4, ROUTER_IPV4
from lab.steps import wait_until
from tests.lab.onhost.repair import ALLOWED_SECONDS, NUMBERS
from tests.lab.together import each, on_each

pytestmark = pytest.mark.lab

NETWORK = "/etc/systemd/network/10-wan0.network"

SAVED = "/root/wan0.before"

# The gateway is outside of the address's subnet; a route declares it to be on the link.
ALONE = f"""\
set -e
cp {NETWORK} {SAVED}
sed -i 's|^\\(Address=.*\\.[0-9]*\\)/24$|\\1/32|; /^Gateway={ROUTER_IPV4}$/d' {NETWORK}
printf '\\n[Route]\\nGateway={ROUTER_IPV4}\\nGatewayOnLink=yes\\n' >>{NETWORK}
networkctl reload
networkctl reconfigure wan0
"""

AS_BEFORE = f"cat {SAVED} >{NETWORK}; rm {SAVED}; networkctl reload; networkctl reconfigure wan0"


@pytest.fixture(scope="module")
def loners(hosts: Sequence[Host]) -> Iterator[Sequence[Host]]:
    """The hosts, with a /32 as their own address."""

    def configured(host: Host, command: str) -> None:
        host.run(command)
        wait_until(f"{host.name} is on the wan", lambda: _seen(host) != "", timeout=30, every=0.5)
        # networkd has removed addresses that it did not configure.
        host.run("wanbound mend")

    each(hosts, lambda host: configured(host, ALONE))
    yield hosts
    each(hosts, lambda host: configured(host, AS_BEFORE))


def _seen(host: Host) -> str:
    """Return the source that the IP-echo service sees, "" if it is not reached."""
    return host.run(f"curl -sf -m 5 http://{ECHO_IPV4}/", check=False).stdout.strip()


def _public(host: Host) -> str:
    return f"203.0.113.{NUMBERS[host.name]}"


@on_each
def test_its_own_address_comes_back_last(loner: Host) -> None:
    """It was added again behind the public one. That is no drift, and nothing repairs it."""
    own = loner.wan_ipv4
    loner.run(
        f"ip addr del {own}/32 dev wan0; ip addr add {own}/32 dev wan0;"
        f" ip route replace default via {ROUTER_IPV4} dev wan0 onlink"
    )
    shown = loner.run("ip -o -4 addr show dev wan0").stdout
    assert shown.index(f" {_public(loner)}/32") < shown.index(f" {own}/32")
    assert _seen(loner) == own
    assert loner.run("wanbound mend 2>&1").stdout == ""


@pytest.mark.parametrize(
    "restart",
    [
        "ip link set wan0 down; sleep 1; ip link set wan0 up; networkctl reconfigure wan0",
        "networkctl reconfigure wan0",
        "systemctl restart systemd-networkd",
        "ip addr flush dev wan0; networkctl reconfigure wan0",
    ],
)
@on_each
def test_its_interface_is_restarted(loner: Host, restart: str) -> None:
    """The host never sends a packet with the public address."""
    loner.run(restart)
    seen: set[str] = set()

    def settled() -> bool:
        seen.add(_seen(loner))
        shown = loner.run("ip -o -4 addr show dev wan0").stdout
        return all(f" {each}/32" in shown for each in (loner.wan_ipv4, _public(loner)))

    wait_until(f"{loner.name} has both addresses", settled, timeout=4 * ALLOWED_SECONDS, every=0.2)
    seen.add(_seen(loner))
    print(f"{loner.name}: {restart}: {sorted(seen)}")
    assert loner.wan_ipv4 in seen
    assert seen <= {"", loner.wan_ipv4}


def test_a_reboot(lab: Lab, loners: Sequence[Host]) -> None:
    """Packets of the hosts during and after the boot, captured outside."""
    publics = {_public(host) for host in loners}
    with lab.internet.capture(f"dst host {ECHO_IPV4}") as seen:
        each(loners, lambda host: host.reboot())
        assert each(loners, _seen) == [host.wan_ipv4 for host in loners]
    sources = {packet.src for packet in seen.packets}
    print(sorted(sources))
    assert {host.wan_ipv4 for host in loners} <= sources
    assert not sources & publics
