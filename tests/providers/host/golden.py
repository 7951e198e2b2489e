"""The golden files of whole generations: what a host gets for each case of tests/planner/golden.

golden/CASE.generation has the files of the generation of each host of CASE.yaml, on a host without
wanbound. After a wanted change of a generation,

    python -m tests.providers.host.golden

writes all of them again. Read the difference before you commit it: this is what the hosts load.
plan.json is left out: it has the lines that CASE.rules shows, as one line of JSON.
"""

from pathlib import Path

from planner.config import Stack
from planner.plan import plan
from providers.host.generation import compose
from tests.planner import golden as planner_golden
from tests.providers.host.planned import host_plan

FOLDER = Path(__file__).parent / "golden"


def cases() -> list[str]:
    """Return the names of all cases; a .generation file without its .yaml counts too."""
    return sorted({*planner_golden.cases(), *(path.stem for path in FOLDER.iterdir())})


def composed(name: str) -> str:
    """Return a case's generations as text, as they are now."""
    blocks = []
    for host in plan(Stack.parse(planner_golden.config(name), name)):
        files = compose(host_plan(host)).files
        blocks += [
            f"== {host.name} {file}\n{text}" for file, text in files.items() if file != "plan.json"
        ]
    return "\n".join(blocks)


def expected(name: str) -> str:
    """Return a case's generations as text, from the golden file."""
    return (FOLDER / f"{name}.generation").read_text()


def main() -> None:
    """Write every case's .generation file for the current code, and name those that changed."""
    for name in cases():
        planner_golden.write(FOLDER / f"{name}.generation", composed(name))


if __name__ == "__main__":
    main()
