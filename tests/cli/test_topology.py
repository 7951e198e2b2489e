"""The picture of a stack: the golden files, and what must hold for every picture."""

import re
from collections import Counter
from difflib import unified_diff
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, example, given, settings

from cli import mermaid, svg
from cli.picture import ContainerBox, Entrance, HostBox, NetworkBox, Way, picture
from planner.config import Stack
from planner.plan import plan
from tests.cli import golden
from tests.planner.golden import config
from tests.planner.strategies import Raw, stacks

QUICK = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
ADDRESSES = config("ingress-addresses")
"""More public addresses than a network's own, which no generated stack has."""

SVG = "{http://www.w3.org/2000/svg}"

HOSTILE = 'a"]; end\nclick x "b" <script>&amp;#1;`%%-->|'
"""Text that no name may be; here every text of a picture is this."""


def _hostile() -> tuple[HostBox, ...]:
    container = ContainerBox(HOSTILE, HOSTILE, HOSTILE, (HOSTILE,))
    entrance = Entrance((HOSTILE,), True, (Way(HOSTILE, HOSTILE),))
    network = NetworkBox(HOSTILE, (HOSTILE,), (entrance,), (container,))
    return (HostBox(HOSTILE, HOSTILE, (network,)),)


@pytest.mark.parametrize("suffix", golden.SUFFIXES)
@pytest.mark.parametrize("name", golden.CASES)
def test_the_picture_is_the_golden_one(name: str, suffix: str) -> None:
    """`python -m tests.cli.golden` updates it after a wanted change."""
    expected = golden.path(name, suffix).read_text().splitlines()
    drawn = golden.drawn(name, suffix).splitlines()
    difference = unified_diff(expected, drawn, f"{name}.{suffix}", "drawn", lineterm="")
    assert not (text := "\n".join(difference)), text


def test_every_golden_file_belongs_to_a_case() -> None:
    """A file that is not written any more would be outdated."""
    files = {golden.path(name, suffix) for name in golden.CASES for suffix in golden.SUFFIXES}
    files |= {golden.path(name, "compose.yaml") for name in golden.SNIPPETS}
    files |= {golden.path(name, "explain") for name in golden.QUESTIONS}
    assert set(golden.FOLDER.iterdir()) == files


# --- what a picture shows ------------------------------------------------------------------------


@given(stacks())
@example(ADDRESSES)
@QUICK
def test_each_address_and_container_is_shown_once(raw: Raw) -> None:
    """A missing address in a pull request would count as unused."""
    stack = Stack.parse(raw, "any")
    for host, box in zip(stack.hosts, picture(stack), strict=True):
        for network, shown in zip(host.networks, box.networks, strict=True):
            addresses = Counter(each for way_in in shown.entrances for each in way_in.addresses)
            own = [address for _, address in network.publics]
            extras = [*network.extras(4), *network.extras(6)]
            assert addresses == Counter(map(str, [*own, *extras]))
            out = [each for way_in in shown.entrances if way_in.out for each in way_in.addresses]
            assert sorted(out) == sorted(map(str, own))
            names = {container.name for container in shown.containers}
            assert len(names) == len(shown.containers)
            assert {container.name for container in network.containers} <= names


@given(stacks())
@example(ADDRESSES)
@QUICK
def test_the_ways_in_are_those_of_the_rules(raw: Raw) -> None:
    """The picture has one entry for each translation on the host, and no other."""
    stack = Stack.parse(raw, "any")
    for planned, box in zip(plan(stack), picture(stack), strict=True):
        for network, shown in zip(planned.networks, box.networks, strict=True):
            flows = [text.split() for text in network.owns.flows.values() if text[:3] == "to "]
            if not flows:
                continue  # Docker publishes (mode masquerade), or nothing comes in.
            places = {container.name: container.addresses for container in shown.containers}
            assert {
                (address, port, target)
                for entrance in shown.entrances
                for address in entrance.addresses
                for way in entrance.ways
                for port in _single(way.ports)
                for target in places[way.to]
                if (":" in target) == (":" in address) and " in " not in target
            } == {(address, _port(*ports), target) for _, address, *ports, target in flows}


def _port(protocol: str, ports: str) -> str:
    """Return ports as in the picture: `all tcp`, `tcp 25`, `tcp 465-466`."""
    first, last = ports.split("-")
    if (first, last) == ("0", "65535"):
        return f"all {protocol}"
    return f"{protocol} {first}" if first == last else f"{protocol} {ports}"


def _single(ports: str) -> list[str]:
    """Return each port of a text with its protocol, or `all tcp`, without the mark of `from`."""
    found, protocol = [], ""
    for part in ports.replace(" (limited)", "").split(", "):
        first, _, rest = part.partition(" ")
        if first == "all":
            found.append(part)
        elif rest:
            protocol = first
            found.append(part)
        else:
            found.append(f"{protocol} {part}")
    return found


def test_ports_that_some_sources_reach_are_marked() -> None:
    """They are listed apart from ports of the same protocol that every source can reach."""
    (host,) = picture(Stack.parse(config("ingress-from"), "any"))
    mail, other, office = host.networks
    assert [way.ports for way in mail.entrances[0].ways] == [
        "tcp 80, 443, udp 7701 (limited)",
        "tcp 5432, 6000-6010 (limited), udp 3478 (limited)",
    ]
    assert [each.entrances[0].ways[0].ports for each in (other, office)] == [
        "all tcp",
        "all tcp (limited)",
    ]


# --- Mermaid -------------------------------------------------------------------------------------

