"""HostNetworking: all that wanbound wants on one host, as one dynamic resource.

One resource for a host and not one for each network, because a host changes as a whole or not at
all: one transaction, one undo and one confirmation, for any number of networks.
"""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from ipaddress import ip_address, ip_network
from itertools import islice
from typing import Any

import pulumi
from pulumi.dynamic import (
    ConfigureRequest,
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)

from providers import notes
from providers.errors import (
    ChangedMeanwhileError,
    DuplicateAddressError,
    HostError,
    UnreachableError,
    readable,
)
from providers.host import byhand, classic
from providers.host.checks import label, refusals, renewed
from providers.host.drift import found, renewable
from providers.host.facts import DockerNetwork, Facts, ParseError, parse
from providers.host.gateways import elsewhere
from providers.host.generation import Family, Generation, compose
from providers.host.installed import installed, live_installed, replaced, unowned
from providers.host.leaving import leaving
from providers.host.plan import NOTHING, Plan, plan_of, properties
from providers.ssh.remote import Remote, remote_at
from providers.ssh.target import target_of, today
from providers.version import VERSION

_PROPERTIES = (
    "host", "stack", "wan", "networks", "own", "persist", "metrics", "taken_over", "installed",
    "drift",
)  # fmt: skip
"""What a diff compares; "drift" is there only where a refresh has found some."""

_FAMILIES: tuple[Family, Family] = ("ipv4", "ipv6")

_TOLD = 20
"""Limit of the containers of one host that are reported for leaving by another network."""

_TRIES = 3
"""How often a change is decided at most, if the host changes between reading and change."""


