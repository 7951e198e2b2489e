"""What counts as a difference for the observer, and what does not."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lab.faults import observer

SAVED = """\
*nat
:WANBOUND-SNAT - [0:0]
-A POSTROUTING -j WANBOUND-SNAT
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A WANBOUND-SNAT -s 172.24.0.0/24 ! -o web -j SNAT --to-source 203.0.113.20
COMMIT
*filter
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER-USER -j WANBOUND-FORWARD
-A DOCKER-USER -j RETURN
-A INPUT -p tcp -j f2b-sshd
-A INPUT -j WANBOUND-INPUT
-A WANBOUND-FORWARD -i web -j ACCEPT
COMMIT
"""
RULES = [
    "ipv4 filter: -A WANBOUND-FORWARD -i web -j ACCEPT",
    "ipv4 filter: INPUT → WANBOUND-INPUT last",
    "ipv4 filter: FORWARD → WANBOUND-FORWARD first",
    "ipv4 nat: -A WANBOUND-SNAT -s 172.24.0.0/24 ! -o web -j SNAT --to-source 203.0.113.20",
    "ipv4 nat: POSTROUTING → WANBOUND-SNAT first",
]


def test_rules_and_jumps_are_told() -> None:
    """It returns wanbound's chains line by line, each jump with its position, and nothing else."""
    assert list(observer.own_rules("ipv4", SAVED)) == RULES


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("-s 172.17.0.0/16 ! -o docker0 -j MASQUERADE", "-j ACCEPT"),
        ("-A FORWARD -j DOCKER-FORWARD\n", ""),
        # Without Docker's chain the jump is in FORWARD itself.
        ("-A FORWARD -j DOCKER-USER\n", "-A FORWARD -j WANBOUND-FORWARD\n"),
        ("-A INPUT -p tcp -j f2b-sshd\n", ""),
    ],
)
def test_what_others_do_is_no_difference(old: str, new: str) -> None:
    """Other programs' changes are ignored, as long as no rule precedes wanbound's."""
    assert old in SAVED
    assert list(observer.own_rules("ipv4", SAVED.replace(old, new))) == RULES


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("-A POSTROUTING -j WANBOUND-SNAT\n", ""),
        ("-A POSTROUTING -j", "-A POSTROUTING -o wan0 -j MASQUERADE\n-A POSTROUTING -j"),
        ("-A POSTROUTING -j", "-A POSTROUTING -j WANBOUND-SNAT\n-A POSTROUTING -j"),
        ("-A DOCKER-USER -j W", "-A DOCKER-USER -j RETURN\n-A DOCKER-USER -j W"),
        ("-A FORWARD -j DOCKER-USER", "-A FORWARD -j ACCEPT\n-A FORWARD -j DOCKER-USER"),
        ("-A INPUT -j WANBOUND-INPUT\n", "-A INPUT -j WANBOUND-INPUT\n-A INPUT -j ACCEPT\n"),
        ("-A WANBOUND-FORWARD -i web -j ACCEPT\n", ""),
        ("--to-source 203.0.113.20", "--to-source 203.0.113.21"),
    ],
)
def test_what_is_done_to_ours_is_a_difference(old: str, new: str) -> None:
    """A missing or different line; a jump that is missing, doubled or behind other rules."""
    assert old in SAVED
    assert list(observer.own_rules("ipv4", SAVED.replace(old, new, 1))) != RULES


def test_the_order_of_tables_means_nothing() -> None:
    """The legacy iptables prints the tables in the order of their first use."""
    nat, filter_ = SAVED.split("*filter\n")
    assert list(observer.own_rules("ipv4", f"*filter\n{filter_}{nat}")) == RULES


