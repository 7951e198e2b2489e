"""Runs on a host: injects a fault, and reads the state repeatedly until it is restored.

    python3 observer.py <REQUEST

REQUEST is JSON: {"inject": shell or "", "before": lines or null, "environment": {…}, "limit": s,
"settled": s}. It looks once before it injects (the state to be restored, unless `before` has it)
and then without pause until the state was restored for `settled` seconds, at most `limit` seconds
after the end of the injection. It runs on the host because SSH would delay its measurements. It
uses only Python's standard library, and no part of the product.

The answer is JSON: {"before": lines, "begin": t, "end": t, "status": n, "said": text, "looks": n,
"changes": [{"since": t, "until": t, "missing": lines, "new": lines}]}; times in seconds since 1970.
A change is a difference from the previous look: it happened between the two times.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypedDict

COMMANDS = {
    "ipv4": ("iptables-save",),
    "ipv6": ("ip6tables-save",),
    "guard": ("nft", "-s", "list", "table", "inet", "wanbound"),
    "addresses": ("ip", "-o", "addr", "show"),
    "routes4": ("ip", "-4", "route", "show", "default"),
    "routes6": ("ip", "-6", "route", "show", "default"),
}
SYSCTLS = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding")
RECORDS = ("added", "back", "before", "moved", "was")
BUILT_IN = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
QUICK, SLOW = 0.02, 0.1
"""Seconds between two looks: during and after a difference or the injection, and otherwise."""


def look() -> list[str]:
    """Return all of wanbound's state on the host, in a reproducible order."""
    said = read()
    lines = [line for family in ("ipv4", "ipv6") for line in own_rules(family, said[family])]
    lines += [f"guard: {line}" for line in blocks(said["guard"])]
    lines += addresses(said["addresses"])
    for family in ("routes4", "routes6"):
        lines += sorted(f"route: {line.strip()}" for line in said[family].splitlines())
    lines += [f"bridge: {path.parent.name}" for path in nets("bridge")]
    lines += [f"sysctl: {name} = {text(Path('/proc/sys') / name)}" for name in SYSCTLS]
    return [*lines, *files(Path("/etc/wanbound/current"))]


def read() -> dict[str, str]:
    """Return the output of the host's own tools, all run at once; "" for one that fails."""
    running = {
        name: subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for name, words in COMMANDS.items()
    }
    return {name: process.communicate()[0] for name, process in running.items()}


def files(generation: Path) -> Iterator[str]:
    """Yield the files of a generation, by name, without its records of the host's earlier state."""
    for file in sorted(generation.glob("*")):
        if file.name not in RECORDS:
            yield f"file: {file.name} {hashlib.sha256(file.read_bytes()).hexdigest()[:12]}"


def nets(part: str) -> list[Path]:
    """Return the `part` folder of each interface that has one."""
    return sorted(Path("/sys/class/net").glob(f"*/{part}"))


