"""The stack configuration: `Stack.parse` is the way in, everything else is what it returns."""

from collections.abc import Mapping

from planner.config import checks, resolve
from planner.config.report import Report
from planner.config.schema import (
    BALANCED,
    IPV6NAT,
    Acme,
    Baseline,
    Container,
    Dashboard,
    Echo,
    Engine,
    Family,
    Host,
    Images,
    Ingress,
    Jump,
    LoadBalancer,
    Network,
    Open,
    Root,
    Ssh,
    Wan,
    Whoami,
)
from planner.config.types import (
    LOAD_BALANCER,
    SET_COMMAND,
    VERSIONS,
    Address,
    AddressPair,
    Firewall,
    Mode,
    Persist,
    PortRange,
    Protocol,
    Published,
    Restart,
    SecretRef,
    Subnet,
    Version,
    Volume,
)
from planner.errors import ConfigError

__all__ = [
    "BALANCED", "IPV6NAT", "LOAD_BALANCER", "SET_COMMAND", "VERSIONS", "Acme", "Address",
    "AddressPair", "Baseline", "Container", "Dashboard", "Echo", "Engine", "Family", "Firewall",
    "Host", "Images", "Ingress", "Jump", "LoadBalancer", "Mode", "Network", "Open", "Persist",
    "PortRange", "Protocol", "Published", "Restart", "SecretRef", "Ssh", "Stack", "Subnet",
    "Version", "Volume", "Wan", "Whoami",
]  # fmt: skip


class Stack(Root):
    """Everything that one stack's configuration says, with all defaults and addresses filled in."""

    name: str

    @classmethod
    def parse(cls, raw: Mapping[str, object], stack: str) -> "Stack":
        """Return the stack that `raw` describes; its keys are the names after `wanbound:`.

        Every `{secret: NAME}` must be one of the names in `secrets`. Only secrets with a form of
        their own are checked, and none is ever quoted.
        Raises ConfigError, with every problem that was found, when `raw` cannot be used.
        """
        report = Report(raw)
        draft = resolve.read(raw, report)
        resolve.fill(draft, report)
        for problem in checks.check(draft):
            report.add(*problem)
        if report.problems or draft.root is None:
            raise ConfigError(report.problems, stack)
        hosts = tuple(
            place.host.model_copy(update={"networks": tuple(n.network for n in place.networks)})
            for place in draft.hosts
            if place.host is not None
        )
        return cls.model_construct(**{**dict(draft.root), "name": stack, "hosts": hosts})
