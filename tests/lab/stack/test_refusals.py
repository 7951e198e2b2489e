"""Changes that a host refuses or that fail: the error says why, and the host is unchanged."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab.api import Host, Lab
from providers.errors import HostError
from providers.host.plan import Plan
from tests.lab.planned import bring, clear, numbered, with_line
from tests.lab.stack.evidence import snapshot

pytestmark = pytest.mark.lab

AS_IT_WAS = "as it was"
ENGINES = pytest.mark.parametrize("name", ["test-1", "test-2"])


@pytest.fixture(autouse=True)
def agent(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point SSH_AUTH_SOCK at an agent with the operator's key."""
    monkeypatch.setenv("SSH_AUTH_SOCK", lab.environment()["SSH_AUTH_SOCK"])


@pytest.fixture
def host(lab: Lab, name: str) -> Iterator[Host]:
    """A host with one network loaded; it is bare again afterwards."""
    found = lab.host(name)
    bare = snapshot(found)
    bring(found, numbered(found, {"old": 61}))
    yield found
    clear(found)
    assert snapshot(found) == bare, bare.differences(snapshot(found))


def refused(host: Host, plan: Plan | None = None, **connection: object) -> str:
    """Return the error of a change and a new second network; the host must be unchanged."""
    before = snapshot(host)
    with pytest.raises(HostError) as caught:
        bring(host, plan or numbered(host, {"old": 62, "new": 63}), **connection)
    after = snapshot(host)
    assert before == after, before.differences(after)
    said = str(caught.value)
    print(said)
    assert said.startswith(f"host {host.name}")
    assert "\n  The host now: " in said
    assert "\n  Fix: " in said
    return said


# --- getting in ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["test-1"])
@pytest.mark.parametrize("last", [250, 1])
def test_unreachable(lab: Lab, host: Host, last: int) -> None:
    """No machine has the address; no server listens on the port."""
    address = str(lab.settings.management[last])
    said = refused(host, address=address, port=2)
    assert f"cannot be reached at {address} port 2" in said
    assert "unchanged; nothing was sent to it" in said
    assert "ssh.address and ssh.port" in said


@ENGINES
def test_wrong_host_key(lab: Lab, host: Host) -> None:
    """Another machine answers, or the host was reinstalled."""
    [other] = [each for each in lab.hosts.values() if each.name != host.name]
    said = refused(host, host_key=other.host_key)
    assert "not the one that is pinned" in said
    assert host.host_key.split()[1] in said
    assert "unchanged" in said


@ENGINES
def test_unknown_host_key_is_never_learned(host: Host) -> None:
    """Without a pinned key known_hosts decides."""
    said = refused(host, host_key=None)
    assert "its SSH host key is not known" in said
    assert "set ssh.host_key" in said


@ENGINES
def test_refused_login(host: Host) -> None:
    """Unknown user or rejected key: sshd does not say which."""
    said = refused(host, user="mallory")
    assert "it rejects the login of mallory" in said
    assert "unchanged" in said


@ENGINES
def test_no_sudo(host: Host) -> None:
    """The user can log in, but has no sudo."""
    said = refused(host, user="operator")
    assert "operator may not use sudo without a password" in said
    assert "unchanged" in said
    assert "or set ssh.user to root" in said


@ENGINES
def test_sudo_without_a_password_is_as_good_as_root(host: Host) -> None:
    """It leaves the same files and rules as root does."""
    plan = numbered(host, {"old": 61, "new": 63})
    bring(host, plan)
    by_root = snapshot(host)
    bring(host, numbered(host, {"old": 61}), user="admin")
    bring(host, plan, user="admin")
    by_admin = snapshot(host)
    assert by_root == by_admin, by_root.differences(by_admin)
    assert "63/32" in by_admin.addresses


# --- what the host lacks or will not have --------------------------------------------------------


@contextmanager
def sabotaged(host: Host, script: str, repair: str) -> Iterator[None]:
    """Break something on the host; repair it in any case."""
    try:
        host.run(script)
        yield
    finally:
        host.run(repair)


@contextmanager
def without(host: Host, program: str) -> Iterator[None]:
    """Remove a program."""
    path = f"/usr/sbin/{program}"
    with sabotaged(host, f"mv {path} {path}.gone", f"mv {path}.gone {path}"):
        yield


@ENGINES
@pytest.mark.parametrize("program", ["iptables-restore", "ip6tables-save", "nft"])
def test_a_program_is_missing(host: Host, program: str) -> None:
    """Without iptables or without nftables."""
    before = snapshot(host)
    with without(host, program), pytest.raises(HostError) as caught:
        bring(host, numbered(host, {"old": 61, "new": 63}))
    said = str(caught.value)
    assert f"{program} is not installed" in said
    assert AS_IT_WAS in said
    assert "install it" in said
    after = snapshot(host)
    assert before == after, before.differences(after)