def text(path: Path) -> str:
    """Return the text of a small file, "" if it is missing."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def own_rules(family: str, saved: str) -> Iterator[str]:
    """Yield the rules of wanbound's chains in order, and the positions of the jumps to them.

    Sorted by table: the legacy iptables prints tables in the order of their first use.
    """
    for table in sorted(re.split(r"^\*", saved, flags=re.MULTILINE)):
        rules: dict[str, list[str]] = {}
        for line in table.splitlines():
            if line.startswith("-A "):
                rules.setdefault(line.split()[1], []).append(line)
        name = table.partition("\n")[0]
        for chain in sorted(rules):
            if chain.startswith("WANBOUND"):
                yield from (f"{family} {name}: {line}" for line in rules[chain])
        for chain in BUILT_IN:
            yield from (f"{family} {name}: {jump}" for jump in jumps(rules, chain))


def jumps(rules: Mapping[str, Sequence[str]], chain: str) -> Iterator[str]:
    """Yield a packet's way from a built-in chain to wanbound's: "FORWARD → WANBOUND-FORWARD first".

    DOCKER-USER counts as a part of the chain that begins with it: a jump at the head of the one or
    of the other has the same effect on a packet.
    """
    way = list(rules.get(chain, ()))
    if way and way[0].split()[2:] == ["-j", "DOCKER-USER"]:
        way[:1] = rules.get("DOCKER-USER", ())
    for number, rule in enumerate(way):
        found = re.search(r" -j (WANBOUND\S*)", rule)
        if found:
            where = "first" if number == 0 else f"behind {way[number - 1]!r}"
            # Our INPUT policy comes last, after other programs' rules.
            if chain == "INPUT":
                where = "last" if number == len(way) - 1 else f"before {way[number + 1]!r}"
            yield f"{chain} → {found[1]} {where}"


def blocks(listed: str) -> list[str]:
    """Return the blocks of an nft table, sorted; rules in their order, elements of a map sorted."""
    found = []
    for name, body in re.findall(r"^\t(\w[^\n]*) \{\n(.*?)^\t\}", listed, re.MULTILINE | re.DOTALL):
        head, _, elements = body.partition("elements = {")
        words = sorted(element.strip() for element in elements.rstrip("} \t\n").split(","))
        rules = [line.strip() for line in head.splitlines()]
        found.append(" ".join([name, *filter(None, rules), *filter(None, words)]))
    return sorted(found)


def addresses(shown: str) -> list[str]:
    """Return public addresses on any interface, and all of wan0."""
    found = set()
    for line in shown.splitlines():
        words = line.split("\\")[0].split()
        device, address, rest = words[1], words[3], words[4:]
        single = address.endswith(("/32", "/128"))
        if "link" in rest or device == "lo" or not (single or device == "wan0"):
            continue
        flags = [word for word in ("deprecated", "dadfailed") if word in rest]
        found.add(" ".join([f"address: {device} {address}", *flags]))
    return sorted(found)


class Request(TypedDict):
    """A request to the observer."""

    inject: str
    before: list[str] | None
    environment: dict[str, str]
    limit: float
    settled: float


class Injection(threading.Thread):
    """The shell commands of the injection, run in parallel to the looks."""

    def __init__(self, script: str, environment: Mapping[str, str]) -> None:
        super().__init__(daemon=True)
        self.begin = self.end = time.time()
        self.status, self.said = 0, ""
        self._script = script
        self._environment = {**os.environ, **environment}

    def run(self) -> None:
        """Run them; the shell itself prints when the last one has ended."""
        self.begin = time.time()
        done = subprocess.run(
            ["/bin/sh", "-e", "-s"],
            input=f"{self._script}\ndate +%s.%N\n",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self._environment,
            check=False,
        )
        self.status, self.said = done.returncode, done.stdout
        self.end = time.time() if done.returncode else float(done.stdout.split()[-1])


def observe(request: Request) -> dict[str, object]:
    """Carry out a request."""
    before = request["before"] or look()
    limit, settled = request["limit"], request["settled"]
    injection = Injection(request["inject"], request["environment"])
    if request["inject"]:
        injection.start()
    last, looks, changes = before, 0, []
    since = same_since = time.time()
    while True:
        done = not injection.is_alive()
        started = time.time()
        lines = look()
        ended = time.time()
        looks += 1
        if lines != last:
            changes.append(
                {
                    "since": since,
                    "until": ended,
                    "missing": [line for line in before if line not in lines],
                    "new": [line for line in lines if line not in before] or order(before, lines),
                }
            )
            same_since = ended
        since, last = started, lines
        if done and lines == before and ended - max(same_since, injection.end) >= settled:
            break
        if done and ended - injection.end >= limit:
            break
        quick = lines != before or ended - injection.end < 1
        time.sleep(QUICK if quick else SLOW)
    return {
        "before": before,
        "begin": injection.begin,
        "end": injection.end,
        "status": injection.status,
        "said": injection.said,
        "looks": looks,
        "changes": changes,
    }


def order(before: Sequence[str], lines: Sequence[str]) -> list[str]:
    """Return a message if the same lines are in another order, or one is doubled."""
    if list(before) == list(lines) or set(before) - set(lines):
        return []
    return ["the same lines in another order or number"]


if __name__ == "__main__":
    print(json.dumps(observe(json.load(sys.stdin))))
