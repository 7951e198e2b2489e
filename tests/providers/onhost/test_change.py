"""A change, its confirmation and its undo: what is loaded, and what the files contain."""

import pytest

from tests.providers.onhost.box import Box
from tests.providers.onhost.generations import files

OWN = ["etc/current", "etc/confirmed", "sbin/wanbound"]
UNITS = [
    "units/docker.service.wants/wanbound-docker.service",
    "units/multi-user.target.wants/wanbound-watch.service",
    "units/multi-user.target.wants/wanbound.service",
    "units/wanbound-docker.service",
    "units/wanbound-watch.service",
    "units/wanbound.service",
]
RESTORE_ONCE = """\
case "$*" in *--test*) exec $real "$@" ;; esac
echo x >>/mnt/restores
[ "$(wc -l </mnt/restores)" -gt {times} ] || { echo refused by the shim >&2; exit 1; }
exec $real "$@"
"""


def _refusing(times: int) -> str:
    return RESTORE_ONCE.replace("{times}", str(times))


def test_a_change_waits_for_its_confirmation(host: Box) -> None:
    """The undo has its target before anything is loaded."""
    done = host.change(files("dual-stack"), "a1")
    assert (done.code, done.out) == (0, "armed a1\n"), done
    assert (host.current, host.confirmed, host.armed) == ("a1", "none", True)
    kernel = host.kernel
    assert "-A WANBOUND-SNAT -s 172.20.0.0/24 ! -o mail -j SNAT --to-source 203.0.113.20" in kernel
    assert "203.0.113.20/32" in kernel
    assert "chain source-mail" in kernel
    assert host.confirm("a1").code == 0
    assert (host.current, host.confirmed, host.armed) == ("a1", "a1", False)
    assert sorted(host.files) == sorted([*OWN, *UNITS, "etc/a1"])
    assert host.kernel == kernel


def test_the_same_change_again_is_the_same_change(host: Box) -> None:
    """After a lost connection the command is sent again over the next one."""
    host.change(files("dual-stack"), "a1")
    kernel = host.kernel
    done = host.change(files("dual-stack"), "a1", expected="none")
    assert (done.code, done.out, host.kernel) == (0, "armed a1\n", kernel)


def test_an_undo_brings_back_what_was_before(host: Box) -> None:
    """Rules, addresses and files are restored, a note reports it, and the change is refused."""
    host.deploy(files("dual-stack"), "a1")
    kernel, names = host.kernel, host.files
    host.change(files("several-networks", "dual-stack"), "a2")
    assert host.kernel != kernel
    host.overdue()
    assert host.run("undo", "a2").code == 0
    assert (host.kernel, host.files) == (kernel, names)
    late = host.confirm("a2")
    assert late.code == 17, late
    again = host.change(files("several-networks", "dual-stack"), "a2")
    assert again.code == 17
    told = host.change(files("several-networks", "dual-stack"), "a3")
    assert "was not confirmed in time over a new SSH connection and was rolled back" in told.err
    assert host.confirm("a3").code == 0
    assert "was rolled back" not in host.run("facts").err


def test_the_timer_undoes_a_change_by_itself(host: Box) -> None:
    """Without systemd the timer is a separate process that outlives the run."""
    before = host.kernel
    host.change(files("dual-stack"), "a1", seconds=1)
    for _ in range(150):
        # The files go last.
        if not host.armed and host.files == []:
            break
        host.sh("sleep 0.2")
    assert host.kernel == before
    assert host.files == []


def test_an_undo_of_another_change_does_nothing(host: Box) -> None:
    """A timer may fire late."""
    host.deploy(files("dual-stack"), "a1")
    kernel = host.kernel
    assert host.run("undo", "a0").code == 0
    assert (host.kernel, host.current) == (kernel, "a1")


