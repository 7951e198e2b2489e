"""Answers an operator's questions about a stack file, and about its hosts. Changes nothing."""

import sys
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated

import typer

from cli import compose, mermaid, schema, svg
from cli.errors import OperatorError
from cli.explain import explain
from cli.picture import HostBox, picture
from cli.stack_file import read
from planner.errors import ConfigError
from planner.explain import QuestionError
from providers.version import VERSION

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


class Format(StrEnum):
    """The format of a picture."""

    MERMAID = "mermaid"
    SVG = "svg"


def _version(wanted: bool) -> None:
    if wanted:
        print(f"wanbound {VERSION}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Answer an operator's questions about a stack, and change nothing.

    `doctor` and `status` contact its hosts, the other commands read its file alone.
    """


_DRAW: dict[Format, Callable[[str, tuple[HostBox, ...]], str]] = {
    Format.MERMAID: mermaid.draw,
    Format.SVG: svg.draw,
}


_HOST = typer.Argument(help="NAME of a host; all without it")
_STACK = typer.Argument(help="NAME of stacks/Pulumi.NAME.yaml")


@app.command("doctor")
def print_diagnosis(
    stack: Annotated[str, _STACK], host: Annotated[str | None, _HOST] = None
) -> None:
    """Check the hosts before the first `up`: a line for each finding.

    Exit status: 0 if all is well, 1 with warnings, 2 with problems.
    """
    from cli import doctor  # SSH takes a second to import, which the other commands do not need.

    try:
        sys.exit(doctor.print_findings(read(stack), host))
    except (ConfigError, OperatorError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)


@app.command("explain")
def print_explanation(
    stack: Annotated[str, _STACK],
    where: Annotated[
        list[str], typer.Argument(help="ADDRESS:PORT/PROTOCOL; or HOST NETWORK with --to")
    ],
    source: Annotated[
        str | None, typer.Option("--from", help="The caller's address; the internet without it.")
    ] = None,
    to: Annotated[
        list[str] | None, typer.Option("--to", help="Where a network sends to; may be repeated.")
    ] = None,
) -> None:
    """Say who answers at a port, or how a network's traffic leaves, and through which lines."""
    sys.stdout.write(explain(read(stack), where, source, to or ()))


@app.command("schema")
def print_schema() -> None:
    """Print the JSON Schema of a stack file, with which editors complete and check one."""
    sys.stdout.write(schema.text())


@app.command("compose")
def print_compose(
    stack: Annotated[str, typer.Argument(help="NAME of stacks/Pulumi.NAME.yaml")],
    host: Annotated[str, typer.Argument(help="name of a host in it")],
    network: Annotated[str, typer.Argument(help="name of one of the host's networks")],
    service: Annotated[
        list[str] | None, typer.Option(help="A service that joins; repeat for more.")
    ] = None,
    database: Annotated[
        str | None, typer.Option(help="A service that only the others may reach.")
    ] = None,
    default: Annotated[
        bool, typer.Option("--default", help="Stay in the project's default network as well.")
    ] = False,
) -> None:
    """Print what services of a compose file need to join a network, as a file to add to it."""
    found = compose.snippet(
        read(stack), host, network, service or ["app"], database, default=default
    )
    sys.stdout.write(found)


@app.command("status")
def print_status(
    stack: Annotated[str, _STACK],
    host: Annotated[str | None, _HOST] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Print what the hosts do now: networks, containers, packets, drops, changes, repairs.

    Exit status: 0, or 1 if a host could not be read.
    """
    from cli import status  # SSH takes a second to import, which the other commands do not need.

    sys.exit(status.print_status(read(stack), host, as_json=as_json))


@app.command("topology")
def print_topology(
    stack: Annotated[str, _STACK],
    language: Annotated[
        Format, typer.Option("--format", help="Mermaid is drawn by GitHub in a ```mermaid block.")
    ] = Format.MERMAID,
) -> None:
    """Print a picture of a stack: hosts, public addresses, networks, ports and containers."""
    sys.stdout.write(_DRAW[language](stack, picture(read(stack))))


def main() -> None:
    """Run the command line; what is wrong with a stack file or a question is printed in words."""
    try:
        app(prog_name="wanbound")
    except (ConfigError, OperatorError, QuestionError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