class HostNetworkingProvider(ResourceProvider):
    """Brings a host to its properties, reads them, removes all. Stateless: pickled by reference."""

    # Secret properties are marked one by one, so `__provider` need not be secret as a whole.
    serialize_as_secret_always = False

    hosts: object = None
    """The stack's hosts as they are configured, where Pulumi lets a provider know."""

    def configure(self, req: ConfigureRequest) -> None:
        """Keep the configuration: the state may have an outdated address of a host."""
        self.hosts = req.config.get("wanbound:hosts")

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Compare two sets of properties; contacts nothing, and never replaces the resource."""
        changed = any(_olds.get(name) != _news.get(name) for name in _PROPERTIES)
        # None where there are changes: then the engine compares the inputs itself, path by path,
        # and a preview shows the lines that change. After True it prints all the others with them.
        return DiffResult(changes=None if changed else False)

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Bring the host to the properties; what is there already is adopted. Raises HostError."""
        _settle(lambda: _change(props, NOTHING, frozenset()))
        return CreateResult(props["host"]["name"], _outputs(props, VERSION))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Bring the host to the new properties, over the connection that these name.

        If a refresh has found a manually created Docker network in place of ours, that network is
        removed, because Docker would not create ours beside it. Raises HostError.
        """
        known, by_hand = plan_of(_olds), renewable(_olds.get("drift") or {})
        _settle(lambda: _change(_news, known, by_hand))
        return UpdateResult(_outputs(_news, VERSION))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Return the properties as they are on the host, so that a refresh shows drift by line.

        Raises HostError if the host cannot be read: an unreadable host never counts as removed.
        """
        with _saved_connection():
            facts = _facts(self._remote(props), props, drift=True)
        if not facts.has_generation:
            return ReadResult("", {})
        plan = plan_of(props) if facts.plan is None else facts.plan
        # Not as a property: no update corrects it, so it would be permanent drift.
        for each in islice(elsewhere(plan, facts), _TOLD):
            notes.tell(props["host"]["name"], str(each))
        if facts.owned_table == "not held":
            notes.tell(props["host"]["name"], unowned(facts.owned_table))
        inputs: dict[str, Any] = {
            "host": props["host"],
            **found(props["host"]["name"], plan, compose(plan), facts),
            "installed": live_installed(plan, facts),
        }
        # What was taken over is known to the host; the property says what the program asked for.
        inputs.pop("taken_over", None)
        if "taken_over" in props:
            inputs["taken_over"] = props["taken_over"]
        return ReadResult(id_, _outputs(inputs, facts.version), inputs)

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Remove everything of ours from the host, and restore what was there before.

        Raises HostError while one of our bridges exists: its containers would send with the host's
        own address. The host itself is asked whether the bridges are gone.
        """
        _settle(lambda: _remove(self._remote(_props), _props))

    def _remote(self, props: Mapping[str, Any]) -> Remote:
        return remote_at(today(target_of(props["host"]), self.hosts))


@contextmanager
def _saved_connection() -> Iterator[None]:
    """Add to the error of an unreachable host that its address may be outdated."""
    try:
        yield
    except UnreachableError as error:
        remedy = (
            f"{error.remedy}. If ssh.address, ssh.port or ssh.user has changed, run the command"
            " with --run-program: without it, Pulumi uses the connection that the last `pulumi up`"
            " saved"
        )
        raise UnreachableError(error.host, error.what, error.state, remedy) from error


@contextmanager
def _named_duplicates(plan: Plan) -> Iterator[None]:
    """Add to the error which networks and keys have the addresses that another machine has."""
    try:
        yield
    except DuplicateAddressError as error:
        words = set(error.what.split())
        found = [
            f"{'public_ipv6' if role == 'ipv6' else 'addresses'} of network {network.name}"
            for network in plan.networks.values()
            for role, address in network.addresses.items()
            if address in words
        ]
        if not found:
            raise
        remedy = (
            "remove the address from the other machine, or set another one"
            f" ({', '.join(found)}), then run again"
        )
        raise DuplicateAddressError(error.host, error.what, error.state, remedy) from error


def _settle(step: Callable[[], None]) -> None:
    """Run a step that depends on the host's state; repeat it if that state has changed meanwhile.

    Raises ChangedMeanwhileError where it changes each time.
    """
    for _ in range(_TRIES - 1):
        with suppress(ChangedMeanwhileError):
            return step()
    return step()


def _change(props: Mapping[str, Any], known: Plan, by_hand: Collection[str]) -> None:
    """Bring the host to the properties. `by_hand` are Docker networks that may be removed.

    `known` replaces the host's own record of its plan if that cannot be read.
    """
    remote, name = remote_at(target_of(props["host"])), props["host"]["name"]
    facts = _facts(remote, props)
    wanted, old = plan_of(props), known if facts.plan is None else facts.plan
    kept = {network: id_ for network, id_ in old.taken_over.items() if network in wanted.networks}
    wanted = replace(wanted, taken_over={**kept, **wanted.taken_over})
    if again := sorted(set(renewed(name, wanted, facts)) & set(by_hand)):
        # First what removing them does not resolve: until then nothing has changed.
        _refuse(name, wanted, old, facts, without=again)
        _renew(remote, name, again)
        # Also if something fails later.
        notes.tell(name, f"removed the manually created Docker networks {', '.join(again)}")
        facts = _facts(remote, props)
    _refuse(name, wanted, old, facts, removed=again)
    plan = replace(wanted, leaving=leaving(old, wanted, facts.bridges))
    final = generation = compose(plan)
    files = _under("new", generation)
    if plan.leaving:
        final = compose(wanted)
        files |= _under("then", final)
    with _named_duplicates(wanted):
        remote.change(files, facts.current, _saved(wanted, final, facts))
    _tell(name, plan, facts)


def _renew(remote: Remote, name: str, networks: Sequence[str]) -> None:
    """Remove manually created Docker networks; an error says which are gone already."""
    for number, network in enumerate(networks):
        try:
            remote.renew(network, label(name, network))
        except HostError as error:
            if number == 0:
                raise
            state = _without(networks[:number])
            raise HostError(error.host, error.what, state, error.remedy) from error


def _without(networks: Sequence[str]) -> str:
    """Return the state of a host from which these manually created networks were removed."""
    if not networks:
        return "unchanged; it was only read"
    return (
        f"without the manually created Docker networks {', '.join(networks)}, which were removed;"
        " otherwise unchanged. The containers that wanbound created are disconnected from them"
    )


def _remove(remote: Remote, props: Mapping[str, Any]) -> None:
    """Remove everything of ours, unless a bridge of ours is still there."""
    with _saved_connection():
        facts = _facts(remote, props)
    if not facts.has_generation:
        return
    plan = plan_of(props) if facts.plan is None else facts.plan
    _refuse_bridges(props["host"]["name"], plan, facts)
    nothing = replace(NOTHING, stack=plan.stack)
    generation = compose(nothing, absent=plan.bridges)
    remote.change(_under("new", generation), facts.current, _saved(nothing, generation, facts))


def _under(folder: str, generation: Generation) -> dict[str, str]:
    """Return the files of a generation by their paths in a transfer to the host."""
    return {f"{folder}/{name}": text for name, text in generation.files.items()}


def _facts(remote: Remote, props: Mapping[str, Any], *, drift: bool = False) -> Facts:
    """Return what is on the host. Raises HostError, also where it cannot be understood."""
    name = props["host"]["name"]
    try:
        facts = parse(remote.facts(drift=drift), drift=drift)
    except ParseError as error:
        raise HostError(
            name,
            f"its state cannot be read: {error}",
            "unchanged; it was only read",
            "run it again; if the error persists, it is a bug in wanbound: please report it",
        ) from error
    if facts.owner and facts.owner != props["stack"]:
        raise HostError(
            name,
            f"it belongs to the stack {facts.owner}, and this is {props['stack']}",
            "unchanged; it was only read",
            "manage the host in that stack; if that stack no longer exists, run"
            " `rm -f /etc/wanbound/*/owner` on the host and then `pulumi up` again",
        )
    return facts


def _refuse(
    name: str,
    plan: Plan,
    old: Plan,
    facts: Facts,
    *,
    without: Sequence[str] = (),
    removed: Sequence[str] = (),
) -> None:
    """Raise HostError where something on the host prevents the change.

    Nothing is said of the networks `without`. The Docker networks `removed` are already gone.
    """
    problems = [each for each in refusals(name, plan, old, facts) if each.network not in without]
    if not problems:
        return
    first = problems[0]
    others = "".join(
        f"\n  Also{f' (network {each.network})' if each.network else ''}: {each.what}"
        for each in problems[1:]
    )
    raise HostError(
        f"{name}, network {first.network}" if first.network else name,
        first.what + others,
        _without(removed),
        first.remedy,
    )


def _refuse_bridges(name: str, plan: Plan, facts: Facts) -> None:
    """Raise HostError while a bridge of ours exists, with all that is in it."""
    here = {bridge: network for bridge, network in plan.bridges.items() if bridge in facts.bridges}
    if not here:
        return
    said = []
    for bridge, network in sorted(here.items()):
        inside = [
            str(container)
            for each in facts.docker_networks
            if each.bridge == bridge
            for container in facts.inside(each)
        ]
        said.append(
            f"bridge {bridge} of network {network}"
            f" ({'containers ' + ', '.join(inside) if inside else 'no container'})"
        )
    raise HostError(
        name,
        f"its networks still exist: {'; '.join(said)}",
        "unchanged; all rules, addresses and the guard are still in force",
        "remove the containers (those of a compose project by `docker compose down` in its folder)"
        " and then the networks (`docker network rm`), then run it again",
    )


def _known(rules: Mapping[str, Mapping[str, Sequence[str]]]) -> dict[str, dict[str, list[str]]]:
    """Return the rules without those whose subnet Docker chooses: only the host knows it.

    iptables-restore would refuse the whole file, with the rules of others in it.
    """
    return {
        table: {
            chain: [rule for rule in lines if " -s @" not in rule]
            for chain, lines in chains.items()
        }
        for table, chains in rules.items()
    }


def _saved(plan: Plan, generation: Generation, facts: Facts) -> dict[str, str]:
    """Return the files for /etc/iptables that are to change, for the host's put_classic."""
    found: dict[str, str] = {}
    for family in _FAMILIES:
        file = f"rules.v{family[-1]}"
        path = f"/etc/iptables/{file}"
        text = facts.files.get(path)
        rules = _known(generation.rules(family)) if plan.persist else {}
        wanted = classic.with_rules(text, rules)
        if wanted == text:
            continue
        found[f"{file}.was"] = f"{_digest(text)}\n"
        if wanted is None:
            found[f"{file}.gone"] = ""
            continue
        found[file] = wanted
        if wanted and not wanted.endswith("\n"):
            # Only whole lines are sent; the host removes the last newline again.
            found |= {file: f"{wanted}\n", f"{file}.unended": ""}
    return found


