"""The check at the end of an `up`: which address does the internet see of this network?"""

import shlex
from collections.abc import Sequence

import pulumi
from pulumi_command import local

from components.ssh import ssh_options
from planner.config import Ssh
from planner.plan import EgressCheck

_SCRIPT = "components/egress_check.sh"

SEND = f'{{ cat {_SCRIPT}; echo \'check "$@" <<"END"\'; cat; echo END; }} | '
"""Sends the script, and standard input behind it. Pulumi runs it in the folder of the program.

So a preview shows one line for a check, and not the whole script.
"""


def egress_check(
    name: str,
    check: EgressCheck,
    ssh: Ssh,
    network: pulumi.Input[str],
    after: Sequence[pulumi.Resource],
    opts: pulumi.ResourceOptions,
) -> local.Command:
    """Return the command that asks from inside `network` and fails the update on a wrong answer.

    It runs the user's own `ssh`, which knows their keys and jump hosts as Docker's provider does
    (pulumi-command's remote.Command knows the agent alone). The expected addresses are its
    input: where they change it runs again, and the preview shows them.
    """
    options = [word for server in check.dns for word in ("--dns", server)]
    run = ["sh", "-s", "--", check.about, *options]
    if ssh.user != "root":
        run = ["sudo", "-n", *run]
    call = ["ssh", *ssh_options(ssh), "-p", str(ssh.port), f"{ssh.user}@{ssh.address}"]
    return local.Command(
        name,
        interpreter=["sh", "-c"],
        create=pulumi.Output.from_input(network).apply(
            lambda found: SEND + shlex.join([*call, shlex.join([*run, "--network", found])])
        ),
        stdin=check.expected,
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=list(after))),
    )
