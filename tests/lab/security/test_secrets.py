"""A secret of the configuration appears in clear only in the container that it is for."""

import re
import shlex
from pathlib import Path

import pytest

from tests.lab.security.stage import ATTACKER, NEIGHBOUR, Stage

pytestmark = pytest.mark.lab
HOSTS = pytest.mark.parametrize("number", [1, 2])


SECRETS = ("a container's variable", "the key's passphrase", "the key", "the opened key")
EACH = pytest.mark.parametrize("which", SECRETS)


@HOSTS
def test_the_container_has_it(stage: Stage, number: int) -> None:
    """Otherwise the other tests would prove nothing."""
    host = stage.place(number).host
    for container in (ATTACKER, NEIGHBOUR):
        said = host.run(f"docker inspect -f '{{{{json .Config.Env}}}}' {container}").stdout
        assert f"TOKEN={stage.secrets[SECRETS[0]]}" in said


def _files(stage: Stage) -> list[Path]:
    """Every file of the project folder and its backend, except links into the checkout."""
    own = [path for path in stage.stack.folder.iterdir() if not path.is_symlink()]
    return [path for top in own for path in [top, *top.rglob("*")] if path.is_file()]


@EACH
def test_not_in_the_state(stage: Stage, which: str) -> None:
    """Checkpoints, history and backups of the backend have it only encrypted, and the file too."""
    files = _files(stage)
    states = [path for path in files if "backend" in path.parts and ".json" in path.suffixes]
    assert any("ciphertext" in path.read_text() for path in states)
    assert "secure" in stage.stack.file.read_text()
    assert [p for p in files if stage.secrets[which].encode() in p.read_bytes()] == []


@EACH
def test_not_in_an_export_of_the_state(stage: Stage, which: str) -> None:
    """`pulumi stack export`, the outputs, the configuration."""
    for words in (("stack", "export"), ("stack",), ("stack", "output", "--json"), ("config",)):
        said = stage.stack.run(*words, "--stack", stage.stack.name).output
        assert stage.secrets[which] not in said


@EACH
@pytest.mark.parametrize("preview", ["before", "after", "json"])
def test_not_in_a_preview(stage: Stage, which: str, preview: str) -> None:
    """Before the first `up`, which shows every property; after it, with a refresh; as JSON."""
    said = stage.previews[preview].output
    assert stage.secrets[which] not in said
    if preview == "before":
        assert "[secret]" in said


_PULUMIS = re.compile(r'\{"time":.*"v":([789])\}\s*')
"""A line of Pulumi's own log, with its level."""


@EACH
def test_not_in_what_an_up_says(stage: Stage, which: str) -> None:
    """Even with `-v=9 --logtostderr --logflow`, no line of wanbound's has it.

    Pulumi's own log has the configuration and all properties in clear from level 7 on; up to 6,
    and without these options, nothing is left (docs/security.md says so).
    """
    lines = stage.up.output.splitlines()
    assert len(lines) > 1000, "there is no log in it"
    found = [line for line in lines if stage.secrets[which] in line]
    assert [line[:200] for line in found if not _PULUMIS.fullmatch(line)] == []


@EACH
def test_not_on_a_command_line(stage: Stage, which: str) -> None:
    """Neither the operator's machine nor the hosts, whose processes are all visible here."""
    processes = stage.processes
    print(f"{len(processes.seen)} command lines in {processes.rounds} rounds")
    assert processes.having("pulumi-language-python")
    assert processes.having("ssh")
    assert processes.having("/wanbound change "), "nothing of the hosts was seen"
    assert processes.having(stage.secrets[which]) == []


DOCKERS = ("/var/lib/docker/", "/var/lib/containerd/", "/run/containerd/", "/run/docker/")