_ID = r"(?:internet|h\d+(?:n\d+(?:[ac]\d+)?)?)"
_TEXT = r'"[^"\n]+"'
_STATEMENTS = {
    "opens": rf"subgraph ({_ID})\[{_TEXT}\]",
    "node": rf"({_ID})(?:\[{_TEXT}\]|\(\[(?:{_TEXT}|[a-z ]+)\]\))",
    "edge": rf"({_ID}) (?:---|-->\|{_TEXT}\||-\.->\|{_TEXT}\|) ({_ID})",
    "closes": "end",
}
_HEAD = re.compile(r"flowchart LR\n  accTitle: [^\n\"]+\n")


def _statements(text: str) -> list[tuple[str, tuple[str, ...]]]:
    """Return kind and names of each statement. Fails at any other line."""
    head = _HEAD.match(text)
    assert head is not None
    found = []
    for line in text[head.end() :].splitlines():
        kinds = {k: m for k, p in _STATEMENTS.items() if (m := re.fullmatch(f" *{p}", line))}
        assert len(kinds) == 1, line
        [(kind, match)] = kinds.items()
        found.append((kind, match.groups()))
    return found


def _check_mermaid(text: str) -> None:
    """Check against the part of the grammar in use, which Mermaid's own parser accepts."""
    open_groups, known, used = 0, set(), set()
    for kind, names in _statements(text):
        open_groups += {"opens": 1, "closes": -1}.get(kind, 0)
        assert open_groups >= 0
        if kind in ("opens", "node"):
            assert names[0] not in known
            known.add(names[0])
        elif kind == "edge":
            used |= set(names)
    assert open_groups == 0
    assert used <= known


@given(stacks())
@example(ADDRESSES)
@QUICK
def test_mermaid_is_valid(raw: Raw) -> None:
    """Whatever text the stack file has."""
    _check_mermaid(mermaid.draw("any", picture(Stack.parse(raw, "any"))))


def test_a_name_cannot_end_a_label_of_mermaid() -> None:
    """Special characters are written as numbers, and are restored when it is drawn."""
    text = mermaid.draw(HOSTILE, _hostile())
    _check_mermaid(text)
    decoded = re.sub(r"#(\d+);", lambda found: chr(int(found[1])), text)
    assert f'["network {HOSTILE}<br>{HOSTILE}"]' in decoded


# --- SVG -----------------------------------------------------------------------------------------


def _check_svg(text: str) -> ElementTree.Element:
    """Check that it is XML, and that all boxes and texts are inside the picture."""
    root = ElementTree.fromstring(text)
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for box in root.iter(f"{SVG}rect"):
        x, y = float(box.attrib.get("x", 0)), float(box.attrib.get("y", 0))
        assert x + float(box.attrib["width"]) <= width
        assert y + float(box.attrib["height"]) <= height
    for line in root.iter(f"{SVG}text"):
        # 0.6 of the size: the widest of the monospaced fonts in the list.
        assert float(line.attrib["x"]) + 0.6 * 12 * len(line.text or "") <= width
        assert float(line.attrib["y"]) <= height
    return root


def _boxes(root: ElementTree.Element, kind: str) -> list[tuple[float, float, float, float]]:
    found = [each.attrib for each in root.iter(f"{SVG}rect") if each.attrib["class"] == kind]
    sides = ("x", "y", "width", "height")
    boxes = [[float(each[side]) for side in sides] for each in found]
    return [(x, y, x + width, y + height) for x, y, width, height in boxes]


@given(stacks())
@example(ADDRESSES)
@QUICK
def test_no_boxes_of_an_svg_overlap(raw: Raw) -> None:
    """Hosts, networks, addresses, containers: no two of a kind overlap, all are in the picture."""
    _check_boxes(picture(Stack.parse(raw, "any")))


def test_a_network_of_many_addresses_and_no_container_has_its_place() -> None:
    """Its addresses need more height than the network itself."""
    many = tuple(f"203.0.113.{each}" for each in range(20))
    network = NetworkBox("mail", (), (Entrance(many, True, ()),), ())
    _check_boxes((HostBox("edge-1", "wan0", (network, network)),) * 2)


def _check_boxes(hosts: tuple[HostBox, ...]) -> None:
    root = _check_svg(svg.draw("any", hosts))
    for kind in ("host", "network", "address", "container"):
        boxes = sorted(_boxes(root, kind), key=lambda box: box[1])
        assert all(one[3] < other[1] for one, other in pairwise(boxes))
    outer = {"network": "host", "container": "network", "address": "host"}
    for kind, around in outer.items():
        for x, y, right, bottom in _boxes(root, kind):
            assert any(
                x >= box[0] and y >= box[1] and right <= box[2] and bottom <= box[3]
                for box in _boxes(root, around)
            )


def test_a_name_cannot_end_a_text_of_an_svg() -> None:
    """It is read back unchanged, and adds no element."""
    root = _check_svg(svg.draw(HOSTILE, _hostile()))
    texts = ["".join(each.itertext()) for each in root.iter(f"{SVG}text")]
    assert f"network {HOSTILE}" in texts
    kinds = {each.tag.removeprefix(SVG) for each in root.iter()}
    assert kinds == {"svg", "title", "style", "defs", "marker", "rect", "text", "path"}


def test_an_svg_has_colours_for_light_and_dark() -> None:
    """Each colour for light pages has one for dark pages, also the background."""
    style = ElementTree.fromstring(golden.drawn("edge", "svg")).findtext(f"{SVG}style")
    assert style is not None
    light, _, dark = style.partition("@media (prefers-color-scheme: dark)")
    coloured = {line.split(" {")[0].strip() for line in light.splitlines() if "#" in line}
    assert ".page" in coloured
    assert coloured == {line.split(" {")[0].strip() for line in dark.splitlines() if "#" in line}
