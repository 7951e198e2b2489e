"""The traffic and its judge are the lab's own: see lab/traffic.py."""

from lab.traffic import Publics, Sources, either, expression, publics, sinks, sources

__all__ = ["Publics", "Sources", "either", "expression", "publics", "sinks", "sources"]
