"""A host for tests: it keeps generations, loads them, and prints its state like a real one.

It refuses what a real host refuses, without a change. Its kernel is data that a test edits like an
operator with a shell: chains of iptables, the guard, addresses, links, routes. A test sets
Docker's networks. It can fail at any call.
"""

import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from providers.engine.codes import CHANGED_MEANWHILE
from providers.errors import ChangedMeanwhileError, HostError
from providers.host.generation import FILES, METRICS
from providers.host.plan import Plan
from providers.ssh.remote import MEANING, host_script, shell_program
from providers.version import VERSION
from tests.providers.fake_kernel import BESIDE, FAMILIES, Guard, Iptables, print_rules

UNITS = ("wanbound.service", "wanbound-docker.service", "wanbound-watch.service")

_FOREIGN_LINKS = ("docker0", "eth1", "lo", "wan0")


class FakeRemote:
    """See `providers.ssh.remote.Remote`. `seconds` is how long a call takes.

    `failures` is called with the number of each call, from 1, and the call raises its result.
    `meanwhile` are actions of others, one before each change. `answer` turns the facts into the
    host's answer.
    """

    def __init__(self, name: str = "edge-1", seconds: float = 0.0) -> None:
        self.name = name
        self.seconds = seconds
        self.calls: list[str] = []
        self.failures: Callable[[int], BaseException | None] = lambda number: None
        self.meanwhile: list[Callable[[], None]] = []
        self.answer: Callable[[str], str] = lambda text: text
        self.disk: dict[str, dict[str, str]] = {}
        """The generations, by id; a test may edit a file like an operator with an editor."""
        self.current = "none"
        self.iptables = {family: Iptables(family) for family in FAMILIES}
        self.guard: Guard | None = None
        self.spelling: Callable[[str], str] = lambda line: line
        """How this version of iptables and nft spells a line that it prints."""
        self.addresses = [
            ("lo", "inet 127.0.0.1/8 scope host lo"),
            ("wan0", "inet 192.0.2.1/24 brd 192.0.2.255 scope global wan0"),
            ("wan0", "inet6 fe80::1c/64 scope link proto kernel_ll"),
            ("docker0", "inet 172.17.0.1/16 brd 172.17.255.255 scope global docker0"),
        ]
        self.links = dict.fromkeys(_FOREIGN_LINKS, "up")
        self.renamed: dict[str, str] = {}
        self.routes: list[str] = []
        self.sysctls: dict[str, str] = {}
        self.docker = "docker 28.5.2 iptables"
        self.networks: list[dict[str, Any]] = [docker_network("bridge", "docker0", None)]
        self.containers: list[str] = []
        """Lines of docker_containers (providers/call/docker.sh)."""
        self.units: list[str] = [
            f"{unit} enabled written{' active' * ('watch' in unit)}" for unit in UNITS
        ]
        self.version: str | None = None
        self.script = hashlib.sha256(host_script().encode()).hexdigest()
        self.files: dict[str, str] = {}
        self.ipv6nat = False
        self.owned_table = "held"
        self.loaded: dict[str, list[str]] = {}
        """What was printed after the load; empty if nothing was loaded in this boot."""
        self.renewed: list[tuple[str, str]] = []
        self.changed: list[dict[str, str]] = []
        """The files of each change."""
        self._digests: dict[str, str] = {}
        self._one_at_a_time = threading.Lock()

    # --- the seam --------------------------------------------------------------------------------

    def facts(self, *, drift: bool = False) -> str:
        """See `providers.ssh.remote.Remote.facts`."""
        self._begin("facts")
        return self.answer("".join(f"{line}\n" for line in self._facts(drift)))

    def change(self, files: Mapping[str, str], expected: str, saved: Mapping[str, str]) -> None:
        """See `providers.ssh.remote.Remote.change`; manual changes on the host are repaired."""
        self._begin("change")
        if self.meanwhile:
            self.meanwhile.pop(0)()
        # Raises ValueError for files that cannot be sent.
        shell_program("change", files)
        shell_program("confirm", saved)
        if expected != self.current:
            raise self.failed(CHANGED_MEANWHILE, kind=ChangedMeanwhileError)
        new, then = (_folder(files, folder) for folder in ("new", "then"))
        if any(set(each) - set(METRICS) != set(FILES) for each in (new, then) if each):
            raise self.failed(64, f"not the files of a generation: {sorted(files)}")
        if len(new) + len(then) != len(files):
            raise self.failed(64, f"files of no generation: {sorted(files)}")
        if bool(new["leaving"]) != bool(then):
            raise self.failed(64, "what is leaving has no generation to follow, or the reverse")
        self._check(new)
        tables, guard = self._parse(new)
        self._parse(then) if then else None
        token = hashlib.sha256(f"{len(self.changed)}".encode()).hexdigest()[:16]
        for id_, kept in ((token, new), (f"{token}-then", then)):
            if kept:
                self.disk[id_] = dict(kept)
                self._digests[id_] = _digest(kept)
        self.changed.append(dict(files))
        self.version = VERSION
        self.script = hashlib.sha256(host_script().encode()).hexdigest()
        self._load(token, tables, guard)
        self._put_classic(saved)

    def renew(self, network: str, label: str) -> None:
        """See `providers.ssh.remote.Remote.renew`."""
        self._begin("renew")
        self.renewed.append((network, label))
        for found in self.networks:
            if found["Name"] != network or (found["Labels"] or {}).get("wanbound") == label:
                continue
            strangers = [each["Name"] for each in found["Containers"].values()]
            if strangers:
                raise self.failed(18, f"it has other containers: {' '.join(strangers)}")
            self.networks.remove(found)
            self.drop_link(found["Options"]["com.docker.network.bridge.name"])
            return

    def engine(self, act: str, files: Mapping[str, str], *words: str) -> str:
        """See `providers.ssh.remote.Remote.engine`: tests/providers/engine has a fake for it."""
        raise AssertionError(f"an unexpected call for Docker's {act}: {files} {words}")

    # --- what happens on the host ----------------------------------------------------------------

    def chain(self, name: str, family: str = "ipv4") -> list[str]:
        """Return the rules of a chain, for editing; INPUT and OUTPUT are those of filter."""
        return self.iptables[family].chain(name)

    @property
    def table(self) -> Guard:
        """The guard, for editing."""
        assert self.guard is not None, "there is no guard"
        return self.guard

    def make_networks(self, plan: Plan) -> None:
        """Let Docker create the networks of a plan, as Pulumi's Docker provider does."""
        for network in plan.networks.values():
            for role, bridge in network.bridges.items():
                socket = "-socket" * (role == "socket")
                subnets = [
                    subnet
                    for kind, subnet in network.subnets.items()
                    if (kind == "socket") == (role == "socket")
                ]
                label = f"{self.name}/{network.name}"
                self.add_network(docker_network(f"{network.name}{socket}", bridge, label, subnets))

    def add_network(self, network: dict[str, Any]) -> None:
        """Let Docker create one network, and its bridge with its gateways."""
        self.networks.append(network)
        bridge = network["Options"]["com.docker.network.bridge.name"]
        self.links[bridge] = "up"
        for config in network["IPAM"]["Config"]:
            subnet = config["Subnet"]
            gateway = re.sub(r"(\.0|::)/", lambda end: end[1].rstrip("0") + "1/", subnet)
            family = "inet6" if ":" in subnet else "inet"
            self.addresses.append((bridge, f"{family} {gateway} scope global {bridge}"))

    def remove_network(self, name: str) -> None:
        """Let Docker remove a network and that of its socket; the watcher sees their bridges go."""
        names = (name, f"{name}-socket")
        for network in [each for each in self.networks if each["Name"] in names]:
            self.networks.remove(network)
            self.drop_link(network["Options"]["com.docker.network.bridge.name"])
        self.watch()

    def drop_link(self, name: str) -> None:
        """Remove a link with its addresses."""
        self.links.pop(name, None)
        self.addresses = [each for each in self.addresses if each[0] != name]

    def watch(self) -> None:
        """Handle leaving networks: without their bridges, load the generation without them."""
        leaving = self._now.get("leaving", "").split()
        if leaving and not any(bridge in self.links for bridge in leaving):
            then = f"{self.current}-then"
            self._load(then, *self._parse(self.disk[then]))

    def reboot(self) -> None:
        """Reboot: nothing is loaded and Docker does not run yet."""
        self.loaded = {}
        self.guard = None
        self.iptables = {family: Iptables(family) for family in FAMILIES}

    def failed(self, code: int, said: str = "", kind: type[HostError] = HostError) -> HostError:
        """Return the error of an exit code of the host script."""
        what, state, remedy = MEANING.get(code, ("it refuses", "as it was", "correct it"))
        return kind(self.name, f"{what}\n  {said}", state, remedy)

    # --- its inside ------------------------------------------------------------------------------

    @property
    def _now(self) -> dict[str, str]:
        return self.disk.get(self.current, {})

    def _begin(self, call: str) -> None:
        if not self._one_at_a_time.acquire(blocking=False):
            raise AssertionError("two calls at the same time: a host has one lock and one channel")
        try:
            self.calls.append(call)
            time.sleep(self.seconds)
            if (failure := self.failures(len(self.calls))) is not None:
                raise failure
        finally:
            self._one_at_a_time.release()

    def _check(self, new: Mapping[str, str]) -> None:
        owner = self._now.get("owner", "")
        if owner and owner != new["owner"]:
            raise self.failed(16, f"this host belongs to the stack {owner}")
        for line in new["addresses"].splitlines():
            added = re.fullmatch(
                r"addr replace \S+/(?:32 dev (\S+) scope host|128 dev (\S+) preferred_lft 0.*)",
                line,
            )
            if added is None:
                raise self.failed(12, f"ip: {line}")
            if (device := added[1] or added[2]) not in self.links:
                raise self.failed(10, f"there is no interface {device} here")
        for link in _settings(new, "link"):
            if link not in self.links:
                raise self.failed(10, f"there is no link {link} here")
        for bridge in new["absent"].splitlines():
            if bridge in self.links:
                raise self.failed(18, f"the bridge {bridge} still exists")

    def _parse(self, files: Mapping[str, str]) -> tuple[dict[str, Iptables], Guard | None]:
        """Check the input of iptables-restore and nft."""
        try:
            tables = {
                family: self.iptables[family].restored(files[f"{family}.rules"])
                for family in FAMILIES
            }
            guard = Guard.parse(files["guard.nft"]) if files["guard.nft"] else None
        except ValueError as error:
            raise self.failed(11, str(error)) from error
        return tables, guard

    def _load(self, id_: str, tables: dict[str, Iptables], guard: Guard | None) -> None:
        old, self.current = self._now, id_
        new = self._now
        self.iptables, self.guard = tables, guard
        wanted = [_added(line) for line in new["addresses"].splitlines()]
        ours = {line.split()[1] for _, line in wanted}
        was = {line.split()[2] for line in old.get("addresses", "").splitlines()}
        hosts = {line.split()[1].partition("/")[0] for _, line in wanted}
        self.addresses = [
            (device, line)
            for device, line in self.addresses
            if (place := line.split()[1]) not in was | ours and place.partition("/")[0] not in hosts
        ] + wanted
        self.links |= _settings(new, "link")
        for family, route in _settings(new, "route").items():
            self.routes = [each for each in self.routes if not each.startswith(f"{family} ")]
            self.routes.append(f"{family} {route} proto static")
        self.sysctls |= _settings(new, "sysctl")
        self.loaded = self._live()

    def _put_classic(self, saved: Mapping[str, str]) -> None:
        for name in ("rules.v4", "rules.v6"):
            if name not in saved and f"{name}.gone" not in saved:
                continue
            path = f"/etc/iptables/{name}"
            text = self.files.get(path)
            was = "none" if text is None else hashlib.sha256(_bytes(text)).hexdigest()
            assert saved[f"{name}.was"] == f"{was}\n", "made from another file"
            if name in saved:
                unended = f"{name}.unended" in saved
                self.files[path] = saved[name].rstrip("\n") if unended else saved[name]
            else:
                del self.files[path]

    def _live(self) -> dict[str, list[str]]:
        found = {}
        for family in FAMILIES:
            beside = self._now.get(f"{family}.rules", "").startswith(BESIDE)
            found[family] = print_rules(self._saved(family), beside=beside)
        guard = [] if self.guard is None else self.guard.printed()
        wanted = {_added(line) for line in self._now.get("addresses", "").splitlines()}
        host = [f"{device} {line}" for device, line in self.addresses if (device, line) in wanted]
        return {"guard": [*map(self.spelling, guard)], "host": host, **found}

    def _saved(self, family: str) -> list[str]:
        return [self.spelling(line) for line in self.iptables[family].saved()]

    def _facts(self, drift: bool) -> list[str]:
        now = self._now
        lines = ["== generation", f"current {self.current}"]
        lines += [f"owner {owner.strip()}"] if (owner := now.get("owner", "")) else []
        lines += [f"version {self.version}"] if self.version is not None else []
        lines += ["== plan", *now.get("plan.json", "").splitlines()]
        if now and _digest(now) != self._digests[self.current]:
            for file in FILES:
                if file != "plan.json":
                    lines += [f"== edited {file}", *now.get(file, "").splitlines()]
        lines += ["== owned table", self.owned_table] if drift else []
        live = self._live() if drift else {}
        for part in live:
            lines += [f"== live {part}", *live[part]]
            lines += [f"== loaded {part}", *self.loaded.get(part, ())]
        for family in FAMILIES:
            others = [x for x in self._saved(family) if not x.startswith("-A WANBOUND-")]
            lines += [f"== others {family}", *others]
        lines += ["== addresses", *map(_shown, self.addresses)]
        lines += ["== routes", *self.routes]
        lines += ["== links", *(f"{link} {how}" for link, how in sorted(self.links.items()))]
        lines += ["== renamed", *(f"{name} {bridge}" for name, bridge in self.renamed.items())]
        keys = _settings(now, "sysctl")
        lines += ["== sysctls"]
        lines += [f"{key} = {self.sysctls[key]}" for key in keys if key in self.sysctls]
        lines += ["== units", f"script {self.script}", *self.units]
        lines += ["== ipv6nat", *(["docker-ipv6nat"] if self.ipv6nat else [])]
        for path, text in self.files.items():
            encoded = base64.encodebytes(_bytes(text)).decode()
            lines += [f"== file {path}", *encoded.splitlines()]
        lines += ["== docker", self.docker]
        lines += [json.dumps(self.networks)] if len(self.docker.split()) == 3 else []
        lines += ["== containers", *self.containers]
        return [*lines, "== end"]


