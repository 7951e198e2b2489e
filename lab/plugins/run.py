"""Where both launchers in bin/ end: `python run.py docker|command ENGINE_ADDRESS`."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    """Serve the named provider; nothing of the other one is imported."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from lab.plugins.serve import serve

    name, arguments = sys.argv[1], sys.argv[2:]
    if name == "docker":
        from lab.plugins.docker.provider import VERSION as DOCKER_VERSION
        from lab.plugins.docker.provider import DockerProvider

        serve(DockerProvider, DOCKER_VERSION, arguments)
    else:
        from lab.plugins.command.provider import VERSION as COMMAND_VERSION
        from lab.plugins.command.provider import CommandProvider

        serve(CommandProvider, COMMAND_VERSION, arguments)


if __name__ == "__main__":
    main()
