"""The documentation: its links work, its blocks can be pasted, its lists are complete."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from planner.config import Stack
from planner.plan import plan
from planner.rule import sections
from providers.host.generation import COMMON
from tests.pages import DOCS, FENCED, ROOT, blocks, first_host

PAGES = sorted(DOCS.glob("*.md"))
TEXTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + PAGES

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def _anchors(text: str) -> set[str]:
    """Return the link names of a page's headings, as GitHub makes them."""
    headings = re.findall(r"(?m)^#+ (.*)$", FENCED.sub("", text))
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def dead_links(text: str, folder: Path) -> list[str]:
    """Return the relative links of a page in `folder` to a missing file or heading."""
    found = []
    for link in _LINK.findall(FENCED.sub("", text)):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = folder / path
        if not path:
            there = anchor in _anchors(text)
        elif anchor:
            there = target.is_file() and anchor in _anchors(target.read_text())
        else:
            there = target.exists()
        found += [] if there else [link]
    return found


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path: Path) -> None:
    """Each link has an existing file or folder as its target, and an existing heading."""
    assert dead_links(path.read_text(), path.parent) == []


@pytest.mark.parametrize(
    ("link", "dead"),
    [
        ("README.md", False),
        ("README.md#here-and-there", True),
        ("configuration.md#a-host", False),
        ("#a-heading-of-its-own", False),
        ("#nothing", True),
        ("nowhere.md", True),
        ("../planner/", False),
        ("https://example.com/", False),
    ],
)
def test_a_dead_link_is_found(link: str, dead: bool) -> None:
    """The check finds it."""
    text = f"# A heading: of its own\n\nSee [it]({link}).\n"
    assert dead_links(text, DOCS) == ([link] if dead else [])


def test_the_index_has_every_page_once() -> None:
    """Each page is in one row of the table, and the README links to the index."""
    rows = re.findall(r"(?m)^\| \[([\w-]+\.md)\]\(\1\) \| \S", (DOCS / "README.md").read_text())
    assert sorted(rows) == [path.name for path in PAGES if path.name != "README.md"]
    assert "](docs/README.md)" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_blocks_are_what_they_say(path: Path) -> None:
    """Shell and YAML blocks have no syntax error, and every fenced block has a language."""
    for language, content in blocks(path.read_text()):
        assert language, content
        if language == "bash":
            done = subprocess.run(["sh", "-n"], input=content, text=True, capture_output=True)
            assert done.stderr == "", content
        elif language == "yaml":
            assert yaml.safe_load(content), content


def test_the_readme_begins_with_the_networks_of_the_starter() -> None:
    """The data is the same; in the stack file, comments explain an operator's decisions."""
    first = next(
        content
        for language, content in blocks((ROOT / "README.md").read_text())
        if language == "yaml"
    )
    starter = yaml.safe_load((ROOT / "stacks/Pulumi.starter.yaml").read_text())["config"]
    assert yaml.safe_load(first) == {"wanbound:hosts": starter["wanbound:hosts"]}


def test_the_first_real_host_is_in_an_order_that_works() -> None:
    """`login` needs its folder; `stack init` writes into an existing stack file."""
    commands = "".join(first_host())
    order = [
        "-m venv .venv",
        ".venv/bin/pip install",
        "mkdir -p ~/wanbound-state",
        "export PULUMI_CONFIG_PASSPHRASE_FILE=",
        "pulumi login",
        "cp stacks/Pulumi.starter.yaml",
        "pulumi stack init",
        "./wanbound doctor",
        "pulumi preview",
        "pulumi up",
        "curl -fsS --retry",
        "docker stop",
        "pulumi destroy",
    ]
    assert [commands.count(each) for each in order] == [1] * len(order)
    assert sorted(order, key=commands.index) == order


def test_every_pattern_of_a_hoster_is_a_stack() -> None:
    """Each block of the page is accepted by the planner as it is."""
    patterns = [
        content
        for language, content in blocks((DOCS / "addresses.md").read_text())
        if language == "yaml"
    ]
    assert len(patterns) >= 4
    for content in patterns:
        keys = {
            key.removeprefix("wanbound:"): value for key, value in yaml.safe_load(content).items()
        }
        assert plan(Stack.parse(keys, "example"))


def test_operations_explain_every_counter() -> None:
    """Each chain of the guard with a counting rule has a row."""
    text = (DOCS / "operations.md").read_text()
    raw = yaml.safe_load((ROOT / "stacks/Pulumi.example-dual-stack.yaml").read_text())["config"]
    keys = {key.removeprefix("wanbound:"): value for key, value in raw.items()}
    (host,) = plan(Stack.parse(keys, "example"))
    counting = {name for name, rules in COMMON.items() if any("counter" in rule for rule in rules)}
    for network in host.networks:
        for section, lines in sections(network.wanted).items():
            if section.startswith("chain ") and any("counter" in line for line in lines.values()):
                counting.add(f"{section.removeprefix('chain ').split('-')[0]}-B")
    assert set(re.findall(r"(?m)^\| `([a-z]+(?:-B)?)` \| ", text)) == counting


def test_a_removal_without_the_state_uses_the_command_for_it() -> None:
    """The page has the command of the host's script, and what it leaves behind."""
    part = (DOCS / "operations.md").read_text().partition("\n## Remove everything ")[2]
    commands = "".join(content for language, content in blocks(part) if language == "bash")
    assert "\nwanbound remove\n" in commands
    usage = (ROOT / "providers/onhost/wanbound.sh").read_text().partition("usage: ")[2]
    assert "remove" in usage.partition("\n")[0]
