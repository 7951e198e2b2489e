"""The picture of a stack in Mermaid (mermaid.js.org/syntax/flowchart.html)."""

from collections.abc import Iterator

from cli.picture import ContainerBox, HostBox, NetworkBox

_PLAIN = frozenset(" ,./:@_-abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")


def draw(stack: str, hosts: tuple[HostBox, ...]) -> str:
    """Return the text of a ```mermaid block."""
    return "\n".join(_lines(stack, hosts)) + "\n"


def _lines(stack: str, hosts: tuple[HostBox, ...]) -> Iterator[str]:
    yield "flowchart LR"
    yield f"  accTitle: {_escaped(f'stack {stack}')}"
    yield "  internet([the internet])"
    for number, host in enumerate(hosts):
        yield f"  subgraph h{number}[{_label(f'host {host.name}, {host.wan}')}]"
        for place, network in enumerate(host.networks):
            yield from (f"    {line}" for line in _network(f"h{number}n{place}", network))
        yield "  end"
        for place, network in enumerate(host.networks):
            for each in range(len(network.entrances)):
                yield f"  internet --- h{number}n{place}a{each}"


def _network(name: str, network: NetworkBox) -> Iterator[str]:
    yield f"subgraph {name}[{_label(f'network {network.name}', *network.about)}]"
    for place, container in enumerate(network.containers):
        yield f"  {name}c{place}[{_label(*_container(container))}]"
    if not network.containers:
        # A subgraph without nodes is drawn as a node, and loses its frame.
        yield f"  {name}c0[{_label('no containers in this file')}]"
    yield "end"
    nodes = {each.name: f"{name}c{place}" for place, each in enumerate(network.containers)}
    for place, entrance in enumerate(network.entrances):
        yield f"{name}a{place}([{_label(*entrance.addresses)}])"
        for way in entrance.ways:
            yield f"{name}a{place} -->|{_label(way.ports)}| {nodes[way.to]}"
        if entrance.out:
            yield f"{name} -.->|{_label('out')}| {name}a{place}"


def _container(container: ContainerBox) -> Iterator[str]:
    yield f"{container.name}, {container.role}" if container.role else container.name
    yield container.image
    yield from container.addresses


def _label(*lines: str) -> str:
    return f'"{"<br>".join(map(_escaped, lines))}"'


def _escaped(text: str) -> str:
    """Return text in which nothing has a meaning to Mermaid: other characters by their number."""
    return "".join(each if each in _PLAIN else f"#{ord(each)};" for each in text)
