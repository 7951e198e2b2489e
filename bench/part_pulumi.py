"""Part (e): runs of pulumi against the same program without HostNetworking."""

import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench import scenario
from bench.counting import PORT, Counter, Counts, sshd
from bench.report import Finding
from bench.site import BenchError, Site
from bench.stats import ratio, seconds
from lab.settings import Settings
from lab.stacks import LabStack, Run

STACK = "bench"
PEER = Path(__file__).resolve().parent / "peer" / "__main__.py"
PULUMI_SECONDS = 1800.0
"""Limit for one run of pulumi: 100 real Docker networks take minutes on two cores."""

_DYNAMIC = "pulumi-python:dynamic/"
"""The prefix of the type of a dynamic resource in Python."""


def folder(settings: Settings) -> Path:
    """Return the folder of the two stacks and their state."""
    return settings.cache / "bench" / f"stacks-{settings.prefix}"


Values = dict[str, dict[str, list[float]]]

AIMS = {"up, from nothing": 1.3, "destroy": 1.15}
"""Ratios to the program without HostNetworking."""


def measure(site: Site, count: int, few: int, repeats: int, say: Callable[[str], None]) -> Finding:
    """Measure with real Docker networks. Raises BenchError.

    `few` networks are made and destroyed in each repeat, `count` are made once.
    """
    place = folder(site.lab.settings)
    shutil.rmtree(place, ignore_errors=True)
    values: Values = defaultdict(lambda: defaultdict(list))
    seen: dict[tuple[str, str], Counts] = {}
    try:
        with sshd(site):
            _from_nothing(site, place / "few", few, repeats, values, say)
            _nothing_to_do(site, place / "all", count, repeats, values, seen, say)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return _finding(site, count, few, repeats, values, seen)


def _from_nothing(
    site: Site, place: Path, count: int, repeats: int, values: Values, say: Callable[[str], None]
) -> None:
    stacks = {"ours": _ours(site, place, count)}
    stacks["peer"] = _with_peer(site, place)
    for repeat in range(repeats):
        say(f"(e) up and destroy of {count} networks, repeat {repeat + 1} of {repeats}")
        for name, stack in stacks.items():
            values["up, from nothing"][name].append(_run(stack, "up").seconds)
            values["destroy"][name].append(_run(stack, "destroy").seconds)


def _nothing_to_do(
    site: Site,
    place: Path,
    count: int,
    repeats: int,
    values: Values,
    seen: dict[tuple[str, str], Counts],
    say: Callable[[str], None],
) -> None:
    stacks = {"ours": _ours(site, place, count)}
    say(f"(e) up of {count} networks")
    _run(stacks["ours"], "up")
    stacks["peer"] = _with_peer(site, place)
    commands = {"preview": "preview", "up, nothing to do": "up"}
    for row, command in commands.items():
        for name, stack in stacks.items():
            seen[row, name] = _counted(site, stack, command)
    for repeat in range(repeats):
        say(f"(e) nothing to do, repeat {repeat + 1} of {repeats}")
        for row, command in commands.items():
            for name, stack in stacks.items():
                values[row][name].append(_unchanged(stack, command).seconds)
    say(f"(e) destroy of {count} networks")
    _run(stacks["ours"], "destroy")


def _finding(
    site: Site,
    count: int,
    few: int,
    repeats: int,
    values: Values,
    seen: Mapping[tuple[str, str], Counts],
) -> Finding:
    return Finding(
        part="e",
        title=f"pulumi on {site.name} ({site.engine}), {repeats} repeats",
        columns=("command", "wanbound", "without", "ratio", "connections", "without", "aim"),
        rows=[
            _row(row, few if row in AIMS else count, found, seen) for row, found in values.items()
        ],
        notes=(
            "without: bench/peer, the same components, providers and Docker networks without the"
            " dynamic resource. No containers in either.",
            "ratio: median over repeats of (wanbound / without, in the same repeat), and its range."
            " connections: TCP connections to the host's sshd in one run, all providers together.",
        ),
        raw={
            **{row: dict(found) for row, found in values.items()},
            "connections": {" ".join(key): counts.connections for key, counts in seen.items()},
        },
    )


def _row(
    row: str,
    count: int,
    found: Mapping[str, list[float]],
    seen: Mapping[tuple[str, str], Counts],
) -> tuple[str, ...]:
    to_peer = ratio(found["ours"], found["peer"])
    aim = AIMS.get(row)
    return (
        f"{count}: {row}",
        seconds(found["ours"]),
        seconds(found["peer"]),
        str(to_peer),
        *(str(seen[row, name].connections) if (row, name) in seen else "" for name in found),
        "" if aim is None else f"{aim:g}: {'met' if to_peer.middle <= aim else 'NOT met'}",
    )


def _ours(site: Site, place: Path, count: int) -> LabStack:
    (place / "ours").mkdir(parents=True)
    config = scenario.config(site.at_port(PORT), count, load_balancer=False)
    return LabStack.copy(site.lab, STACK, config, place / "ours")


def _with_peer(site: Site, place: Path) -> LabStack:
    """Return the peer's stack: a copy of ours with its state, other code and fewer resources."""
    shutil.copytree(place / "ours", place / "peer", symlinks=True)
    program = place / "peer" / "__main__.py"
    program.unlink()
    program.symlink_to(PEER)
    peer = LabStack(site.lab, STACK, place / "peer")
    state = place / "state.json"
    peer.run("stack", "export", "--stack", STACK, "--file", str(state))
    exported = json.loads(state.read_text())
    if exported["deployment"].get("resources"):
        state.write_text(json.dumps(without_dynamic(exported)))
        peer.run("stack", "import", "--stack", STACK, "--file", str(state))
        # The state records that resources no longer depend on HostNetworking.
        if {"created", "deleted", "replaced"} & set(found := _run(peer, "up").counts):
            raise BenchError(f"the peer's networks are not ours: {found}")
    return peer


def without_dynamic(exported: dict[str, Any]) -> dict[str, Any]:
    """Return an exported stack without its dynamic resources and references to them."""
    resources = exported["deployment"]["resources"]
    gone = {each["urn"] for each in resources if _is_dynamic(each)}
    kept = []
    for each in resources:
        if each["urn"] in gone:
            continue
        found = dict(each)
        if "dependencies" in found:
            found["dependencies"] = [urn for urn in found["dependencies"] if urn not in gone]
        if found.get("propertyDependencies"):
            found["propertyDependencies"] = {
                name: [urn for urn in urns or [] if urn not in gone]
                for name, urns in found["propertyDependencies"].items()
            }
        kept.append(found)
    return {**exported, "deployment": {**exported["deployment"], "resources": kept}}


def _is_dynamic(resource: Mapping[str, Any]) -> bool:
    kind = str(resource["type"])
    return kind.startswith(_DYNAMIC) or kind == "pulumi:providers:pulumi-python"


def _counted(site: Site, stack: LabStack, command: str) -> Counts:
    counter = Counter(site)
    with counter.open():
        _unchanged(stack, command)
    return counter.counts


def _unchanged(stack: LabStack, command: str) -> Run:
    """Run it and check that there was nothing to do. Raises BenchError."""
    run = _run(stack, command)
    if set(run.counts) != {"unchanged"}:
        raise BenchError(f"{stack.folder.name}: {command} finds {run.counts}\n{run.output}")
    return run


def _run(stack: LabStack, command: str) -> Run:
    arguments = [] if command == "preview" else ["--yes", "--skip-preview"]
    return stack.run(
        command, "--stack", stack.name, "--color", "never", *arguments, timeout=PULUMI_SECONDS
    )
