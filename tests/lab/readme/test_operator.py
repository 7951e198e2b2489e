"""The operator's part in following the README, tested without a lab."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from lab.errors import LabError
from tests.lab.readme.operator import Shell, addressed, edited
from tests.pages import ROOT, first_host

HOST: Any = SimpleNamespace(address="10.97.0.12")
STARTER = (ROOT / "stacks/Pulumi.starter.yaml").read_text()


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A shell with this process's environment."""
    return Shell(tmp_path, os.environ, tmp_path / "exported")


def test_only_the_servers_own_address_is_the_readers() -> None:
    """The addresses of its networks, and longer ones, are not replaced."""
    text = "ssh root@203.0.113.2 'x'; curl http://203.0.113.20/ 203.0.113.2:22 1203.0.113.2"
    wanted = "ssh root@192.0.2.7 'x'; curl http://203.0.113.20/ 192.0.2.7:22 1203.0.113.2"
    assert addressed(text, "192.0.2.7") == wanted


def test_the_reader_edits_address_and_interface_and_nothing_else() -> None:
    """The networks stay those of the starter."""
    before, after = yaml.safe_load(STARTER), yaml.safe_load(edited(STARTER, HOST))
    (host,) = before["config"]["wanbound:hosts"]
    host["ssh"]["address"], host["wan"]["interface"] = HOST.address, "wan0"
    assert after == before


def test_a_stack_file_without_the_servers_address_is_refused() -> None:
    """Otherwise the page would be followed with the example's address."""
    with pytest.raises(ValueError, match="does not have one address"):
        edited(STARTER.replace("203.0.113.2 #", "192.0.2.1 #"), HOST)


def test_each_command_for_the_server_has_its_address() -> None:
    """No command with the example's address is left."""
    found = [addressed(block, HOST.address) for block in first_host()]
    logins = [line for block in found for line in block.splitlines() if line.startswith("ssh ")]
    assert len(logins) >= 4
    assert all(line.startswith(f"ssh root@{HOST.address} ") for line in logins)


def test_what_a_block_exports_is_there_for_the_next(shell: Shell) -> None:
    """As in the shell into which a reader pastes."""
    shell.paste("export COLOR='a \"b\"\nc'")
    assert shell.paste('echo "$COLOR"') == 'a "b"\nc\n'


def test_a_block_that_fails_is_an_error_with_its_words(shell: Shell) -> None:
    """The later commands of the block do not run."""
    with pytest.raises(LabError, match=r"status 3 of:\n(.*\n)+why\n"):
        shell.paste("(echo why; exit 3)\ntouch later")
    assert not (shell.folder / "later").exists()
    assert shell.paste("exit 1", most=1) == ""
