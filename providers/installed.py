"""What an apply leaves on every host besides rules: the script, and the units that run it."""

import hashlib

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