@HOSTS
@EACH
def test_not_in_a_file_of_the_host(stage: Stage, number: int, which: str) -> None:
    """Nor in its journal. Docker itself stores a container's environment, for root alone."""
    host = stage.place(number).host
    # grep reads the word from a file, so no command line has it here.
    look = (
        "cat >/run/look; grep -rlsaFf /run/look --exclude-dir=proc --exclude-dir=sys"
        " --exclude-dir=overlay2 --exclude=look / 2>/dev/null; echo;"
        " journalctl -a --no-pager | grep -cFf /run/look; rm -f /run/look"
    )
    said = host.run(look, stdin=stage.secrets[which] + "\n", timeout=300).stdout
    *files, count = [line for line in said.splitlines() if line]
    assert count == "0"
    assert bool(files) == (which == SECRETS[0]), files
    for file in files:
        assert file.startswith(DOCKERS), files
        for user in ("operator", "admin"):
            assert host.run(f"head -c 1 {shlex.quote(file)}", user=user, check=False).status != 0


# --- what wanbound leaves in files ---------------------------------------------------------------

OURS = "/etc/wanbound /run/wanbound /usr/local/sbin/wanbound /var/lib/wanbound"
UNITS = "$(find /etc/systemd/system -name 'wanbound*')"


@HOSTS
def test_modes_of_what_is_written_on_the_host(stage: Stage, number: int) -> None:
    """Everything is owned by root and writable by root alone; only root can take the lock."""
    host = stage.place(number).host
    listed = host.run(
        "for name in current confirmed; do [ -L /etc/wanbound/$name ] || exit; done;"
        f" for place in {OURS} {UNITS}; do [ ! -e $place ] ||"
        " find $place ! -type l -printf '%m %U %G %y %p\\n'; done"
    ).stdout.splitlines()
    modes = {path: mode for mode, _, _, _, path in (line.split(" ", 4) for line in listed)}
    kinds = {path: kind for _, _, _, kind, path in (line.split(" ", 4) for line in listed)}
    print("\n".join(listed))
    assert {line.split(" ")[1] for line in listed} == {"0"}
    assert {line.split(" ")[2] for line in listed} == {"0"}
    assert [path for path, mode in modes.items() if int(mode, 8) & 0o022] == []
    now = host.run("realpath /etc/wanbound/current /etc/wanbound/confirmed").stdout.split()
    assert len(set(now)) == 1
    scripts = {
        path for path in modes if path.rpartition("/")[2] == "wanbound" and kinds[path] == "f"
    }
    assert scripts == {f"{now[0]}/wanbound"}
    assert host.run("realpath /usr/local/sbin/wanbound").stdout.strip() in scripts
    assert {modes[path] for path in scripts} == {"755"}
    assert modes["/run/wanbound"] == "700"
    for name in ("ipv4.rules", "ipv6.rules", "guard.nft", "addresses", "host", "plan.json"):
        assert f"{now[0]}/{name}" in modes
    # The only folders are those of generations.
    folders = {path for path in modes if kinds[path] == "d" and path.startswith("/etc/wanbound/")}
    assert folders == {now[0]}
    plain = {path: mode for path, mode in modes.items() if kinds[path] == "f"}
    assert {mode for path, mode in plain.items() if path not in scripts} <= {"600", "644"}
    # systemd complains about a unit that is not readable by everybody.
    units = {mode for path, mode in plain.items() if path.startswith("/etc/systemd/")}
    assert units == {"644"}
    for user in ("operator", "admin"):
        hold = "flock -n /run/wanbound/lock true"
        assert host.run(hold, user=user, check=False).status != 0
    host.run("flock -w 20 /run/wanbound/lock true")


def test_after_a_boot_the_lock_is_roots_too(stage: Stage) -> None:
    """The first run makes the folder again: here it is the boot's own run."""
    host = stage.place(1).host
    host.run("systemctl stop wanbound-watch; rm -rf /run/wanbound; /usr/local/sbin/wanbound apply")
    assert host.run("stat -c %a /run/wanbound").stdout.strip() == "700"
    host.run("systemctl start wanbound-watch")


def test_modes_of_what_is_left_beside_the_operators_keys(stage: Stage) -> None:
    """Access to the socket of a connection or of an agent is equivalent to root on the host."""
    folder = Path("~/.ssh").expanduser()
    found = list(folder.glob("wanbound-*"))
    assert any(path.is_socket() for path in found), "neither a connection nor an agent"
    for path in found:
        assert path.stat().st_mode & (0o077 if path.is_socket() else 0o022) == 0, path
        assert path.stat().st_uid == folder.stat().st_uid
    assert folder.stat().st_mode & 0o022 == 0
