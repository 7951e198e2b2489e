"""The lab tests of several workers: their distribution, and names that must not clash."""

from pathlib import Path

from lab import cgroups
from lab.settings import Settings, parse_hosts
from tests.conftest import LONGEST, ByFolder
from tests.lab.conftest import HOSTS, PREFIXES, worker_settings


def _on_this_machine(lab: Settings) -> set[object]:
    hosts = parse_hosts(HOSTS)
    own = {lab.state, lab.disks, lab.namespace, lab.management_bridge, lab.management}
    of_host = (
        lab.machine, lab.wan_link, lab.management_link, lab.address, lab.log, lab.disk,
        lambda host: cgroups.name(lab, host),
    )  # fmt: skip
    return own | {name(host) for host in hosts for name in of_host}


def test_the_labs_of_the_workers_share_no_name_on_this_machine() -> None:
    """Folders, bridges, links, cgroups and addresses; a link has 15 letters at most."""
    labs = [worker_settings(number) for number in range(len(PREFIXES))]
    names = [_on_this_machine(lab) for lab in labs]
    assert len(set().union(*names)) == sum(map(len, names))
    [host] = parse_hosts("host-89=forky")
    assert all(len(lab.wan_link(host)) <= 15 for lab in labs)


def test_a_folder_is_one_workers_but_for_atomic() -> None:
    """A folder's fixtures are made once; only files of `atomic` may go to several workers."""
    scheduler = object.__new__(ByFolder)
    split = {
        test: scheduler._split_scope(f"tests/lab/{test}.py::test_it[a/b::c]")
        for test in ("stack/test_life", "stack/up/test_drift", "stack/up/test_ports", "test_lab")
    }
    assert split == {
        "stack/test_life": "tests/lab/stack",
        "stack/up/test_drift": "tests/lab/stack/up",
        "stack/up/test_ports": "tests/lab/stack/up",
        "test_lab": "tests/lab",
    }
    alone = "tests/lab/atomic/test_steps.py"
    assert scheduler._split_scope(f"{alone}::test_it") == alone


def test_what_begins_first_is_there() -> None:
    """A renamed folder or file would begin late, without any error."""
    assert [name for name in LONGEST if not Path(name).exists()] == []
