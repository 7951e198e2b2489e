"""The meaning of a preview, from the JSON that `pulumi preview --json` prints. Pure.

The diff shows which lines change; a reviewer first asks who leaves from which address, what is
reachable, and what stops meanwhile.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Props: TypeAlias = Mapping[str, Any]

_NETWORKING = "wanbound:HostNetworking"
_ENGINE = "wanbound:DockerEngine"
_CONTAINER = "docker:index/container:Container"
_NETWORK = "docker:index/network:Network"
_VOLUME = "docker:index/volume:Volume"

_OTHERS = "others"
"""The role of the rules by which connections of others return early."""

_DONE_TO = {"create": "to create", "update": "to update", "replace": "to replace"} | {
    "delete": "to delete",
    "same": "unchanged",
}
"""Pulumi's words for operations on a resource, in the order of the summary."""

_STOPS_NOTHING = ("none: ", "Docker reloads it; ", "Docker is started")
"""How effects begin that stop no container (providers/engine/plan.py). All others stop some, or
cannot tell: packages are installed first, or the host could not be reached."""

_REPLACEMENT = frozenset({"replace", "create-replacement", "delete-replaced"})


@dataclass(frozen=True)
class Preview:
    """`errors` are present only if the preview failed; `meaning` has one sentence per entry."""

    counts: Mapping[str, int] = field(default_factory=dict)
    meaning: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """How many resources change, as the CLI counts them."""
        found = [
            f"{self.counts[op]} {what}" for op, what in _DONE_TO.items() if self.counts.get(op)
        ]
        return ", ".join(found) or "no resources"

    @property
    def changes(self) -> bool:
        """Whether `pulumi up` would change anything."""
        return any(number for op, number in self.counts.items() if op != "same")


def read(text: str, complaint: str = "", failed: bool = False) -> Preview:
    """Return the preview that printed `text` as JSON, and `complaint` on its standard error."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        return Preview(errors=(_last(complaint) or "Pulumi printed no preview and no error",))
    diagnostics = found.get("diagnostics") or []
    messages = [each["message"] for each in diagnostics if each.get("severity") == "error"]
    errors = tuple(dict.fromkeys(each.strip().removeprefix("error: ") for each in messages))
    if failed and not errors:
        errors = (_last(complaint) or "Pulumi ended with an error and named none",)
    steps = [each for each in found.get("steps") or [] if each.get("op") != "same"]
    return Preview(
        found.get("changeSummary") or {}, () if errors else tuple(_meaning(steps)), errors
    )


def _last(complaint: str) -> str:
    """Return the end of a program's error output."""
    return "\n".join(complaint.strip().splitlines()[-20:])


def _meaning(steps: Sequence[Props]) -> Iterator[str]:
    stops: list[str] = []
    for step in steps:
        urn = step["urn"].split("::")
        kind, name = urn[2].split("$")[-1], urn[-1]
        host = name.partition("/")[0]
        old, new = _inputs(step, "oldState"), _inputs(step, "newState")
        if kind.endswith(_NETWORKING):
            yield from _networking(name, old, new)
        elif kind.endswith(_ENGINE):
            effect = _effect(new)
            yield f"{host}: {effect}"
            stops += [] if effect.startswith(_STOPS_NOTHING) else [host]
    for sentence in dict.fromkeys(_stopping(steps)):
        stops.append(sentence)
        yield sentence
    if steps and not stops:
        yield "no container restarts"


def _effect(new: Props | None) -> str:
    """Return the effect of a change of Docker on containers; only the host knows it."""
    if new is None:
        return "the old daemon.json is restored; whether Docker restarts for it is not known yet"
    effect = new.get("effect")
    return effect if isinstance(effect, str) else "whether Docker restarts is not known yet"


def _stopping(steps: Sequence[Props]) -> Iterator[str]:
    """Yield what stops or loses its data. New containers stop nothing."""
    for step in steps:
        urn, op = step["urn"].split("::"), step["op"]
        kind = urn[2].split("$")[-1]
        host = urn[-1].partition("/")[0]
        name = (_inputs(step, "oldState") or {}).get("name")
        if name is None:
            continue
        if kind == _CONTAINER and op in _REPLACEMENT:
            yield f"container `{name}` on {host} is replaced: it stops and starts again"
        elif kind == _CONTAINER and op == "delete":
            yield f"container `{name}` on {host} is removed"
        elif kind == _NETWORK and op in _REPLACEMENT:
            yield f"Docker network `{name}` on {host} is replaced: its containers lose connection"
        elif kind == _NETWORK and op == "delete":
            yield f"Docker network `{name}` on {host} is removed"
        elif kind == _VOLUME and op in {"delete", *_REPLACEMENT}:
            yield f"volume `{name}` on {host} is removed, **with its data**"


