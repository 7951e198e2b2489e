"""The acceptance matrix as data, and how answers are judged, without a host."""

import subprocess
from collections import Counter

import pytest

from lab.checks.ask import Answer, seen, shell_script
from lab.checks.matrix import NOTHING, Check, Origin, Question, Result, matrix
from lab.checks.pages import Page
from lab.checks.table import table, totals
from lab.stacks import CHECKOUT, parsed, read
from planner.config import Stack


@pytest.fixture(scope="module")
def stack() -> Stack:
    """The demo's stack."""
    return parsed(read(CHECKOUT / "stacks" / "Pulumi.demo.yaml"), "demo")


def test_the_matrix_has_every_pair_in_both_families(stack: Stack) -> None:
    """Six networks on two hosts: each network asks and is asked."""
    kinds = Counter((check.kind, check.family) for check in matrix(stack))
    for family in (4, 6):
        assert kinds["egress", family] == 6
        assert kinds["whoami egress", family] == 6
        assert kinds["ingress", family] == 6
        assert kinds["own address", family] == 6
        assert kinds["other networks", family] == 6 * 5
        assert kinds["host access", family] == 6
        # From each network: two containers of two other networks on its host, asked and pinged.
        assert kinds["private", family] == 6 * 2 * 2 * 2
        assert kinds["own private", family] == 6
        assert kinds["stranger", family] == 6 * 2
        assert kinds["host source", family] == 2


def test_a_family_that_a_network_lacks_must_not_get_out(stack: Stack) -> None:
    """Docker gives an IPv6-only network an IPv4 subnet, too."""
    config = read(CHECKOUT / "stacks" / "Pulumi.demo.yaml")
    for key in ("public_ipv4", "subnet_ipv4"):
        del config["hosts"][0]["networks"][0][key]
    [check] = [
        check
        for check in matrix(parsed(config, "demo"))
        if (check.host, check.network, check.kind) == ("edge-1", "web", "egress")
        and check.family == 4
    ]
    assert check.expected == NOTHING
    assert check.question.refused


def _check(expected: str, field: str = "", *, ping: bool = False, refused: bool = False) -> Check:
    question = Question(Origin("edge-1", "c"), "203.0.113.10", ping=ping, refused=refused)
    return Check("egress", "edge-1", "web", 4, "about", question, expected, field)


@pytest.mark.parametrize(
    ("check", "answer", "expected"),
    [
        (_check("a"), Answer(0, "203.0.113.10"), "203.0.113.10"),
        (_check("a", "ipv4"), Answer(0, '{"ipv4": "203.0.113.10"}'), "203.0.113.10"),
        (_check("a", "ipv6"), Answer(0, '{"ipv6": null}'), "None"),
        (_check("a", "ipv4"), Answer(0, "404 page not found"), "404 page not found"),
        (_check(NOTHING), Answer(28, "curl: (28) Connection timed out"), NOTHING),
        (_check(NOTHING), Answer(7, "connect failed: No route to host"), NOTHING),
        # A refused connection reached its target.
        (_check(NOTHING), Answer(7, "connect failed: Connection refused"), "connection refused"),
        (_check(NOTHING), Answer(52, "Empty reply"), "curl's status 52: Empty reply"),
        (_check(NOTHING, ping=True), Answer(1, "100% packet loss"), NOTHING),
        (_check(NOTHING, ping=True), Answer(0, "1 received"), "an answer"),
    ],
)
def test_answers_are_read_as_they_are(check: Check, answer: Answer, expected: str) -> None:
    """Only silence counts as no answer."""
    assert seen(check, answer) == expected


def test_the_script_reports_each_question_with_its_status() -> None:
    """It runs here as on a host: no server listens on these addresses."""
    origin = Origin("edge-1")
    asked = [Question(origin, f"127.0.0.{last}", domain="it's") for last in range(2, 21)]
    asked.append(Question(origin, "127.0.0.1", ping=True, refused=True))
    done = subprocess.run(
        ["bash", "-s"], input=shell_script(asked), capture_output=True, text=True, check=True
    )
    numbers = {int(line.split(" ")[0]) for line in done.stdout.splitlines()}
    assert numbers == set(range(len(asked)))
    assert done.stderr == ""


def test_a_failed_check_is_shown_and_counted() -> None:
    """The table shows what was seen, the total counts it."""
    good, bad = Result(_check("a"), "a"), Result(_check("a"), "b")
    assert totals([good]) == "1 checks, all passed"
    assert totals([good, bad]) == "1 of 2 checks FAILED"
    assert str(bad) == "edge-1 web, IPv4, egress (about): expected a, seen b"
    assert "[red]b[/]" in list(table([bad]).columns[4].cells)


def test_a_request_by_https_is_by_name_and_believes_one_authority() -> None:
    """At the given address; the certificate is sent along and deleted afterwards."""
    question = Question(Origin("edge-1"), "2001:db8::10", "whoami.example.com", tls=True)
    assert question.url == "https://whoami.example.com/"
    script = shell_script([question], "PEM\n")
    assert "--resolve 'whoami.example.com:443:[2001:db8::10]'" in script
    assert "base64 -d <<<UEVNCg== " in script
    assert 'export CURL_CA_BUNDLE="$work.pem"' in script
    assert "Host:" not in script
    assert "CURL_CA_BUNDLE" not in shell_script([Question(Origin("edge-1"), "127.0.0.1")])


def test_the_demos_pages_are_asked_by_https(stack: Stack) -> None:
    """All pages are; private addresses and proxies are asked by HTTP."""
    tls = {check.kind for check in matrix(stack) if check.question.tls}
    assert {"ingress", "own address", "other networks", "host access", "own private"} <= tls
    assert tls.isdisjoint({"private", "stranger", "socket", "egress", "host source"})


def test_every_proxy_is_tried_from_all_sides(stack: Stack) -> None:
    """From each network of its host, its own included, and from the link."""
    checks = [check for check in matrix(stack) if check.kind == "socket"]
    assert len(checks) == 6 * 4
    assert all(check.question.url.endswith(":2375/") for check in checks)
    assert all(check.expected == NOTHING for check in checks)


@pytest.mark.parametrize(
    ("status", "body", "ok"),
    [
        (0, '{"x-forwarded-for": "a", "ipv4": "b", "remote": "c"}', True),
        (0, '{"x-forwarded-for": "a", "ipv4": "x"}', False),
        (0, '{"x-forwarded-for": "a"}', False),
        (0, "404 page not found", False),
        (0, "[]", False),
        (60, '{"x-forwarded-for": "a", "ipv4": "b"}', False),
    ],
)
def test_a_page_is_right_by_its_words(status: int, body: str, ok: bool) -> None:
    """All expected words must be there, whatever else is, and the certificate must be valid."""
    expected = {"x-forwarded-for": "a", "ipv4": "b"}
    page = Page("edge-1", "web", 4, "https://x.test/", status, body, expected)
    assert page.ok == ok
    assert body in page.why
