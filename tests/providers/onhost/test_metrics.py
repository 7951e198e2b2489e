"""`metrics` on a host: the file in Prometheus' text format, and what writes and removes it."""

import os
import re
from pathlib import Path

import pytest

from providers.host.generation import METRICS, compose
from tests.providers.onhost.box import Box
from tests.providers.onhost.generations import files, plan_of
from tests.providers.onhost.prometheus import Samples, parsed
from tests.providers.onhost.test_log_drops import CONTAINER, SENDS

FILE = "/var/lib/prometheus/node-exporter/wanbound.prom"


def _file(host: Box) -> Path:
    return host.root / FILE[1:]


def _written(host: Box) -> Samples:
    """Run what the timer's service runs, and return the contents of the file."""
    # The command that the unit starts.
    unit = (host.root / "etc/systemd/system/wanbound-metrics.service").read_text()
    [words] = re.findall("(?m)^ExecStart=/usr/local/sbin/wanbound (.*)$", unit)
    done = host.run(*words.split())
    assert (done.code, done.out, done.err) == (0, "", ""), done
    return parsed(_file(host).read_text())


def _value(samples: Samples, name: str, **labels: str) -> int:
    return samples[f"wanbound_{name}", frozenset(labels.items())]


def _has(samples: Samples, name: str, **labels: str) -> bool:
    return (f"wanbound_{name}", frozenset(labels.items())) in samples


@pytest.fixture
def measured(host: Box) -> Box:
    """A host with the key `metrics`, and the folder for the file."""
    _file(host).parent.mkdir(parents=True)
    host.bridge("br-mail", "172.20.0.1/24")
    host.deploy(files("metrics"), "a1")
    return host


def test_the_values_move_with_the_packets(measured: Box) -> None:
    """Sent and dropped packets of a container are counted per network."""
    measured.out(CONTAINER)
    (measured.root / "mnt/sends.py").write_text(SENDS)
    mail = {"network": "mail", "bridge": "br-mail"}
    before = _written(measured)
    # The value exists from the start, so that Prometheus sees the first increase.
    assert _value(before, "dropped_packets_total", reason="source", **mail) == 0
    for source in ("172.20.0.2", "10.9.9.9"):
        measured.out(f"ip netns exec container python3 /mnt/sends.py {source} 7")
    after = _written(measured)
    for name, drops in (("packets", 7), ("bytes", 7 * 29)):
        assert _value(after, f"dropped_{name}_total", reason="source", **mail) == drops
        network = f"network_{name}_total"
        sent = _value(after, network, direction="out", **mail)
        # With br_netfilter, dropped packets are not counted as outgoing.
        assert sent >= _value(before, network, direction="out", **mail) + drops
        assert _has(after, network, direction="in", **mail)
    # A network whose bridge does not exist has no traffic, but its guard is there.
    web = {"network": "web", "bridge": "web"}
    assert not _has(after, "network_packets_total", direction="in", **web)
    assert _value(after, "dropped_packets_total", reason="egress", **web) == 0
    socket = {"network": "mail", "bridge": "br-mail-sock"}
    assert _value(after, "dropped_packets_total", reason="from", **socket) == 0
    assert _value(after, "dropped_packets_total", reason="forged", network="", bridge="") == 0


def test_the_state_is_that_of_status(measured: Box) -> None:
    """Last change, pending change, repairs, and whether the rules are in force."""
    samples = _written(measured)
    assert _value(samples, "last_change_timestamp_seconds") == int(
        (measured.etc / "current").lstat().st_mtime
    )
    assert _value(samples, "rules_in_force") == 1
    assert _value(samples, "repairs_total") == _value(samples, "confirmation_pending") == 0
    measured.out("nft flush chain inet wanbound egress-br-mail")
    assert _value(_written(measured), "rules_in_force") == 0
    (measured.run_folder / "repairs").write_text("2026-01-31T12:30:00Z guard\n" * 100)
    (measured.run_folder / "repaired").write_text("100\n")
    assert measured.run("mend").code == 0
    samples = _written(measured)
    assert (_value(samples, "rules_in_force"), _value(samples, "repairs_total")) == (1, 101)
    measured.change(files("metrics", "metrics"), "a2")
    assert _value(_written(measured), "confirmation_pending") == 1


