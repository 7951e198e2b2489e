"""The peers' own forms of our rules, and the virtual environment in which they run."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import floor
from lab.settings import Settings
from lab.steps import step
from providers.host.generation import Family
from providers.host.plan import Plan

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "peers-requirements.txt"
INSTALL_SECONDS = 900.0

Args = dict[str, Any]

_NAMES = {
    "-p": "protocol",
    "-s": "source",
    "-d": "destination",
    "-i": "in_interface",
    "-o": "out_interface",
    "-j": "jump",
    "--to-destination": "to_destination",
    "--to-source": "to_source",
}
"""iptables' options for which both peers have a parameter of the same name."""

ANSIBLE_LACKS = ("mark",)
"""Matches of our rules without a parameter of ansible.builtin.iptables: its rules lack them."""


FORMS: dict[str, Callable[[str], str]] = {
    "pyinfra": lambda line: re.sub(r" -p (\w+) (?!-m \1)", r" -p \1 -m \1 ", line),
    "ansible": lambda line: re.sub(r" -m mark --mark \S+", "", line),
}
"""By peer: what iptables-save shows of our line if the peer has made it."""


@dataclass(frozen=True)
class Option:
    """One option of a rule."""

    name: str
    values: tuple[str, ...]
    negated: bool


@dataclass(frozen=True)
class Rules:
    """The rules for a peer: chains, then rules, each with the peer's own parameters."""

    chains: list[Args] = field(default_factory=list)
    rules: list[Args] = field(default_factory=list)

    def write(self, file: Path) -> None:
        """Write them for the peer's program."""
        file.write_text(json.dumps({"chains": self.chains, "rules": self.rules}))


def options(line: str) -> Iterator[Option]:
    """Read a line of iptables-save, without its leading ``-A CHAIN``."""
    words = line.split()[2:]
    while words:
        negated = words[0] == "!"
        name = words.pop(1 if negated else 0)
        if negated:
            words.pop(0)
        values = []
        while words and not words[0].startswith(("-", "!")):
            values.append(words.pop(0))
        yield Option(name, tuple(values), negated)


def pyinfra_rule(line: str, family: Family, table: str) -> Args:
    """Return the arguments of pyinfra's iptables.rule for a line."""
    args: Args = {
        "chain": line.split()[1],
        "table": table,
        "version": 4 if family == "ipv4" else 6,
    }
    extras: list[str] = []
    for option in options(line):
        if option.name in _NAMES:
            args[("not_" if option.negated else "") + _NAMES[option.name]] = option.values[0]
        elif option.negated:
            raise ValueError(f"pyinfra has no form of {option} in {line!r}")
        else:
            extras += [option.name, *option.values]
    protocol = args.get("protocol")
    if protocol and f"-m {protocol}" not in " ".join(extras):
        # It expects this in iptables-save for every protocol, and otherwise adds the rule again.
        extras = ["-m", protocol, *extras]
    return {**args, "extras": " ".join(extras)}


def ansible_rule(line: str, family: Family, table: str) -> Args:
    """Return the parameters of Ansible's iptables module for a line, less `ANSIBLE_LACKS`."""
    args: Args = {"chain": line.split()[1], "table": table, "ip_version": family}
    for option in options(line):
        if option.name in _NAMES:
            args[_NAMES[option.name]] = ("!" if option.negated else "") + option.values[0]
        elif option.name == "-m":
            if option.values[0] not in ANSIBLE_LACKS:
                args.setdefault("match", []).append(option.values[0])
        elif option.name.removeprefix("--") in ANSIBLE_LACKS:
            continue
        elif option.name == "--ctstate" and not option.negated:
            args["ctstate"] = option.values[0].split(",")
        elif option.name == "--dport" and not option.negated:
            args["destination_port"] = option.values[0]
        else:
            raise ValueError(f"Ansible has no form of {option} in {line!r}")
    return args


def for_pyinfra(plan: Plan) -> Rules:
    """Return all rules for pyinfra."""
    rules = Rules()
    for family, table, chain, lines in _everything(plan):
        version = 4 if family == "ipv4" else 6
        if chain:
            rules.chains.append({"chain": chain, "table": table, "version": version})
        rules.rules.extend(pyinfra_rule(line, family, table) for line in lines)
    return rules


def for_ansible(plan: Plan) -> Rules:
    """Return all rules for Ansible."""
    rules = Rules()
    for family, table, chain, lines in _everything(plan):
        if chain:
            rules.chains.append({"chain": chain, "table": table, "ip_version": family})
        rules.rules.extend(ansible_rule(line, family, table) for line in lines)
    return rules


def _everything(
    plan: Plan,
) -> Iterator[tuple[Family, str, str, list[str]]]:
    """Yield each chain with the jumps to it, then each table's rules without a chain."""
    for family in floor.FAMILIES:
        for table in floor.TABLES:
            for chain, hooks in floor.chains(table):
                yield family, table, chain, [f"-A {hook} -j {chain}" for hook in hooks]
            yield family, table, "", floor.lines(plan, family, table)


def installed(settings: Settings) -> Path:
    """Return the folder of the peers' programs, installed once with pinned versions."""
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = settings.cache / "bench" / f"peers-{wanted}"
    stamp = folder / ".complete"
    if stamp.exists():
        return folder / "bin"
    with step("installing pyinfra and Ansible", settings.logs / "bench-peers.log") as log:
        shutil.rmtree(folder, ignore_errors=True)
        log.run([sys.executable, "-m", "venv", folder])
        pip = [str(folder / "bin" / "pip"), "install", "--disable-pip-version-check", "--no-input"]
        log.run([*pip, "--require-hashes", "-r", str(REQUIREMENTS)], timeout=INSTALL_SECONDS)
        stamp.touch()
    return folder / "bin"


def versions(programs: Path) -> dict[str, str]:
    """Return the installed version of each peer."""
    code = "import sys, importlib.metadata as m; print(*(m.version(n) for n in sys.argv[1:]))"
    names = ("pyinfra", "ansible-core")
    done = subprocess.run(
        [programs / "python", "-c", code, *names],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return dict(zip(names, done.stdout.split(), strict=True))
