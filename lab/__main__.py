"""The lab's command line: `python -m lab --help`."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from lab import hosts, lifecycle, processes, removal, tools
from lab.errors import LabError
from lab.namespace import exists, inside
from lab.settings import DEFAULT_HOSTS, KINDS, HostSpec, Settings
from lab.steps import command_line, console

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
PASS_ON = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "allow_interspersed_args": False,
}


def _host(lab: Settings, name: str) -> HostSpec:
    specs = {host.name: host for host in lifecycle.specs(lab)}
    if name not in specs:
        raise LabError(f"the lab has no host {name}: it has {', '.join(specs) or 'none, run up'}")
    return specs[name]


Names = Annotated[
    str | None,
    typer.Option("--hosts", help=f"NAME=SUITE[+{'|+'.join(KINDS)}],…; default {DEFAULT_HOSTS}"),
]


@app.command()
def up(names: Names = None) -> None:
    """Make whatever is missing of the lab: roots, internet, registry, hosts."""
    lab = Settings()
    for host in lifecycle.up(lab, names):
        docker = hosts.docker_version(lab, host.name)
        has = f"Docker {docker}" if docker else "no Docker"
        console.print(f"{host.name} is up at {lab.address(host)}: {host.system}, {has}")


@app.command()
def prepare(names: Names = None) -> None:
    """Build everything slow that is cached, with its progress: packages, pulumi, roots, images."""
    lifecycle.prepare(Settings(), names)
    tools.pulumi()


@app.command()
def down() -> None:
    """Remove everything that the lab made: processes, namespaces, links, disks, state."""
    if not lifecycle.down(Settings()):
        console.print("there is no lab")


@app.command()
def clean() -> None:
    """Remove the lab and its caches; keep a pulumi that was built."""
    lab = Settings()
    with lifecycle.lock(lab):
        removal.down(lab)
        removal.clean(lab)


@app.command()
def status() -> None:
    """Print what runs; status 1 if a part of the lab does not."""
    lab = Settings()
    specs = lifecycle.specs(lab)
    if not specs:
        console.print("there is no lab")
        raise typer.Exit(1)
    table = Table("what", "where", "state")
    good = True
    for name, where in (
        ("ssh-agent", str(lab.state / "agent.sock")),
        ("echo", lab.namespace),
        ("names", lab.namespace),
        ("pebble", lab.namespace),
        ("registry", lab.namespace),
    ):
        process = processes.find(lab, name)
        good = good and process is not None
        table.add_row(
            name, where, f"runs, pid {process.pid}" if process else "[red]does not run[/]"
        )
    for host in specs:
        process = processes.find(lab, f"nspawn-{host.name}")
        docker = hosts.docker_version(lab, host.name) if process else None
        good = good and (docker is not None or (host.bare and process is not None))
        state = f"runs, Docker {docker}" if docker else "runs, does not answer"
        table.add_row(
            f"{host.name} ({host.system})", lab.address(host), state if process else "[red]off[/]"
        )
    Console().print(table)
    raise typer.Exit(0 if good else 1)


@app.command()
def env() -> None:
    """Print export lines for a shell that uses the lab: eval "$(python -m lab env)"."""
    for line in tools.export_lines(Settings()):
        print(line)


@app.command(context_settings=PASS_ON)
def ssh(context: typer.Context, host: str) -> None:
    """Replace this process by ssh to a host, as root: lab ssh HOST [COMMAND…]."""
    lab = Settings()
    _host(lab, host)
    args = hosts.ssh(lab, host, context.args)
    os.execvp(args[0], args)  # noqa: S606 - without a shell, to replace this process


@app.command()
def reboot(host: str) -> None:
    """Reboot a host and wait until it is ready again."""
    lab = Settings()
    hosts.reboot(lab, _host(lab, host))


@app.command("exec-internet", context_settings=PASS_ON)
def exec_internet(context: typer.Context) -> None:
    """Replace this process by a command in the internet's namespace: lab exec-internet COMMAND…."""
    lab = Settings()
    if not exists(lab):
        raise LabError("the lab is not up: run `python -m lab up`")
    if not context.args:
        raise LabError("say what to run, for example: exec-internet tcpdump -ni wan")
    args = inside(lab, context.args)
    os.execvp(args[0], args)  # noqa: S606 - without a shell, to replace this process


def main() -> None:
    """Run the command line; an error of the lab becomes one message and status 1."""
    command_line(app, "interrupted; `python -m lab down` removes what is half made")


if __name__ == "__main__":
    main()
