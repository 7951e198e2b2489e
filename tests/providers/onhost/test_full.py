"""A full disk or memory: nothing is changed, or all of it is rolled back."""

from tests.providers.onhost.box import Box
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