@ENGINES
def test_no_such_interface(host: Host) -> None:
    """wan.interface names an interface that the host does not have."""
    said = refused(host, numbered(host, {"old": 61, "new": 63}, wan={"interface": "eth7"}))
    assert "there is no interface eth7 here" in said
    assert AS_IT_WAS in said


@ENGINES
def test_the_hosts_own_address(host: Host) -> None:
    """A public address that is the host's own is not taken over without the key for it."""
    number = int(host.wan_ipv4.rpartition(".")[2])
    said = refused(host, numbered(host, {"old": 61, "new": number}))
    assert f"{host.wan_ipv4} is the host's own already ({host.wan_ipv4}/24 on wan0)" in said
    assert "manage_addresses: false" in said


@ENGINES
def test_a_rule_that_iptables_does_not_know(host: Host) -> None:
    """The test of the rules finds it, before any change."""
    plan = numbered(host, {"old": 61, "new": 63})
    line = "-A WANBOUND-SNAT --no-such-option"
    said = refused(host, with_line(plan, "new", "snat_ipv6", "odd", line))
    assert "no-such-option" in said
    assert AS_IT_WAS in said


@ENGINES
def test_disk_full(host: Host) -> None:
    """Without room for the new generation, the old one stays complete."""
    fill = (
        "cp -a /etc/wanbound /root/wanbound.kept && mount -t tmpfs -o size=256k none /etc/wanbound"
        " && cp -a /root/wanbound.kept/. /etc/wanbound/"
        " && { cat /dev/zero >/etc/wanbound/filling 2>/dev/null; df /etc/wanbound; }"
    )
    # Lazy unmount: the watcher may have been restarted from there.
    with sabotaged(host, fill, "umount -l /etc/wanbound; rm -rf /root/wanbound.kept"):
        said = refused(host)
    assert "it cannot write the rules to disk" in said
    assert AS_IT_WAS in said
    assert "free some space" in said


WRAPPER = """cat >/usr/local/sbin/{program} <<'END'
#!/bin/sh
# Passes every test, and fails the first {times} of what is real.
case " $* " in *" --test "* | *" -c "*) exec /usr/sbin/{program} "$@" ;; esac
case " $* " in *" {when} "*) ;; *) exec /usr/sbin/{program} "$@" ;; esac
count=$(cat /run/failed 2>/dev/null || echo 0)
if [ "$count" -lt {times} ]; then
    echo $((count + 1)) >/run/failed
    echo "{program}: sabotaged" >&2
    exit 1
fi
exec /usr/sbin/{program} "$@"
END
chmod +x /usr/local/sbin/{program}"""


@contextmanager
def failing(host: Host, program: str, when: str, times: int) -> Iterator[None]:
    """Make the kernel refuse the first loads by `program` with `when` among the arguments."""
    script = WRAPPER.format(program=program, when=when, times=times)
    repair = f"rm -f /usr/local/sbin/{program} /run/failed"
    with sabotaged(host, script, repair):
        yield


@ENGINES
@pytest.mark.parametrize(
    ("program", "when", "times"),
    [
        ("iptables-restore", "--noflush", 1),
        ("ip6tables-restore", "--noflush", 1),
        ("nft", "-f", 1),
        ("ip", "-batch", 1),
    ],
)
def test_the_kernel_refuses_the_load(host: Host, program: str, when: str, times: int) -> None:
    """Whichever step fails: rules, addresses and guard of both families are unchanged."""
    before = snapshot(host)
    with failing(host, program, when, times), pytest.raises(HostError) as caught:
        bring(host, numbered(host, {"old": 62, "new": 63}))
    said = str(caught.value)
    print(said)
    assert "sabotaged" in said
    assert AS_IT_WAS in said
    after = snapshot(host)
    assert before == after, before.differences(after)


@ENGINES
def test_the_kernel_refuses_the_undo_too(host: Host) -> None:
    """The error says that the host is partly changed; the next run repairs it."""
    before = snapshot(host)
    with failing(host, "ip6tables-restore", "--noflush", 9), pytest.raises(HostError) as caught:
        bring(host, numbered(host, {"old": 62}))
    said = str(caught.value)
    print(said)
    assert "and then the old rules too" in said
    assert "partly changed" in said
    bring(host, numbered(host, {"old": 61}))
    after = snapshot(host)
    assert before == after, before.differences(after)
