"""Part (e): `pulumi preview` and a no-op `up`, against the same program without HostNat."""

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
"""What begins the type of a dynamic resource in Python."""


def folder(settings: Settings) -> Path:
    """Return where the two stacks live, records and all."""
    return settings.cache / "bench" / f"stacks-{settings.prefix}"


def measure(site: Site, count: int, repeats: int, say: Callable[[str], None]) -> Finding:
    """Measure with `count` real Docker networks. Raises BenchError."""
    place = folder(site.lab.settings)
    shutil.rmtree(place, ignore_errors=True)
    (place / "ours").mkdir(parents=True)
    config = scenario.config(site.at_port(PORT), count, load_balancer=False)
    try:
        with sshd(site):
            ours = LabStack.copy(site.lab, STACK, config, place / "ours")
            say(f"(e) up of {count} networks")
            made = _run(ours, "up")
            peer = _peer(site, place)
            values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
            seen = {
                (name, command): _counted(site, stack, command)
                for name, stack in (("ours", ours), ("peer", peer))
                for command in ("preview", "up")
            }
            for repeat in range(repeats):
                say(f"(e) repeat {repeat + 1} of {repeats}")
                for command in ("preview", "up"):
                    for name, stack in (("ours", ours), ("peer", peer)):
                        values[command][name].append(_unchanged(stack, command).seconds)
            say(f"(e) destroy of {count} networks")
            gone = _run(ours, "destroy")
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return _finding(site, count, repeats, values, seen, {"up": made, "destroy": gone})


def _finding(
    site: Site,
    count: int,
    repeats: int,
    values: Mapping[str, Mapping[str, list[float]]],
    seen: Mapping[tuple[str, str], Counts],
    once: Mapping[str, Run],
) -> Finding:
    rows = [
        (
            {"preview": "preview", "up": "up, nothing to do"}[command],
            seconds(found["ours"]),
            seconds(found["peer"]),
            str(ratio(found["ours"], found["peer"])),
            str(seen["ours", command].connections),
            str(seen["peer", command].connections),
        )
        for command, found in values.items()
    ]
    rows += [
        (f"{name}, once", seconds([run.seconds]), "", "", "", "") for name, run in once.items()
    ]
    return Finding(
        part="e",
        title=f"pulumi with {count} networks on {site.name} ({site.engine}), {repeats} repeats",
        columns=("command", "wanbound", "without HostNat", "ratio", "connections", "without"),
        rows=rows,
        notes=(
            "without HostNat: bench/peer, the same components, providers and Docker networks; its"
            " state is wanbound's, less the dynamic resources. No containers in either.",
            "ratio: median over repeats of (wanbound / without, in the same repeat), and its range."
            " connections: TCP connections to the host's sshd in one run, all providers together.",
        ),
        raw={
            **{command: dict(found) for command, found in values.items()},
            "connections": {" ".join(key): counts.connections for key, counts in seen.items()},
            "once": {name: run.seconds for name, run in once.items()},
        },
    )


def _peer(site: Site, place: Path) -> LabStack:
    """Return the peer's stack: a copy of ours, records too, with other code and fewer resources."""
    shutil.copytree(place / "ours", place / "peer", symlinks=True)
    program = place / "peer" / "__main__.py"
    program.unlink()
    program.symlink_to(PEER)
    peer = LabStack(site.lab, STACK, place / "peer")
    state = place / "state.json"
    peer.run("stack", "export", "--stack", STACK, "--file", str(state))
    state.write_text(json.dumps(without_dynamic(json.loads(state.read_text()))))
    peer.run("stack", "import", "--stack", STACK, "--file", str(state))
    # It notes that what depended on HostNat does so no more.
    peer.up()
    return peer


def without_dynamic(exported: dict[str, Any]) -> dict[str, Any]:
    """Return an exported stack without its dynamic resources, and without mention of them."""
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
    """Run it and see that there was nothing to do. Raises BenchError."""
    run = _run(stack, command)
    if set(run.counts) != {"unchanged"}:
        raise BenchError(f"{stack.folder.name}: {command} finds {run.counts}\n{run.output}")
    return run


def _run(stack: LabStack, command: str) -> Run:
    arguments = [] if command == "preview" else ["--yes", "--skip-preview"]
    return stack.run(
        command, "--stack", stack.name, "--color", "never", *arguments, timeout=PULUMI_SECONDS
    )
