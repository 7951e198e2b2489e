"""Default routes with several next hops are restored when wanbound's gateway is removed."""

import pytest

from lab.api import Host, Lab
from lab.settings import ROUTER_IPV4, ROUTER_LINK_LOCAL
from lab.steps import wait_until
from providers.ssh.remote import SshRemote
from tests.lab.atomic.sides import CONFIRMED_SECONDS
from tests.lab.base.hosts import routes
from tests.lab.planned import bring, clear, numbered
from tests.lab.together import each

pytestmark = pytest.mark.lab

SEVERAL = (
    "ip -4 route replace default proto static"
    " nexthop via 203.0.113.1 dev wan0 weight 3 nexthop via 203.0.113.2 dev wan0 weight 1;"
    " ip -6 route del default; ip -6 route add default proto static metric 512"
    " nexthop via fe80::1 dev wan0 nexthop via fe80::2 dev wan0"
)

AS_BEFORE = (
    "ip -4 route del default; ip -6 route del default;"
    " systemctl restart systemd-networkd; networkctl reconfigure wan0"
)


@pytest.mark.parametrize("confirmed", [False, True], ids=["undone", "destroyed"])
def test_several_next_hops_come_back(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, confirmed: bool
) -> None:
    """Exactly as before, in both families: after a rollback and after a destroy."""
    monkeypatch.setenv("SSH_AUTH_SOCK", lab.environment()["SSH_AUTH_SOCK"])
    if not confirmed:
        monkeypatch.setattr(SshRemote, "_confirm", lambda *_: None)
    wan = {"interface": "wan0", "gateway_ipv4": ROUTER_IPV4, "gateway_ipv6": ROUTER_LINK_LOCAL}

    def there_and_back(host: Host) -> None:
        own = routes(host)
        host.run(SEVERAL)
        try:
            before = routes(host)
            assert before.count("nexthop") == 4
            bring(host, numbered(host, {"net": 51}, wan=wan), confirm_seconds=CONFIRMED_SECONDS)
            assert "default via 203.0.113.1 dev wan0 proto static" in routes(host)
            if confirmed:
                clear(host)
            else:
                wait_until(
                    f"{host.name} undoes it",
                    lambda: host.run("ls -d /etc/wanbound", check=False).status != 0,
                    timeout=4 * CONFIRMED_SECONDS,
                    every=0.2,
                )
            assert routes(host) == before
        finally:
            host.run(AS_BEFORE)
            # networkd makes them when it likes; the next test must not begin before that.
            wait_until(f"{host.name} has its own routes", lambda: routes(host) == own, timeout=60)

    each(lab.hosts.values(), there_and_back)
