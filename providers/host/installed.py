"""What an apply leaves on every host besides rules: the script, and the units that run it."""

import hashlib

from providers.errors import readable
from providers.host.facts import Facts
from providers.host.plan import Plan
from providers.ssh.remote import host_script
from providers.version import VERSION

SCRIPT = "/usr/local/sbin/wanbound"

DIGITS = 12
"""So many digits of the script's SHA-256 are shown: as many as a reviewer compares."""


def installed(plan: Plan) -> dict[str, str]:
    """Return script and units by role, as they are where everything of `plan` is in place.

    The script has a digest here and no version: a preview shows where it changes, and a new version
    with the same script changes no host.
    """
    return {
        "script": f"{SCRIPT} {_digest()[:DIGITS]}",
        "wanbound.service": "enabled",
        "wanbound-docker.service": "enabled",
        "wanbound-watch.service": "enabled, active",
        **({} if plan.metrics is None else {"wanbound-metrics.timer": "enabled"}),
    }


def replaced(facts: Facts) -> str:
    """Return what to tell the operator after a change; nothing where the script stays the same."""
    if not facts.has_generation or facts.script in (None, _digest()):
        return ""
    before = "an older version" if facts.version is None else readable(facts.version)
    return f"its script {SCRIPT} is now that of wanbound {VERSION}; it was that of {before}"


def unowned(owned_table: str) -> str:
    """Return what to tell where a flush leaks; nothing where the table that it spares is held."""
    leaks = "`nft flush ruleset` lets packets out with private sources until the watcher's repair"
    return {
        "not held": f"{leaks}: the watcher does not hold the table that would stop them"
        " (journalctl -u wanbound-watch.service)",
        "not supported": f"{leaks}: a table that survives it needs Linux 6.9 and nftables 1.1",
    }.get(owned_table, "")


def live_installed(plan: Plan, facts: Facts) -> dict[str, str]:
    """Return script and units of `plan` by role as they are on the host.

    Without systemd nothing could enable a unit: they are taken to be as wanted then.
    """
    wanted = installed(plan)
    digest = readable(facts.script[:DIGITS]) if facts.script else "is missing"
    script = f"{SCRIPT} {digest}"
    units = {role: line for role, line in wanted.items() if role != "script"}
    if facts.units is not None:
        units = {role: _unit(facts.units.get(role, ("missing",))) for role in units}
    return {"script": script, **units}


def _unit(words: tuple[str, ...]) -> str:
    """Return the words of a unit without "written", the normal case."""
    if words[0] == "missing":
        return "missing"
    return readable(", ".join(word for word in words if word != "written"))


def _digest() -> str:
    return hashlib.sha256(host_script().encode()).hexdigest()
