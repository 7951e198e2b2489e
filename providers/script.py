"""The script that runs on hosts, and the program that brings it there and runs it."""

import hashlib
import re
import secrets
from collections.abc import Mapping
from functools import cache
from importlib import resources

_FILES = resources.files("providers") / "onhost"
_PLACE = re.compile(r"^@([a-z.-]+)@$", re.MULTILINE)
"""Where one file of the script takes in another."""


def host_script() -> str:
    """Return the text of /usr/local/sbin/wanbound: one file, whose rename replaces it all."""
    return _composed("wanbound.sh") + "\n"


@cache
def _composed(name: str) -> str:
    text = _FILES.joinpath(name).read_text().rstrip()
    return _PLACE.sub(lambda place: _composed(place[1]), text)


def shell_program(words: str, files: Mapping[str, str]) -> str:
    """Return the program that brings the host script and `files` to a host and runs it.

    `words` are the script's arguments, as the shell takes them: `$stage` in them is the folder with
    the files. Everything travels as quoted here-documents, whose end no content can contain. A
    program cut short anywhere ends in a syntax error or before its last line: nothing happens then.
    """
    contents = {"wanbound": host_script(), **files}
    end = "END-" + hashlib.sha256("".join(contents.values()).encode()).hexdigest()
    copies = "".join(
        f"cat >$stage/{name} <<'{end}' || exit 15\n{text}{end}\n" for name, text in contents.items()
    )
    return (
        "echo wanbound\n"
        "umask 077\n"
        # By the number of its process the next run knows whether it still lives.
        f"stage=/run/wanbound/run.$$.{secrets.token_hex(8)}\n"
        "trap 'rm -rf $stage' EXIT\n"
        "mkdir -p $stage || exit 15\n"
        f"{copies}"
        f"{{ sh $stage/wanbound {words}; exit $?; }}\n"
    )
