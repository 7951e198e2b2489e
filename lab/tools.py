"""Pulumi for the lab, the user's own or built; its plugins; the environment of its users."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from lab import keys
from lab.errors import LabError
from lab.golang import go
from lab.settings import Settings, cache_root
from lab.steps import ENDS_WITH_US, console, step

CHECKOUT = Path(__file__).resolve().parent.parent
STAND_INS = CHECKOUT / "lab" / "plugins" / "bin"
PLUGINS = ("docker", "command")
DOWNLOAD_SECONDS = 20
DAY = 24 * 3600


def pulumi() -> Path:
    """Return the `pulumi` program: the user's, else the pinned one, built once from Go modules."""
    if found := shutil.which("pulumi"):
        return Path(found)
    cache = cache_root()
    cache.mkdir(parents=True, exist_ok=True)
    # Without a Go it can only return an existing one: that needs no progress line.
    if built := _build(cache, "false", Path(os.devnull)):
        return built
    compiler = go()
    with step("building pulumi from its Go modules (about 6 minutes)", _log()) as log:
        built = _build(cache, str(compiler), log.log)
        if built is None:
            raise log.fail("tools/pulumi/build.sh failed")
    return built


def _build(cache: Path, compiler: str, log: Path) -> Path | None:
    with log.open("a") as errors:
        done = subprocess.run(
            [*ENDS_WITH_US, "sh", str(CHECKOUT / "tools" / "pulumi" / "build.sh"), str(cache)],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            timeout=3600,
            env={**os.environ, "GO": compiler},
            check=False,
        )
    return Path(done.stdout.strip().splitlines()[-1]) / "pulumi" if done.returncode == 0 else None


def _log() -> Path:
    return Settings().logs / "pulumi.log"


def _installed(plugin: str) -> bool:
    if shutil.which(f"pulumi-resource-{plugin}", path=_path_without_stand_ins()):
        return True
    home = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")
    return (home / "plugins" / f"resource-{plugin}-v{version(f'pulumi-{plugin}')}").is_dir()


def _path_without_stand_ins() -> str:
    """Return PATH as outside the lab: an `eval` of `lab env` must not change the next search."""
    folders = os.environ.get("PATH", "").split(os.pathsep)
    return os.pathsep.join(folder for folder in folders if folder != str(STAND_INS))


def _download(plugin: str) -> bool:
    """Ask pulumi for the plugin, at most once a day if that fails."""
    record = cache_root() / "plugin-downloads.json"
    failed: dict[str, float] = json.loads(record.read_text()) if record.exists() else {}
    name = f"{plugin} {version(f'pulumi-{plugin}')}"
    if time.time() - failed.get(name, 0) < DAY:
        return False
    command = [str(pulumi()), "plugin", "install", "resource", *name.split()]
    with _log().open("a") as out:
        try:
            done = subprocess.run(
                command, stdout=out, stderr=out, timeout=DOWNLOAD_SECONDS, check=False
            )
            if done.returncode == 0:
                return True
        except subprocess.TimeoutExpired:
            out.write(f"{' '.join(command)}: not within {DOWNLOAD_SECONDS} s\n")
    failed[name] = time.time()
    record.write_text(json.dumps(failed) + "\n")
    return False


def plugin_path() -> list[Path]:
    """Return what PATH needs for pulumi's docker and command plugins: nothing, or the stand-ins."""
    lacking = [name for name in PLUGINS if not _installed(name) and not _download(name)]
    if not lacking:
        return []
    names = " and ".join(lacking)
    console.print(
        f"plugins: Pulumi's own {names} can neither be found nor downloaded here, so the lab's "
        f"stand-ins in {STAND_INS.relative_to(CHECKOUT)} are used"
    )
    return [STAND_INS]


def environment(lab: Settings) -> dict[str, str]:
    """Return the environment of programs that use the lab: the variables that `lab env` exports."""
    if not lab.state.exists():
        raise LabError("the lab is not up: run `python -m lab up`")
    backend = lab.state / "pulumi"
    backend.mkdir(exist_ok=True)
    # pulumi's Python host uses the first python on PATH, which must have the program's packages.
    folders = [Path(sys.executable).parent, *plugin_path(), pulumi().parent]
    before = [folder for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    path = dict.fromkeys([*(str(folder) for folder in folders), *before])
    return {
        "SSH_AUTH_SOCK": str(keys.agent_socket(lab)),
        "PATH": os.pathsep.join(path),
        # In the lab's state: a stack of removed hosts would be useless.
        "PULUMI_BACKEND_URL": f"file://{backend}",
        "PULUMI_CONFIG_PASSPHRASE": "wanbound-lab",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }


def export_lines(lab: Settings) -> list[str]:
    """Return `export NAME=value` lines, quoted for a POSIX shell."""
    variables: Mapping[str, str] = environment(lab)
    return [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
