"""A host for tests: it keeps fragments, loads them, and prints its state as a real one does.

It refuses what a real one would refuse, and changes nothing then: a line of no known kind, an
interface that it does not have, what another network claims. It can fail at any call. Docker has
the network of each fragment, as it was made for it.
"""

import hashlib
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from providers.base_fragment import BASE_NAME
from providers.errors import HostError
from providers.ssh.remote import host_script
from tests.providers.engine.fake_engine import FakeEngine

_KINDS = {
    "ipv4 nat": r"-A WANBOUND-[DS]NAT .* -j [DS]NAT --to-(source|destination) [\d.]+",
    "ipv4 filter": r"-A WANBOUND-FORWARD .*-j (ACCEPT|DROP)",
    "ipv6 nat": r"-A WANBOUND-[DS]NAT .* -j [DS]NAT --to-(source|destination) [\da-f:]+",
    "ipv6 filter": r"-A WANBOUND-FORWARD .*-j (ACCEPT|DROP)",
    "guard": r"add (rule inet wanbound \S+ .*|element inet wanbound \S+ \{ \S+ : jump \S+ \})",
    "address": r"(lo|wan0|eth1) [\da-f.:]+/(32|128)",
    "claim": r"(bridge|subnet|address) \S+",
}
_HOST_KINDS = {
    "link": r"(lo|wan0|eth1) up",
    "route": r"ipv[46] default via [\da-f.:]+ dev (wan0|eth1)",
    "sysctl": r"net\.ipv[46]\.\S+ \d+",
    "ipv4 filter": r"-A WANBOUND-(INPUT|FORWARD) .*-j (ACCEPT|DROP)",
    "ipv6 filter": r"-A WANBOUND-(INPUT|FORWARD) .*-j (ACCEPT|DROP)",
    "option": r"persist iptables-files",
}
"""What only the host's own fragment may have, and has nothing beside."""

_UNITS = ("wanbound.service", "wanbound-docker.service", "wanbound-watch.service")
_HOOKS = {
    "nat": ("-A PREROUTING -j WANBOUND-DNAT", "-A OUTPUT -j WANBOUND-DNAT",
            "-A POSTROUTING -j WANBOUND-SNAT"),
    "filter": ("-A DOCKER-USER -j WANBOUND-FORWARD", "-A INPUT -j WANBOUND-INPUT"),
}  # fmt: skip
_BASE = """\
	chain forward {
		type filter hook forward priority filter - 5; policy accept;
		iifname vmap @from
		ct state established,related accept
		oifname vmap @to
	}

	chain postrouting {
		type filter hook postrouting priority 150; policy accept;
		ct original ip saddr vmap @subnet-ipv4
		ip saddr vmap @subnet-ipv4
		ct original ip6 saddr vmap @subnet-ipv6
		ip6 saddr vmap @subnet-ipv6
		ct direction original ip saddr vmap @public-ipv4
		ct direction original ip6 saddr vmap @public-ipv6
	}
""".splitlines()


@dataclass
class Call:
    """One call that the host got: what to put and to remove, neither where it was to be read."""

    put: Mapping[str, str] = field(default_factory=dict)
    remove: tuple[str, ...] = ()


