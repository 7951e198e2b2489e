"""The part of the host script that changes Docker, with a dockerd of the test's own behind it."""

import base64
import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from providers.engine_state import EngineState, Record, engine_state
from tests.providers.onhost.parts import run

DOCKERD = """\
#!/bin/sh
case $* in
--version) echo "Docker version $(cat $S/version), build 1" ;;
--help) echo ' --validate  Validate daemon configuration and exit' ;;
*)
    echo "$*" >$S/flags
    for word in "$@"; do case $word in --config-file=*) file=${word#*=} ;; esac; done
    ! grep -q unknown "$file" || { echo "unable to configure: unknown" >&2; exit 1; }
    ;;
esac
"""

DOCKER = """\
#!/bin/sh
case $1 in
info) cat $S/info ;;
version) [ -e $S/loaded ] ;;
ps) cat $S/ps 2>/dev/null ;;
inspect) cat $S/inspect ;;
events) [ ! -e $S/reloaded ] || { echo reload; rm $S/reloaded; } ;;
esac
"""

SERVICE = """\
#!/bin/sh
case "$*" in
*restart*)
    cat $S/daemon.json >>$S/tried 2>/dev/null
    rm -f $S/loaded
    [ ! -e $S/broken ] && ! grep -qs nonsense $S/daemon.json || exit 1
    echo restart >>$S/did
    cat $S/daemon.json >$S/loaded 2>/dev/null || true >$S/loaded
    ;;
show*) cat $S/docker.pid ;;
esac
"""

PROCESS = """\
trap 'echo reload >>$S/did; cat $S/daemon.json >$S/loaded; [ -e $S/deaf ] || touch $S/reloaded' HUP
touch $S/listens
while :; do sleep 0.05; done
"""
"""What stands for the running dockerd: a reload is a signal to it."""

PROGRAM = """
newline='
'
run=$S/run etc=$S/etc reload_tries=4 daemon_json=$S/daemon.json docker_pid=$S/docker.pid
mkdir -p $run
say() { echo "$*" >&2; }
note() { echo "note $*" >&2; }
need() { command -v "$1" >/dev/null || exit 10; }
fail() { code=$1; shift; say "$*"; exit "$code"; }
take_turn() { exec 9>"$S/lock"; flock -n 9 || fail 14 held; }
"""


