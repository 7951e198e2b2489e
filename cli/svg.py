"""The picture of a stack as SVG: a box for each host, a row in it for each network.

A row has the public addresses on the left and the network with its containers on the right. A
container has a line for each way in; an arrow leads there from the addresses.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from textwrap import wrap

from cli.picture import ContainerBox, Entrance, HostBox, NetworkBox

_CHARACTER = 7.25
"""The width of a character of the monospaced font at its size, in pixels."""
_LINE, _PAD, _GAP = 18, 12, 90
"""Height of a line of text; space around it; width between addresses and networks, for arrows."""
_LONGEST = 64
"""Characters of a line; a longer one continues on the next."""

_STYLE = """\
  text { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: 12px; fill: #1b2733 }
  .name { font-weight: bold }
  .page { fill: #ffffff }
  .host { fill: #f4f6f8; stroke: #9aa7b4 }
  .network { fill: #e8f1fb; stroke: #2563a8 }
  .address, .container { fill: #ffffff; stroke: #5b6b7a }
  .way { fill: none; stroke: #2563a8; stroke-width: 1.5 }
  .out { fill: none; stroke: #5b6b7a; stroke-width: 1.5; stroke-dasharray: 5 4 }
  .tip { fill: #2563a8 }
  .outtip { fill: #5b6b7a }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .page { fill: #0d1117 }
    .host { fill: #161b22; stroke: #5b6b7a }
    .network { fill: #12263f; stroke: #6ea8fe }
    .address, .container { fill: #0d1117; stroke: #9aa7b4 }
    .way { stroke: #6ea8fe }
    .out { stroke: #9aa7b4 }
    .tip { fill: #6ea8fe }
    .outtip { fill: #9aa7b4 }
  }"""


@dataclass(frozen=True)
class _Box:
    """A box of text with its top left corner; the first line is the name, but for addresses."""

    kind: str
    x: float
    y: float
    width: float
    lines: tuple[str, ...]
    below: float = 0
    """Height of what is in it below its text."""

    @property
    def height(self) -> float:
        return len(self.lines) * _LINE + _PAD + self.below

    def baseline(self, line: int) -> float:
        return self.y + _PAD / 2 + (line + 1) * _LINE - 5

    def svg(self) -> Iterator[str]:
        shape = f'x="{self.x:g}" y="{self.y:g}" width="{self.width:g}" height="{self.height:g}"'
        yield f'<rect class="{self.kind}" {shape} rx="6"/>'
        for number, line in enumerate(self.lines):
            name = ' class="name"' if number == 0 and self.kind != "address" else ""
            place = f'x="{self.x + _PAD:g}" y="{self.baseline(number):g}"'
            yield f"<text{name} {place}>{escape(line)}</text>"


@dataclass(frozen=True)
class _Columns:
    """The widths of the columns, the same for all hosts."""

    left: float
    right: float

    @property
    def addresses(self) -> float:
        return 2 * _PAD

    @property
    def networks(self) -> float:
        return self.addresses + self.left + _GAP

    @property
    def host(self) -> float:
        return self.networks + self.right


def draw(stack: str, hosts: tuple[HostBox, ...]) -> str:
    """Return the text of an SVG file."""
    networks = [network for host in hosts for network in host.networks]
    columns = _Columns(
        _width(
            line for network in networks for each in network.entrances for line in each.addresses
        ),
        _width(line for network in networks for line in _texts(network)) + 2 * _PAD,
    )
    shapes: list[str] = []
    y: float = _PAD
    for host in hosts:
        bottom, drawn = _host(host, columns, y)
        shapes += drawn
        y = bottom + _PAD
    width = columns.host + 2 * _PAD
    title = escape(f"stack {stack}: hosts, public addresses, networks and containers")
    size = f'width="{width:g}" height="{y:g}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width:g} {y:g}"'
            ' role="img" aria-labelledby="title">',
            f'<title id="title">{title}</title>',
            f"<style>\n{_STYLE}\n</style>",
            f"<defs>{_tip('tip')}{_tip('outtip')}</defs>",
            f'<rect class="page" {size}/>',
            *shapes,
            "</svg>\n",
        ]
    )


def _tip(name: str) -> str:
    return (
        f'<marker id="{name}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7"'
        f' markerHeight="7" orient="auto"><path class="{name}" d="M0 0L10 5L0 10z"/></marker>'
    )


def _width(lines: Iterator[str]) -> float:
    return max((len(line) for line in lines), default=0) * _CHARACTER + 2 * _PAD


def _texts(network: NetworkBox) -> Iterator[str]:
    yield from _head(network)
    for container in network.containers:
        yield from _about(container)
        for entrance in network.entrances:
            yield from _ways(entrance, container)


def _head(network: NetworkBox) -> tuple[str, ...]:
    return (f"network {network.name}", *network.about)


def _about(container: ContainerBox) -> tuple[str, ...]:
    name = f"{container.name}, {container.role}" if container.role else container.name
    return (name, *wrap(container.image, _LONGEST), *container.addresses)


def _ways(entrance: Entrance, container: ContainerBox) -> tuple[str, ...]:
    """Return the lines of one entrance's way into a container, none where it has none."""
    ports = next((way.ports for way in entrance.ways if way.to == container.name), "")
    return tuple(
        wrap(ports, _LONGEST, initial_indent="→ ", subsequent_indent="  ") if ports else ()
    )


def _host(host: HostBox, columns: _Columns, top: float) -> tuple[float, list[str]]:
    """Return the bottom of a host's box, and its shapes."""
    y = top + _LINE + 2 * _PAD
    shapes: list[str] = []
    for network in host.networks:
        bottom, drawn = _network(network, columns, y)
        shapes += drawn
        y = bottom + _PAD
    title = (f"host {host.name}, {host.wan}",)
    box = _Box("host", _PAD, top, columns.host, title, y - top - _LINE - _PAD)
    return y, [*box.svg(), *shapes]


def _network(network: NetworkBox, columns: _Columns, top: float) -> tuple[float, list[str]]:
    """Return the bottom of a network's row, and its shapes."""
    addresses = []
    y = top
    for entrance in network.entrances:
        lines = entrance.addresses
        addresses.append(_Box("address", columns.addresses, y, columns.left, lines))
        y += addresses[-1].height + _PAD
    left = y - _PAD
    head = _head(network)
    y = inside = top + len(head) * _LINE + _PAD
    containers, arrows = [], []
    for container in network.containers:
        text = list(_about(container))
        arrivals = []
        for box, entrance in zip(addresses, network.entrances, strict=True):
            if ways := _ways(entrance, container):
                arrivals.append((box, len(text)))
                text += ways
        x, width = columns.networks + _PAD, columns.right - 2 * _PAD
        containers.append(_Box("container", x, y, width, tuple(text)))
        arrows += [_arrow(box, x, containers[-1].baseline(line) - 4) for box, line in arrivals]
        y += containers[-1].height + _PAD
    bottom = max(left, y)
    below = bottom - inside
    row = _Box("network", columns.networks, top, columns.right, head, below)
    outs = [
        _out(row.x, top + _PAD / 2 + _LINE / 2, box)
        for box, entrance in zip(addresses, network.entrances, strict=True)
        if entrance.out
    ]
    boxes = [line for box in (row, *addresses, *containers) for line in box.svg()]
    return bottom, [*boxes, *outs, *arrows]


def _arrow(box: _Box, x: float, y: float) -> str:
    return _curve("way", "tip", box.x + box.width, box.y + box.height / 2 + 4, x, y)


def _out(x: float, y: float, box: _Box) -> str:
    return _curve("out", "outtip", x, y, box.x + box.width, box.y + box.height / 2 - 6)


def _curve(kind: str, tip: str, x: float, y: float, to_x: float, to_y: float) -> str:
    middle = (x + to_x) / 2
    path = f"M{x:g} {y:g}C{middle:g} {y:g} {middle:g} {to_y:g} {to_x:g} {to_y:g}"
    return f'<path class="{kind}" d="{path}" marker-end="url(#{tip})"/>'
