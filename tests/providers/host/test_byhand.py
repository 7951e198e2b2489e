"""Foreign rules that do the work of a network are found, and no others."""

import subprocess
import time
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.host.byhand import BOOT_FILES, Family, Needles, found

NEEDLES = Needles(
    publics=frozenset({ip_address("203.0.113.20"), ip_address("2001:db8::20")}),
    subnets=frozenset({ip_network("172.20.0.0/24"), ip_network("fd20:10::/64")}),
    bridges=frozenset({"mail"}),
)


def named(saved: str, family: Family = "ipv4") -> list[str]:
    """Return the rules found in the kernel's."""
    return found(family, NEEDLES, saved, {})


@pytest.mark.parametrize(
    ("family", "table", "rule"),
    [
        ("ipv4", "nat", "POSTROUTING -s 172.20.0.0/24 ! -o mail -j SNAT --to-source 203.0.113.20"),
        ("ipv4", "nat", "POSTROUTING -s 172.20.0.0/24 ! -o mail -j MASQUERADE"),
        ("ipv4", "nat", "POSTROUTING -s 172.20.0.254/32 -p udp -j MASQUERADE"),
        ("ipv4", "nat", "POSTROUTING -o mail -j MASQUERADE"),
        ("ipv4", "nat", "POSTROUTING -s 10.0.0.0/8 -j SNAT --to-source 203.0.113.20-203.0.113.21"),
        ("ipv4", "nat", "PREROUTING -d 203.0.113.20/32 -p tcp -j DNAT --to-destination 10.0.0.2"),
        ("ipv4", "nat", "PREROUTING -d 203.0.113.20/32 -p tcp -j REDIRECT --to-ports 8080"),
        ("ipv4", "nat", "OUTPUT -p tcp -j DNAT --to-destination 172.20.0.7:25"),
        ("ipv4", "nat", "mine -s 172.20.0.128/25 -j SNAT --to-source 203.0.113.99"),
        ("ipv4", "filter", "FORWARD -s 172.20.0.0/24 -j ACCEPT"),
        ("ipv4", "filter", "DOCKER-USER -i mail -o wan0 -j ACCEPT"),
        ("ipv6", "nat", "POSTROUTING -s fd20:10::/64 ! -o mail -j SNAT --to-source 2001:db8::20"),
        ("ipv6", "nat", "PREROUTING -d 2001:db8::20/128 -p tcp -j DNAT --to-destination fd00::9"),
        ("ipv6", "nat", "PREROUTING -i wan0 -j DNAT --to-destination fd20:10:0:0:1::7"),
        ("ipv6", "filter", "FORWARD -d fd20:10::/64 -m conntrack --ctstate ESTABLISHED -j ACCEPT"),
    ],
)
def test_what_does_our_work_is_named(family: Family, table: str, rule: str) -> None:
    """The report is only the command that removes it."""
    jump = "-A FORWARD -j DOCKER-USER\n" if table == "filter" else ""
    saved = f"*{table}\n{jump}-A {rule}\nCOMMIT\n"
    tool = "iptables" if family == "ipv4" else "ip6tables"
    assert named(saved, family) == [f"{tool} -t {table} -D {rule}"]


@pytest.mark.parametrize(
    ("table", "rule"),
    [
        # Ours and Docker's: Docker's chains, and Docker's rules in the built-in ones.
        ("nat", "WANBOUND-SNAT -s 172.20.0.0/24 ! -o mail -j SNAT --to-source 203.0.113.20"),
        ("nat", "DOCKER ! -i mail -p tcp -m tcp --dport 80 -j DNAT --to-destination 172.20.0.2:80"),
        ("nat", "POSTROUTING -s 172.20.0.2/32 -d 172.20.0.2/32 -p tcp -m tcp --dport 80"
                " -j MASQUERADE"),
        ("nat", "POSTROUTING -o mail -m addrtype --src-type LOCAL -j MASQUERADE"),
        ("filter", "FORWARD -o mail -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"),
        ("filter", "FORWARD -i mail ! -o mail -j ACCEPT"),
        ("filter", "FORWARD -i mail -o mail -j ACCEPT"),
        ("filter", "DOCKER -d 172.20.0.2/32 ! -i mail -o mail -p tcp -j ACCEPT"),
        ("filter", "DOCKER-FORWARD -i mail -j ACCEPT"),
        # Foreign rules.
        ("nat", "POSTROUTING -o wan0 -j MASQUERADE"),
        ("nat", "POSTROUTING -s 172.20.0.0/16 -j MASQUERADE"),
        ("nat", "POSTROUTING ! -s 172.20.0.0/24 -o wan0 -j MASQUERADE"),
        ("nat", "POSTROUTING -s 172.21.0.0/24 ! -o mail -j MASQUERADE"),
        ("nat", "PREROUTING -d 203.0.113.2/32 -j DNAT --to-destination 172.20.10.254"),
        ("nat", "PREROUTING -d 203.0.113.20/32 -j LOG"),
        ("filter", "INPUT -i mail -j ACCEPT"),
        ("filter", "of-input -s 172.20.0.0/24 -j ACCEPT"),
        ("filter", "FORWARD -s 172.20.0.0/24 -j DROP"),
        ("mangle", "FORWARD -s 172.20.0.0/24 -j ACCEPT"),
    ],
)  # fmt: skip
def test_what_does_not_is_left_alone(table: str, rule: str) -> None:
    """Removing any of these would break something that wanbound does not do."""
    jumps = "-A INPUT -j of-input\n-A FORWARD -j DOCKER\n" if table == "filter" else ""
    assert named(f"*{table}\n{jumps}-A {rule}\nCOMMIT\n") == []


