"""A run that is killed at any step is finished by the next one, in this boot or the next.

Each test takes every eleventh step, and each shell begins at another one; with WANBOUND_STRIDE=1 in
the environment it takes all of them. tests/lab/atomic does it on real hosts.
"""

import os

import pytest

from tests.providers.onhost.box import Box
from tests.providers.onhost.generations import files

STEP = """\
case "$*" in
*--test* | *show* | *list* | '-c -f '*) exec $real "$@" ;;
esac
echo "${0##*/} $*" >>/mnt/steps
[ "$(wc -l </mnt/steps)" != "$(cat /mnt/kill)" ] || { : >/mnt/killed; kill -9 0; }
exec $real "$@"
"""
"""Counts commands that change something; at the chosen step the run ends before the command."""

PROGRAMS = ("ip", "mv", "ln", "cp", "sync", "rm", "nft", "iptables-restore", "ip6tables-restore")


STRIDE = int(os.environ.get("WANBOUND_STRIDE", "11"))


def _first(host: Box) -> int:
    return 0 if host.shell == "dash" else -(STRIDE // 2)


class Killer:
    """Kills the runs of a host at a step."""

    def __init__(self, host: Box) -> None:
        self.host = host
        for name in PROGRAMS:
            host.shim(name, STEP)

    def at(self, step: int) -> None:
        """Kill the next run at this step; at 0 no run is killed."""
        (self.host.root / "mnt/steps").write_text("")
        (self.host.root / "mnt/kill").write_text(f"{step}\n")
        (self.host.root / "mnt/killed").unlink(missing_ok=True)

    @property
    def killed(self) -> bool:
        """Whether the run was killed."""
        return (self.host.root / "mnt/killed").exists()

    @property
    def steps(self) -> list[str]:
        """The steps of the last run."""
        return (self.host.root / "mnt/steps").read_text().splitlines()


def _states(host: Box) -> dict[str, tuple[str, list[str]]]:
    return {"kernel": (host.kernel, [name for name in host.files if name != "etc/armed"])}


@pytest.mark.parametrize("reboot", [False, True], ids=["same boot", "reboot"])
def test_a_change_that_is_killed_is_undone_or_goes_on(host: Box, reboot: bool) -> None:
    """After the next apply the host has the old generation, or the new one awaits confirmation."""
    killer = Killer(host)
    killer.at(0)
    host.deploy(files("dual-stack"), "a1")
    old, names = host.kernel, host.files
    step = _first(host)
    while True:
        step += STRIDE
        killer.at(step)
        host.change(files("several-networks", "dual-stack"), f"b{step:02}")
        if not killer.killed:
            # Two concurrent programs may count one step for two.
            if len(killer.steps) < step:
                break
            killer.at(0)
            host.overdue()
            assert host.run("apply").code == 0
            continue
        did = killer.steps
        killer.at(0)
        if reboot:
            host.reboot()
        done = host.run("apply")
        assert done.code == 0, (did, done)
        if host.armed:
            assert host.current == f"b{step:02}", did
            host.overdue()
            assert host.run("apply").code == 0
        assert host.kernel == old, did
        assert host.files == names, did
    assert step > 12


def test_an_undo_that_is_killed_is_finished(host: Box) -> None:
    """The next run finishes it, whichever step was killed."""
    killer = Killer(host)
    killer.at(0)
    host.deploy(files("dual-stack"), "a1")
    old, names = host.kernel, host.files
    step = _first(host)
    while True:
        step += STRIDE
        killer.at(0)
        assert host.change(files("several-networks", "dual-stack"), f"b{step:02}").code == 0
        host.overdue()
        killer.at(step)
        host.run("undo", f"b{step:02}")
        killed, did = killer.killed, killer.steps
        killer.at(0)
        assert host.run("apply").code == 0
        assert host.kernel == old, did
        assert host.files == names, did
        if not killed and len(did) < step:
            break
    assert step > 5


def test_a_destroy_that_is_killed_is_undone_or_finished(host: Box) -> None:
    """That includes its confirmation, which removes the files; `destroy` is repeated then."""
    killer = Killer(host)
    killer.at(0)
    before = host.kernel
    step = _first(host)
    while True:
        step += STRIDE
        killer.at(0)
        host.deploy(files("dual-stack"), "a1")
        killer.at(step)
        host.change(files("nothing", "dual-stack", absent=True), "a2")
        host.confirm("a2", "none")
        killed, did = killer.killed, killer.steps
        killer.at(0)
        host.run("apply")
        if host.armed:
            host.confirm("a2", "none")
        if host.current != "none":
            host.deploy(files("nothing", "dual-stack", absent=True), "a3")
        assert host.files == [], did
        assert host.kernel == before, "\n".join(did)
        if not killed and len(did) < step:
            break
    assert step > 12
