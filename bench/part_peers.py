"""Part (b): the same final rules with pyinfra's and Ansible's iptables modules."""

import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench import floor, peers, scenario
from bench.part_provider import check_rules
from bench.report import Finding
from bench.site import Site, TooLongError
from bench.stats import ratio, seconds
from lab import keys
from providers.host.plan import Plan

LIMIT_SECONDS = 120.0
"""A peer that takes longer for one run is left out at that size, and at larger ones."""

PHASES = ("create", "no-op")
PEERS = ("pyinfra", "ansible")

Values = dict[str, dict[str, list[float]]]


def measure(site: Site, sizes: Sequence[int], repeats: int, say: Callable[[str], None]) -> Finding:
    """Measure create and a second, identical run. Raises BenchError."""
    programs = peers.installed(site.lab.settings)
    versions = peers.versions(programs)
    left_out: dict[str, str] = {}
    raw: dict[str, Values] = {}
    rows = []
    with tempfile.TemporaryDirectory(prefix="wanbound-bench-") as name:
        runner = _Peers(site, programs, Path(name))
        for size in sizes:
            values: Values = defaultdict(lambda: defaultdict(list))
            for repeat in range(repeats):
                say(f"(b) {size} networks, repeat {repeat + 1} of {repeats}")
                _ours(site, size, values)
                for peer in PEERS:
                    if peer not in left_out:
                        try:
                            runner.run(peer, size, values)
                        except TooLongError:
                            left_out[peer] = f"{peer} from {size} networks on"
                            values.pop(peer, None)
            rows += [_row(size, phase, values) for phase in PHASES]
            raw[str(size)] = {kind: dict(found) for kind, found in values.items()}
    lacking = ", ".join(peers.ANSIBLE_LACKS)
    notes = [
        "floor: two plain ssh calls that load the same rules. All others: one whole process, from"
        " its start to its end, with a handshake of its own and nothing kept from the run before.",
        "wanbound: a fresh Python with the calls of HostNetworking (without pulumi, see part e); it"
        " also adds the addresses, loads the guard and can roll back: the peers do not.",
        f"pyinfra {versions['pyinfra']}: chains of IPv6 by its server.shell, because its operation"
        " for them fails in this version.",
        f"ansible-core {versions['ansible-core']}: pipelining, ControlPersist, one loop; its module"
        f" has no {lacking}, so its rules are without.",
        "to ours: median over repeats of (the peer / wanbound in the same repeat), and its range.",
    ]
    if left_out:
        notes.append(
            f"Left out, because one run takes more than {LIMIT_SECONDS:.0f} s: "
            + "; ".join(left_out.values())
        )
    return Finding(
        part="b",
        title=f"The same rules by peers on {site.name} ({site.engine}), {repeats} repeats",
        columns=(
            "networks: phase",
            "floor",
            "wanbound",
            "pyinfra",
            "to ours",
            "Ansible",
            "to ours",
        ),
        rows=rows,
        notes=notes,
        raw=raw,
    )


def _row(size: int, phase: str, values: Mapping[str, Mapping[str, list[float]]]) -> list[str]:
    ours = values["ours"][phase]
    row = [f"{size}: {phase}", seconds(values["floor"]["create"]), seconds(ours)]
    for peer in PEERS:
        found = values[peer].get(phase) if peer in values else None
        row += [seconds(found), str(ratio(found, ours))] if found else ["left out", ""]
    return row


def _ours(site: Site, size: int, values: Values) -> None:
    settings = scenario.config(site.place, size)
    values["floor"]["create"].append(site.floor_load(scenario.networking(settings)))
    site.floor_unload()
    for phase in (*PHASES, "delete"):
        props = scenario.props(settings)
        values["ours"][phase].append(site.work(phase, props, props).process)


class _Peers:
    """Runs the peers' programs."""

    def __init__(self, site: Site, programs: Path, folder: Path) -> None:
        self._site = site
        self._programs = programs
        self._folder = folder
        self._runs = 0

    def run(self, peer: str, size: int, values: Values) -> None:
        """Create from nothing, repeat, remove. Raises BenchError, TooLongError."""
        plan = scenario.networking(scenario.config(self._site.place, size))
        call = {"pyinfra": self._pyinfra, "ansible": self._ansible}[peer]
        try:
            for phase in PHASES:
                taken = call(plan)
                check_rules(self._site, plan, "floor", peers.FORMS[peer])
                values[peer][phase].append(taken)
        finally:
            self._site.host.run(floor.sweep())

    def _pyinfra(self, plan: Plan) -> float:
        folder = self._fresh()
        peers.for_pyinfra(plan).write(folder / "rules.json")
        settings = self._site.lab.settings
        data = {
            "ssh_user": "root",
            "ssh_key": str(keys.client_key(settings)),
            "ssh_known_hosts_file": str(settings.state / "known_hosts"),
            "ssh_strict_host_key_checking": "yes",
        }
        inventory = folder / "inventory.py"
        inventory.write_text(f"hosts = [({self._site.host.address!r}, {data!r})]\n")
        deploy = peers.HERE / "pyinfra_deploy.py"
        return self._site.timed(
            [str(self._programs / "pyinfra"), "-y", str(inventory), str(deploy)],
            timeout=LIMIT_SECONDS,
            # pyinfra leaves a log there on failure.
            cwd=folder,
            env={"BENCH_RULES": str(folder / "rules.json")},
        ).seconds

    def _ansible(self, plan: Plan) -> float:
        folder = self._fresh()
        peers.for_ansible(plan).write(folder / "rules.json")
        config = self._site.lab.settings.ssh_config
        environment = {
            "ANSIBLE_HOME": str(folder),
            "ANSIBLE_PIPELINING": "true",
            "ANSIBLE_SSH_ARGS": f"-F {config} -o ControlMaster=auto -o ControlPersist=5s",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(folder),
            "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
            "ANSIBLE_RETRY_FILES_ENABLED": "false",
            "LC_ALL": "C.UTF-8",
        }
        playbook = peers.HERE / "ansible_playbook.yml"
        return self._site.timed(
            [
                str(self._programs / "ansible-playbook"),
                *("-i", f"{self._site.name},", "-e", f"@{folder / 'rules.json'}", str(playbook)),
            ],
            timeout=LIMIT_SECONDS,
            env=environment,
        ).seconds

    def _fresh(self) -> Path:
        # A new folder for each run, without the previous run's socket or cache.
        self._runs += 1
        folder = self._folder / str(self._runs)
        folder.mkdir()
        return folder
