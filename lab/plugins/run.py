"""The common program of both launchers in bin/: `python run.py docker|command ENGINE_ADDRESS`."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    """Serve the named provider; the other one is not imported."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from lab.plugins.serve import serve

    name, arguments = sys.argv[1], sys.argv[2:]
    if name == "docker":
        from lab.plugins.docker.provider import DockerProvider

        serve(DockerProvider, DockerProvider.version, arguments)
    else:
        from lab.plugins.command import CommandProvider

        serve(CommandProvider, CommandProvider.version, arguments)


if __name__ == "__main__":
    main()
