"""The comment on a pull request: the meaning of a preview, then its diff. Pure."""

import re

from tools.preview import Preview

LIMIT = 60_000
"""Characters. GitHub refuses a comment of more than 65,536."""

_CHANGE = re.compile(r"^( *)~( \S.*?: )(\S.*) => (\S.*)$")
_SIGN = re.compile(r"^( +)([-+~])")


def compose(stack: str, preview: Preview, diff: str, run: str, limit: int = LIMIT) -> str:
    """Return the comment for a stack, of at most `limit` characters.

    `diff` is the output of `pulumi preview --diff`, `run` the address of the workflow's run, which
    has all of it as an artifact.
    """
    if preview.errors:
        head = [f"### `{stack}`: the preview failed", "", "> [!CAUTION]"]
        head += ["> `pulumi up` would fail, too. Nothing was changed.", ""]
        body = _cut("\n\n".join(preview.errors), run, limit - 1000)
        return "\n".join([*head, *_fenced("text", body), ""])
    head = [f"### `{stack}`: {preview.summary}", ""]
    if not preview.changes:
        return "\n".join([*head, "`pulumi up` changes nothing.", ""])
    sentences = "\n".join(f"- {each}" for each in preview.meaning)
    head += [_cut(sentences, run, limit // 2), ""]
    room = limit - len("\n".join(head)) - 1000
    return "\n".join([*head, *_fenced("diff", _cut(coloured(diff), run, room)), ""])


def coloured(diff: str) -> str:
    """Return a diff of Pulumi as GitHub colours it: signs in the first column, a line for each
    value."""
    found = []
    for line in diff.splitlines():
        if change := _CHANGE.match(line):
            indent, name, old, new = change.groups()
            found += [f"-{indent}{name}{old}", f"+{indent}{name}{new}"]
        else:
            # GitHub's lexer has no `~`; `!` is its third colour.
            found.append(_SIGN.sub(lambda m: m[2].replace("~", "!") + m[1], line))
    return "\n".join(found)


def _cut(text: str, run: str, room: int) -> str:
    """Return whole lines of `text` in at most `room` characters, and how many are left out."""
    if len(text) <= room:
        return text
    kept = text[: max(room - 200, 0)].rpartition("\n")[0]
    left = len(text.splitlines()) - len(kept.splitlines())
    return f"{kept}\n\n… cut here: {left} more lines are in the artifact of {run}"


def _fenced(language: str, text: str) -> list[str]:
    """Return a block whose fence no line of `text` closes."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", text.strip("\n"), fence]
