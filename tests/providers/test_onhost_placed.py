"""The subnet that Docker chose, put into the one rule that needs it: on the host, by its script."""

import shutil
import subprocess
from pathlib import Path

import pytest
from providers.fragment import claims, fragment
from providers.live import GUARD_BRIDGE, parse
from providers.live_rules import live_rules

from tests.planner import golden
from tests.providers.shell import PARTS

AWKS = [words for words in (["mawk"], ["busybox", "awk"], ["gawk"]) if shutil.which(words[0])]
BRIDGE = "bridge-coi"
LINE = f"-A WANBOUND-SNAT -s @{BRIDGE} ! -o {BRIDGE} -j SNAT --to-source 203.0.113.11"
RULES = {
    "addresses": {
        "wan0 ipv4": "inet 203.0.113.11/32 scope global wan0",
        "wan0 ipv6": "inet6 2001:db8::11/128 scope global deprecated nodad",
    },
    "nat_ipv4": {"egress": LINE},
    "guard": {
        "bridge ipv4": f'add element inet wanbound by-bridge {{ "{BRIDGE}" : jump egress-x }}',
        "egress ipv4": "add rule inet wanbound egress-x ip saddr != 203.0.113.11 counter drop",
    },
}


@pytest.fixture(params=AWKS, ids=lambda words: words[0])
def awk(request: pytest.FixtureRequest) -> list[str]:
    """Each awk of this machine; Debian's is mawk."""
    words: list[str] = request.param
    return words


def _composed(awk: list[str], folder: Path, addresses: str) -> Path:
    out = folder / "out"
    (out / "next").mkdir(parents=True)
    (folder / "x.rules").write_text(fragment("x", BRIDGE, RULES))
    (folder / "addresses").write_text(addresses)
    (folder / "none").write_text("")
    words = [*awk, "-v", f"out={out}", "-v", "whole=whole", "-f", str(PARTS / "compose.awk")]
    words += ["kind=before", str(folder / "x.rules"), "kind=saved", "family=ipv4"]
    words += [str(folder / "none"), "kind=addresses", str(folder / "addresses")]
    subprocess.run(words, check=True, timeout=60)
    return out


@pytest.mark.parametrize(
    ("address", "subnet"),
    [
        ("172.18.0.1/16", "172.18.0.0/16"),
        ("10.200.3.129/25", "10.200.3.128/25"),
        ("192.168.7.254/30", "192.168.7.252/30"),
        ("10.255.0.1/8", "10.0.0.0/8"),
        ("172.19.77.1/20", "172.19.64.0/20"),
        ("10.1.2.3/32", "10.1.2.3/32"),
    ],
)
def test_the_bridges_subnet_is_put_in(
    awk: list[str], tmp_path: Path, address: str, subnet: str
) -> None:
    """In the form of iptables-save; the address that stands first is the one of Docker."""
    text = (
        f"2: wan0    inet 203.0.113.5/24 scope global wan0\\  valid_lft forever\n"
        f"9: {BRIDGE}    inet {address} brd 1.2.3.4 scope global {BRIDGE}\\  valid_lft forever\n"
        f"9: {BRIDGE}    inet 10.99.0.1/24 scope global {BRIDGE}\\  valid_lft forever\n"
    )
    restore = (_composed(awk, tmp_path, text) / "ipv4.restore").read_text()
    assert LINE.replace(f"@{BRIDGE}", subnet) in restore.splitlines()
    assert "@" not in restore


def test_without_a_bridge_there_is_no_line(awk: list[str], tmp_path: Path) -> None:
    """But its chain and the guard, which needs no subnet: closed, not open."""
    out = _composed(awk, tmp_path, "2: wan0    inet 203.0.113.5/24 scope global wan0\\  x\n")
    restore = (out / "ipv4.restore").read_text()
    assert ":WANBOUND-SNAT - [0:0]" in restore
    assert "SNAT --to-source" not in restore
    guard = (out / "guard.full").read_text()
    assert "iifname vmap @by-bridge" in guard
    assert f'"{BRIDGE}" : jump egress-x' in guard


def test_an_address_that_is_bound_to_is_not_looked_for_first(
    awk: list[str], tmp_path: Path
) -> None:
    """For a second nothing could bind to it, and Docker would not try again."""
    out = _composed(awk, tmp_path, "2: wan0    inet 203.0.113.5/24 scope global wan0\\  x\n")
    assert sorted((out / "addresses.batch").read_text().splitlines()) == [
        "addr add 2001:db8::11/128 dev wan0 preferred_lft 0 nodad",
        "addr add 203.0.113.11/32 dev wan0",
    ]