def _inputs(step: Props, state: str) -> Props | None:
    return (step.get(state) or {}).get("inputs") if step.get(state) else None


def _networking(host: str, old: Props | None, new: Props | None) -> Iterator[str]:
    """Yield the meaning of a change of a host's networking."""
    if new is None:
        yield f"{host}: wanbound removes everything that it has there"
        return
    before, after = (old or {}).get("networks") or {}, new.get("networks") or {}
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            yield from _network(f"`{name}` on {host}", before.get(name), after.get(name))
    if old is None:
        return
    own, wanted = (_without_others(each.get("own") or {}) for each in (old, new))
    if changed := _different(own, wanted):
        yield f"{host}: lines of the host itself change: {', '.join(changed)}"
    if old.get("installed") != new.get("installed"):
        yield f"{host}: the script of wanbound there is replaced by this version's"
    if "drift" in old:
        yield f"{host}: manual changes on the host are reverted"


def _without_others(own: Props) -> Props:
    """Return a host's own lines without those by which connections of others return early.

    They follow from the networks (planner/rules.py).
    """
    return {
        section: rest
        for section, roles in own.items()
        if (rest := {role: each for role, each in roles.items() if role != _OTHERS})
    }


def _network(name: str, old: Props | None, new: Props | None) -> Iterator[str]:
    if old is None and new is not None:
        yield f"{name} is new, {' and '.join(_addresses(new).values())}"
    elif new is None and old is not None:
        yield f"{name} is removed, {' and '.join(_addresses(old).values())}"
    elif old is not None and new is not None:
        before, after = _addresses(old), _addresses(new)
        ports = _ports(_flows(old, _moved(before, after)), _flows(new))
        said = [*_moves(before, after), *ports]
        yield from (f"{name} {each}" for each in said)
        if not said:
            yield f"{name}: other lines change: {', '.join(_different(old, new))}"


def _moves(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    """Yield added and removed public addresses; a network leaves from those with a one-word role.

    Roles of several words are further addresses, at which it only answers.
    """
    for role in sorted({*old, *new}):
        before, after, (family, *further) = old.get(role), new.get(role), role.split()
        if before == after:
            continue
        verb = "answers at" if further else "leaves from"
        if before is None:
            yield f"{verb} {after}, too" if further else f"{verb} {after}; it had no {family}"
        elif after is None:
            yield f"no longer {verb} {before}"
        else:
            yield f"{verb} {after} instead of {before}"


def _moved(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    """Return the new address for each that was replaced by one that the network did not have.

    The same ports are open at the new address, so the move is all that is reported.
    """
    return {
        before: new[role]
        for role, before in old.items()
        if role in new and before not in new.values() and new[role] not in old.values()
    }


def _ports(old: Mapping[tuple[str, str], str], new: Mapping[tuple[str, str], str]) -> Iterator[str]:
    # IPv4 first: as text, 2001:db8::1 is before 203.0.113.1.
    for key in sorted({*old, *new}, key=lambda each: (":" in each[0], each)):
        (address, port), before, after = key, old.get(key), new.get(key)
        if before is None:
            yield f"opens {port} at {address}, to {after}"
        elif after is None:
            yield f"closes {port} at {address}"
        elif before != after:
            yield f"forwards {port} at {address} to {after} instead of {before}"


def _addresses(network: Props) -> Mapping[str, str]:
    return network["owns"].get("addresses") or {}


def _flows(network: Props, moved: Mapping[str, str] | None = None) -> dict[tuple[str, str], str]:
    """Return containers by address and ports, from `to ADDRESS PROTOCOL FIRST-LAST CONTAINER`.

    Keys in `moved` are replaced by the addresses that they moved to.
    """
    found = {}
    for text in (network["owns"].get("flows") or {}).values():
        match text.split():
            case ["to", address, protocol, ports, container]:
                first, _, last = ports.partition("-")
                shown = "all ports" if ports == "0-65535" else first if first == last else ports
                found[(moved or {}).get(address, address), f"{protocol} {shown}"] = container
    return found


def _different(old: Props, new: Props) -> list[str]:
    return sorted(key for key in {*old, *new} if old.get(key) != new.get(key) and key != "order")
