"""How providers reach a host: what the resources on it get as their property `host`."""

from typing import Any

import pulumi

from components.containers import Secrets
from planner.plan import HostPlan
from providers.ssh.target import Jump, Target


def connection(plan: HostPlan, secrets: Secrets) -> dict[str, pulumi.Input[Any]]:
    """Return the property; `providers.ssh.target.target_of` reads it. Keys in it stay secret."""
    ssh = plan.ssh
    found: dict[str, pulumi.Input[Any]] = {
        "name": plan.name,
        "address": ssh.address,
        "port": ssh.port,
        "user": ssh.user,
        "host_key": ssh.host_key,
        "confirm_seconds": plan.confirm_seconds,
    }
    if ssh.jump is not None:
        jump = {"address": ssh.jump.address, "port": ssh.jump.port, "user": ssh.jump.user}
        found["jump"] = _present({**jump, "host_key": ssh.jump.host_key})
    if ssh.key is not None:
        found["key"] = secrets[ssh.key.secret]
    if ssh.key_passphrase is not None:
        found["key_passphrase"] = secrets[ssh.key_passphrase.secret]
    return _present(found)


def target(plan: HostPlan) -> Target:
    """Return the host as a session needs it, without any secret."""
    ssh = plan.ssh
    return Target(
        plan.name,
        ssh.address,
        ssh.port,
        ssh.user,
        ssh.host_key,
        plan.confirm_seconds,
        None if ssh.jump is None else Jump(**dict(ssh.jump)),
    )


def _present(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
