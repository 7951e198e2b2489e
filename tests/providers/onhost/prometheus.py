"""A parser of Prometheus' text format, as strict as wanbound's output needs it."""

import re

_NAME = "wanbound_[a-z_]+"
_SAMPLE = re.compile(rf'({_NAME})(?:\{{((?:[a-z]+="[A-Za-z0-9_.-]*",?)+)\}})? ([0-9]+)', re.ASCII)

Samples = dict[tuple[str, frozenset[tuple[str, str]]], int]


def parsed(text: str) -> Samples:
    """Return the values by name and labels; AssertionError for text that violates the format.

    Each metric has its help, its type, and then all of its samples, which differ in their labels.
    """
    found: Samples = {}
    blocks = re.split(r"(?m)^(?=# HELP )", text)
    assert blocks[0] == ""
    names = []
    for block in blocks[1:]:
        first, second, *samples = block.removesuffix("\n").split("\n")
        words = re.fullmatch(rf"# HELP ({_NAME}) [A-Z][^\\\n]*\.", first)
        assert words is not None, first
        name = words[1]
        names.append(name)
        kind = "counter" if name.endswith("_total") else "gauge"
        assert second == f"# TYPE {name} {kind}"
        assert samples
        for line in samples:
            sample = _SAMPLE.fullmatch(line)
            assert sample is not None, line
            assert sample[1] == name
            labels = re.findall(r'([a-z]+)="([^"]*)"', sample[2] or "")
            key = name, frozenset(labels)
            assert len(dict(labels)) == len(labels) and key not in found
            found[key] = int(sample[3])
    assert len(set(names)) == len(names)
    return found
