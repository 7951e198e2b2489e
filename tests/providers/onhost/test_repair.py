"""mend and apply load again what differs from what was loaded, and nothing else."""

import pytest

from tests.providers.onhost.box import Box
from tests.providers.onhost.generations import files
from tests.providers.shell import run

DAMAGE = {
    "a rule": "iptables -t nat -D WANBOUND-SNAT 1",
    "a rule of IPv6": "ip6tables -D WANBOUND-FORWARD 1",
    "a rule more": "iptables -I WANBOUND-FORWARD -j ACCEPT",
    "the order of rules": "iptables -S WANBOUND-FORWARD 1 | sed 's/^-A/iptables -A/' | sh;"
    " iptables -D WANBOUND-FORWARD 1",
    "all rules": "iptables -F; iptables -t nat -F",
    "a chain": "iptables -t nat -D POSTROUTING -j WANBOUND-SNAT; iptables -t nat -F WANBOUND-SNAT;"
    " iptables -t nat -X WANBOUND-SNAT",
    "a jump": "iptables -D FORWARD -j WANBOUND-FORWARD",
    "a jump twice": "iptables -I FORWARD -j WANBOUND-FORWARD",
    "a jump that is not first": "iptables -I FORWARD -i tun0 -j ACCEPT",
    "the jump in INPUT that is not last": "iptables -A INPUT -i tun0 -j ACCEPT",
    "the guard": "nft delete table inet wanbound",
    "a chain of the guard": "nft flush chain inet wanbound forward",
    "an element of the guard": "nft delete element inet wanbound source '{ \"mail\" }'",
    "everything of nft": "nft flush ruleset",
    "an address": "ip addr del 203.0.113.20/32 dev wan0",
    "an address of IPv6": "ip addr del 2001:db8::20/128 dev wan0",
    "an address that is preferred": "ip addr change 2001:db8::20/128 dev wan0"
    " preferred_lft forever",
    "an address elsewhere": "ip link set wan1 up; ip addr del 203.0.113.20/32 dev wan0;"
    " ip addr add 203.0.113.20/32 dev wan1",
    "the default route": "ip route del default",
    "an address with another prefix": "ip addr add 203.0.113.20/24 dev wan0",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damage_is_repaired(host: Box, damage: str) -> None:
    """The first repair restores everything; the second finds nothing to do."""
    host.deploy(files("baseline"), "a1")
    kernel = host.kernel
    theirs = damage.endswith("-i tun0 -j ACCEPT")
    host.out(damage)
    done = host.run("mend")
    assert done.code == 0, done
    assert "repairing" in done.err
    assert theirs or host.kernel == kernel
    again = host.run("mend")
    assert (again.code, again.err) == (0, "")


def test_a_link_that_is_down_is_set_up(host: Box) -> None:
    """A repair also restores its lost addresses and route, but not the host's own IPv6 address."""
    host.deploy(files("baseline"), "a1")
    host.out("ip link set wan0 down")
    assert "repairing" in host.run("mend").err
    assert "2001:db8::20/128" in host.kernel
    assert "default via 203.0.113.1 dev wan0" in host.kernel
    assert host.run("mend").err == ""


def test_nothing_is_repaired_where_nothing_differs(host: Box) -> None:
    """Rules of other programs may come and go; parameters are not watched."""
    host.deploy(files("baseline"), "a1")
    host.out(
        "iptables -A FORWARD -i tun0 -j ACCEPT; iptables -t nat -A PREROUTING -i tun0 -j ACCEPT;"
        " ip addr add 203.0.113.77/24 dev wan0; nft add table inet other"
    )
    done = host.run("mend")
    assert (done.code, done.err) == (0, "")


def test_an_apply_loads_all_of_it(host: Box) -> None:
    """It does so whatever state the host is in."""
    host.deploy(files("dual-stack"), "a1")
    kernel = host.kernel
    host.out("rm -rf /run/wanbound/loaded; nft flush ruleset; ip addr flush dev wan0")
    host.reboot()
    assert host.run("apply").code == 0
    assert host.kernel == kernel


def test_a_spelling_of_its_own_is_no_difference(host: Box) -> None:
    """Another iptables may print a match in another spelling than that of the file."""
    for tool in ("iptables-save", "ip6tables-save"):
        host.shim(tool, "$real \"$@\" | sed 's/-m conntrack --ctstate/-m state --state/'")
    host.deploy(files("dual-stack"), "a1")
    for _ in range(2):
        done = host.run("mend")
        assert (done.code, done.err) == (0, "")
    host.out("iptables -t nat -D WANBOUND-SNAT 1")
    assert "loaded: ipv4\n" in host.run("mend").err
    assert host.run("mend").err == ""


@pytest.mark.parametrize("name", sorted(DAMAGE.keys() - {"the order of rules"}))
def test_damage_right_after_the_load_does_not_pass_for_right(host: Box, name: str) -> None:
    """The check after the load finds the damage and loads once more.

    A changed order of rules at this moment is not detected: the number of rules is the same.
    """
    damage = DAMAGE[name]
    host.deploy(files("baseline"), "a1")
    kernel = host.kernel
    # In each load the first batch adds addresses. The second removes others, once the rules of both
    # families are loaded.
    host.shim(
        "ip",
        '$real "$@" || exit\n'
        '[ "$1" = -batch ] || exit 0\n'
        "echo x >>/mnt/batches\n"
        f'[ "$(wc -l </mnt/batches)" != 2 ] || {{ {damage}; }} >&2\n'
        "exit 0\n",
    )
    done = host.run("apply")
    assert (host.root / "mnt/batches").read_text().count("x") == 4
    assert done.code == 0, done
    mended = host.run("mend")
    assert (mended.code, mended.err) == (0, "")
    theirs = damage.endswith("-i tun0 -j ACCEPT")
    assert theirs or host.kernel == kernel


def test_what_is_flushed_after_the_load_does_not_pass_for_right(host: Box) -> None:
    """It is loaded once more, and the change stays, as in a repair."""
    host.shim(
        "iptables-restore",
        '$real "$@" || exit\n'
        'case "$*" in *--test*) exit ;; esac\n'
        "echo x >>/mnt/loads\n"
        '[ "$(wc -l </mnt/loads)" != 1 ] || iptables -t nat -F WANBOUND-SNAT\n',
    )
    host.deploy(files("dual-stack"), "a1")
    assert (host.root / "mnt/loads").read_text().count("x") == 2
    assert "--to-source 203.0.113.20" in host.out("iptables-save")


def test_a_flush_of_the_guard_after_the_load_does_not_pass_for_right(host: Box) -> None:
    """The guard is loaded once more."""
    host.shim(
        "nft",
        'case "$*" in "-s list"*) [ -e /mnt/flushed ] || { : >/mnt/flushed;'
        " $real flush chain inet wanbound forward; } ;; esac\n"
        'exec $real "$@"',
    )
    host.deploy(files("dual-stack"), "a1")
    assert "vmap @from" in host.out("nft list chain inet wanbound forward")


def test_a_guard_that_cannot_be_read_is_not_an_empty_one(host: Box) -> None:
    """Nothing is loaded: what makes nft fail now would also make the load fail."""
    host.deploy(files("dual-stack"), "a1")
    host.shim("nft", 'case "$*" in *list*) echo "netlink: no buffer" >&2; exit 1 ;; esac; exit 9\n')
    done = host.run("mend")
    assert done.code == 15, done
    assert "cannot read what is in force" in done.err


def test_what_only_looks_like_ours_is_not_counted(host: Box) -> None:
    """A peer's address and a default route for some sources only existed before and stay."""
    host.out(
        "ip link set wan1 up; ip addr add 10.0.0.1 peer 203.0.113.20/32 dev wan1;"
        " ip -6 route add default from 2001:db8:a::/48 via fe80::9 dev wan0 metric 3"
    )
    host.deploy(files("gateways"), "a1")
    assert host.run("mend").err == ""
    host.out("ip -6 route del default metric 1")
    assert "repairing" in host.run("mend").err
    assert host.run("mend").err == ""
    assert "peer 203.0.113.20" in host.out("ip addr show dev wan1")
    assert "default from 2001:db8:a::/48" in host.out("ip -6 route show default")


def test_a_kernel_that_does_not_know_nft(host: Box) -> None:
    """The nft program exists, but the kernel lacks support: facts are read, a change is refused."""
    host.shim("nft", 'echo "netlink: not supported" >&2; exit 1\n')
    assert host.run("facts").code == 0
    done = host.change(files("dual-stack"), "a1")
    assert (done.code, host.current) == (11, "none")
    assert "nft refuses the guard" in done.err


FORWARD = {
    "no Docker": ([], "FORWARD"),
    "Docker's": (["DOCKER-USER", "DOCKER-ISOLATION-STAGE-1"], "DOCKER-USER"),
    "docker-ipv6nat's": (["DOCKER-ISOLATION-STAGE-1", "DOCKER-USER"], "FORWARD"),
    "isolation alone": (["DOCKER-ISOLATION-STAGE-1"], "FORWARD"),
}


@pytest.mark.parametrize("tool", ["iptables", "ip6tables"])
@pytest.mark.parametrize(("chains", "hook"), FORWARD.values(), ids=FORWARD)
def test_the_jump_comes_before_isolation(
    host: Box, tool: str, chains: list[str], hook: str
) -> None:
    """Docker keeps DOCKER-USER first; another program may put isolation before it."""
    for chain in chains:
        host.out(f"{tool} -N {chain}; {tool} -A FORWARD -j {chain}")
    host.deploy(files("dual-stack"), "a1")
    jumps = host.out(f"{tool}-save -t filter").splitlines()
    assert [line for line in jumps if line.endswith("-j WANBOUND-FORWARD")] == [
        f"-A {hook} -j WANBOUND-FORWARD"
    ]
    first = next(line for line in jumps if line.startswith(f"-A {hook} "))
    assert first.endswith("-j WANBOUND-FORWARD")


def test_an_operators_rule_before_dockers_does_not_matter(host: Box) -> None:
    """The jump stays in DOCKER-USER as long as isolation comes after DOCKER-USER."""
    host.out(
        "iptables -A FORWARD -i tun0 -j ACCEPT; iptables -N DOCKER-USER;"
        " iptables -A FORWARD -j DOCKER-USER; iptables -N DOCKER-ISOLATION-STAGE-1;"
        " iptables -A FORWARD -j DOCKER-ISOLATION-STAGE-1"
    )
    host.deploy(files("dual-stack"), "a1")
    assert "-A DOCKER-USER -j WANBOUND-FORWARD" in host.kernel


def test_the_jump_moves_when_docker_appears(host: Box) -> None:
    """It moves back when Docker is gone."""
    host.deploy(files("dual-stack"), "a1")
    host.out("iptables -N DOCKER-USER; iptables -I FORWARD -j DOCKER-USER")
    assert "loaded: ipv4\n" in host.run("mend").err
    assert "-A DOCKER-USER -j WANBOUND-FORWARD" in host.kernel
    assert "-A FORWARD -j WANBOUND-FORWARD" not in host.out("iptables-save")
    assert host.run("mend").err == ""
    host.out("iptables -F DOCKER-USER; iptables -D FORWARD -j DOCKER-USER; iptables -X DOCKER-USER")
    assert host.run("mend").code == 0
    assert "-A FORWARD -j WANBOUND-FORWARD" in host.out("iptables-save")


def test_the_jump_in_input_is_last(host: Box) -> None:
    """Other programs' rules in INPUT are tried first; wanbound's act like a policy."""
    host.out("iptables -A INPUT -p tcp --dport 25 -j ACCEPT")
    host.deploy(files("baseline"), "a1")
    assert host.out("iptables -S INPUT").splitlines()[1:] == [
        "-A INPUT -p tcp -m tcp --dport 25 -j ACCEPT",
        "-A INPUT -j WANBOUND-INPUT",
    ]
    host.out("iptables -A INPUT -p tcp --dport 26 -j ACCEPT")
    assert host.run("mend").code == 0
    assert host.out("iptables -S INPUT").splitlines()[-1] == "-A INPUT -j WANBOUND-INPUT"


def test_the_subnet_of_a_bridge_is_put_in_when_it_appears(host: Box) -> None:
    """Docker chooses the subnet; until then the line matches no packet."""
    host.deploy(files("snat-docker"), "a1")
    rule = "-A WANBOUND-SNAT -s {} ! -o bridge-coi -j SNAT --to-source 203.0.113.11"
    assert rule.format("0.0.0.0/32") in host.out("iptables-save")
    host.bridge("bridge-coi", "172.19.77.1/20")
    assert "loaded: ipv4\n" in host.run("mend").err
    assert rule.format("172.19.64.0/20") in host.out("iptables-save")
    assert host.run("mend").err == ""
    host.out(
        "ip link del bridge-coi; ip link add bridge-coi type bridge; ip link set bridge-coi up"
        "; ip addr add 10.1.2.129/25 dev bridge-coi"
    )
    assert host.run("mend").code == 0
    assert rule.format("10.1.2.128/25") in host.out("iptables-save")


def test_a_bridge_that_was_renamed_gets_its_name_back(host: Box) -> None:
    """A bridge is identified by its index; another one with the gateway's address is not ours."""
    host.bridge("mail", "172.20.0.1/24")
    host.deploy(files("dual-stack"), "a1")
    host.out("ip link set mail name foo")
    assert "renaming it to mail" in host.run("mend").err
    assert "foo" not in host.out("ip -o link show")
    host.out("ip link del mail")
    host.bridge("theirs", "172.20.0.1/24")
    assert host.run("mend").code == 0
    assert ": theirs:" in host.out("ip -o link show")


def test_a_table_that_another_program_makes_is_no_difference(host: Box) -> None:
    """Docker 28 makes the table `raw` with its first network."""
    host.deploy(files("dual-stack"), "a1")
    host.out("iptables -t raw -A PREROUTING -j ACCEPT; ip6tables -t mangle -A PREROUTING -j ACCEPT")
    done = host.run("mend")
    assert (done.code, done.err) == (0, "")


OLD_KERNEL = """\
case "$*" in
*' name '*) case $("$real" link show dev "$4") in *[,\\<]UP[,\\>]*) exit 2 ;; esac ;;
esac
exec "$real" "$@"
"""
"""Before Linux 6.2 a link that is up cannot be renamed."""

REFUSES_NAMES = """\
case "$*" in
*' name '*) exit 2 ;;
'-batch -') sed 's/ name .*/ name ./' | exec "$real" -batch - ;;
*) exec "$real" "$@" ;;
esac
"""


def _is_up(host: Box, link: str) -> bool:
    return bool(int((host.root / f"sys/class/net/{link}/flags").read_text(), 16) & 1)


def test_a_bridge_is_up_after_its_renaming_on_an_old_kernel(host: Box) -> None:
    """It is down for a moment there, and containers would have no network."""
    host.bridge("mail", "172.20.0.1/24")
    host.deploy(files("dual-stack"), "a1")
    host.out("ip link set mail name foo")
    host.shim("ip", OLD_KERNEL)
    assert "renaming it to mail" in host.run("mend").err
    assert _is_up(host, "mail")


def test_a_renaming_that_fails_is_tried_again(host: Box) -> None:
    """The bridge keeps its other name, stays up, and is not forgotten."""
    host.bridge("mail", "172.20.0.1/24")
    host.deploy(files("dual-stack"), "a1")
    host.out("ip link set mail name foo")
    host.shim("ip", REFUSES_NAMES)
    for _ in range(2):
        assert "renaming it to mail" in host.run("mend").err
        assert _is_up(host, "foo")
    host.no_shims()
    host.run("mend")
    assert _is_up(host, "mail")


def test_a_repair_that_cannot_be_is_told(host: Box) -> None:
    """The next repair that can succeed restores the rules."""
    host.deploy(files("dual-stack"), "a1")
    host.out("iptables -t nat -F WANBOUND-SNAT")
    host.shim("iptables-restore", "echo refused by the shim >&2; exit 1")
    done = host.run("mend")
    assert done.code in (11, 13)
    assert "refused by the shim" in done.err
    host.no_shims()
    assert host.run("mend").code == 0
    assert "--to-source 203.0.113.20" in host.out("iptables-save")


def test_the_guard_is_loaded_though_the_rules_are_refused(host: Box) -> None:
    """A failure leaves the host closed, not open."""
    host.deploy(files("dual-stack"), "a1")
    host.reboot()
    host.shim("iptables-restore", "echo refused by the shim >&2; exit 1")
    assert host.run("apply").code != 0
    assert "chain source-mail" in host.kernel


def test_a_host_with_nothing_has_nothing_to_repair(host: Box) -> None:
    """The units may exist a moment longer than the configuration."""
    assert (host.run("apply").code, host.run("mend").code) == (0, 0)


def test_a_link_that_cannot_be_read_is_no_missing_one() -> None:
    """Without a current generation all others would be removed."""
    printed = run(
        "etc=$(mktemp -d); generation current; ln -s a1 $etc/current; generation current\n"
        'readlink() { return 1; }; generation current || echo unknown; rm -r "$etc"\n',
        "onhost/repair.sh",
    )
    assert printed.split() == ["none", "a1", "unknown"]
