"""What a host wants of its Docker Engine: the keys of daemon.json, and what must hold for them."""

from planner.addresses import overlaps
from planner.config.model import Engine
from planner.config.report import Loc, Report
from planner.config.shape import HostDraft
from planner.config.spec import EngineSpec


def engine(spec: EngineSpec) -> Engine:
    """Return the model; all keys of daemon.json together, by their names there."""
    own = {
        "ipv6": spec.ipv6,
        "fixed-cidr-v6": None if spec.fixed_cidr_v6 is None else str(spec.fixed_cidr_v6),
        "ip6tables": spec.ip6tables,
        "live-restore": spec.live_restore,
        "registry-mirrors": None if spec.registry_mirrors is None else [*spec.registry_mirrors],
    }
    settings = {**{key: value for key, value in own.items() if value is not None}, **spec.settings}
    return Engine(
        settings=dict(sorted(settings.items())), install=spec.install, restart=spec.restart
    )


def check_engine(host: HostDraft, report: Report) -> None:
    """Report what is wrong with `engine` of a host whose networks have their families."""
    spec = None if host.spec is None else host.spec.engine
    if spec is None:
        return
    loc: Loc = (*host.loc, "engine")
    if not (engine(spec).settings or spec.install):
        what = "sets no key of daemon.json and does not install"
        remedy = "add a key like registry_mirrors or install: true, or remove engine"
        report.add(loc, what, "There would be nothing to do.", remedy)
    if spec.ipv6 and spec.fixed_cidr_v6 is None:
        why = (
            "Docker before 27 does not start with ipv6 alone, and a newer one takes a range of its"
            " own choice, another one on each host."
        )
        remedy = 'add a /64 of your own, like fixed_cidr_v6: "fd5c:1b2a:77f0:d0::/64"'
        report.add((*loc, "fixed_cidr_v6"), "is missing, and ipv6 is true", why, remedy)
    if spec.fixed_cidr_v6 is not None:
        _check_range(host, spec, report)


def _check_range(host: HostDraft, spec: EngineSpec, report: Report) -> None:
    cidr = spec.fixed_cidr_v6
    loc: Loc = (*host.loc, "engine", "fixed_cidr_v6")
    if cidr is None:
        return
    for network in host.networks:
        family = network.families.get(6)
        public = network.public(6)
        if family is not None and overlaps(family.subnet, cidr):
            what = f"{cidr} overlaps {family.subnet}, the subnet of network {network.spec.name}"
            why = "docker0 and the network's bridge would both have the way to these addresses."
            report.add(loc, what, why, "write another /64")
        elif public is not None and public in cidr:
            what = f"{cidr} has {public} in it, the public address of network {network.spec.name}"
            why = "A container of the default bridge could be given it."
            report.add(loc, what, why, "write a /64 of its own, in fd00::/8 where none is routed")
