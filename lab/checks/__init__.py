"""Does every network of a stack use its own public addresses alone, in and out?

    stack = lab.stacks.read("stacks/Pulumi.demo.yaml", "demo")
    results = run(Lab.attach(), matrix(stack))
    assert [result for result in results if not result.ok] == []

matrix.py states, as data, what must be true of a stack; ask.py checks it by real requests from
containers, hosts and the internet; table.py prints it. pages.py opens each network's page by its
name, as a client on the internet does; resolver.py captures name queries.
"""

from lab.checks.ask import run
from lab.checks.matrix import Check, Origin, Question, Result, matrix
from lab.checks.pages import Page, pages
from lab.checks.resolver import resolvers
from lab.checks.table import table, totals

__all__ = [
    "Check",
    "Origin",
    "Page",
    "Question",
    "Result",
    "matrix",
    "pages",
    "resolvers",
    "run",
    "table",
    "totals",
]
