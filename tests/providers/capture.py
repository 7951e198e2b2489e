"""Capture `wanbound state` from the lab's hosts: ``python -m tests.providers.capture``.

Puts the networks of captured/stack.yaml on the hosts of a running lab, writes what they print
then, and removes the networks. The hosts must have no others: they would be in the text, too.
"""

import sys

from providers.live import parse
from providers.session import Session, Target
from providers.ssh_host import SshHost
from tests.providers.samples import FOLDER, hosts, samples


def main() -> None:
    """Write captured/HOST.state for each host."""
    for plan in hosts():
        ssh = plan.ssh
        session = Session(Target(plan.name, ssh.address, ssh.port, ssh.user, ssh.host_key))
        host = SshHost(session)
        networks = samples(plan.name)
        if others := parse(host.state()).fragments.keys():
            sys.exit(f"{plan.name} has networks already: {', '.join(sorted(others))}")
        try:
            host.change({name: sample.fragment for name, sample in networks.items()}, [])
            (FOLDER / f"{plan.name}.state").write_text(host.state())
        finally:
            host.change({}, list(networks))
            session.close()


if __name__ == "__main__":
    main()
