"""What an apply leaves on every host besides rules: the script, and the units that run it."""

import hashlib

from providers.errors import readable
from providers.host.facts import Facts
from providers.ssh.remote import host_script

SCRIPT = "/usr/local/sbin/wanbound"

DIGITS = 12
"""So many digits of the script's SHA-256 are shown: as many as a reviewer compares."""


def installed() -> dict[str, str]:
    """Return script and units by role, as they are where everything is in place.

    The script has a digest here, so that another version of it shows in a preview.
    """
    digest = hashlib.sha256(host_script().encode()).hexdigest()
    return {
        "script": f"{SCRIPT} {digest[:DIGITS]}",
        "wanbound.service": "enabled",
        "wanbound-docker.service": "enabled",
        "wanbound-watch.service": "enabled, active",
    }


def live_installed(facts: Facts) -> dict[str, str]:
    """Return script and units by role as they are on the host.

    Without systemd nothing could enable a unit: they are taken to be as wanted then.
    """
    wanted = installed()
    digest = readable(facts.script[:DIGITS]) if facts.script else "is missing"
    script = f"{SCRIPT} {digest}"
    units = {role: line for role, line in wanted.items() if role != "script"}
    if facts.units is not None:
        units = {role: _unit(facts.units.get(role, ("missing",))) for role in units}
    return {"script": script, **units}


def _unit(words: tuple[str, ...]) -> str:
    """Return the words of a unit without what goes without saying."""
    if words[0] == "missing":
        return "missing"
    return readable(", ".join(word for word in words if word != "written"))