@pytest.mark.parametrize("case", ["dual-stack", "baseline", "edge", "snat-docker"])
def test_a_destroy_leaves_no_trace(host: Box, case: str) -> None:
    """The state before is restored byte for byte, rules of other programs included."""
    host.out(
        "iptables -A FORWARD -i tun0 -j ACCEPT"
        "; iptables -t nat -A POSTROUTING -o tun0 -j MASQUERADE"
        "; ip6tables -A INPUT -p tcp --dport 25 -j DROP"
        "; ip route add default via 203.0.113.9 dev wan0"
    )
    before = host.kernel
    host.deploy(files(case), "a1")
    assert host.kernel != before
    host.deploy(files("nothing", case, absent=True), "a2")
    assert host.files == []
    assert host.kernel == before
    assert sorted(path.name for path in host.run_folder.iterdir()) == ["lock", "none", "stage"]


@pytest.mark.parametrize("case", ["dual-stack", "baseline", "gateways"])
def test_a_removal_without_a_state_leaves_no_trace(host: Box, case: str) -> None:
    """`wanbound remove` on the host: foreign rules stay, routes and parameters are restored."""
    host.out(
        "iptables -A FORWARD -i tun0 -j ACCEPT; iptables -N MINE"
        "; ip route add default via 203.0.113.9 dev wan0"
    )
    before = host.kernel
    host.deploy(files(case), "a1")
    assert host.kernel != before
    assert host.out("wanbound remove") == ""
    assert (host.files, host.kernel) == ([], before)
    assert host.run("remove").code == 0


def test_a_removal_is_refused_while_a_bridge_exists(host: Box) -> None:
    """Traffic of its containers would leave with the host's own address."""
    host.deploy(files("dual-stack"), "a1")
    (bridge, *_) = (host.etc / "current/bridges").read_text().split()
    host.bridge(bridge)
    kernel, names = host.kernel, host.files
    done = host.run("remove")
    assert done.code == 18
    assert f"the bridge {bridge} still exists" in done.err
    assert (host.kernel, host.files) == (kernel, names)


def test_a_removal_waits_for_no_confirmation(host: Box) -> None:
    """A removal is refused while a change is pending; an overdue change is undone first."""
    host.deploy(files("dual-stack"), "a1")
    host.change(files("several-networks", "dual-stack"), "a2")
    assert host.run("remove").code == 14
    assert host.current == "a2"
    host.overdue()
    assert host.run("remove").code == 0
    assert host.files == []


def test_an_unconfirmed_destroy_is_undone(host: Box) -> None:
    """Script, units and generation stay until the confirmation."""
    host.deploy(files("dual-stack"), "a1")
    kernel, names = host.kernel, host.files
    host.change(files("nothing", "dual-stack", absent=True), "a2")
    host.overdue()
    assert host.run("undo", "a2").code == 0
    assert (host.kernel, host.files) == (kernel, names)


def test_another_stack_is_refused(host: Box) -> None:
    """A host belongs to one stack; the error names it."""
    host.deploy(files("dual-stack"), "a1")
    kernel, names = host.kernel, host.files
    done = host.change({**files("snat"), "owner": "organization/wanbound/other\n"}, "a2")
    assert done.code == 16
    assert "organization/wanbound/demo" in done.err
    assert (host.kernel, host.files) == (kernel, names)


def test_another_state_than_that_which_was_read_is_refused(host: Box) -> None:
    """The change was planned from a state that is no longer current."""
    host.deploy(files("dual-stack"), "a1")
    kernel, names = host.kernel, host.files
    assert host.change(files("snat"), "a2", expected="none").code == 19
    assert (host.kernel, host.files) == (kernel, names)


def test_a_bridge_that_may_not_exist_is_refused(host: Box) -> None:
    """Traffic of its containers would leave with the host's own address."""
    host.deploy(files("dual-stack"), "a1")
    host.bridge("mail", "172.20.0.1/24")
    kernel, names = host.kernel, host.files
    done = host.change(files("nothing", "dual-stack", absent=True), "a2")
    assert done.code == 18
    assert "mail" in done.err
    assert (host.kernel, host.files) == (kernel, names)


BAD = {
    "IPv4 rules": ("ipv4.rules", "-j SNAT", "-j NOSUCH", 11),
    "IPv6 rules": ("ipv6.rules", "-j SNAT", "-j NOSUCH", 11),
    "guard": ("guard.nft", "counter drop", "counter nosuch", 11),
    "interface": ("addresses", "wan0", "wan7", 10),
}


