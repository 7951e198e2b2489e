"""The script that changes Docker, with a stand-in for dockerd."""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from providers.engine.state import EngineState, Record, engine_state
from tests.providers.shell import CALL, ENGINE, ONHOST

DOCKERD = """\
#!/bin/sh
case $* in
--version) echo "Docker version $(cat $S/version), build 1" ;;
*--validate*)
    [ ! -e $S/old ] || { echo "unknown flag: --validate" >&2; exit 125; }
    echo "$*" >$S/flags
    for word in "$@"; do case $word in --config-file=*) file=${word#*=} ;; esac; done
    ! grep -q unknown "$file" || { echo "unable to configure: unknown" >&2; exit 1; }
    ;;
*)
    load='echo reload >>$S/did; cat $S/daemon.json >$S/loaded'
    trap "$load; [ -e $S/deaf ] || touch $S/reloaded" HUP
    touch $S/listens
    while :; do sleep 0.05; done
    ;;
esac
"""
"""Without known arguments it is the running dockerd, which gets a reload as a signal."""

DOCKER = """\
#!/bin/sh
echo "$*" >>$S/asked
echo "WARNING: cannot read /root/.docker/config.json" >&2
# What a call fails with is in a file that is named for it; it may be for one time.
for what in "$1" "$1-$2"; do
    [ -s "$S/fail-$what" ] || continue
    cat "$S/fail-$what" >&2
    [ ! -e $S/once ] || rm "$S/once" "$S/fail-$what"
    exit 1
done
case "$*" in
info*) cat $S/info ;;
version*) [ -e $S/loaded ] ;;
ps*) cat $S/ps 2>/dev/null ;;
events*) [ ! -e $S/reloaded ] || { echo reload; rm $S/reloaded; } ;;
"network ls"*) cat $S/networks ;;
"network inspect -f"*Labels*) cat $S/label ;;
"network inspect -f"*) cat $S/attached 2>/dev/null ;;
"network inspect"*) cat $S/inspected ;;
"inspect -f"*Labels*) eval "cat $S/container-\\${$#}" ;;
inspect*) cat $S/inspect ;;
esac
"""

SERVICE = """\
#!/bin/sh
case "$*" in
*restart*)
    [ ! -e $S/kill ] || { rm $S/kill; kill -9 $(cat $S/self); exit; }
    cat $S/daemon.json >>$S/tried 2>/dev/null
    rm -f $S/loaded
    [ ! -e $S/broken ] && ! grep -qs nonsense $S/daemon.json || exit 1
    echo restart >>$S/did
    cat $S/daemon.json >$S/loaded 2>/dev/null || true >$S/loaded
    ;;
show*) cat $S/docker.pid ;;
esac
"""

FULL = """\
#!/bin/sh
case "$*" in *"$(cat $S/full 2>/dev/null || echo none)"*) exit 1 ;; esac
exec /bin/${0##*/} "$@"
"""
"""A disk that is full for the file that is named in `full`."""

JOURNAL = """\
#!/bin/sh
echo level=info starting
echo level=error nonsense
echo level=info ending
"""

PROGRAM = """
run=$S/run etc=$S/etc kernel=$S/kernel engine_tries=$(cat $S/tries 2>/dev/null || echo 100)
daemon_json=$S/daemon.json docker_pid=$S/docker.pid
mkdir -p $run
echo $$ >$S/self
say() { echo "$*" >&2; }
note() { echo "note $*" | tee -a "$S/notes" >&2; }
need() { command -v "$1" >/dev/null || exit 10; }
fail() { code=$1; shift; say "$*"; exit "$code"; }
take_lock() { exec 9>"$S/lock"; flock -n 9 || fail 14 held; }
take_turn() { take_lock; }
sleep() { command sleep 0.2; }
# busybox runs its own programs before those in PATH; hosts have coreutils.
timeout() { /usr/bin/timeout "$@"; }
readlink() { /usr/bin/readlink "$@"; }
sync() { $S/bin/sync "$@"; }
mv() { $S/bin/mv "$@"; }
"""

SHELLS = [["sh"], ["busybox", "sh"]]
"""/bin/sh on Debian, and another POSIX shell."""