class FakeHost:
    """See `providers.host.Host`. `seconds` is how long a call takes.

    `failures` is asked with the number of each call, from 1, and raises what it returns; a real
    host is in the middle of nothing then, and neither is this one. `edit` changes its state as
    somebody with an editor would: a function from the text of `state` to another text.
    """

    def __init__(self, name: str = "edge-1", seconds: float = 0.0) -> None:
        self.name = name
        self.seconds = seconds
        self.fragments: dict[str, str] = {}
        self.calls: list[Call] = []
        self.failures: Callable[[int], BaseException | None] = lambda number: None
        self.edit: Callable[[str], str] = lambda text: text
        self.renewed: list[tuple[str, str]] = []
        self.docker: FakeEngine | None = None
        self._one_at_a_time = threading.Lock()

    def change(self, put: Mapping[str, str], remove: Collection[str]) -> None:
        """See `providers.host.Host.change`; what was edited by hand is mended."""
        self._begin(Call(dict(put), tuple(remove)))
        kept = {name: text for name, text in self.fragments.items() if name not in remove}
        after = {**kept, **put}
        for name, text in put.items():
            self._refuse_unknown(name, text)
        self._refuse_claimed(after)
        self.fragments = dict(sorted(after.items()))
        self.edit = lambda text: text

    def renew(self, network: str, label: str) -> None:
        """See `providers.host.Host.renew`; notes what was asked for."""
        self._begin(Call())
        self.renewed.append((network, label))

    def engine(self, act: str, files: Mapping[str, str], *words: str) -> str:
        """See `providers.host.Host.engine`; `docker` does it."""
        self._begin(Call())
        assert self.docker is not None, "nobody has given this host a Docker"
        return self.docker.engine(act, files, *words)

    def state(self) -> str:
        """See `providers.host.Host.state`."""
        self._begin(Call())
        return self.edit(self._text())

    def _begin(self, call: Call) -> None:
        if not self._one_at_a_time.acquire(blocking=False):
            raise AssertionError("two calls at the same time: a host has one lock and one channel")
        try:
            self.calls.append(call)
            time.sleep(self.seconds)
            if (failure := self.failures(len(self.calls))) is not None:
                raise failure
        finally:
            self._one_at_a_time.release()

    def _refuse_unknown(self, network: str, text: str) -> None:
        name = re.fullmatch(rf"[A-Za-z0-9][A-Za-z0-9_.-]*|{BASE_NAME}", network)
        if not name or not text.endswith("\n"):
            raise self._refusal(f"{network!r} is no network, or its file is cut short")
        kinds = _HOST_KINDS if network == BASE_NAME else _KINDS
        for line in text.splitlines():
            kind = next((kind for kind in kinds if line.startswith(f"{kind} ")), None)
            if line.startswith("# "):
                continue
            if kind is None or not re.fullmatch(kinds[kind], line.removeprefix(f"{kind} ")):
                raise self._refusal(f"it refuses the line: {line}")

    def _refuse_claimed(self, fragments: Mapping[str, str]) -> None:
        claims = Counter(
            line
            for text in fragments.values()
            for line in text.splitlines()
            if line.startswith("claim ")
        )
        if taken := [line for line, count in claims.items() if count > 1]:
            raise self._refusal(f"claimed by two networks: {taken}")

    def _refusal(self, what: str) -> HostError:
        return HostError(self.name, what, "as it was; nothing has changed", "correct it")

    def _lines(self, kind: str) -> list[str]:
        return [
            line.removeprefix(f"{kind} ")
            for text in self.fragments.values()
            for line in text.splitlines()
            if line.startswith(f"{kind} ")
        ]

    def _text(self) -> str:
        lines = []
        for family in ("ipv4", "ipv6"):
            for table in ("nat", "filter"):
                lines += [f"== {family} {table}", *self._table(family, table)]
        lines += ["== addresses", r"1: lo    inet 127.0.0.1/8 scope host lo\       valid_lft 0sec"]
        lines += [_address(*line.split()) for line in self._lines("address")]
        lines += ["== routes", *self._lines("route")]
        networks = [name for name in self.fragments if name != BASE_NAME]
        bridges = [
            line.removeprefix("bridge ") for line in self._lines("claim") if "bridge" in line
        ]
        lines += ["== links", *(f"{link} up" for link in ("lo", "wan0", "eth1", *bridges))]
        lines += ["== sysctls", *(" = ".join(x.split(" ", 1)) for x in self._lines("sysctl"))]
        lines += ["== guard", *_guard(self._lines("guard"))]
        for name, text in self.fragments.items():
            lines += [f"== fragment {name}.rules", *text.splitlines()]
        digest = hashlib.sha256(host_script().encode()).hexdigest()
        lines += ["== units", f"script {digest}"]
        lines += [f"{unit} enabled written{' active' * ('watch' in unit)}" for unit in _UNITS]
        lines += ["== docker", f"bridge {0:064x} - -"]
        lines += [f"{name} {n:064x} {self.name}/{name} -" for n, name in enumerate(networks, 1)]
        return "".join(f"{line}\n" for line in [*lines, "== end"])

    def _table(self, family: str, table: str) -> list[str]:
        rules = self._lines(f"{family} {table}")
        chains = {rule.split()[1] for rule in rules}
        hooks = [hook for hook in _HOOKS[table] if table == "nat" or hook.split()[-1] in chains]
        lines = [f"*{table}", ":PREROUTING ACCEPT [0:0]"]
        lines += ["-A FORWARD -j DOCKER-USER"] if table == "filter" else []
        lines += [*hooks, *rules] if rules else []
        return [*lines, *(["-A DOCKER-USER -j RETURN"] if table == "filter" else []), "COMMIT"]


def _address(device: str, address: str) -> str:
    if ":" in address:
        return f"3: {device}    inet6 {address} scope global deprecated \\       preferred_lft 0sec"
    return f"3: {device}    inet {address} scope global {device}\\       valid_lft forever"


def _guard(commands: list[str]) -> list[str]:
    """Return what ``nft -s list table inet wanbound`` prints after these commands."""
    if not commands:
        return []
    maps: dict[str, list[str]] = {}
    chains: dict[str, list[str]] = {}
    for command in commands:
        _, kind, _, _, name, rest = command.split(" ", 5)
        (maps if kind == "element" else chains).setdefault(name, []).append(rest.strip("{} "))
    lines = ["table inet wanbound {"]
    for name, elements in maps.items():
        lines += [f"\tmap {name} {{", "\t\ttype any : verdict", "\t\telements = { " + elements[0]]
        for element in elements[1:]:
            lines[-1] += ","
            lines.append(f"\t\t\t     {element}")
        lines[-1] += " }"
        lines += ["\t}", ""]
    for name, rules in chains.items():
        lines += [f"\tchain {name} {{", *(f"\t\t{rule}" for rule in rules), "\t}", ""]
    return [*lines, *_BASE, "}"]
