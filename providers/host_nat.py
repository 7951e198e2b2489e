"""HostNat: all that one network wants on its host, as one dynamic resource.

One resource and not several, because addresses, rules of both families and the guard have to
change together and be undone together.
"""

from collections.abc import Mapping
from typing import Any, cast

import pulumi
from pulumi.dynamic import (
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)

from providers.applied import recall, remember
from providers.errors import HostError
from providers.fragment import SECTIONS, Rules, fragment, subnets
from providers.host import Combiner, host_at
from providers.installed import installed
from providers.live import Live, ParseError, parse
from providers.live_installed import NETWORK, live_docker, live_installed, unlabelled
from providers.live_rules import live_rules
from providers.target import target_of

_WANTED = (*SECTIONS, "installed")
"""The properties that are lines by role: what is to be on the host."""

# What is found of the Docker network is none of the wanted properties: it is there as drift alone.
_PROPERTIES = ("host", "network", "bridge", "subnets", *_WANTED, "docker")


class HostNatProvider(ResourceProvider):
    """Puts, reads and removes one network's fragment. Stateless: it is pickled by reference."""

    # There is no secret in it, and `__provider` in clear makes no noise in a diff.
    serialize_as_secret_always = False

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Compare two sets of properties; contacts nothing.

        Another bridge or subnet means another Docker network: then this resource is replaced, and
        what depends on its bridge (network, containers) is deleted before it, so that nothing is
        left that could send past the old rules. Which subnets these are is a property of its own:
        the lines of `_olds` are what a refresh found, and a line that somebody flushed must not
        look like another network, whose containers would have to go.
        """
        # Also where `taken_over` goes: left in the outputs, a refresh would show it for ever.
        changed = any(_olds.get(name) != _news.get(name) for name in (*_PROPERTIES, "taken_over"))
        replaces = [
            name for name in ("network", "bridge", "subnets") if _olds.get(name) != _news.get(name)
        ]
        if _olds.get("host", {}).get("name") != _news.get("host", {}).get("name"):
            replaces.append("host")
        # None where there are changes: then the engine compares the inputs itself, path by path,
        # and a preview shows the lines that change. After True it prints all the others with them.
        return DiffResult(
            changes=None if changed else False, replaces=replaces, delete_before_replace=True
        )

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Bring the host to the properties; what is there already is adopted. Raises HostError.

        A Docker network of the name is taken over only where the program has found it to be the
        same. Any other would be cut off by rules that are not for it, and Docker would then refuse
        to make ours.
        """
        if "taken_over" not in props:
            _refuse_by_hand(props)
        self._put(props)
        taken_over = props.get("taken_over", "")
        return CreateResult(
            f"{props['host']['name']}/{props['network']}", _outputs(props, taken_over)
        )

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Bring the host to the new properties. Raises HostError.

        Where a refresh has found a Docker network that somebody made by hand in ours' place, it
        goes: Docker would not make ours beside it.
        """
        if NETWORK in _olds.get("docker", {}) and "taken_over" not in _news:
            self._renew(_news)
        self._put(_news)
        taken_over = _news.get("taken_over", _olds.get("was_taken_over"))
        return UpdateResult(_outputs(_news, taken_over))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Return the properties as they are on the host, so that a refresh shows drift by line.

        Raises HostError where the host cannot be read: that is never taken for "not there".
        """
        live = _live(props)
        digest, applied = recall(props.get("applied", ""))
        wanted = _lines(props) if applied is None else applied
        found = live_rules(props["network"], props["bridge"], wanted, live, digest)
        if found is None:
            return ReadResult("", {})
        kept = {
            "applied": props.get("applied", ""),
            "was_taken_over": props.get("was_taken_over", unlabelled(props["network"], live)),
        }
        inputs = {
            **_inputs(props),
            **found,
            "installed": live_installed(wanted["installed"], live),
            "docker": live_docker(
                props["network"],
                _label(props),
                kept["was_taken_over"],
                props["bridge"],
                subnets(wanted),
                live,
            ),
        }
        if not inputs["docker"]:
            del inputs["docker"]
        # After a refresh the state has the lines that were found. What was applied stays what it
        # was, or the next refresh would hold the host against those.
        return ReadResult(id_, {**inputs, **kept}, inputs)

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Remove the network's fragment and exactly what it loaded. Raises HostError."""
        try:
            _host(_props).remove(_props["network"])
        except HostError as error:
            raise error.about(_props["network"]) from error

    def _renew(self, props: dict[str, Any]) -> None:
        network = props["network"]
        try:
            _host(props).renew(network, _label(props))
        except HostError as error:
            raise error.about(network) from error

    def _put(self, props: dict[str, Any]) -> None:
        network = props["network"]
        try:
            _host(props).put(network, fragment(network, props["bridge"], _lines(props)))
        except HostError as error:
            raise error.about(network) from error


