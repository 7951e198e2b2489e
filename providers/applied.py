"""What was applied, as an output of a resource: what a refresh holds the host against.

After a refresh the state's inputs are what was found on the host. The next refresh must not take
those for what is wanted: a line that was flushed before would pass for one that nobody put there.
One short word and not a map: an `up` shows outputs too, and would show every line twice.
"""

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any

from providers.fragment import digest


def remember(text: str, rules: Mapping[str, Any]) -> str:
    """Return the output for a fragment's text that was put, and the properties it was made from."""
    packed = zlib.compress(json.dumps(rules, sort_keys=True).encode(), 9)
    return f"{digest(text)} {base64.b64encode(packed).decode()}"


def recall(applied: str) -> tuple[str | None, dict[str, Any] | None]:
    """Return the digest and the properties, None for what the output does not have.

    Earlier versions wrote the digest alone, and the first of them nothing.
    """
    words = applied.split()
    if len(words) < 2:
        return (words[0] if words else None), None
    rules: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(words[1])))
    return words[0], rules
