"""The secrets of a stack in clear, for SSH keys that are kept there. They are never printed."""

import json
import shutil
import subprocess

from cli.errors import OperatorError
from cli.stack_file import PREFIX, STACKS
from planner.config import SET_COMMAND
from planner.plan import HostPlan

_SECONDS = 60
"""For `pulumi config`, which may ask the stack's state and its secrets provider."""


def ssh_secrets(stack: str, hosts: list[HostPlan]) -> dict[str, str]:
    """Return the secrets by name if a host is reached with one of them, else nothing.

    Pulumi decrypts them, so it has to be logged in and to have the passphrase. Raises
    OperatorError where it cannot.
    """
    wanted = {
        ref.secret
        for host in hosts
        for ref in (host.ssh.key, host.ssh.key_passphrase)
        if ref is not None
    }
    if not wanted:
        return {}
    found = _decrypted(stack)
    if missing := sorted(wanted - found.keys()):
        raise OperatorError(
            f"stack {stack} has no secret {missing[0]}, with which SSH logs in\n"
            f"  Fix: {SET_COMMAND.replace('NAME', missing[0])}"
        )
    return {name: found[name] for name in wanted}


def _decrypted(stack: str) -> dict[str, str]:
    if shutil.which("pulumi") is None:
        raise OperatorError(
            f"the SSH key of stack {stack} is a secret, and there is no pulumi program to decrypt"
            " it\n  Fix: install the Pulumi CLI"
        )
    try:
        done = subprocess.run(
            ["pulumi", "config", "--show-secrets", "--json", "--non-interactive", "--stack", stack],
            cwd=STACKS.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        # What it printed until then is in the exception, and may have a secret in it.
        raise OperatorError(
            f"the SSH key of stack {stack} is a secret, and `pulumi config` did not decrypt it"
            f" within {_SECONDS} s\n  Fix: check that the stack's state and its secrets provider"
            f" can be reached from here; `pulumi config --stack {stack}` has to succeed"
        ) from None
    try:
        secrets = json.loads(json.loads(done.stdout)[f"{PREFIX}secrets"]["value"])
        return {str(name): str(value) for name, value in secrets.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        # What it printed may have a secret in it, and is not quoted.
        raise OperatorError(
            f"the SSH key of stack {stack} is a secret, and `pulumi config` did not decrypt it"
            f" (exit status {done.returncode})\n  Fix: log in to the stack's state (`pulumi login`)"
            " and give its passphrase (PULUMI_CONFIG_PASSPHRASE_FILE); `pulumi config --stack"
            f" {stack}` has to succeed"
        ) from None
