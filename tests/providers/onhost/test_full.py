"""A full disk or memory: nothing is changed, or all of it is rolled back."""

import pytest

from tests.providers.onhost.box import DASH, Box
from tests.providers.onhost.generations import files


def test_a_full_disk_changes_nothing(host: Box) -> None:
    """It is reported before the kernel is changed; the next try finds room again."""
    host.deploy(files("dual-stack"), "a1")
    kernel = host.kernel
    host.out(
        "cp -a /etc/wanbound /mnt/kept && mount -t tmpfs -o size=384k none /etc/wanbound"
        " && cp -a /mnt/kept/. /etc/wanbound && head -c 1M /dev/zero >/etc/wanbound/fill; true"
    )
    done = host.change(files("several-networks", "dual-stack"), "a2")
    assert done.code == 15, done
    assert (host.kernel, host.current, host.confirmed, host.armed) == (kernel, "a1", "a1", False)
    assert host.run("mend").code == 0
    (host.etc / "fill").unlink()
    host.deploy(files("several-networks", "dual-stack"), "a3")


def test_a_full_memory_changes_nothing_or_is_taken_back(host: Box) -> None:
    """The run's folder, the output of iptables-save and the remembered print are in memory."""
    host.deploy(files("dual-stack"), "a1")
    kernel, names = host.kernel, host.files
    seen = set()
    for pages in range(0, 40, 2):
        stage = host.stage(files("several-networks", "dual-stack"))
        # Each round has 8 KiB more, until the change fits.
        host.out(
            "used=$(du -sk /run/wanbound | cut -f1); cp -a /run/wanbound /run/copy;"
            f" mount -t tmpfs -o size=$((used + {pages * 4} + 16))k none /run/wanbound &&"
            " cp -a /run/copy/. /run/wanbound; rm -rf /run/copy"
        )
        token = f"b{pages:02}"
        done = host.run("change", stage, token, "3000", "a1")
        seen.add(done.code)
        assert done.code in (0, 11, 12, 13, 15), done
        host.sh("umount /run/wanbound")
        if done.code == 13:
            # The former state does not fit either: the undo stays armed until there is room.
            assert host.armed
            assert host.run("apply").code == 0
        if done.code != 0:
            assert (host.kernel, host.files) == (kernel, names), (pages, done)
        if done.code == 0:
            break
    assert 0 in seen
    assert len(seen) > 1


def test_a_rollback_that_could_not_write_the_units_is_tried_again(host: Box) -> None:
    """The disk is full when the old unit is to be written; the undo stays armed."""
    host.deploy(files("dual-stack"), "a1")
    kernel, names = host.kernel, host.files
    unit = host.root / "etc/systemd/system/wanbound.service"
    old = unit.read_text()
    new = files("several-networks", "dual-stack")
    new["wanbound.service"] = f"# another version\n{old}"
    assert host.change(new, "a2").code == 0
    assert unit.read_text() != old
    host.shim("cp", 'case "$*" in *systemd*) exit 1 ;; esac\nexec "$real" "$@"')
    host.overdue()
    assert host.run("undo", "a2").code == 13
    assert host.armed
    host.no_shims()
    assert host.run("undo", "a2").code == 0
    assert (host.kernel, host.files, unit.read_text()) == (kernel, names, old)


@DASH
@pytest.mark.parametrize("pattern", ["*/live", "*/right */scopes", "*/was.keys *", "*/host.keys *"])
def test_a_record_that_cannot_be_written_is_no_empty_record(host: Box, pattern: str) -> None:
    """grep also fails where no line matches; a failed write must not count as that."""
    host.deploy(files("baseline"), "a1")
    kernel, names = host.kernel, host.files
    # With 1 there is no line, with 2 grep could not read or write.
    host.shim("grep", f'case "$*" in -*F\\ -f\\ {pattern}) exit 2 ;; esac\nexec "$real" "$@"')
    done = host.change(files("baseline", "baseline"), "a2")
    assert done.code == 15, done
    host.no_shims()
    assert (host.kernel, host.files, host.current) == (kernel, names, "a1")


def test_a_full_memory_is_no_difference(host: Box) -> None:
    """A truncated print would differ and be loaded again for ever."""
    host.deploy(files("several-networks"), "a1")
    kernel = host.kernel
    host.out(
        "cp -a /run/wanbound /run/copy; used=$(du -sk /run/copy | cut -f1);"
        " mount -t tmpfs -o size=$((used + 24))k none /run/wanbound;"
        " cp -a /run/copy/. /run/wanbound; head -c 1M /dev/zero >/run/wanbound/fill; true"
    )
    done = host.run("mend")
    assert done.code == 15, done
    assert host.kernel == kernel
