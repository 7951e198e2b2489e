"""Which engines wanbound works with. Pure."""

import re


def older_than(version: str, major: int, minor: int) -> bool:
    """Whether an engine is older than that; a build without a number ("dev") is not."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return found is not None and (int(found[1]), int(found[2])) < (major, minor)


def fault(version: str, backend: str, firewall: str = "iptables") -> tuple[str, str] | None:
    """Return why rules cannot go to an engine, and what to do about it; None where they can.

    `backend` is what the engine loads its own rules with: "iptables" or "nftables"; "" where that
    is not known. `firewall` is what wanbound loads those of the host with.
    """
    if older_than(version, 20, 10):
        return (
            f"Docker {version} is older than 20.10, the oldest version that wanbound works with",
            "install Docker 20.10 or newer (Debian 12 has 20.10, Debian 13 has 26.1)",
        )
    if backend.startswith("nftables") and firewall == "iptables":
        return (
            f"Docker {version} uses its nftables firewall backend, which has no chain for"
            " wanbound's iptables rules",
            "set firewall: nftables and engine.firewall_backend: nftables for the host (Docker"
            " restarts where daemon.json changes), or engine.firewall_backend: iptables to have"
            " Docker restart with iptables",
        )
    return None


def refusal(version: str, backend: str, firewall: str) -> str | None:
    """Return `fault` as one text, None where there is none."""
    found = fault(version, backend, firewall)
    return None if found is None else f"{found[0]}; {found[1]}"