def test_the_file_is_replaced_in_one_step_and_no_link_is_followed(measured: Box) -> None:
    """A reader sees the old file or the new one; another user may own the folder."""
    precious = measured.root / "mnt/precious"
    precious.write_text("precious")
    (_file(measured).parent / "wanbound.prom.next").symlink_to("/mnt/precious")
    _file(measured).symlink_to("/mnt/precious")
    _written(measured)
    assert precious.read_text() == "precious"
    assert not _file(measured).is_symlink()
    assert _file(measured).stat().st_mode & 0o777 == 0o644
    with _file(measured).open() as reader:
        first = reader.readline()
        _written(measured)
        reader.seek(0)
        assert reader.readline() == first
        assert os.fstat(reader.fileno()).st_nlink == 0
    assert [path.name for path in _file(measured).parent.iterdir()] == ["wanbound.prom"]


def test_what_comes_into_the_folder_meanwhile_is_not_written_to(measured: Box) -> None:
    """Between two steps its owner may put a link to a device there, or to a FIFO."""
    pipe = measured.root / "mnt/pipe"
    os.mkfifo(pipe)
    measured.shim(
        "rm",
        '"$real" "$@"\ncase "$*" in *wanbound.prom.next) ln -s /mnt/pipe "$2" ;; esac',
    )
    reader = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    try:
        done = measured.run("metrics", FILE)
        with pytest.raises(BlockingIOError):
            os.read(reader, 1)
    finally:
        os.close(reader)
    assert done.code == 15
    assert f"cannot write {FILE}" in done.err


def test_a_folder_that_is_missing_is_named(measured: Box) -> None:
    """node_exporter is not installed, or reads another folder."""
    _file(measured).parent.rmdir()
    done = measured.run("metrics", FILE)
    assert done.code == 15
    assert f"cannot write {FILE}" in done.err
    assert "key metrics" in done.err


def _units(host: Box) -> list[str]:
    return [name for name in host.files if "metrics" in name]


TIMER = [
    "units/timers.target.wants/wanbound-metrics.timer",
    "units/wanbound-metrics.service",
    "units/wanbound-metrics.timer",
]


def test_the_timer_and_the_file_go_with_the_key(measured: Box) -> None:
    """An undo restores the timer."""
    _written(measured)
    assert _units(measured) == TIMER
    without = dict(compose(plan_of("metrics")).files)
    for name in METRICS:
        del without[name]
    measured.change(without, "a2")
    assert (_units(measured), _file(measured).exists()) == ([], False)
    measured.overdue()
    assert measured.run("undo", "a2").code == 0
    assert _units(measured) == TIMER
    _written(measured)
    measured.deploy(without, "a3")
    assert (_units(measured), _file(measured).exists()) == ([], False)


def test_another_path_takes_the_place_of_the_first(measured: Box) -> None:
    """The old file would be read forever, with values that no longer change."""
    _written(measured)
    moved = {
        name: text.replace("/wanbound.prom", "/other.prom")
        for name, text in files("metrics").items()
    }
    measured.deploy(moved, "a2")
    assert not _file(measured).exists()
    assert _units(measured) == TIMER
    assert measured.run("metrics", FILE.replace("wanbound.prom", "other.prom")).code == 0
    assert _file(measured).with_name("other.prom").exists()


@pytest.mark.parametrize("how", ["destroy", "remove"])
def test_a_removal_removes_units_and_file(measured: Box, how: str) -> None:
    """Units and file are removed."""
    _written(measured)
    measured.out("ip link del br-mail")
    if how == "destroy":
        measured.deploy(files("nothing", "metrics", absent=True), "a2")
    else:
        assert measured.run("remove").code == 0
    assert (measured.files, _file(measured).exists()) == ([], False)
    assert not measured.run_folder.joinpath("repaired").exists()
    # A run of the timer that began before the removal writes nothing.
    assert measured.run("metrics", FILE).code == 0
    assert not _file(measured).exists()


def test_a_host_without_the_key_has_neither(host: Box) -> None:
    """The key is off by default."""
    host.deploy(files("dual-stack"), "a1")
    assert _units(host) == []
    assert not any("metrics" in path.name for path in (host.etc / "a1").iterdir())


def test_a_change_that_fails_between_the_units_leaves_none(host: Box) -> None:
    """The undo removes both, also the one that was written before the failure."""
    host.shim("mv", 'case "$2" in */wanbound-metrics.timer) exit 1 ;; esac; exec $real "$@"')
    done = host.change(files("metrics"), "a1")
    assert done.code == 12, done
    assert _units(host) == []