class Box:
    """A folder in place of a host's /etc/docker, /var/lib/wanbound and /run."""

    def __init__(self, folder: Path, shell: list[str]) -> None:
        self.folder = folder
        self.shell = shell
        self.file = folder / "daemon.json"
        self.engine = folder / "var" / "engine"
        (folder / "version").write_text("28.5.2\n")
        (folder / "info").write_text('{"ServerVersion":"28.5.2","ContainersRunning":2}\n')
        (folder / "loaded").touch()

    def sh(self, program: str) -> str:
        """Run a part of the script; a failure's exception has its output."""
        # PROGRAM replaces the parts shared with the host script, and its commands.
        functions, _, _ = ENGINE.read_text().partition("\ncommand=$1\n")
        docker = "".join((folder / "docker.sh").read_text() for folder in (ONHOST, CALL))
        parts = docker + re.sub(r"(?m)^@.*@$", "", functions)
        script = self.folder / "script"
        script.write_text(f"{parts}\n{PROGRAM}{program}")
        return subprocess.run(
            [*self.shell, "-u", str(script)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout

    def refused(self, program: str) -> tuple[int, str]:
        """Run a part that must fail; return exit code and output."""
        with pytest.raises(subprocess.CalledProcessError) as caught:
            self.sh(program)
        return caught.value.returncode, caught.value.stderr

    def write(self, **files: str) -> None:
        """Write the answers of the programs of this host."""
        for name, text in files.items():
            (self.folder / name.replace("_", "-")).write_text(text)

    def put(self, how: str, text: str | None, *, digest: str = "", **more: str) -> None:
        """Put a daemon.json as the provider does; `more` are further files."""
        stage = self.folder / "stage"
        stage.mkdir(exist_ok=True)
        for old in stage.iterdir():
            old.unlink()
        for name, content in {"wanbound": "", **more}.items():
            (stage / name).write_text(content)
        if text is not None:
            encoded = base64.encodebytes(text.encode()).decode() or "\n"
            (stage / "daemon.json.base64").write_text(encoded)
        self.sh(f"engine_put {stage} {digest or self.digest} {how}")

    def status(self, how: str, text: str | None, **more: str) -> tuple[int, str]:
        """Put a file that is refused; return exit code and output."""
        with pytest.raises(subprocess.CalledProcessError) as caught:
            self.put(how, text, **more)
        return caught.value.returncode, caught.value.stderr

    @property
    def digest(self) -> str:
        """The digest of daemon.json."""
        if not self.file.exists():
            return "none"
        return hashlib.sha256(self.file.read_bytes()).hexdigest()

    @property
    def did(self) -> list[str]:
        """The requests that dockerd got."""
        file = self.folder / "did"
        return file.read_text().split() if file.exists() else []

    @property
    def asked(self) -> list[str]:
        """The arguments of each call of docker."""
        file = self.folder / "asked"
        return file.read_text().splitlines() if file.exists() else []

    def state(self) -> EngineState:
        """The script's report of the state."""
        return engine_state(self.sh("engine_state"))


@pytest.fixture(params=SHELLS, ids=lambda shell: shell[0])
def box(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Box]:
    """A host whose dockerd is a process that waits for a signal."""
    programs = tmp_path / "bin"
    programs.mkdir()
    tools = {"dockerd": DOCKERD, "docker": DOCKER, "service": SERVICE, "systemctl": SERVICE}
    for name, text in {**tools, "journalctl": JOURNAL, "mv": FULL, "sync": FULL}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("S", str(tmp_path))
    monkeypatch.setenv("var", str(tmp_path / "var"))
    with subprocess.Popen([str(programs / "dockerd"), "-H", "fd://"]) as process:
        (tmp_path / "docker.pid").write_text(f"{process.pid}\n")
        while not (tmp_path / "listens").exists():
            assert process.poll() is None
            time.sleep(0.01)
        yield Box(tmp_path, request.param)
        process.kill()


WAS = Record({"debug": None}, None, True).text()


def test_forwarding_is_on_before_docker_restarts(box: Box) -> None:
    """Docker with nftables exits if it is off. Parameters that the kernel lacks are left out."""
    forward = box.folder / "kernel/net/ipv4/conf/eth0.5/forwarding"
    forward.parent.mkdir(parents=True)
    forward.write_text("0\n")
    program = SERVICE.replace("    rm -f $S/loaded\n", f"    cat {forward} >>$S/did\n", 1)
    for name in ("service", "systemctl"):
        (box.folder / "bin" / name).write_text(program)
    wanted = "net.ipv6.conf.all.forwarding 1\nnet.ipv4.conf.eth0/5.forwarding 1\n"
    box.put("restart", '{"firewall-backend": "nftables"}\n', was=WAS, forwarding=wanted)
    assert box.did == ["1", "restart"]


def test_a_reload_is_a_signal_and_waits_for_docker(box: Box) -> None:
    """The file is readable for all, the record for root only, and no temporary file is left."""
    box.put("reload", '{"debug": true}\n', was=WAS)
    assert box.file.read_text() == '{"debug": true}\n'
    assert box.file.stat().st_mode & 0o777 == 0o644
    assert box.did == ["reload"]
    assert (box.engine / "was").read_text() == WAS
    assert box.engine.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in box.engine.iterdir()] == ["was"]


def test_a_file_keeps_its_mode_and_a_link_stays_one(box: Box) -> None:
    """Their owner decides who can read it."""
    real = box.folder / "real.json"
    real.write_text("{}")
    real.chmod(0o640)
    box.file.symlink_to(real)
    box.put("restart", '{"mtu": 1400}')
    assert box.file.is_symlink()
    assert (real.read_text(), real.stat().st_mode & 0o777) == ('{"mtu": 1400}', 0o640)


def test_a_dangling_link_is_kept_when_the_file_is_removed(box: Box) -> None:
    """The file is removed, not the link."""
    real = box.folder / "etc" / "real.json"
    box.file.symlink_to(real)
    box.put("restart", '{"mtu": 1400}')
    assert real.read_text() == '{"mtu": 1400}'
    box.put("restart", None)
    assert box.file.is_symlink()
    assert not real.exists()


def test_destroy_leaves_nothing(box: Box) -> None:
    """No file if there was none, no folder of ours; Docker does not validate a removal."""
    box.put("reload", '{"debug": true}', was=WAS)
    box.put("reload", '{"debug": false}', was=WAS)
    assert (box.folder / "loaded").read_text() == '{"debug": false}'
    box.put("none", None)
    assert not box.file.exists()
    assert not (box.folder / "var").exists()
    assert box.did == ["reload", "reload"]


def test_what_docker_does_not_take_goes_back(box: Box) -> None:
    """The old file and record are restored, Docker runs with them, and the error says why."""
    box.file.write_text('{"mtu": 1400}')
    code, said = box.status("restart", '{"log-driver": "nonsense"}', was=WAS)
    assert code == 20
    assert "level=error nonsense" in said
    assert "level=info" not in said
    assert box.file.read_text() == (box.folder / "loaded").read_text() == '{"mtu": 1400}'
    assert "nonsense" in (box.folder / "tried").read_text()
    assert not (box.folder / "var").exists()


def test_a_reload_that_docker_refuses_goes_back(box: Box) -> None:
    """dockerd then prints nothing and keeps running."""
    (box.folder / "deaf").touch()
    box.write(tries="4")
    box.file.write_text("{}")
    code, _ = box.status("reload", '{"debug": true}', was=WAS)
    # The stand-in ignores the old file too.
    assert code == 21
    assert box.file.read_text() == "{}"


def test_a_docker_that_does_not_run_with_the_old_file_either(box: Box) -> None:
    """The error differs, and the old file is restored."""
    (box.folder / "broken").touch()
    box.write(tries="4")
    code, said = box.status("restart", '{"mtu": 1}')
    assert code == 21
    assert "note Docker did not accept the new daemon.json; restoring the old one" in said
    assert not box.file.exists()


def test_a_file_that_others_changed_meanwhile_is_theirs(box: Box) -> None:
    """The change is refused."""
    box.file.write_text("{}")
    code, _ = box.status("restart", '{"mtu": 1}', digest="none")
    assert (code, box.file.read_text(), box.did) == (19, "{}", [])
    assert not (box.folder / "var").exists()


def test_a_run_whose_files_are_gone_removes_nothing(box: Box) -> None:
    """An upload that was removed must not look like one in which daemon.json is to go."""
    box.file.write_text("{}")
    code, said = box.refused(f"engine_put {box.folder}/gone {box.digest} restart")
    assert (code, box.file.read_text(), box.did) == (15, "{}", [])
    assert "the files of this run are gone" in said


def test_docker_is_asked_before_the_file_is_changed(box: Box) -> None:
    """It validates with its current flags: a key must not repeat a flag."""
    code, said = box.status("restart", '{"unknown": 1}', was=WAS)
    assert code == 22
    assert "unable to configure: unknown" in said
    assert not box.file.exists()
    assert not (box.folder / "var").exists()
    flags = (box.folder / "flags").read_text().split()
    assert flags[-4:-1] == ["-H", "fd://", "--validate"]
    # After the flags, one of which may name another file: the last one counts.
    assert flags[-1].endswith("/stage/daemon.json")


def test_an_engine_that_cannot_validate_a_file_is_restarted_with_it(box: Box) -> None:
    """Docker before 23.0 cannot validate a file."""
    box.write(old="")
    box.put("restart", '{"unknown": 1}', was=WAS)
    assert box.did == ["restart"]


def test_a_run_that_was_killed_is_finished_by_the_next(box: Box) -> None:
    """The state has the remaining work, and a refusal restores what the killed run had found."""
    box.file.write_text('{"mtu": 1400}')
    box.write(kill="")
    code, _ = box.status("restart", '{"log-driver": "nonsense"}', was=WAS)
    assert code == -9
    assert (box.file.read_text(), box.did) == ('{"log-driver": "nonsense"}', [])
    assert box.state().doing == "restart"
    # A run that comes too late or cannot write does not remove the record.
    code, _ = box.status("none", "{}", digest="none")
    assert (code, box.state().doing) == (19, "restart")
    box.write(full="daemon.json.wanbound")
    code, _ = box.status("restart", "{}", was=WAS)
    assert (code, box.state().doing) == (15, "restart")
    (box.folder / "full").unlink()
    code, _ = box.status("restart", '{"log-driver": "nonsense", "debug": true}')
    assert (code, box.file.read_text()) == (20, '{"mtu": 1400}')
    assert not (box.folder / "var").exists()
    box.put("restart", '{"log-driver": "local"}', was=WAS)
    assert box.state().doing == ""


@pytest.mark.parametrize("full", ["engine", "was.wanbound", "daemon.json.wanbound"])
def test_a_full_disk_leaves_all_as_it_was(box: Box, full: str) -> None:
    """File, record and Docker stay unchanged."""
    box.put("none", '{"mtu": 1400}', was=WAS)
    box.write(full=full)
    code, _ = box.status("restart", '{"mtu": 1500}', was=WAS + "\n")
    assert code == 15
    assert (box.file.read_text(), box.did) == ('{"mtu": 1400}', [])
    state = box.state()
    assert (state.doing, (box.engine / "was").read_text()) == ("", WAS)
    assert box.digest == hashlib.sha256(b'{"mtu": 1400}').hexdigest()


def test_a_second_run_waits_for_the_first(box: Box) -> None:
    """It also waits for the first one's restart, says so, and then finds a changed file."""
    (box.folder / "run").mkdir()
    before = box.digest
    notes = box.folder / "notes"
    notes.touch()
    first = (
        f"exec 8>{box.folder}/run/engine.lock; flock 8; echo held;"
        f" until [ $(wc -l <{notes}) -gt 2 ]; do sleep 0.1; done; echo {{}} >{box.file}"
    )
    with subprocess.Popen(["sh", "-c", first], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        code, said = box.status("restart", '{"mtu": 1}', digest=before)
    assert code == 19
    # More than once, because silence would count as a dead connection.
    assert said.count("note another run is changing Docker's settings here") > 2
    assert box.file.read_text() == "{}\n"


def test_the_state_is_what_the_provider_reads(box: Box) -> None:
    """It has every part, also for a file without newline or a container without restart policy."""
    box.write(ps="1\n2\n3\n", inspect="no /one\nalways /two\n /three\n")
    box.put("none", '{"debug": "ä"}', was=WAS)
    state = box.state()
    assert (state.version, state.runs, state.running) == ("28.5.2", True, 2)
    assert state.file == '{"debug": "ä"}'
    assert state.record == Record({"debug": None}, None, True)
    assert state.ends == ("one", "three")
    assert {"docker", "dockerd"} <= state.programs


def test_docker_that_does_not_answer_is_not_taken_for_an_idle_one(box: Box) -> None:
    """That holds for all of Docker and for its list of containers."""
    box.write(fail_ps="no\n")
    state = box.state()
    assert (state.answers, state.ends) == (True, None)
    box.write(fail_info="no\n")
    state = box.state()
    assert (state.runs, state.answers, state.file, state.record) == (True, False, None, None)


def test_a_stopped_docker_is_never_asked(box: Box) -> None:
    """Its socket would start it, and its old process id may belong to another program."""
    (box.folder / "docker.pid").write_text(f"{os.getpid()}\n")
    assert not box.state().runs
    tables = "nft() { echo 'table ip filter'; }\n"
    assert box.sh(f"{tables}docker_facts") == "docker stopped\n"
    tables = "nft() { echo 'table ip docker-bridges'; }\n"
    assert box.sh(f"{tables}docker_facts") == "docker (stopped) nftables\n[]\n"
    assert box.sh("nft() { return 1; }\ndocker_facts") == "docker stopped\n"
    assert box.refused("renew web edge-1/web")[0] == 10
    assert box.asked == []
    for name in ("docker", "dockerd"):
        (box.folder / "bin" / name).unlink()
    # Unless the test machine has Docker itself.
    if shutil.which("docker") is None and shutil.which("dockerd") is None:
        assert box.sh("docker_facts") == "docker absent\n"


INFO = [
    ('{"ServerVersion":"20.10.24+dfsg1"}', "20.10.24+dfsg1 iptables"),
    ('{"ServerVersion":"dev","Labels":["\\"ServerVersion\\":\\"1\\""]}', "dev iptables"),
    ('{"FirewallBackend":{"Driver":"iptables"},"ServerVersion":"29.0.1"}', "29.0.1 iptables"),
    (
        '{"FirewallBackend":{"Driver":"nftables+firewalld"},"ServerVersion":"29.0.1"}',
        "29.0.1 nftables",
    ),
]


@pytest.mark.parametrize(("info", "said"), INFO)
def test_facts_are_the_engine_and_its_bridge_networks(box: Box, info: str, said: str) -> None:
    """The networks are one line of JSON."""
    box.write(info=info + "\n", networks="", inspected='[\n  {"Name": "a\\n"}\n]\n')
    assert box.sh("docker_facts") == f"docker {said}\n[]\n"
    box.write(networks="1\n2\n")
    first, second = box.sh("docker_facts").splitlines()
    assert (first, json.loads(second)) == (f"docker {said}", [{"Name": "a\n"}])
    assert box.asked[-1] == "network inspect 1 2"
    assert box.asked[-2] == "network ls -q --no-trunc --filter driver=bridge"


def test_an_engine_is_asked_once_for_each_of_its_starts(box: Box) -> None:
    """Its version is asked once, its networks each time."""
    box.write(networks="")
    pid = box.folder / "docker.pid"
    os.utime(pid, (1, 1))
    box.sh("docker_facts")
    box.write(info='{"ServerVersion":"29.0.1"}\n')
    assert box.sh("docker_facts") == "docker 28.5.2 iptables\n[]\n"
    os.utime(pid)
    os.utime(box.folder / "run" / "engine", (1, 1))
    assert box.sh("docker_facts") == "docker 29.0.1 iptables\n[]\n"


GONE = [
    "Error: No such network: 1\n",
    "Error response from daemon: network 1 not found\n",
]


@pytest.mark.parametrize("said", GONE)
def test_a_network_that_was_removed_in_between_is_asked_for_again(box: Box, said: str) -> None:
    """It gives up after three attempts."""
    box.write(networks="1\n", inspected="[{}]\n", fail_network_inspect=said, once="")
    assert box.sh("docker_facts") == "docker 28.5.2 iptables\n[{}]\n"
    box.write(fail_network_inspect=said)
    code, error = box.refused("docker_facts")
    assert (code, "its networks keep changing" in error) == (24, True)
    assert [words for words in box.asked if "inspect" in words] == ["network inspect 1"] * 5


@pytest.mark.parametrize("what", ["info", "network-ls", "network-inspect"])
def test_facts_that_docker_does_not_give_are_an_error(box: Box, what: str) -> None:
    """The error never reads as "there is nothing"."""
    box.write(networks="1\n", inspected="[{}]\n")
    (box.folder / f"fail-{what}").write_text("Cannot connect to the Docker daemon\n")
    code, said = box.refused("docker_facts")
    assert (code, "Docker does not answer: " in said) == (24, True)
    assert "Cannot connect to the Docker daemon" in said


def test_a_client_that_ends_well_without_an_answer_is_an_error(box: Box) -> None:
    """The client of 20.10 exits with status 0 then."""
    box.write(info='{"ID":"","ServerVersion":"","ServerErrors":["Cannot connect"]}\n')
    code, said = box.refused("docker_facts")
    assert (code, said.splitlines()[-1]) == (24, 'Docker does not answer: ["Cannot connect"]}')


def test_a_program_that_is_not_there_is_no_network_that_is_gone(box: Box) -> None:
    """Although the error of `timeout` contains "No such file"."""
    code, said = box.refused("PATH=/usr/bin:/bin; docker_ask network inspect 1")
    assert (code, "No such file" in said) == (24, True)


@pytest.mark.parametrize("said", GONE)
def test_what_is_gone_need_not_be_renewed(box: Box, said: str) -> None:
    """A network of ours is not renewed either."""
    box.write(fail_network_inspect=said)
    box.sh("renew web edge-1/web")
    (box.folder / "fail-network-inspect").unlink()
    box.write(label="edge-1/web\n")
    box.sh("renew web edge-1/web")
    assert not [words for words in box.asked if " rm " in words or "disconnect" in words]


@pytest.mark.parametrize("what", ["network", "network-inspect", "inspect"])
def test_an_error_renews_nothing(box: Box, what: str) -> None:
    """An unresponsive Docker has not said that the network is gone."""
    box.write(label="\n", attached="1\n")
    (box.folder / f"fail-{what}").write_text("Cannot connect to the Docker daemon\n")
    code, said = box.refused("renew web edge-1/web")
    assert (code, "Cannot connect" in said) == (24, True)
    assert not [words for words in box.asked if " rm " in words or "disconnect" in words]


def test_a_network_made_by_hand_goes_unless_others_use_it(box: Box) -> None:
    """Our containers are recreated with it."""
    box.write(label="\n", attached="1\n2\n")
    box.write(container_1="/web edge-1/web\n", container_2="/theirs \n")
    code, said = box.refused("renew web edge-1/web")
    assert (code, said.splitlines()[-1].endswith(" other containers: theirs")) == (18, True)
    box.write(container_2="/api edge-1/web\n")
    box.sh("renew web edge-1/web")
    assert box.asked[-3:] == [
        "network disconnect -f web 1",
        "network disconnect -f web 2",
        "network rm web",
    ]


APT = """\
#!/bin/sh
echo "$*" >>$S/apt
[ ! -e $S/busy ] || { rm $S/busy; echo "E: Could not get lock /var/lib/apt/lists/lock"; exit 100; }
case "$*" in *install*nothing) echo "E: Unable to locate package nothing"; exit 100 ;; esac
"""


def test_packages_come_from_the_distribution(box: Box) -> None:
    """It waits for another apt-get; the error of a failure is reported."""
    (box.folder / "bin" / "apt-get").write_text(APT)
    (box.folder / "bin" / "apt-get").chmod(0o755)
    box.write(busy="")
    box.sh("engine_install iptables nftables")
    calls = (box.folder / "apt").read_text().splitlines()
    assert calls[:2] == ["-q update"] * 2
    assert calls[2].endswith(" install iptables nftables")
    code, said = box.refused("engine_install nothing")
    assert (code, "E: Unable to locate package nothing" in said) == (23, True)