def _digest(text: str | None) -> str:
    if text is None:
        return "none"
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def _tell(name: str, plan: Plan, facts: Facts) -> None:
    """Say what the operator should know of the host, now that the change is in force."""
    if text := replaced(facts):
        notes.tell(name, text)
    needles = _needles(plan)
    for family in _FAMILIES:
        files = {
            path: text for path, text in facts.files.items() if path in byhand.BOOT_FILES[family]
        }
        lines = byhand.found(family, needles, "\n".join(facts.others[family]), files)
        for line in lines:
            what = (
                "created manually, and loaded again at each boot until you remove it"
                if line.startswith("/")
                else "created manually, and no longer needed"
            )
            notes.tell(name, f"{what}: {line}")
    if facts.ipv6nat and any("ipv6" in each.addresses for each in plan.networks.values()):
        notes.tell(name, "docker-ipv6nat runs here: its rules stay, and wanbound's come first")
    for network, what, names in _in_the_way(plan, facts):
        notes.tell(
            name,
            f"network {network}: {what}, but Docker removes no network with containers in it."
            f" The stack does not declare {', '.join(names)}. Fix: stop them (compose projects by"
            " `docker compose down`), then run it again",
        )
    for each in plan.leaving:
        notes.tell(
            name,
            f"network {each.name}: its lines stay until Docker has removed its bridge"
            f" ({', '.join(sorted(each.bridges.values()))}); the host then removes them by itself",
        )


