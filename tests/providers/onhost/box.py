"""A host in its own namespaces, in which the real script runs with the real programs.

`Box` has its own mount, network and process namespaces: /etc is an overlay; /run, /var/lib and
/usr/local/sbin are empty; the network has one interface `wan0`; processes of the script end with
the box. There is no systemd, and Docker is a stand-in.

Programs in /usr/local/sbin come before the system's: `shim` puts one there that fails, rewrites
its output or ends the run at a chosen step. Debian's busybox prefers its own applets to PATH, so
under busybox the script begins with functions for the programs of `SHIMMED`.
"""

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from providers.ssh.remote import INSTALLED, VERSION_FILE, call_script, host_script

SHELLS = {"dash": "/usr/bin/dash", "busybox": "/usr/bin/busybox sh"}

DASH = pytest.mark.parametrize("host", ["dash"], indirect=True)
"""Runs a test under one shell only, as for what happens to packets: the kernel decides that, and
test_shells.py proves that both shells load the same into it."""

SHIMMED = ("ip", "mv", "ln", "cp", "rm", "sync", "docker", "setpriv", "dd")
"""What a shim can replace; under busybox each is a function that calls the program on PATH.

busybox has no `dd conv=excl`, and hosts with systemd, which starts `metrics`, have coreutils.
"""

WAN = "203.0.113.101/24", "2001:db8::101/64"
"""The host's own addresses."""

_MADE = """\
set -e
mount -t tmpfs none /mnt
mkdir /mnt/up /mnt/work
mount -t overlay none -o lowerdir=/etc,upperdir=/mnt/up,workdir=/mnt/work /etc
for folder in /run /var/lib /usr/local/sbin; do mount -t tmpfs none $folder; done
mount -t sysfs none /sys
rm -rf /etc/wanbound /etc/iptables
cp /proc/sys/kernel/random/boot_id /mnt/boot_id
mount --bind /mnt/boot_id /proc/sys/kernel/random/boot_id
for link in wan0 wan1; do
    ip link add $link type veth peer name $link-peer
    ip link set $link-peer up
done
mkfifo /mnt/ready
echo ready >/mnt/ready & exec sleep 1000000
"""

_NETWORK = f"""\
set -e
sysctl -qw net.ipv6.conf.wan0.accept_dad=0 net.ipv6.conf.wan0.forwarding=0
sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0
for table in nat filter; do
    for tool in iptables ip6tables; do
        # A table is there, and is printed, as soon as it has had a rule.
        $tool -t $table -A OUTPUT -j ACCEPT
        $tool -t $table -D OUTPUT -j ACCEPT
    done
done
ip link set lo up
ip link set wan0 up
ip addr add {WAN[0]} dev wan0
ip addr add {WAN[1]} dev wan0 nodad
"""

_REBOOT = """\
iptables -F; iptables -X; iptables -t nat -F; iptables -t nat -X
ip6tables -F; ip6tables -X; ip6tables -t nat -F; ip6tables -t nat -X
nft flush ruleset
ip addr flush dev wan0; ip link set wan0 down
ip -4 route flush table main; ip -6 route flush proto static
ip -o link show type bridge | sed 's/^[0-9]*: \\([^:@]*\\).*/\\1/' |
    while read -r link; do ip link del "$link"; done
rm -rf /run/wanbound
cat /proc/sys/kernel/random/uuid >/mnt/boot_id
"""


_UNSHARE = [
    "unshare",
    "-m",
    "-n",
    "-p",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "--propagation",
    "private",
]


@dataclass(frozen=True)
class Ran:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str


