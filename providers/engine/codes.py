"""The meaning of engine.sh's exit codes that concern the Docker Engine."""

from collections.abc import Mapping

CHANGED_MEANWHILE = 19

_UNCHANGED = "as it was; nothing has changed"

ENGINE_MEANING: Mapping[int, tuple[str, str, str]] = {
    CHANGED_MEANWHILE: (
        "/etc/docker/daemon.json was changed by another program at the same time",
        _UNCHANGED,
        "run again when that change is done",
    ),
    20: (
        "Docker did not accept the new daemon.json",
        "as it was: the old daemon.json is back, and Docker runs with it; if Docker was restarted,"
        " its containers were, too",
        "read what Docker says above, correct the keys under engine, run again",
    ),
    21: (
        "Docker did not accept the new daemon.json, and does not run with the old one either",
        "the old daemon.json is back, but Docker does not run",
        "read `journalctl -u docker` on the host and remove the cause; the next run tries again",
    ),
    22: (
        "Docker rejects the new daemon.json (dockerd --validate)",
        _UNCHANGED,
        "correct the key that it names under engine, run again",
    ),
    23: (
        "the installation from the distribution failed",
        "daemon.json is as it was; packages may be installed in part",
        "read what apt-get says above; `apt-get update && apt-get -f install` on the host shows the"
        " same, and /run/wanbound/apt.log has all of it",
    ),
}
"""Exit code → what was wrong, in which state the host is, what to do."""