def _live(props: Mapping[str, Any]) -> Live:
    """Return the state of the host. Raises HostError, also where it cannot be understood."""
    try:
        return parse(_host(props).state())
    except HostError as error:
        raise error.about(props["network"]) from error
    except ParseError as error:
        raise HostError(
            f"{props['host']['name']}, network {props['network']}",
            f"its state cannot be read: {error}",
            "unchanged; it was only read",
            "run `wanbound state` on the host and see what is odd in it",
        ) from error


def _refuse_by_hand(props: Mapping[str, Any]) -> None:
    """Raise HostError where Docker has a network of this name that is not ours."""
    network = props["network"]
    labels = [each.label for each in _live(props).docker or () if each.name == network]
    if all(label == _label(props) for label in labels):
        return
    whose = "made by hand" if None in labels else f"made for {labels[0]}"
    raise HostError(
        f"{props['host']['name']}, network {network}",
        f"there is a Docker network {network} already, {whose}",
        "unchanged; it was only read",
        "set adopt: true for the host, and it is taken over where it is just what is declared here"
        f" (docs/adopt.md); or take its containers out of it and run `docker network rm {network}`",
    )


def _host(props: Mapping[str, Any]) -> Combiner:
    return host_at(target_of(props["host"]))


def _label(props: Mapping[str, Any]) -> str:
    """Return the label `wanbound` of the Docker network that the program makes."""
    return f"{props['host']['name']}/{props['network']}"


def _lines(props: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    return {section: dict(props.get(section) or {}) for section in _WANTED}


def _inputs(props: Mapping[str, Any]) -> dict[str, Any]:
    return {name: props[name] for name in (*_PROPERTIES, "taken_over") if name in props}


def _outputs(props: Mapping[str, Any], taken_over: str | None) -> dict[str, Any]:
    """Return the outputs; a network that was taken over stays so when the key for it goes.

    None is for networks that an earlier version made, without a label: the next refresh finds out.
    """
    lines = _lines(props)
    outputs = {
        **_inputs(props),
        "applied": remember(fragment(props["network"], props["bridge"], lines), lines),
    }
    return outputs if taken_over is None else {**outputs, "was_taken_over": taken_over}


class HostNat(Resource, module="wanbound", name="HostNat"):
    """The public addresses, nat and forward rules and guard lines of one network on its host."""

    bridge: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        host: Mapping[str, Any],
        network: str,
        bridge: str,
        rules: Rules,
        taken_over: str | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the lines of `network`.

        `host` has what `providers.target.target_of` reads. `rules` has the lines by section
        (`providers.fragment.SECTIONS`) and role. `taken_over` is the id of the Docker network
        that was there before and is as ours would be.
        """
        props = {
            "host": dict(host),
            "network": network,
            "bridge": bridge,
            "subnets": subnets(rules),
            "installed": installed(),
            **({} if taken_over is None else {"taken_over": taken_over}),
        }
        lines = {section: dict(rules.get(section, {})) for section in SECTIONS}
        super().__init__(HostNatProvider(), name, cast("dict[str, Any]", {**props, **lines}), opts)
