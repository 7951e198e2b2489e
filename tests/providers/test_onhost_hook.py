"""Where the forward lines are hooked in, whatever order others have put their jumps in."""

import shutil
import subprocess
from pathlib import Path

import pytest
from providers.live import parse
from providers.live_match import lines_of
from providers.live_rules import jump_drift

from tests.providers.shell import PARTS

AWKS = [words for words in (["mawk"], ["busybox", "awk"], ["gawk"]) if shutil.which(words[0])]
LINE = "-A WANBOUND-FORWARD -i web -o web -j ACCEPT"
USER, ISOLATION = "-A FORWARD -j DOCKER-USER", "-A FORWARD -j DOCKER-ISOLATION-STAGE-1"

# The rules of FORWARD, and the chain that the jump belongs into.
ORDERS = {
    "no Docker": ([], "FORWARD"),
    "Docker's": ([USER, ISOLATION], "DOCKER-USER"),
    "an operator's before it": (["-A FORWARD -i tun0 -j ACCEPT", USER, ISOLATION], "DOCKER-USER"),
    "docker-ipv6nat's": ([ISOLATION, USER], "FORWARD"),
    "isolation alone": ([ISOLATION], "FORWARD"),
}


@pytest.mark.parametrize("awk", AWKS, ids=lambda words: words[0])
@pytest.mark.parametrize(("forward", "hook"), ORDERS.values(), ids=ORDERS)
def test_the_jump_comes_before_isolation(
    awk: list[str], tmp_path: Path, forward: list[str], hook: str
) -> None:
    """Docker keeps DOCKER-USER first; another program may put isolation before it."""
    (tmp_path / "out" / "next").mkdir(parents=True)
    (tmp_path / "web.rules").write_text(f"ipv6 filter {LINE}\n")
    saved = ["*filter", ":FORWARD ACCEPT [0:0]", ":DOCKER-USER - [0:0]", *forward, "COMMIT"]
    (tmp_path / "saved").write_text("".join(f"{line}\n" for line in saved))
    words = [
        *awk,
        "-v",
        f"out={tmp_path / 'out'}",
        "-v",
        "whole=",
        "-f",
        str(PARTS / "compose.awk"),
    ]
    words += ["kind=before", str(tmp_path / "web.rules")]
    words += ["kind=saved", "family=ipv6", str(tmp_path / "saved")]
    subprocess.run(words, check=True, timeout=60)
    restore = (tmp_path / "out" / "ipv6.restore").read_text().splitlines()
    assert [line for line in restore if "-j WANBOUND-FORWARD" in line] == [
        f"-I {hook} 1 -j WANBOUND-FORWARD"
    ]


@pytest.mark.parametrize(("forward", "hook"), ORDERS.values(), ids=ORDERS)
def test_a_refresh_looks_for_it_there(forward: list[str], hook: str) -> None:
    """What the host does is no drift, and the other place is."""
    for chain in ("FORWARD", "DOCKER-USER"):
        jump = f"-A {chain} -j WANBOUND-FORWARD"
        rules = "\n".join([*([jump] if chain == "FORWARD" else []), *forward])
        rules += f"\n{jump}" if chain == "DOCKER-USER" else ""
        state = (
            f"== ipv6 filter\n{rules.strip()}\n{LINE}\n== addresses\n== routes\n== links\n"
            "== sysctls\n== guard\n== units\nscript missing\nno systemd\n== docker\nno docker\n"
            "== end\n"
        )
        drift = jump_drift("ipv6 filter", lines_of(parse(state)))
        assert bool(drift) == (chain != hook), drift