@pytest.mark.parametrize(("file", "old", "new", "code"), BAD.values(), ids=BAD)
def test_what_is_refused_in_the_test_changes_nothing(
    host: Box, file: str, old: str, new: str, code: int
) -> None:
    """A change that the dry run refuses changes neither the kernel nor a file."""
    host.deploy(files("dual-stack"), "a1")
    kernel, names = host.kernel, host.files
    wanted = files("several-networks", "dual-stack")
    done = host.change({**wanted, file: wanted[file].replace(old, new)}, "a2")
    assert done.code == code, done
    assert (host.kernel, host.files, host.current) == (kernel, names, "a1")


def test_a_parameter_that_this_kernel_does_not_have_is_refused(host: Box) -> None:
    """It is refused before anything is changed."""
    wanted = files("baseline")
    done = host.change({**wanted, "host": "sysctl net.no.such 1\n"}, "a1")
    assert (done.code, host.files) == (10, [])


def test_a_load_that_fails_is_taken_back(host: Box) -> None:
    """Both families are rolled back, and the failed generation is removed."""
    host.deploy(files("dual-stack"), "a1")
    kernel, names = host.kernel, host.files
    host.shim("ip6tables-restore", _refusing(1))
    done = host.change(files("several-networks", "dual-stack"), "a2")
    assert done.code == 12, done
    assert "refused by the shim" in done.err
    assert (host.kernel, host.files, host.current) == (kernel, names, "a1")


def test_the_first_change_that_fails_leaves_nothing(host: Box) -> None:
    """Here there is no generation to return to."""
    before = host.kernel
    host.shim("ip6tables-restore", _refusing(1))
    assert host.change(files("baseline"), "a1").code == 12
    assert (host.kernel, host.files) == (before, [])


def test_what_cannot_be_taken_back_stays_armed(host: Box) -> None:
    """The next run tries the rollback again; until then the guard is in force."""
    host.deploy(files("dual-stack"), "a1")
    kernel, names = host.kernel, host.files
    host.shim("ip6tables-restore", _refusing(2))
    done = host.change(files("several-networks", "dual-stack"), "a2")
    assert done.code == 13, done
    assert host.armed
    assert "chain source-mail" in host.kernel
    host.no_shims()
    assert host.run("apply").code == 0
    assert (host.kernel, host.files, host.current) == (kernel, names, "a1")


def test_an_address_that_was_there_before_stays(host: Box) -> None:
    """wanbound did not add it, so an undo does not remove it."""
    host.out("ip addr add 203.0.113.20/32 dev wan0")
    before = host.kernel
    host.change(files("dual-stack"), "a1")
    host.overdue()
    host.run("undo", "a1")
    assert host.kernel == before


def test_addresses_swap_between_networks_in_one_change(host: Box) -> None:
    """Rules are loaded as a whole, so no order of the changes can fail."""
    swapped = files("several-networks")
    a, b = "203.0.113.10", "203.0.113.20"
    host.deploy(swapped, "a1")
    for name in ("ipv4.rules", "guard.nft", "flows"):
        swapped[name] = swapped[name].replace(a, "@@").replace(b, a).replace("@@", b)
    host.deploy(swapped, "a2")
    assert host.current == "a2"
    assert host.run("mend").err == ""


def test_after_a_reboot_a_change_is_rolled_back_without_a_confirmation(host: Box) -> None:
    """The change is not in force after a reboot; the boot loads the confirmed generation."""
    host.deploy(files("dual-stack"), "a1")
    kernel, names = host.kernel, host.files
    host.change(files("several-networks", "dual-stack"), "a2")
    host.reboot()
    assert host.run("apply").code == 0
    assert (host.kernel, host.files) == (kernel, names)
    assert "before the host was rebooted" in host.run("facts").err


def test_a_confirmation_after_a_reboot_rolls_the_change_back(host: Box) -> None:
    """A login after the reboot does not prove that the operator can log in with the change."""
    before = host.kernel
    host.change(files("dual-stack"), "a1")
    host.reboot()
    assert host.confirm("a1").code == 17
    assert (host.kernel, host.files) == (before, [])