class Box:
    """One host; `shell` is the shell that runs the script."""

    def __init__(self, shell: str, process: int) -> None:
        self.shell, self._process = shell, process
        self.root = Path(f"/proc/{process}/root")
        self.etc, self.run_folder = self.root / "etc/wanbound", self.root / "run/wanbound"
        self.shims = self.root / "usr/local/sbin"
        self.install(host_script(), call_script())
        # `sh` within the script is the same shell; busybox finds its own without help.
        self._program("sh", f'#!/bin/dash\nexec {SHELLS[shell]} "$@"\n')

    def install(self, installed: str, call: str) -> None:
        """Run these texts of the two scripts from now on."""
        functions = ""
        if self.shell == "busybox":
            functions = "".join(f'{name}() {{ "$(which {name})" "$@"; }}\n' for name in SHIMMED)
        for name, script in ((INSTALLED, installed), ("call", call)):
            _, _, text = script.partition("\n")
            path = self.root / "mnt" / name
            path.write_text(f"#!{SHELLS[self.shell]}\n{functions}{text}")
            path.chmod(0o755)

    def _program(self, name: str, text: str) -> None:
        (self.shims / name).write_text(text)
        (self.shims / name).chmod(0o755)

    def _enter(self, command: Sequence[str]) -> list[str]:
        return ["nsenter", "-t", str(self._process), "-m", "-n", "-p", "-r", "-w", *command]

    def popen(self, command: str) -> "subprocess.Popen[str]":
        """Start a shell command on the host, in its own process group."""
        return subprocess.Popen(
            self._enter(["setsid", "-w", "dash", "-c", command]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def sh(self, command: str) -> Ran:
        """Run a shell command on the host."""
        with self.popen(command) as process:
            out, err = process.communicate(timeout=120)
        return Ran(process.returncode, out, err)

    def out(self, command: str) -> str:
        """Return what a command prints. It must succeed."""
        done = self.sh(command)
        assert done.code == 0, done
        return done.out

    def words(self, *words: str) -> str:
        """Return the command line for the script that has the first of these words as a command."""
        script = "call" if words[0] in ("doctor", "facts", "change", "confirm") else INSTALLED
        return f"{SHELLS[self.shell]} /mnt/{script} {shlex.join(words)}"

    def run(self, *words: str) -> Ran:
        """Run a command of the scripts."""
        return self.sh(self.words(*words))

    def stage(self, new: dict[str, str], then: dict[str, str] | None = None) -> str:
        """Write generations where an upload would write them, and return the folder."""
        stage = self.run_folder / "stage"
        shutil.rmtree(stage, ignore_errors=True)
        for name, files in (("new", new), ("then", then)):
            if files is not None:
                (stage / name).mkdir(parents=True)
                for file, text in files.items():
                    (stage / name / file).write_text(text)
        shutil.copy(self.root / "mnt" / INSTALLED, stage / INSTALLED)
        (stage / VERSION_FILE).write_text("1.2.3\n")
        return "/run/wanbound/stage"

    def change(
        self,
        new: dict[str, str],
        token: str,
        expected: str | None = None,
        seconds: int = 3000,
        then: dict[str, str] | None = None,
    ) -> Ran:
        """Make a change; `expected` defaults to the current generation."""
        stage = self.stage(new, then)
        expected = self.current if expected is None else expected
        return self.run("change", stage, token, str(seconds), expected)

    def confirm(self, token: str, left: str | None = None) -> Ran:
        """Confirm a change, without files for /etc/iptables; `left` is "none" for a destroy."""
        (self.run_folder / "none").mkdir(parents=True, exist_ok=True)
        return self.run("confirm", token, "/run/wanbound/none", left or token)

    def deploy(self, new: dict[str, str], token: str, then: dict[str, str] | None = None) -> None:
        """Make a change and confirm it."""
        done = self.change(new, token, then=then)
        assert (done.code, done.out) == (0, f"armed {token}\n"), done
        done = self.confirm(token, None if new["bridges"] else "none")
        assert done.code == 0, done

    def _link(self, name: str) -> str:
        try:
            return str((self.etc / name).readlink())
        except OSError:
            return "none"

    @property
    def current(self) -> str:
        """The loaded generation."""
        return self._link("current")

    @property
    def confirmed(self) -> str:
        """The generation that an undo returns to."""
        return self._link("confirmed")

    @property
    def armed(self) -> bool:
        """Whether an undo is pending."""
        return (self.etc / "armed").exists()

    def until(self, done: Callable[[], bool], why: Callable[[], str] = str) -> None:
        """Wait for a condition, as long as a repair may take on a busy machine."""
        for _ in range(300):
            if done():
                return
            time.sleep(0.1)
        raise AssertionError(why())

    @property
    def kernel(self) -> str:
        """Rules, guard, addresses, routes and parameters as the kernel prints them."""
        return self.out(
            "iptables-save | grep -v '^#' | sed 's/\\[[0-9:]*\\]//'\n"
            "ip6tables-save | grep -v '^#' | sed 's/\\[[0-9:]*\\]//'\n"
            # nft prints the tables of iptables in the order of their first use.
            "nft list table inet wanbound 2>/dev/null | sed 's/counter packets.*bytes [0-9]*//'\n"
            "ip -o addr show dev wan0 | sed 's/ *valid_lft.*//' | sort\n"
            "ip -4 route; ip -6 route show default\n"
            "cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding\n"
        )

    @property
    def files(self) -> list[str]:
        """The files in /etc/wanbound, in /usr/local/sbin and among the units."""
        found = [*self.etc.glob("*"), *self.etc.glob(".*")] if self.etc.exists() else []
        names = [f"etc/{path.name}" for path in found]
        if (self.shims / "wanbound").is_symlink():
            names.append("sbin/wanbound")
        for unit in (self.root / "etc/systemd/system").rglob("*wanbound*"):
            names.append(f"units/{unit.relative_to(self.root / 'etc/systemd/system')}")
        return sorted(names)

    def reboot(self) -> None:
        """Lose what a reboot loses, and configure the host's own network again."""
        self.sh(_REBOOT)
        self.out(_NETWORK)

    def overdue(self) -> None:
        """Let the confirmation deadline pass."""
        text = (self.etc / "armed").read_text().split()
        (self.etc / "armed").write_text(" ".join([*text[:3], "1\n"]))

    def docker(self, *, ran: bool = True) -> None:
        """Install a stand-in for Docker that has no networks; it runs if `ran`."""
        self._program(
            "docker",
            "#!/bin/dash\ncase $1$2 in\n"
            """info*) echo '{"ServerVersion":"28.5.2"}' ;;\n"""
            "esac\n",
        )
        if ran:
            self.out(
                "cp /bin/sleep /mnt/dockerd; (setsid /mnt/dockerd 99999 >/dev/null 2>&1 &"
                " echo $! >/run/docker.pid);"
                " until grep -q dockerd /proc/$(cat /run/docker.pid)/comm; do sleep 0.05; done"
            )

    def bridge(self, name: str, address: str | None = None) -> None:
        """Create a bridge, as Docker would; it can send in IPv6 as soon as it is up."""
        self.out(
            f"ip link add {name} type bridge"
            f" && echo 0 >/proc/sys/net/ipv6/conf/{name}/accept_dad && ip link set {name} up"
        )
        if address is not None:
            self.out(f"ip addr add {address} dev {name}")

    def shim(self, name: str, text: str) -> None:
        """Put a program before the real one; `$real` in its text is the real one."""
        real = shutil.which(name)
        assert real is not None
        self._program(name, f"#!/bin/dash\nreal={real}\n{text}\n")

    def no_shims(self) -> None:
        """Remove all shims."""
        for path in self.shims.iterdir():
            if path.name not in ("sh", "wanbound"):
                path.unlink()


@contextmanager
def box(shell: str) -> Iterator[Box]:
    """Create a host, and remove it afterwards. The test is skipped where that needs more rights."""
    if os.geteuid() != 0:
        pytest.skip("needs root: the script runs in network and mount namespaces of its own")
    with subprocess.Popen([*_UNSHARE, "dash", "-c", _MADE], stderr=subprocess.PIPE) as parent:
        try:
            yield _made(shell, parent)
        finally:
            parent.kill()


def _made(shell: str, parent: "subprocess.Popen[bytes]") -> Box:
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    while parent.poll() is None:
        for child in children.read_text().split():
            if Path(f"/proc/{child}/root/mnt/ready").exists():
                made = Box(shell, int(child))
                made.out(_NETWORK)
                return made
        time.sleep(0.005)
    raise AssertionError(parent.stderr.read() if parent.stderr else "no box")