def _in_the_way(plan: Plan, facts: Facts) -> Iterator[tuple[str, str, list[str]]]:
    """Yield the Docker networks that this run is to remove or replace, with what others run there.

    Docker's own refusal comes when the network is removed, and names no container.
    """
    gone = {bridge for each in plan.leaving for bridge in each.bridges.values()}
    for there in facts.docker_networks:
        others = [str(each) for each in facts.inside(there) if not each.label]
        if not others:
            continue
        if there.bridge in gone:
            yield there.name, "it was removed from the stack", others
        elif there.name in plan.networks and _is_another(plan, there):
            yield there.name, "it gets another subnet, so Docker recreates it", others


def _is_another(plan: Plan, there: DockerNetwork) -> bool:
    subnets = plan.networks[there.name].subnets
    return any(subnet not in there.subnets for role, subnet in subnets.items() if role != "socket")


def _needles(plan: Plan) -> byhand.Needles:
    networks = plan.networks.values()
    return byhand.Needles(
        frozenset(ip_address(text) for each in networks for text in each.addresses.values()),
        frozenset(ip_network(text) for each in networks for text in each.subnets.values()),
        frozenset(bridge for each in networks for bridge in each.bridges.values()),
    )


def _outputs(props: Mapping[str, Any], version: str | None) -> dict[str, Any]:
    """Return what the state has: the properties, and which version made the last change.

    The version is no input, and no diff compares it.
    """
    found = {name: props[name] for name in _PROPERTIES if name in props}
    return found if version is None else {**found, "version": readable(version)}


class HostNetworking(Resource, module="wanbound", name="HostNetworking"):
    """The addresses, rules, guard, routes and kernel parameters of one host."""

    def __init__(
        self,
        name: str,
        *,
        host: Mapping[str, Any],
        plan: Plan,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare all of `plan`; `host` has what `providers.ssh.target.target_of` reads."""
        props = {"host": dict(host), **properties(plan), "installed": installed(plan)}
        super().__init__(HostNetworkingProvider(), name, props, opts)
