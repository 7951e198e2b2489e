"""Runs on a host: does something to it, and looks again and again until all is as it was.

    python3 observer.py <REQUEST

REQUEST is JSON: {"inject": shell or "", "before": lines or null, "environment": {…}, "limit": s,
"settled": s}. It looks once before it injects (that is what has to come back, unless `before` says
it) and then without pause until the host was as before for `settled` seconds, at most `limit`
seconds after the injection ended. Here and not on the tester's machine: the way over SSH would be
measured too. Nothing but Python's standard library, and no part of the product.

The answer is JSON: {"before": lines, "begin": t, "end": t, "status": n, "said": text, "looks": n,
"changes": [{"since": t, "until": t, "missing": lines, "new": lines}]}; times in seconds since 1970.
A change is what a look saw that the look before it did not: it happened between the two times.
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
"""Seconds between two looks: while something is wrong or has just been done, and afterwards."""


def look() -> list[str]:
    """All of the host that wanbound answers for, in an order that carries no chance."""
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
    """What the host's own tools print, all asked at one time; nothing where one fails."""
    running = {
        name: subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for name, words in COMMANDS.items()
    }
    return {name: process.communicate()[0] for name, process in running.items()}


def files(generation: Path) -> Iterator[str]:
    """What a generation was made of, by name; not what it remembers of the host before it."""
    for file in sorted(generation.glob("*")):
        if file.name not in RECORDS:
            yield f"file: {file.name} {hashlib.sha256(file.read_bytes()).hexdigest()[:12]}"


def nets(part: str) -> list[Path]:
    """The `part` folder of each interface that has one."""
    return sorted(Path("/sys/class/net").glob(f"*/{part}"))


def text(path: Path) -> str:
    """What is in a small file, nothing where there is none."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def own_rules(family: str, saved: str) -> Iterator[str]:
    """The rules of wanbound's chains in their order, and how the jumps to them stand.

    By table, which the legacy iptables prints in the order in which they were first used.
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
    """How a packet in a built-in chain comes to wanbound's: "FORWARD → WANBOUND-FORWARD first".

    Docker's DOCKER-USER is taken for a part of the chain that begins with it: where the jump
    stands before everything else, in the one or in the other, makes no difference to a packet.
    """
    way = list(rules.get(chain, ()))
    if way and way[0].split()[2:] == ["-j", "DOCKER-USER"]:
        way[:1] = rules.get("DOCKER-USER", ())
    for number, rule in enumerate(way):
        found = re.search(r" -j (WANBOUND\S*)", rule)
        if found:
            where = "first" if number == 0 else f"behind {way[number - 1]!r}"
            # The policy of ours for INPUT is the last word, so that others may say theirs before.
            if chain == "INPUT":
                where = "last" if number == len(way) - 1 else f"before {way[number + 1]!r}"
            yield f"{chain} → {found[1]} {where}"


def blocks(listed: str) -> list[str]:
    """The blocks of an nft table, sorted; rules in their order, elements of a map sorted."""
    found = []
    for name, body in re.findall(r"^\t(\w[^\n]*) \{\n(.*?)^\t\}", listed, re.MULTILINE | re.DOTALL):
        head, _, elements = body.partition("elements = {")
        words = sorted(element.strip() for element in elements.rstrip("} \t\n").split(","))
        rules = [line.strip() for line in head.splitlines()]
        found.append(" ".join([name, *filter(None, rules), *filter(None, words)]))
    return sorted(found)


def addresses(shown: str) -> list[str]:
    """Public addresses wherever they are, and all that wan0 has."""
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
    """What is asked of the observer."""

    inject: str
    before: list[str] | None
    environment: dict[str, str]
    limit: float
    settled: float


class Injection(threading.Thread):
    """The shell commands that do it, run beside the looks."""

    def __init__(self, script: str, environment: Mapping[str, str]) -> None:
        super().__init__(daemon=True)
        self.begin = self.end = time.time()
        self.status, self.said = 0, ""
        self._script = script
        self._environment = {**os.environ, **environment}

    def run(self) -> None:
        """Run them; the shell itself says when the last one had ended."""
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
    """Do what the request says."""
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
    """Say so when the same lines stand in another order, or one of them twice."""
    if list(before) == list(lines) or set(before) - set(lines):
        return []
    return ["the same lines in another order or number"]


if __name__ == "__main__":
    print(json.dumps(observe(json.load(sys.stdin))))