def test_a_boot_loads_what_was_confirmed(host: Box) -> None:
    """Rules, guard, addresses, routes and parameters are as before the reboot."""
    host.deploy(files("baseline"), "a1")
    kernel = host.kernel
    host.reboot()
    assert host.run("apply").code == 0
    assert host.kernel == kernel


def test_a_confirmation_that_was_killed_is_finished(host: Box) -> None:
    """The link `confirmed` is already new, `armed` still exists."""
    host.change(files("dual-stack"), "a1")
    kernel = host.kernel
    host.out("ln -sfn a1 /etc/wanbound/confirmed")
    host.overdue()
    assert host.run("undo", "a1").code == 0
    assert (host.kernel, host.armed, host.current) == (kernel, False, "a1")


def test_a_rollback_that_was_interrupted_is_completed_by_a_confirmation(host: Box) -> None:
    """The link `current` is already old: what is in force was not what the login proves."""
    host.deploy(files("dual-stack"), "a1")
    kernel, names = host.kernel, host.files
    host.change(files("several-networks", "dual-stack"), "a2")
    host.out("ln -sfn a1 /etc/wanbound/current")
    assert host.confirm("a2").code == 17
    assert (host.kernel, host.files, host.confirmed) == (kernel, names, "a1")


def test_a_rollback_that_has_begun_cannot_be_confirmed(host: Box) -> None:
    """It was killed before the link `current` was old, after it had given routes back."""
    host.deploy(files("dual-stack"), "a1")
    kernel, names = host.kernel, host.files
    host.change(files("several-networks", "dual-stack"), "a2")
    host.overdue()
    host.shim("ln", "exit 1")
    assert host.run("undo", "a2").code == 13
    host.no_shims()
    assert (host.current, host.armed) == ("a2", True)
    assert host.confirm("a2").code == 17
    assert (host.kernel, host.files, host.confirmed) == (kernel, names, "a1")


@pytest.mark.parametrize("name", ["addresses", "was"])
def test_a_generation_without_one_of_its_files_is_replaced(host: Box, name: str) -> None:
    """A refresh reports a removed file, and the next change goes through."""
    host.deploy(files("dual-stack"), "a1")
    (host.etc / "current" / name).unlink()
    host.deploy(files("several-networks", "dual-stack"), "a2")
    assert host.run("mend").err == ""


@pytest.mark.parametrize("before", ["a1", "none"])
def test_a_rollback_that_could_not_be_recorded_is_no_confirmation(host: Box, before: str) -> None:
    """/var may be full, or read-only."""
    if before != "none":
        host.deploy(files("dual-stack"), before)
    host.change(files("several-networks", "dual-stack"), "a2")
    host.out("echo >/var/lib/wanbound")
    host.overdue()
    assert host.run("undo", "a2").code == 0
    done = host.confirm("a2")
    assert done.code == 17
    assert f"the generation {before} is in force here: the change was rolled back" in done.err


def test_the_change_of_another_run_is_no_confirmation(host: Box) -> None:
    """Two operators: the change of the first was rolled back, and that of the second is loaded."""
    host.deploy(files("dual-stack"), "a1")
    host.change(files("several-networks", "dual-stack"), "a2")
    host.overdue()
    assert host.run("undo", "a2").code == 0
    assert host.change(files("several-networks", "dual-stack"), "a3").code == 0
    assert host.confirm("a2").code == 17
    assert host.confirm("a3").code == 0
    # The record of the rollback ends with the confirmation.
    done = host.confirm("a2")
    assert done.code == 17
    assert "the generation a3 is in force here" in done.err


def test_the_confirmation_of_a_destroy_may_be_repeated(host: Box) -> None:
    """Its answer was lost; there is nothing on the host any more."""
    host.deploy(files("dual-stack"), "a1")
    host.change(files("nothing", "dual-stack", absent=True), "a2")
    for _ in range(2):
        assert host.confirm("a2", "none").code == 0
    assert host.files == []
