"""Up: creates the missing parts of a lab and leaves the existing ones unchanged."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager

from lab import docker29, hosts, internet, keys, packages, registry, removal, roots, supervisor
from lab.errors import LabError
from lab.settings import DEFAULT_HOSTS, HostSpec, Settings, parse_hosts
from lab.steps import console


@contextmanager
def lock(lab: Settings) -> Iterator[None]:
    """Allow one `up`, `down` or `clean` of all labs of a cache at a time."""
    lab.cache.mkdir(parents=True, exist_ok=True)
    with (lab.cache / "lab.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.print("waiting for another run of the lab to end …")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def specs(lab: Settings) -> tuple[HostSpec, ...]:
    """Return the hosts of the lab that was brought up, () without one."""
    try:
        text = (lab.state / "hosts").read_text().strip()
    except FileNotFoundError:
        return ()
    return parse_hosts(text)


def _write_specs(lab: Settings, chosen: tuple[HostSpec, ...]) -> None:
    (lab.state / "hosts").write_text(",".join(str(host) for host in chosen) + "\n")


def _decide(lab: Settings, wanted: str | None) -> tuple[HostSpec, ...]:
    before = specs(lab)
    if wanted is None:
        return before or parse_hosts(DEFAULT_HOSTS)
    asked = parse_hosts(wanted)
    systems = {host.name: host.system for host in before}
    for host in asked:
        if systems.get(host.name, host.system) != host.system:
            raise LabError(
                f"{host.name} runs {systems[host.name]} and {host.system} was asked for: "
                "a host keeps its system until `python -m lab down`"
            )
    # Existing hosts stay: a test may add one without removing the others.
    more = tuple(host for host in asked if host.name not in systems)
    return parse_hosts(",".join(str(host) for host in before + more))


def prepare(lab: Settings, wanted: str | None = None) -> None:
    """Make everything that takes long and is cached: packages, roots, images. Boots nothing.

    The hosts need not fit to those of a lab that is up: `make test` after `make demo` prepares
    hosts with the same numbers, for labs of their own.
    """
    with lock(lab):
        _prepare(lab, parse_hosts(wanted) if wanted else _decide(lab, None))
        registry.images(lab)


def _prepare(lab: Settings, chosen: tuple[HostSpec, ...]) -> None:
    packages.install(lab)
    for name in dict.fromkeys(host.root for host in chosen):
        roots.root(lab, name)
    if any(host.docker29 for host in chosen):
        docker29.binaries(lab)


def up(lab: Settings, wanted: str | None = None) -> tuple[HostSpec, ...]:
    """Bring the lab up; `wanted` is `NAME=SUITE,…`, None for the existing hosts or the default."""
    with lock(lab):
        chosen = _decide(lab, wanted)
        _prepare(lab, chosen)
        lab.state.mkdir(parents=True, exist_ok=True)
        _write_specs(lab, chosen)
        (lab.state / "environment.json").write_text(json.dumps(lab.environment, indent=2) + "\n")
        keys.write_ssh_config(lab, chosen)
        keys.start_agent(lab)
        internet.up(lab)
        hosts.management_up(lab)
        for host in chosen:
            hosts.start(lab, host)
        # In parallel to the hosts' boot.
        registry.push(lab, registry.images(lab))
        for host in chosen:
            hosts.wait(lab, host)
            _renew_images(lab, host)
    return chosen


def down(lab: Settings) -> bool:
    """Remove the whole lab; False if there was none."""
    with lock(lab):
        return removal.down(lab)


def remove_host(lab: Settings, name: str) -> None:
    """Remove one host and its disk; the others are unchanged."""
    with lock(lab):
        before = specs(lab)
        rest = tuple(host for host in before if host.name != name)
        if not rest:
            raise LabError(f"{name} is the lab's only host: `python -m lab down` removes it")
        for host in before:
            if host.name == name:
                hosts.stop(lab, host)
                supervisor.unplug(lab, host)
                removal.remove(lab, "path", str(lab.disk(host)))
        _write_specs(lab, rest)
        keys.write_ssh_config(lab, rest)


def replace_host(lab: Settings, name: str) -> None:
    """Replace a host by a new machine: the same name and addresses, another disk and key."""
    with lock(lab):
        for host in specs(lab):
            if host.name == name:
                hosts.stop(lab, host)
                supervisor.unplug(lab, host)
                removal.remove(lab, "path", str(lab.disk(host)))
                (lab.state / f"images-{name}").unlink(missing_ok=True)
                keys.begin_life(lab, name)
    up(lab)


def _renew_images(lab: Settings, host: HostSpec) -> None:
    """Make a host that ran before pull again images whose name now means another image."""
    record = registry.pushed_record(lab).read_text()
    seen = lab.state / f"images-{host.name}"
    if seen.exists() and seen.read_text() == record:
        return
    command = "; ".join(
        f"! docker image inspect {image} >/dev/null 2>&1 || docker pull -q {image}"
        for image in json.loads(record)
    )
    if hosts.answer(lab, host.name, f"set -e; {command}", timeout=120) is None:
        raise LabError(f"{host.name} cannot pull the lab's new images: see its journal")
    seen.write_text(record)