def test_other_networks_have_no_such_map(awk: list[str], tmp_path: Path) -> None:
    """A host without such a network has the table that it always had."""
    (tmp_path / "x.rules").write_text(
        "guard add rule inet wanbound from-x counter drop\n"
        'guard add element inet wanbound from { "x" : jump from-x }\n'
    )
    out = tmp_path / "out"
    (out / "next").mkdir(parents=True)
    words = [*awk, "-v", f"out={out}", "-v", "whole=whole", "-f", str(PARTS / "compose.awk")]
    subprocess.run([*words, "kind=before", str(tmp_path / "x.rules")], check=True, timeout=60)
    assert "by-bridge" not in (out / "guard.full").read_text()


def test_what_is_claimed_is_what_is_known() -> None:
    """Not the subnet; and every address that something comes in by."""
    assert list(claims(BRIDGE, RULES)) == [("bridge", BRIDGE), ("address", "203.0.113.11")]
    text = golden.expected("ingress-addresses")
    nat = {
        str(n): line[line.index("-A ") :]
        for n, line in enumerate(text.splitlines())
        if "-A WANBOUND-DNAT -d 203" in line
    }
    egress = "-A WANBOUND-SNAT -s 172.20.0.0/24 ! -o mail -j SNAT --to-source 203.0.113.20"
    found = list(claims("mail", {"nat_ipv4": {**nat, "egress": egress}}))
    addresses = ["203.0.113.20", "203.0.113.21", "203.0.113.22"]
    assert found[2:] == [("address", address) for address in addresses]


def _state(*, subnet: str, link: str = BRIDGE, base: bool = True) -> str:
    line = LINE.replace(f"@{BRIDGE}", subnet)
    guard = "\n".join(
        [
            "table inet wanbound {",
            "map by-bridge {",
            f'elements = {{ "{BRIDGE}" : jump egress-x }}',
            "}",
            "chain egress-x {",
            "ip saddr != 203.0.113.11 counter drop",
            "}",
            "chain postrouting {",
            "type filter hook postrouting priority 150; policy accept;",
            *(["iifname vmap @by-bridge"] if base else []),
            "}",
            "}",
        ]
    )
    return (
        f"== ipv4 nat\n-A POSTROUTING -j WANBOUND-SNAT\n{line}\n== addresses\n"
        "2: wan0    inet 203.0.113.11/32 scope global wan0\\ valid_lft forever\n"
        "2: wan0    inet6 2001:db8::11/128 scope global deprecated\\ valid_lft forever\n"
        f"9: {link}    inet 172.18.0.1/16 brd 172.18.255.255 scope global {link}\\ x\n"
        f"== routes\n== links\n== sysctls\n== guard\n{guard}\n"
        f"== fragment x.rules\n{fragment('x', BRIDGE, RULES)}"
        "== units\nscript missing\nno systemd\n== docker\nno docker\n== end\n"
    )


def test_a_refresh_sees_the_line_as_it_was_declared() -> None:
    """The subnet is what the bridge has: nothing has drifted."""
    found = live_rules("x", BRIDGE, RULES, parse(_state(subnet="172.18.0.0/16")))
    assert found is not None
    assert found["nat_ipv4"]["egress"] == LINE
    assert not any(
        role.startswith("drift") and "172.18" in line
        for lines in found.values()
        for role, line in lines.items()
    )
    assert found["addresses"]["wan0 ipv6"].endswith(" nodad")


@pytest.mark.parametrize(
    "state",
    [_state(subnet="172.19.0.0/16"), _state(subnet="172.18.0.0/16", link="another")],
    ids=["another subnet", "no bridge"],
)
def test_a_refresh_sees_another_subnet(state: str) -> None:
    """As the line that stands there, or as none."""
    found = live_rules("x", BRIDGE, RULES, parse(state))
    assert found is not None
    assert found["nat_ipv4"].get("egress") != LINE


def test_a_refresh_misses_the_line_of_the_guard() -> None:
    """Without it the element finds nothing."""
    found = live_rules("x", BRIDGE, RULES, parse(_state(subnet="172.18.0.0/16", base=False)))
    assert found is not None
    assert found["guard"]["drift bridge"] == f"{GUARD_BRIDGE} is gone"