def docker_network(
    name: str,
    bridge: str,
    label: str | None,
    subnets: Sequence[str] = (),
    containers: Sequence[str] = (),
) -> dict[str, Any]:
    """Return a network as `docker network inspect` prints it."""
    id_ = hashlib.sha256(f"{name} {bridge} {label}".encode()).hexdigest()
    return {
        "Name": name,
        "Id": id_,
        "Driver": "bridge",
        "IPAM": {"Driver": "default", "Options": {}, "Config": [{"Subnet": s} for s in subnets]},
        "Containers": {f"{n:064x}": {"Name": each} for n, each in enumerate(containers)},
        "Options": {"com.docker.network.bridge.name": bridge},
        "Labels": {} if label is None else {"wanbound": label},
    }


def _folder(files: Mapping[str, str], folder: str) -> dict[str, str]:
    return {
        name.removeprefix(f"{folder}/"): text
        for name, text in files.items()
        if name.startswith(f"{folder}/")
    }


def _digest(files: Mapping[str, str]) -> str:
    return hashlib.sha256("".join(files.get(name, "") for name in FILES).encode()).hexdigest()


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _shown(address: tuple[str, str]) -> str:
    device, line = address
    life = "0sec" if "deprecated" in line else "forever"
    return rf"3: {device}    {line} \       valid_lft forever preferred_lft {life}"


def _added(line: str) -> tuple[str, str]:
    """Return interface and line of an address that a line of a generation adds."""
    _, _, address, _, device, *_ = line.split()
    if ":" in address:
        return device, f"inet6 {address} scope global deprecated"
    return device, f"inet {address} scope host {device}"


def _settings(files: Mapping[str, str], kind: str) -> dict[str, str]:
    """Return the links, routes or kernel parameters of a generation by name."""
    found = [line.split(" ", 2) for line in files.get("host", "").splitlines()]
    return {each[1]: each[2] for each in found if len(each) == 3 and each[0] == kind}
