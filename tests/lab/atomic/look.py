"""A host's state, as far as a change may touch it, read with one short command."""

import re
from dataclasses import dataclass, field

from tests.lab.stack.evidence import guard_blocks, rules

LOOK = r"""
for name in iptables ip6tables; do echo "== $name"; $name-save; done
echo '== nft'
# The watcher follows with its table a moment later: it has to be gone after a destroy.
nft list tables | grep wanbound | {{ [ -e /etc/wanbound/current ] && grep -v -e -keep || cat; }}
nft -s list table inet wanbound 2>/dev/null
echo '== addresses'; ip -o addr show dev wan0; ip -o addr show dev host0
echo '== host'
for family in 4 6; do ip -$family route show | grep -v ' dev veth'; done
cat /sys/class/net/wan0/flags
cd /proc/sys/net; grep . {sysctls}
echo '== files'
cd /etc/wanbound/current 2>/dev/null && {{
    sha256sum ipv?.rules *.nft addresses host bridges leaving absent owner plan.json \
        wanbound wanbound*.service was
    [ "$(readlink ../current)" = "$(readlink ../confirmed)" ] || echo 'current is not confirmed'
    cd /run/wanbound/loaded && sha256sum *
}}
cd /
sha256sum usr/local/sbin/wanbound etc/systemd/system/wanbound*.service \
    etc/iptables/rules.v[46] 2>/dev/null
find etc/systemd/system usr/local/sbin/wanbound* -path '*wanbound*' \
    -printf '%p %y %m %u %g %l\n' 2>/dev/null | grep -v '[.]next ' | sort
ls -d etc/wanbound etc/systemd/system/docker.service.wants 2>/dev/null
echo '== litter'
find etc/wanbound run/wanbound var/lib/wanbound usr/local/sbin/wanbound.* \
    etc/systemd/system/wanbound*.next 2>/dev/null |
    grep -v -x -e run/wanbound -e run/wanbound/lock -e run/wanbound/engine \
        -e run/wanbound/docker -e run/wanbound/watch -e run/wanbound/repairs \
        -e run/wanbound/repaired -e etc/wanbound/armed |
    while read -r file; do
        # A run that lives has its folder: an undo waits until the deadline or the confirmation.
        process=${{file#run/wanbound/run.}}
        [ "$process" != "$file" ] && [ -e "/proc/${{process%%[./]*}}" ] || echo "$file"
    done
echo '== generation'
readlink etc/wanbound/current
echo '== armed'
cat etc/wanbound/armed 2>/dev/null
true
"""

SYSCTLS = "ipv4/ip_forward ipv4/conf/wan0/accept_redirects ipv6/conf/wan0/accept_ra"
"""The parameters that the tests' own plans set."""

SAFE_PATH = "PATH=/usr/sbin:/usr/bin:/sbin:/bin; unset SSH_CONNECTION\n"
"""Makes the test's own commands bypass the stand-ins."""

SETTLED = """
# A change that was killed before it had a timer stays armed, with nothing to undo.
under_way() {{
    grep -q -s -z -x -e 'chang[e]' -e 'confir[m]' -e 'und[o]' /proc/[0-9]*/cmdline && return
    [ -e /etc/wanbound/armed ] || return
    # The timer, or the process that there is in its place.
    ls /run/systemd/transient/wanbound-undo-* >/dev/null 2>&1 ||
        grep -q -s -e 'wanbound und[o]' /proc/[0-9]*/cmdline
}}
for i in $(seq {tries}); do
    under_way || break
    sleep 0.05
done
"""
"""Waits until nothing is armed, and no process is about to arm anything."""

ALONE = """
[ ! -e /run/wanbound/lock ] || { exec 9</run/wanbound/lock; flock -w 20 9; }
"""
"""Keeps all other processes, including the watcher, from changing the host while it is read."""

NONE = "none"
BOOT_UNIT = "multi-user.target.wants/wanbound.service"


@dataclass(frozen=True)
class Look:
    """A host's state at one moment. Equal means: the same rules in force and the same files.

    `litter` are files without effect that a killed run has left behind. The generation's id differs
    after each change, and is not compared.
    """

    force: tuple[tuple[str, str], ...]
    litter: str
    armed: str
    generation: str = field(compare=False)

    @classmethod
    def parse(cls, text: str) -> "Look":
        """Read what the commands of `look` print."""
        found: dict[str, str] = {}
        for part in re.split(r"^== ", text, flags=re.MULTILINE)[1:]:
            name, _, body = part.partition("\n")
            found[name] = body
        for name in ("iptables", "ip6tables"):
            found[name] = "".join(f"{line}\n" for line in rules(found[name]))
        tables = [line for line in found["nft"].splitlines() if line.startswith("table")]
        found["nft"] = "\n".join([*tables[:1], *guard_blocks(found["nft"])])
        lines = re.sub(r" tentative|\\.*|^\d+: ", "", found["addresses"], flags=re.MULTILINE)
        found["addresses"] = "".join(f"{line.rstrip()}\n" for line in sorted(lines.splitlines()))
        found["host"] = re.sub(r" linkdown| expires \d+sec| +$", "", found["host"], flags=re.M)
        litter, armed, generation = (found.pop(name) for name in ("litter", "armed", "generation"))
        generation = generation.strip() or NONE
        own = re.compile(rf"etc/wanbound(/(current|confirmed|{generation}(/.*)?))?")
        left = [line for line in litter.splitlines() if own.fullmatch(line) is None]
        if generation == NONE or BOOT_UNIT not in found["files"]:
            # Script and units have no generation, or no boot unit loads it: nothing is in force,
            # and the next run removes these files.
            left += found["files"].splitlines()
            found["files"] = ""
        litter = "".join(f"{line}\n" for line in sorted(left))
        return cls(tuple(found.items()), litter, armed, generation)

    def differences(self, other: "Look") -> str:
        """Return every line that only one of the two has, for a failing test's message."""
        lines = []
        for (name, mine), (_, theirs) in zip(self.force, other.force, strict=True):
            lines += [f"{name} - {line}" for line in mine.splitlines() if line not in theirs]
            lines += [f"{name} + {line}" for line in theirs.splitlines() if line not in mine]
            if mine != theirs and sorted(mine.split("\n")) == sorted(theirs.split("\n")):
                lines.append(f"{name}: the same lines in another order")
        if self.litter != other.litter:
            left = sorted(set(self.litter.split("\n")) ^ set(other.litter.split("\n")))
            lines.append(f"litter: {' '.join(left[:10])}")
        return "\n".join(lines)

    def lines(self) -> list[str]:
        """All lines, sorted."""
        return sorted(line for _, text in self.force for line in text.splitlines())

    @property
    def ours(self) -> tuple[str, ...]:
        """What is in force, in its order, without Docker's own rules."""
        found = dict(self.force)
        for name in ("iptables", "ip6tables"):
            found[name] = "\n".join(line for line in found[name].split("\n") if "WANBOUND" in line)
        routes = found["host"].split("\n")
        found["host"] = "\n".join(line for line in routes if line.startswith("default "))
        return tuple(found.values())

    def same(self, other: "Look") -> bool:
        """Return whether the same is in force, whatever the litter."""
        return self.force == other.force


def look(seconds: float = 0) -> str:
    """Return the commands that print a host's state, once nothing is armed or after `seconds`."""
    wait = SETTLED.format(tries=int(seconds * 20)) if seconds else ""
    return SAFE_PATH + wait + ALONE + LOOK.format(sysctls=SYSCTLS)
