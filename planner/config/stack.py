"""The whole configuration of one stack, and the way from what Pulumi hands over to it."""

from collections.abc import Mapping
from ipaddress import IPv4Network

from planner.config import engine, resolve
from planner.config.across import check_stack
from planner.config.edge import check_edges
from planner.config.host import check_host
from planner.config.model import Echo, Host, Images, Model
from planner.config.report import Report
from planner.config.shape import draft
from planner.config.within import check_network
from planner.errors import ConfigError


class Stack(Model):
    """Everything that one stack's configuration says, with all defaults and addresses filled in."""

    name: str
    seed: str | None
    ipv4_pool: IPv4Network
    verify: bool
    echo: Echo | None
    images: Images
    hosts: tuple[Host, ...]

    @classmethod
    def parse(cls, raw: Mapping[str, object], stack: str) -> "Stack":
        """Return the stack that `raw` describes; its keys are the names after `wanbound:`.

        Every `{secret: NAME}` must be one of the names in `secrets`; of the values only those are
        looked at that have a form of their own, and none is ever quoted.
        Raises ConfigError, with every problem that was found, when `raw` cannot be used.
        """
        report = Report(raw)
        pieces = draft(raw, report)
        resolve.families(pieces, report)
        for host in pieces.hosts:
            check_host(host, pieces.secrets, report)
            engine.check_engine(host, report)
        for host, network in pieces.networks():
            check_network(host, network, pieces.secrets, report)
        check_edges(pieces, report)
        check_stack(pieces, report)
        if report.problems or pieces.spec is None:
            raise ConfigError(report.problems, stack)
        spec = pieces.spec
        images = Images(**dict(spec.images))
        return cls(
            name=stack,
            seed=spec.seed,
            ipv4_pool=spec.ipv4_pool or resolve.POOL,
            verify=spec.verify,
            echo=Echo(**dict(spec.echo)) if spec.echo is not None else None,
            images=images,
            hosts=tuple(
                resolve.host(host.spec, host.networks, images)
                for host in pieces.hosts
                if host.spec is not None
            ),
        )