class Box:
    """A folder that stands for a host's /etc/docker, /var/lib/wanbound and /run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "daemon.json"
        self.engine = folder / "var" / "engine"
        (folder / "version").write_text("28.5.2\n")
        (folder / "info").write_text('{"ServerVersion":"28.5.2","ContainersRunning":2}\n')
        (folder / "loaded").touch()

    def sh(self, program: str) -> str:
        """Run a part of the script; what it says is part of what is raised."""
        return run(PROGRAM + program, "engine.sh")

    def put(self, how: str, text: str | None, *, digest: str = "", **more: str) -> None:
        """Put a daemon.json as the provider does; `more` are further files."""
        stage = self.folder / "stage"
        stage.mkdir(exist_ok=True)
        for old in stage.iterdir():
            old.unlink()
        files = {**({} if text is None else {"daemon.json": text}), **more}
        for name, content in files.items():
            encoded = base64.encodebytes(content.encode()).decode() or "\n"
            (stage / f"{name.replace('_', '.')}.base64").write_text(encoded)
        self.sh(f"engine_put {stage} {digest or self.digest} {how}")

    def status(self, how: str, text: str | None, **more: str) -> tuple[int, str]:
        """Put what is refused; return the exit code and what was said."""
        with pytest.raises(subprocess.CalledProcessError) as caught:
            self.put(how, text, **more)
        return caught.value.returncode, caught.value.stderr

    @property
    def digest(self) -> str:
        """Of daemon.json."""
        if not self.file.exists():
            return "none"
        return hashlib.sha256(self.file.read_bytes()).hexdigest()

    @property
    def did(self) -> list[str]:
        """What was asked of dockerd."""
        file = self.folder / "did"
        return file.read_text().split() if file.exists() else []

    def state(self) -> EngineState:
        """What the script says of all this."""
        return engine_state(self.sh("engine_state"))


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Box]:
    """A host whose dockerd is a process that waits for a signal."""
    programs = tmp_path / "bin"
    programs.mkdir()
    tools = {"dockerd": DOCKERD, "docker": DOCKER, "service": SERVICE, "systemctl": SERVICE}
    for name, text in {**tools, "journalctl": "#!/bin/sh\necho level=error nonsense\n"}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("S", str(tmp_path))
    monkeypatch.setenv("var", str(tmp_path / "var"))
    with subprocess.Popen(["sh", "-c", PROCESS, "--config-file"]) as process:
        (tmp_path / "docker.pid").write_text(f"{process.pid}\n")
        while not (tmp_path / "listens").exists():
            assert process.poll() is None
        yield Box(tmp_path)
        process.kill()


WAS = Record({"debug": None}, None, True).text()


def test_a_reload_is_a_signal_and_waits_for_dockers_word(box: Box) -> None:
    """The file has its mode for all to read, the record is for root alone, and no trace is left."""
    box.put("reload", '{"debug": true}\n', was_first=WAS, was=WAS)
    assert box.file.read_text() == '{"debug": true}\n'
    assert box.file.stat().st_mode & 0o777 == 0o644
    assert box.did == ["reload"]
    assert (box.engine / "was").read_text() == WAS
    assert box.engine.stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in box.engine.iterdir()) == ["lock", "was"]


def test_a_file_keeps_its_mode_and_a_link_stays_one(box: Box) -> None:
    """What others see of it is theirs to say."""
    real = box.folder / "real.json"
    real.write_text("{}")
    real.chmod(0o640)
    box.file.symlink_to(real)
    box.put("restart", '{"mtu": 1400}')
    assert box.file.is_symlink()
    assert (real.read_text(), real.stat().st_mode & 0o777) == ('{"mtu": 1400}', 0o640)


def test_destroy_leaves_nothing(box: Box) -> None:
    """No file where there was none, no folder of ours, and the interim was what was reloaded."""
    box.put("reload", '{"debug": true}', was_first=WAS, was=WAS)
    box.put("reload", None, interim='{"debug": false}', was_first=WAS)
    assert (box.folder / "loaded").read_text() == '{"debug": false}'
    assert not box.file.exists()
    assert not (box.folder / "var").exists()


def test_what_docker_does_not_take_goes_back(box: Box) -> None:
    """The old file and record are there again, Docker runs with them, and it says why."""
    box.file.write_text('{"mtu": 1400}')
    code, said = box.status("restart", '{"log-driver": "nonsense"}', was_first=WAS, was=WAS)
    assert code == 20
    assert "level=error nonsense" in said
    assert box.file.read_text() == (box.folder / "loaded").read_text() == '{"mtu": 1400}'
    assert "nonsense" in (box.folder / "tried").read_text()
    assert not (box.folder / "var").exists()


def test_a_reload_that_docker_refuses_goes_back(box: Box) -> None:
    """It says nothing then, and goes on as before."""
    (box.folder / "deaf").touch()
    box.file.write_text("{}")
    code, _ = box.status("reload", '{"debug": true}', was_first=WAS, was=WAS)
    # The stand-in is deaf to the old file, too.
    assert code == 21
    assert box.file.read_text() == "{}"


def test_a_docker_that_does_not_run_with_the_old_file_either(box: Box) -> None:
    """Another error, and the old file."""
    (box.folder / "broken").touch()
    code, said = box.status("restart", '{"mtu": 1}')
    assert code == 21
    assert "note Docker does not take the new daemon.json; putting the old one back" in said
    assert not box.file.exists()


def test_a_file_that_others_changed_meanwhile_is_theirs(box: Box) -> None:
    """Nothing is done."""
    box.file.write_text("{}")
    code, _ = box.status("restart", '{"mtu": 1}', digest="none")
    assert (code, box.file.read_text(), box.did) == (19, "{}", [])
    assert not (box.folder / "var").exists()


def test_docker_is_asked_before_the_file_is_changed(box: Box) -> None:
    """With the flags that it runs with: a key must not say what a flag says."""
    code, said = box.status("restart", '{"unknown": 1}', was_first=WAS, was=WAS)
    assert code == 22
    assert "unable to configure: unknown" in said
    assert not box.file.exists()
    assert not (box.folder / "var").exists()
    assert "--validate" in (box.folder / "flags").read_text()
    assert "--config-file" in (box.folder / "flags").read_text().split()


def test_a_run_that_was_killed_is_finished_by_the_next(box: Box) -> None:
    """What it had to do is told, and what it found is what a refusal goes back to."""
    box.engine.mkdir(parents=True)
    (box.engine / "doing").write_text("restart\n")
    (box.engine / "old").write_text('{"mtu": 1400}')
    box.file.write_text('{"log-driver": "nonsense"}')
    assert box.state().doing == "restart"
    code, _ = box.status("restart", '{"log-driver": "nonsense", "debug": true}')
    assert (code, box.file.read_text()) == (20, '{"mtu": 1400}')
    box.put("restart", '{"log-driver": "local"}', was=WAS)
    assert box.state().doing == ""


def test_a_second_run_waits_for_the_first(box: Box) -> None:
    """Through the first one's restart, too; it says so, and then finds the file another one."""
    box.engine.mkdir(parents=True)
    before = box.digest
    first = f"exec 8>{box.engine}/lock; flock 8; echo held; sleep 2; echo {{}} >{box.file}"
    with subprocess.Popen(["sh", "-c", first], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        code, said = box.status("restart", '{"mtu": 1}', digest=before)
    assert code == 19
    assert "note another run is changing Docker's settings here" in said
    assert box.file.read_text() == "{}\n"


def test_the_state_is_what_the_provider_reads(box: Box) -> None:
    """Every part of it, with a file without line break and a container without restart policy."""
    (box.folder / "ps").write_text("1 2\n")
    (box.folder / "inspect").write_text("no /one\nalways /two\n /three\n")
    box.put("none", '{"debug": "ä"}', was=WAS)
    state = box.state()
    assert (state.version, state.runs, state.running) == ("28.5.2", True, 2)
    assert (state.file, state.digest) == ('{"debug": "ä"}', box.digest)
    assert state.record == Record({"debug": None}, None, True)
    assert state.ends == ("one", "three")
    assert "docker.io" not in state.lacks


USABLE = [
    ('{"ServerVersion":"20.10.24+dfsg1"}', 0, ""),
    ('{"ServerVersion":"26.1.5"}', 0, ""),
    ('{"ServerVersion":"dev"}', 0, ""),
    ('{"FirewallBackend":{"Driver":"iptables"},"ServerVersion":"29.0.1"}', 0, ""),
    ('{"ServerVersion":"20.9.1"}', 24, "20.9.1 is older than 20.10"),
    ('{"ServerVersion":"19.03.15"}', 24, "19.03.15 is older than 20.10"),
    ('{"FirewallBackend":{"Driver":"nftables"},"ServerVersion":"29.0.1"}', 25, "nftables"),
    ('{"FirewallBackend":{"Driver":"nftables+firewalld"},"ServerVersion":"29.0.1"}', 25, "nft"),
]


@pytest.mark.parametrize(("info", "code", "what"), USABLE)
def test_rules_go_only_to_an_engine_that_has_a_place_for_them(
    box: Box, info: str, code: int, what: str
) -> None:
    """Asked before the lock is taken; a change that only removes is not refused."""
    (box.folder / "info").write_text(info + "\n")
    bundle = box.folder / "bundle"
    bundle.write_text("== remove web\n")
    box.sh(f"usable_engine {bundle}")
    bundle.write_text("== put _host\nlink wan0 up\n")
    box.sh(f"usable_engine {bundle}")
    bundle.write_text("== put web\nclaim bridge web\n")
    if not code:
        box.sh(f"usable_engine {bundle}")
        return
    with pytest.raises(subprocess.CalledProcessError) as caught:
        box.sh(f"usable_engine {bundle}")
    assert caught.value.returncode == code
    assert what in caught.value.stderr


def test_an_engine_is_asked_once_for_each_of_its_starts(box: Box) -> None:
    """The next changes cost nothing; another start is asked again."""
    bundle = box.folder / "bundle"
    bundle.write_text("== put web\n")
    pid = box.folder / "docker.pid"
    os.utime(pid, (1, 1))
    box.sh(f"usable_engine {bundle}")
    (box.folder / "info").write_text('{"ServerVersion":"19.03"}\n')
    box.sh(f"usable_engine {bundle}")
    os.utime(pid)
    os.utime(box.folder / "run" / "engine", (1, 1))
    with pytest.raises(subprocess.CalledProcessError):
        box.sh(f"usable_engine {bundle}")
