"""The whole configuration of one stack, and the way from what Pulumi hands over to it."""

from collections.abc import Mapping
from ipaddress import IPv4Network

from planner.config.model import Echo, Host, Images, Model


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

        Where `raw` has `secrets`, only its names are looked at: every `{secret: NAME}` must be one.
        Raises ConfigError, with every problem that was found, when `raw` cannot be used.
        """
        raise NotImplementedError
