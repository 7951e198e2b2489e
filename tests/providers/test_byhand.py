"""Lines of iptables that somebody made by hand are found, and nothing else is."""

import shutil
import subprocess
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent.parent.parent / "providers" / "onhost" / "byhand.awk"
NEEDLES = """subnet 172.20.0.0/24
subnet fd20:10::/64
public 203.0.113.20
public 2001:db8::20
bridge mail
"""
AWKS = [words for words in (["mawk"], ["busybox", "awk"], ["gawk"]) if shutil.which(words[0])]


@pytest.fixture(params=AWKS, ids=lambda words: words[0])
def awk(request: pytest.FixtureRequest) -> list[str]:
    """Each awk of this machine; Debian's is mawk."""
    found: list[str] = request.param
    return found


def named(
    awk: list[str], folder: Path, saved: str, *files: Path, family: str = "ipv4"
) -> list[str]:
    """Run the program as the host script does, and return its lines."""
    (folder / "needles").write_text(NEEDLES)
    (folder / "saved").write_text(saved)
    words = [*awk, "-v", f"family={family}", "-f", str(PROGRAM)]
    words += ["kind=needles", str(folder / "needles"), "kind=saved", str(folder / "saved")]
    words += ["kind=file", *map(str, files)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.splitlines()


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
def test_what_does_our_work_is_named(
    awk: list[str], tmp_path: Path, family: str, table: str, rule: str
) -> None:
    """With the command that removes it, and nothing but it."""
    jump = "-A FORWARD -j DOCKER-USER\n" if table == "filter" else ""
    saved = f"*{table}\n{jump}-A {rule}\nCOMMIT\n"
    tool = "iptables" if family == "ipv4" else "ip6tables"
    assert named(awk, tmp_path, saved, family=family) == [f"{tool} -t {table} -D {rule}"]


@pytest.mark.parametrize(
    ("table", "rule"),
    [
        # Ours, and Docker's: its own chains, and what it puts into the built-in ones.
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
        # Somebody else's.
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
def test_what_does_not_is_left_alone(awk: list[str], tmp_path: Path, table: str, rule: str) -> None:
    """Removing any of these would break what wanbound does not do."""
    jumps = "-A INPUT -j of-input\n-A FORWARD -j DOCKER\n" if table == "filter" else ""
    assert named(awk, tmp_path, f"*{table}\n{jumps}-A {rule}\nCOMMIT\n") == []


def test_a_chain_counts_where_forward_comes_to_it(awk: list[str], tmp_path: Path) -> None:
    """By way of another chain, in whichever order they are printed."""
    saved = (
        "*filter\n-A INPUT -j one\n-A FORWARD -g late\n-A early -s 172.20.0.0/24 -j ACCEPT\n"
        "-A late -j early\n-A one -s 172.20.0.0/24 -j ACCEPT\nCOMMIT\n"
    )
    assert named(awk, tmp_path, saved) == ["iptables -t filter -D early -s 172.20.0.0/24 -j ACCEPT"]


def test_a_comment_cannot_break_out_into_the_shell(awk: list[str], tmp_path: Path) -> None:
    """iptables-save escapes quotes, and nothing that a shell would act on."""
    comment = r"""it's \"$(touch /tmp/no)\" `x` \\ $HOME"""
    rule = f'-A POSTROUTING -s 172.20.0.0/24 -m comment --comment "{comment}" -j MASQUERADE'
    [command] = named(awk, tmp_path, f"*nat\n{rule}\nCOMMIT\n")
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


def test_a_line_that_a_terminal_would_show_as_another_is_left_out(
    awk: list[str], tmp_path: Path
) -> None:
    """Control characters: the operator would run what they cannot see."""
    saved = '*nat\n-A mine -s 172.20.0.0/24 -m comment --comment "\x1b[2K" -j MASQUERADE\nCOMMIT\n'
    assert named(awk, tmp_path, saved) == []


def test_saved_files_are_named_with_their_line(awk: list[str], tmp_path: Path) -> None:
    """In any spelling that iptables-restore takes; the first recipe's own example is among them."""
    file = tmp_path / "rules.v4"
    file.write_text(
        "# by hand\n*filter\n:INPUT DROP [0:0]\n"
        "-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT\nCOMMIT\n*nat\n"
        "-A POSTROUTING -s 172.20.0.1/24 ! -o am-mail   -j SNAT --to-source 203.0.113.20\n"
        "-A PREROUTING --destination 203.0.113.20 -p tcp --jump DNAT --to 172.20.0.254\n"
        "-A POSTROUTING -s 172.20.0.7/255.255.255.255 -j MASQUERADE\n"
        "-A POSTROUTING -s 172.30.0.1/24 -j SNAT --to-source 203.0.113.30\nCOMMIT\n"
    )
    assert [line.partition(": ")[0] for line in named(awk, tmp_path, "", file)] == [
        f"{file}:{number}" for number in (7, 8, 9)
    ]
