"""What of a cgroup's memory is the rules'."""

from bench.kernel_memory import lasting


def test_what_can_be_freed_does_not_count() -> None:
    """Entries of folders, which the programs of a load leave in the kernel's cache."""
    stat = "anon 0\nfile 4096\nkernel 2400000\nkernel_stack 0\nslab_reclaimable 100000\n"
    assert lasting(stat) == 2_300_000
    assert lasting("anon 0\nslab_reclaimable 100000\n") is None
