"""Reads the hosts of a stack over SSH, all at the same time. Nothing on a host is changed."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from cli.errors import OperatorError
from cli.secrets import ssh_secrets
from components.connection import target
from planner.config import Stack
from planner.plan import HostPlan, plan
from providers.engine.state import EngineParseError
from providers.errors import HostError
from providers.host.facts import ParseError
from providers.ssh.remote import SshRemote
from providers.ssh.session import Session

_T = TypeVar("_T")


@dataclass(frozen=True)
class Read(Generic[_T]):
    """What was read of a host: None where it could not be read, and then `error` says why."""

    host: HostPlan
    found: _T | None
    error: str = ""


def chosen(stack: Stack, name: str | None) -> list[HostPlan]:
    """Return the host of that name, without a name all. Raises OperatorError."""
    hosts = [host for host in plan(stack) if name in (None, host.name)]
    if not hosts:
        names = ", ".join(host.name for host in stack.hosts)
        raise OperatorError(f"stack {stack.name} has no host {name}\n  Fix: name one of {names}")
    return hosts


def connect(host: HostPlan, secrets: dict[str, str]) -> SshRemote:
    """Return a host as Pulumi's run reaches it: the same keys, host key and jump host."""
    ssh = host.ssh
    found = replace(
        target(host),
        key=None if ssh.key is None else secrets[ssh.key.secret],
        key_passphrase=None if ssh.key_passphrase is None else secrets[ssh.key_passphrase.secret],
    )
    return SshRemote(Session(found))


def read(
    stack: Stack, name: str | None, reading: Callable[[HostPlan, SshRemote], _T]
) -> list[Read[_T]]:
    """Return what `reading` returns for each chosen host. Raises OperatorError."""
    hosts = chosen(stack, name)
    secrets = ssh_secrets(stack.name, hosts)

    def one(host: HostPlan) -> Read[_T]:
        try:
            with closing(connect(host, secrets)) as remote:
                return Read(host, reading(host, remote))
        except HostError as error:
            return Read(host, None, str(error))
        except (EngineParseError, ParseError) as error:
            why = f"host {host.name}: {error}\n  Fix: check what its shell prints by itself"
            return Read(host, None, why)

    with ThreadPoolExecutor(max_workers=len(hosts)) as pool:
        return list(pool.map(one, hosts))
