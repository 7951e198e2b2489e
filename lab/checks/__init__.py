"""Does every network of a stack come from, and go to, its own public addresses alone?

    stack = lab.stacks.read("stacks/Pulumi.demo.yaml", "demo")
    results = run(Lab.attach(), matrix(stack))
    assert [result for result in results if not result.ok] == []

matrix.py says what has to be true of a stack, as data; ask.py finds out by real requests from
containers, hosts and the internet; table.py shows it to people. pages.py looks at each network's
page as a visitor does, by its name; resolver.py captures who asks for names.
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
