"""Capture `wanbound state` from a lab's hosts: ``python -m tests.providers.capture EDGE=HOST …``.

Brings the hosts of captured/stack.yaml to hosts of a running lab, writes what they print then, and
takes all of it back. The hosts must have nothing of wanbound: it would be in the text, too.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from lab.api import Host, Lab
from planner.plan import HostPlan
from providers.base_fragment import BASE_NAME, base_fragment
from providers.live import parse
from providers.session import Session
from providers.ssh_host import SshHost
from providers.target import Target
from tests.providers.samples import FOLDER, base, hosts, samples


def main() -> None:
    """Write captured/EDGE.state for each argument."""
    lab = Lab.attach()
    plans = {plan.name: plan for plan in hosts()}
    for argument in sys.argv[1:]:
        edge, _, name = argument.partition("=")
        _capture(plans[edge], lab.host(name))


def _capture(plan: HostPlan, where: Host) -> None:
    session = Session(Target(plan.name, where.address, 22, "root", where.host_key))
    host = SshHost(session)
    put = {name: sample.fragment for name, sample in samples(plan.name).items()}
    put[BASE_NAME] = base_fragment(base(plan.name), None)
    if others := parse(host.state()).fragments.keys():
        sys.exit(f"{where.name} has networks already: {', '.join(sorted(others))}")
    try:
        host.change(put, [])
        with _docker_networks(plan, where):
            (FOLDER / f"{plan.name}.state").write_text(host.state())
    finally:
        host.change({}, list(put))
        session.close()


@contextmanager
def _docker_networks(plan: HostPlan, where: Host) -> Iterator[None]:
    """Have the networks as the stack makes them."""
    try:
        for network in plan.networks:
            docker = network.docker
            words = [f"--label wanbound={plan.name}/{network.name}"]
            words += [f"--opt {key}={value}" for key, value in docker.options.items()]
            words += [f"--opt com.docker.network.bridge.name={network.bridge}"]
            words += ["--ipv6"] if docker.ipv6 else []
            words += [f"--subnet {each.subnet} --gateway {each.gateway}" for each in docker.ipam]
            where.run(f"docker network create {' '.join(words)} {docker.name}")
        yield
    finally:
        where.run("docker network rm " + " ".join(each.docker.name for each in plan.networks))


if __name__ == "__main__":
    main()