def test_a_chain_counts_if_forward_leads_to_it() -> None:
    """It may be reached over another chain, in any order of the output."""
    saved = (
        "*filter\n-A INPUT -j one\n-A FORWARD -g late\n-A early -s 172.20.0.0/24 -j ACCEPT\n"
        "-A late -j early\n-A one -s 172.20.0.0/24 -j ACCEPT\nCOMMIT\n"
    )
    assert named(saved) == ["iptables -t filter -D early -s 172.20.0.0/24 -j ACCEPT"]


def test_a_comment_cannot_break_out_into_the_shell() -> None:
    """iptables-save escapes quotes, but nothing else that a shell would interpret."""
    comment = r"""it's \"$(touch /tmp/no)\" `x` \\ $HOME"""
    rule = f'-A POSTROUTING -s 172.20.0.0/24 -m comment --comment "{comment}" -j MASQUERADE'
    [command] = named(f"*nat\n{rule}\nCOMMIT\n")
    words = subprocess.run(
        ["sh", "-c", f"set -- {command}; for word; do printf '%s\\n' \"$word\"; done"],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert words == [
        *("iptables", "-t", "nat", "-D", "POSTROUTING", "-s", "172.20.0.0/24"),
        *("-m", "comment", "--comment"),
        r"""it's "$(touch /tmp/no)" `x` \ $HOME""",
        *("-j", "MASQUERADE"),
    ]


def test_a_line_that_a_terminal_would_show_as_another_is_left_out() -> None:
    """With control characters, the operator would run text that they cannot see."""
    saved = '*nat\n-A mine -s 172.20.0.0/24 -m comment --comment "\x1b[2K" -j MASQUERADE\nCOMMIT\n'
    assert named(saved) == []


def test_files_are_named_with_their_line() -> None:
    """Other spellings are found too, also that of the first recipe."""
    path = BOOT_FILES["ipv4"][0]
    text = (
        "# by hand\n*filter\n:INPUT DROP [0:0]\n"
        "-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT\nCOMMIT\n*nat\n"
        "-A POSTROUTING -s 172.20.0.1/24 ! -o am-mail   -j SNAT --to-source 203.0.113.20\n"
        "-A PREROUTING --destination 203.0.113.20 -p tcp --jump DNAT --to 172.20.0.254\n"
        "-A POSTROUTING -s 172.20.0.7/255.255.255.255 -j MASQUERADE\n"
        "-A POSTROUTING -s 172.30.0.1/24 -j SNAT --to-source 203.0.113.30\n"
        "[12:720] -A POSTROUTING -s 172.20.0.8 -j MASQUERADE\nCOMMIT\n"
    )
    lines = text.splitlines()
    assert found("ipv4", NEEDLES, "", {path: text}) == [
        f"{path}:{number}: {lines[number - 1]}" for number in (7, 8, 9, 11)
    ]


def test_each_file_is_read_by_itself() -> None:
    """A file that ends within nat does not affect the next file."""
    rule = "-A POSTROUTING -s 172.20.0.0/24 -j MASQUERADE"
    files = {"/one": f"*nat\n{rule}", "/two": f"{rule}\n*nat \n{rule}\n"}
    assert found("ipv4", NEEDLES, f"*nat\n{rule}\n", files) == [
        f"iptables -t nat -D {rule.removeprefix('-A ')}", f"/one:2: {rule}", f"/two:3: {rule}"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("written", "counts"),
    [
        ("172.20.0.9/255.255.255.128", True),
        ("172.20.0.9/255.255.0.0", False),
        ("172.20.0.9/33", False),
        ("172.20.0.9/", False),
        ("172.20.0.9/ffff::", False),
        ("172.20.0", False),
        ("mail.example", False),
        ("fd20:10::/ffff:ffff:ffff:ffff::", True),
        ("fd20:10::%mail", False),
        # The same bits as 172.20.0.0/24 in the other family.
        ("ac14:0::/24", False),
    ],
)
def test_masks_and_what_is_no_address(written: str, counts: bool) -> None:
    """A range counts if a subnet contains it; unreadable text does not count."""
    saved = f"*nat\n-A POSTROUTING -s {written} -j MASQUERADE\n"
    assert bool(named(saved)) is counts


@pytest.mark.parametrize(
    ("goal", "counts"),
    [
        ("--to-destination 172.20.0.7:25-30", True),
        ("--to-destination 172.20.0.7-172.20.0.9:25", True),
        ("--to-destination [fd20:10::7]:25", True),
        ("--to-destination fd20:10::7-fd20:10::9", True),
        ("--to-destination [fd20:10::7", False),
        ("--to-source [2001:db8::20]:1024-2047", True),
        ("--to-source 203.0.113.20:1024-2047", True),
        ("--to-source 203.0.113.2", False),
    ],
)
def test_goals_of_a_translation(goal: str, counts: bool) -> None:
    """A target may have ports, be a range, or be in brackets."""
    assert bool(named(f"*nat\n-A mine -p tcp -j DNAT {goal}\n")) is counts


def test_what_is_negated_restricts_a_rule_to_the_rest() -> None:
    """This holds for each option that identifies a network."""
    rules = [
        "PREROUTING ! -d 203.0.113.20/32 -j DNAT --to-destination 10.0.0.2",
        "POSTROUTING ! -o mail -j MASQUERADE",
        "PREROUTING ! -i mail -p udp -j REDIRECT",
        "POSTROUTING -s ! 172.20.0.0/24 -j MASQUERADE",
    ]
    assert named("*nat\n" + "".join(f"-A {rule}\n" for rule in rules)) == []


def test_a_comment_is_no_option() -> None:
    """iptables-save prints a comment without blanks unquoted."""
    rule = "mine -s 172.20.0.0/24 -m comment --comment -j -j MASQUERADE"
    assert named(f"*nat\n-A {rule}\n") == [f"iptables -t nat -D {rule}"]


def test_exclamation_marks_are_quoted() -> None:
    """An interactive bash expands `!text` except within single quotes."""
    saved = "*nat\n-A mine ! -s 10.0.0.1 -o mail -m comment --comment !r -j MASQUERADE\n"
    assert named(saved) == [
        "iptables -t nat -D mine ! -s 10.0.0.1 -o mail -m comment --comment '!r' -j MASQUERADE"
    ]


WORDS = st.sampled_from(
    ["-A", "-s", "-d", "-j", "-i", "!", "--to-source", "mine", "FORWARD", "172.20.0.1/", "ACCEPT",
     "[", "]", '"', "\\", "*nat", "*filter", "\n", "\n-A ", "\0", "\r", "\u2028", "\udc80", "1/2/3"]
)  # fmt: skip


@given(st.lists(WORDS).map(" ".join) | st.text())
def test_any_text_is_read(text: str) -> None:
    """No text from a host raises an exception, and each result is one line."""
    for line in found("ipv6", NEEDLES, text, {"/file": text}):
        assert line.isprintable() or "\t" in line


@pytest.mark.parametrize(
    "line",
    [
        "-A FORWARD " + '"' * 1_000_000,
        "-A FORWARD -s " + "1" * 1_000_000 + " -j ACCEPT",
        "-A FORWARD " + "! " * 500_000,
        "-A FORWARD -d 203.0.113.20/" + "9" * 1_000_000 + " -j ACCEPT",
        "\n".join(f"-A chain-{n} -j chain-{n + 1}" for n in range(30_000)),
    ],
    ids=["quotes", "address", "negations", "mask", "chains"],
)
def test_time_grows_with_the_length_alone(line: str) -> None:
    """A megabyte takes seconds on a busy machine; a quadratic search would take hours."""
    begun = time.process_time()
    assert named(f"*filter\n-A FORWARD -j chain-0\n{line}\n") == []
    assert time.process_time() - begun < 10
