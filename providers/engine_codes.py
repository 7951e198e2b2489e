"""What the exit codes of the host script that concern Docker itself mean for a host."""

from collections.abc import Mapping

CHANGED_MEANWHILE = 19

_AS_IT_WAS = "as it was; nothing has changed"

ENGINE_MEANING: Mapping[int, tuple[str, str, str]] = {
    CHANGED_MEANWHILE: (
        "somebody else has changed /etc/docker/daemon.json at this moment",
        _AS_IT_WAS,
        "run again when the other one is done",
    ),
    20: (
        "Docker did not take the new daemon.json",
        "as it was: the old daemon.json is back, and Docker runs with it; where Docker was"
        " restarted for it, its containers were, too",
        "see what Docker says above, correct the keys under engine, run again",
    ),
    21: (
        "Docker did not take the new daemon.json, and does not run with the old one either",
        "the old daemon.json is back, but Docker does not run",
        "see `journalctl -u docker` there and mend the reason; the next run tries again",
    ),
    22: (
        "Docker refuses the new daemon.json (dockerd --validate)",
        _AS_IT_WAS,
        "correct the key that it names under engine, run again",
    ),
    23: (
        "the installation from the distribution failed",
        "daemon.json is as it was; packages may be half installed",
        "see what apt-get says above; `apt-get update && apt-get -f install` there shows the same",
    ),
    24: (
        "its Docker Engine is too old",
        _AS_IT_WAS,
        "install Docker 20.10 or newer there (Debian 12 has 20.10, 13 has 26.1), run again",
    ),
    25: (
        "its Docker Engine does not use iptables",
        _AS_IT_WAS,
        "set engine.settings of the host to {firewall-backend: iptables}, which writes it into"
        " daemon.json and restarts Docker; or write that by hand",
    ),
}
