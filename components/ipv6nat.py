"""docker-ipv6nat in a container, as the first recipe runs it, for engines without IPv6 NAT."""

from collections.abc import Sequence

import pulumi
import pulumi_docker as docker
from pulumi_command import local

from components.containers import GIVEN
from components.names import resource_name
from components.ssh import ssh_options
from planner.config import IPV6NAT
from planner.plan import HostPlan
from planner.takeover import LABEL

CHECK = """\
refuse() {
    printf '%s\\n' "$*" 'Nothing was changed.' >&2
    exit 1
}
others='' started=''
for process in /proc/[0-9]*; do
    read -r name 2>/dev/null <"$process/comm" || continue
    [ "$name" != docker-ipv6nat ] || others=yes
    [ "$name" != dockerd ] || started=$(tr '\\0' ' ' <"$process/cmdline")
done
[ -z "$(docker ps -q --filter 'name=^/ipv6nat$' --filter label=wanbound)" ] || others=
[ -z "$others" ] || refuse 'docker-ipv6nat already runs on this host, and two of them empty each' \
    "other's chains. Remove ipv6nat from the configuration, or stop the other one first."
version=$(docker version --format '{{.Server.Version}}') || exit 1
settings=$(tr -d ' \\n\\t' </etc/docker/daemon.json 2>/dev/null)
own=no
[ "${version%%.*}" -lt 27 ] || own=yes
case "$settings $started" in
*'"ip6tables":true'* | *'--ip6tables '* | *'--ip6tables=true'*) own=yes ;;
*'"ip6tables":false'* | *'--ip6tables=false'*) own=no ;;
esac
[ "$own" = no ] || refuse "Docker $version translates IPv6 itself here, and docker-ipv6nat would" \
    'empty its chains. Remove ipv6nat from the configuration: this host does not need it.'
"""
"""Runs on the host, by the user's own ssh, before the container is made for the first time."""


def ipv6nat(
    plan: HostPlan, image: str, after: Sequence[pulumi.Resource], opts: pulumi.ResourceOptions
) -> docker.Container:
    """Return the container; `opts` has the Docker provider of the host.

    Instead of the recipe's `--privileged`, it gets only the rights that the program's own
    description asks for, without the loading of kernel modules: wanbound's rules, `after` which it
    starts, have loaded them. Access to the socket, even read-only, is equivalent to root.
    """
    check = local.Command(
        resource_name(plan.name, "ipv6nat", "check"),
        interpreter=["ssh", *ssh_options(plan.ssh), "-p", str(plan.ssh.port), _login(plan)],
        create="sh -s" if plan.ssh.user == "root" else "sudo -n sh -s",
        stdin=CHECK,
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=list(after))),
    )
    return docker.Container(
        resource_name(plan.name, "ipv6nat", "container"),
        name=IPV6NAT,
        image=image,
        network_mode="host",
        capabilities=docker.ContainerCapabilitiesArgs(adds=["CAP_NET_ADMIN"]),
        volumes=[
            docker.ContainerVolumeArgs(
                container_path="/var/run/docker.sock",
                host_path="/var/run/docker.sock",
                read_only=True,
            )
        ],
        labels=[docker.ContainerLabelArgs(label=LABEL, value=plan.name)],
        restart="always",
        opts=pulumi.ResourceOptions.merge(
            opts,
            pulumi.ResourceOptions(
                depends_on=[check], ignore_changes=GIVEN, delete_before_replace=True
            ),
        ),
    )


def _login(plan: HostPlan) -> str:
    return f"{plan.ssh.user}@{plan.ssh.address}"
