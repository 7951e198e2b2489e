"""The check that ends every `up`: what does the outside world see of this network?"""

import shlex
from collections.abc import Sequence

import pulumi
from pulumi_command import local

from components.ssh import ssh_options
from planner.config import Ssh
from planner.plan import EgressCheck


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
    run = ["docker", "run", "--rm", "-i"]
    if ssh.user != "root":
        run = ["sudo", "-n", *run]
    for key, value in check.environment.items():
        run += ["-e", f"{key}={value}"]
    for server in check.dns:
        run += ["--dns", server]
    return local.Command(
        name,
        interpreter=["ssh", *ssh_options(ssh), "-p", str(ssh.port), f"{ssh.user}@{ssh.address}"],
        create=pulumi.Output.from_input(network).apply(
            lambda found: shlex.join([*run, "--network", found, check.image, "check"])
        ),
        stdin=check.expected,
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=list(after))),
    )
