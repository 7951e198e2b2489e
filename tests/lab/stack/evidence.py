"""A host's state as text that can be compared, between times and between hosts."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields

from lab.api import Host

_SECTIONS = {
    "iptables": "iptables-save",
    "ip6tables": "ip6tables-save",
    # The watcher adds its table a moment after the rest: only after a destroy must it be missing.
    "nft": (
        "nft list tables | grep inet |"
        " { [ -e /etc/wanbound/current ] && grep -v -e -keep || cat; };"
        " nft -s list table inet wanbound 2>/dev/null"
    ),
    "addresses": "ip -o addr show",
    "networks": "docker network ls --format '{{.Name}} {{.Driver}}' | sort",
    "containers": "docker ps -a --format '{{.Names}}' | sort",
    # Checksums of files; kind, mode, owner and target of everything. Not the lock, which may exist
    # without a holder, nor the mark of an engine that was found usable; nor, before a destroy, that
    # Docker has started in this boot, which any repair records. A generation is named after its
    # change, and some of its files record the earlier state.
    "files": (
        "{ find /etc /usr/local -type f -print0 | sort -z | xargs -0 sha256sum;"
        " find /etc /usr/local $(ls -d /run/wanbound 2>/dev/null) ! -path '/run/wanbound*'"
        " -printf '%y %m %u %g %p %l\\n' -o -path '/run/wanbound/*'"
        " ! -name lock ! -name engine $([ ! -e /etc/wanbound/current ] || echo ! -name docker)"
        " -print | sort; } |"
        " sed -E 's#([/ ])[0-9a-f]{16}(-then)?(/| |$)#\\1ID\\3#g;"
        " /ID\\/(before|was|added|moved|back)$/d'"
    ),
}

_DOCKERS_JUMP = "-A FORWARD -j DOCKER-USER"


@dataclass(frozen=True)
class Snapshot:
    """One host at one time; snapshots are equal if nothing relevant differs."""

    iptables: str
    ip6tables: str
    nft: str
    addresses: str
    networks: str
    containers: str
    files: str

    def differences(self, other: "Snapshot") -> str:
        """Return every line that only one of the two has, for a failing test's message."""
        lines = []
        for field in fields(self):
            mine = getattr(self, field.name).splitlines()
            theirs = getattr(other, field.name).splitlines()
            # As counts, because Docker's own rules can be there twice.
            less, more = Counter(mine), Counter(theirs)
            lines += [f"{field.name} - {line}" for line in (less - more).elements()]
            lines += [f"{field.name} + {line}" for line in (more - less).elements()]
            if mine != theirs and sorted(mine) == sorted(theirs):
                lines.append(f"{field.name}: the same lines in another order")
        return "\n".join(lines)


def snapshot(host: Host) -> Snapshot:
    """Read everything of `host` that an `up` may change and a `destroy` must restore."""
    # Wait for wanbound on the host: the watcher is busy for a moment after each change.
    script = "[ ! -e /run/wanbound/lock ] || { exec 9</run/wanbound/lock && flock -w 30 9; }\n"
    script += "".join(f"echo '== {name}'\n{command}\n" for name, command in _SECTIONS.items())
    found: dict[str, str] = {}
    for part in re.split(r"^== ", host.run("sh -s", stdin=script).stdout, flags=re.MULTILINE)[1:]:
        name, _, text = part.partition("\n")
        found[name] = text
    for name in ("iptables", "ip6tables"):
        found[name] = "".join(f"{line}\n" for line in rules(found[name]))
    tables = [line for line in found["nft"].splitlines() if not line.startswith(("\t", "}"))]
    found["nft"] = "".join(f"{line}\n" for line in [*tables, *guard_blocks(found["nft"])])
    # A new IPv6 address is tentative for a second; the times behind the backslash count down. A
    # reboot renumbers the interfaces.
    text = re.sub(r" tentative|\\.*|^\d+: ", "", found["addresses"], flags=re.MULTILINE)
    lines = [line.rstrip() for line in sorted(text.splitlines())]
    # Its first container gives docker0 a link-local address, and a reboot removes it.
    found["addresses"] = "".join(
        f"{line}\n" for line in lines if not re.match(r"docker0 +inet6 fe80:", line)
    )
    return Snapshot(**found)


def rules(saved: str) -> Iterator[str]:
    """Yield the relevant lines of iptables-save.

    Without counters, comments, and tables whose chains are all built in, accept, and have no rule:
    a kernel creates those at the first query, and they have no effect. And without a second jump to
    DOCKER-USER: Docker 20.10 may add one when it creates two networks at once.
    """
    for table in re.split(r"^(?=\*)", saved, flags=re.MULTILINE):
        lines = [
            re.sub(r" \[\d+:\d+\]$", "", line)
            for line in table.splitlines()
            if line and not line.startswith("#")
        ]
        if _DOCKERS_JUMP in lines:
            first = lines.index(_DOCKERS_JUMP)
            lines = [line for at, line in enumerate(lines) if line != _DOCKERS_JUMP or at == first]
        if any(
            line.startswith("-A") or (line[0] == ":" and not line.endswith(" ACCEPT"))
            for line in lines
        ):
            yield from lines


def own_rules(host: Host) -> str:
    """Return everything that wanbound loads on `host`, and the files that it loads, in order."""
    saved = host.run(
        "for save in iptables-save ip6tables-save; do"
        " $save | grep WANBOUND | sed 's/ \\[[0-9:]*\\]$//'; done;"
        " for file in /etc/wanbound/current/*; do case $file in"
        " */before | */was | */added | */adopted | */back | */digest) ;;"
        ' *) echo "== $file"; cat "$file" ;; esac; done'
    ).stdout
    return saved + "".join(guard_blocks(host.run("nft -s list table inet wanbound").stdout))


def guard_blocks(listed: str) -> list[str]:
    """Return the blocks of an nft table: rules in their order, but chains and elements sorted.

    The kernel keeps no order among a table's chains, nor among a map's elements.
    """
    blocks = []
    for name, body in re.findall(r"^\t(\w[^\n]*) \{\n(.*?)^\t\}", listed, re.MULTILINE | re.DOTALL):
        head, _, elements = body.partition("elements = {")
        words = sorted(element.strip() for element in elements.rstrip("} \t\n").split(","))
        blocks.append("\n".join([name, head, *words, ""]))
    return sorted(blocks)


def container_addresses(host: Host) -> dict[str, str]:
    """Return the addresses of each running container, by its name."""
    listed = host.run(
        "docker inspect -f '{{.Name}} {{range .NetworkSettings.Networks}}"
        "{{.IPAddress}} {{.GlobalIPv6Address}}{{end}}' $(docker ps -q)"
    ).stdout
    return {line.split(" ", 1)[0].strip("/"): line.split(" ", 1)[1] for line in listed.splitlines()}
