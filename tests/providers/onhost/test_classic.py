"""The files that are loaded at boot are read, and replaced unless they changed meanwhile."""

import hashlib
from base64 import b64decode
from pathlib import Path

import pytest

from tests.providers.shell import run


class Boot:
    """The script's folders of a host, in a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.etc, self.new = folder / "wanbound", folder / "new"
        self.etc.mkdir()
        self.classic = folder / "iptables"
        self.v4, self.v6 = self.classic / "rules.v4", self.classic / "rules.v6"

    def theirs(self, text: str, mode: int = 0o640) -> None:
        """Write a file of the operator's."""
        self.classic.mkdir(exist_ok=True)
        self.v4.write_text(text)
        self.v4.chmod(mode)

    def call(self, words: str) -> str:
        """Return what a function prints, notes to the operator included."""
        variables = f"etc={self.etc} classic={self.classic}"
        return run(f'\n{variables}; note() {{ echo "note $*"; }}; {words}', "call/classic.sh")

    def put(self, was: str | None = None, **texts: str | None) -> str:
        """Put rules.NAME = text (None removes it), made from `was`; return the notes."""
        self.new.mkdir(exist_ok=True)
        for file in self.new.iterdir():
            file.unlink()
        digest = "none" if was is None else hashlib.sha256(was.encode()).hexdigest()
        for name, text in texts.items():
            (self.new / f"rules.{name}.was").write_text(f"{digest}\n")
            end = ".gone" if text is None else ""
            (self.new / f"rules.{name}{end}").write_text(text or "")
        return self.call(f"put_classic {self.new}")


@pytest.fixture
def boot(tmp_path: Path) -> Boot:
    """A host without saved rules."""
    return Boot(tmp_path)


def test_facts_are_each_file_that_exists(boot: Boot, tmp_path: Path) -> None:
    """Files of other distributions and empty files count; folders and dangling links do not."""
    assert boot.call("classic_facts") == ""
    text = "é\n" * 100 + "no newline"
    boot.theirs(text)
    boot.v6.mkdir()
    (boot.classic / "ip6tables.rules").symlink_to("nowhere")
    (boot.classic / "iptables.rules").touch()
    (tmp_path / "ip6tables.rules").write_text("*nat\n")
    found = [part.partition("\n") for part in boot.call("classic_facts").split("== file ")[1:]]
    assert {path: b64decode(code).decode() for path, _, code in found} == {
        str(boot.v4): text,
        str(boot.classic / "iptables.rules"): "",
        str(tmp_path / "ip6tables.rules"): "*nat\n",
    }


def test_folder_and_files_are_made_and_removed(boot: Boot) -> None:
    """Files get the mode that the package gives; after removal nothing of ours is left."""
    assert boot.put(v4="four\n", v6="six") == ""
    assert (boot.v4.read_text(), boot.v6.read_text()) == ("four\n", "six")
    assert boot.v6.stat().st_mode & 0o777 == 0o640
    assert (boot.etc / "_saved").read_text() == f"{boot.classic}\n"
    assert boot.put("four\n", v4=None) == ""
    assert list(boot.classic.iterdir()) == [boot.v6]
    assert boot.put("six", v6=None) == ""
    assert not boot.classic.exists()
    assert list(boot.etc.iterdir()) == []


def test_nothing_to_put_makes_nothing(boot: Boot) -> None:
    """Without files to write, no folder is created."""
    assert boot.put() == ""
    assert not boot.classic.exists()
    assert list(boot.etc.iterdir()) == []


def test_a_folder_of_theirs_stays(boot: Boot) -> None:
    """A folder that existed before stays, even if it is empty."""
    boot.classic.mkdir()
    boot.put(v4="four\n")
    boot.put("four\n", v4=None)
    assert list(boot.classic.iterdir()) == []


def test_a_folder_of_ours_with_a_file_of_theirs_stays(boot: Boot) -> None:
    """A folder that we created stays while it has a file of the operator's."""
    boot.put(v4="four\n")
    theirs = boot.classic / "theirs"
    theirs.touch()
    boot.put("four\n", v4=None)
    assert list(boot.classic.iterdir()) == [theirs]


@pytest.mark.parametrize("text", ["new\n", None])
@pytest.mark.parametrize("was", ["old", None])
def test_a_file_that_was_changed_meanwhile_stays(
    boot: Boot, was: str | None, text: str | None
) -> None:
    """The new content was made from another version of the file."""
    boot.theirs("theirs\n")
    assert boot.put(was, v4=text) == f"note {boot.v4} has just changed: not written\n"
    assert boot.v4.read_text() == "theirs\n"


def test_a_file_that_was_removed_meanwhile_stays_away(boot: Boot) -> None:
    """It is not created again: the operator may have removed the package."""
    boot.classic.mkdir()
    assert boot.put("theirs\n", v4="new\n") == f"note {boot.v4} has just changed: not written\n"
    assert list(boot.classic.iterdir()) == []


def test_what_is_done_already_is_no_change(boot: Boot) -> None:
    """A run that was killed after the write is repeated."""
    boot.put(v4="four\n")
    begun = boot.v4.stat()
    assert boot.put(v4="four\n") == ""
    assert boot.v4.stat() == begun
    boot.put("four\n", v4=None)
    assert boot.put("four\n", v4=None) == ""


def test_mode_stays(boot: Boot) -> None:
    """A file's mode is kept, also if a killed run left a temporary file beside it."""
    boot.theirs("theirs\n", 0o604)
    (boot.classic / "rules.v4.wanbound-next").touch(0o777)
    assert boot.put("theirs\n", v4="new\n") == ""
    assert boot.v4.read_text() == "new\n"
    assert boot.v4.stat().st_mode & 0o777 == 0o604
    assert list(boot.classic.iterdir()) == [boot.v4]


def test_a_file_that_is_kept_elsewhere_stays_there(boot: Boot, tmp_path: Path) -> None:
    """A rename over the link would leave the linked file behind, with old rules."""
    boot.theirs("theirs\n")
    real = boot.v4.rename(tmp_path / "elsewhere")
    boot.v4.symlink_to(real)
    assert boot.put("theirs\n", v4="new\n") == ""
    assert boot.v4.is_symlink()
    assert real.read_text() == "new\n"


def test_a_folder_that_takes_no_file_is_told_and_fails_nothing(boot: Boot) -> None:
    """The rules are already loaded; a failed copy of them is no reason for a rollback."""
    boot.classic.write_text("no folder")
    assert boot.put(v4="four\n", v6="six\n") == "".join(
        f"note cannot write {file}: it does not contain the current rules\n"
        for file in (boot.v4, boot.v6)
    )
    assert list(boot.etc.iterdir()) == []


def test_one_file_that_cannot_be_written_does_not_stop_the_other(boot: Boot) -> None:
    """Here a folder has the name of the first file."""
    (boot.v4 / "full").mkdir(parents=True)
    assert boot.put(v4="four\n", v6="six\n").startswith(f"note cannot write {boot.v4}")
    assert boot.v6.read_text() == "six\n"