def test_addresses_that_matter() -> None:
    """Addresses of wan0 except the link-local ones; elsewhere, single addresses."""
    shown = """\
1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever
3: wan0    inet 203.0.113.101/24 brd 203.0.113.255 scope global wan0\\       valid_lft forever
3: wan0    inet6 2001:db8::20/128 scope global tentative deprecated \\       valid_lft forever
3: wan0    inet6 fe80::2/64 scope link \\       valid_lft forever
2: host0    inet 10.96.0.11/24 scope global host0\\       valid_lft forever
2: host0    inet 203.0.113.20/32 scope global host0\\       valid_lft forever
5: web    inet 172.24.0.1/24 scope global web\\       valid_lft forever
"""
    assert observer.addresses(shown) == [
        "address: host0 203.0.113.20/32",
        "address: wan0 2001:db8::20/128 deprecated",
        "address: wan0 203.0.113.101/24",
    ]


def test_a_table_of_nft_has_no_order_of_its_own() -> None:
    """Maps and chains are compared without their order, rules with it."""
    one = "table inet wanbound {\n\tmap a {\n\t\telements = { x : 1,\n\t\t\ty : 2 }\n\t}\n"
    other = "table inet wanbound {\n\tmap a {\n\t\telements = { y : 2, x : 1 }\n\t}\n"
    chain = "\tchain c {\n\t\tdrop\n\t\taccept\n\t}\n"
    turned = "\tchain c {\n\t\taccept\n\t\tdrop\n\t}\n"
    assert observer.blocks(f"{one}{chain}}}") == observer.blocks(f"{other}{chain}}}")
    assert observer.blocks(f"{one}{chain}}}") != observer.blocks(f"{one}{turned}}}")


NAT = """\
table inet wanbound {
\tmap snat-ipv4 {
\t\ttype ipv4_addr : verdict
\t\tflags interval
\t\telements = { 172.24.0.0/24 : jump snat-web,
\t\t\t     172.25.0.0/24 : jump snat-mail }
\t}

\tchain snat-web {
\t\toifname != "web" snat ip to 203.0.113.20
\t\toifname "web" ct status dnat snat ip to 203.0.113.20
\t}

\tchain nat-postrouting {
\t\ttype nat hook postrouting priority srcnat - 5; policy accept;
\t\tip saddr vmap @snat-ipv4
\t}
}
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("172.24.0.0/24 : jump snat-web,\n\t\t\t     ", ""),
        ('\t\toifname != "web" snat ip to 203.0.113.20\n', ""),
        ("to 203.0.113.20\n\t\toifname", "to 203.0.113.21\n\t\toifname"),
        ("\t\tip saddr vmap @snat-ipv4\n", ""),
        ("srcnat - 5", "srcnat"),
    ],
)
def test_the_nat_of_a_host_in_nftables_is_told(old: str, new: str) -> None:
    """It is in the guard's table: a map's element, a rule and a chain's priority count."""
    assert old in NAT
    assert len(observer.blocks(NAT)) == 3
    assert observer.blocks(NAT.replace(old, new)) != observer.blocks(NAT)


def test_the_files_of_a_generation_matter_and_its_records_do_not(tmp_path: Path) -> None:
    """Its records of the host's earlier state differ each time."""
    for name in ("ipv4.rules", "was", "before", "added"):
        (tmp_path / name).write_text("")
    assert list(observer.files(tmp_path)) == ["file: ipv4.rules e3b0c44298fc"]
    assert list(observer.files(tmp_path / "none")) == []


def test_an_injection_is_timed_and_its_failure_told() -> None:
    """The end is the shell's own time after the last command."""
    done = observer.Injection("sleep 0.2", {})
    done.run()
    assert done.status == 0
    assert 0.2 <= done.end - done.begin < 5
    failed = observer.Injection("echo no; exit 3; sleep 9", {})
    failed.run()
    assert (failed.status, failed.said) == (3, "no\n")


def test_the_observer_runs_without_other_modules(tmp_path: Path) -> None:
    """It needs nothing but Python; a machine without these tools has nothing of wanbound."""
    program = tmp_path / "observer.py"
    program.write_text(Path(observer.__file__).read_text())
    request: observer.Request = {
        "inject": "true",
        "before": None,
        "environment": {},
        "limit": 5,
        "settled": 0.1,
    }
    done = subprocess.run(
        [sys.executable, "-I", str(program)],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    found = json.loads(done.stdout)
    assert (found["status"], found["changes"]) == (0, [])
    assert found["looks"] > 1
