"""Breaks something on a host, and measures there how long it stays broken."""

from lab.api import Host

ALLOWED_SECONDS = 5.0

NUMBERS = {"test-1": 151, "test-2": 161}
"""The last part of each host's public addresses: no two hosts may have the same."""

RESTART_DOCKER = "systemctl reset-failed docker 2>/dev/null; systemctl restart docker"
"""systemd refuses the fourth start within a minute; tests want more."""

# Runs on the host: a look from here takes longer than a repair.
_MEASURE = r"""
seen() {
    # Ours and their order. Docker's own chains, whose jump leads to ours, may be flushed as well.
    for tool in iptables ip6tables; do
        $tool-save 2>/dev/null | sed -n '/WANBOUND/{s/ \[[0-9:]*\]$//; s/DOCKER-USER/FORWARD/; p}'
        for chain in PREROUTING OUTPUT POSTROUTING; do
            $tool -t nat -S $chain 2>/dev/null | sed -n 2p
        done
        for chain in FORWARD DOCKER-USER; do
            $tool -S $chain 2>/dev/null | sed -n 2p
        done | grep -c WANBOUND
    done
    ip -o addr show dev wan0 |
        sed '/scope link/d; s/ tentative//; s/\\.*//; s/^[0-9]*: //; s/ *$//' | sort
    ip -4 route show default
    ip -6 route show default | sed 's/ expires [0-9]*sec//'
    # The kernel keeps no order among the elements of a map.
    nft -s list table inet wanbound 2>&1 | tr ',' '\n' | tr -d ' \t' |
        sed 's/elements=//; s/[{}]//g' | sort
}
now() { date +%s%N; }
folder=$(mktemp -d)
trap 'rm -rf $folder' EXIT
seen >$folder/whole
begun=$(now)
sh -c "$1" >$folder/said 2>&1 </dev/null
ended=$(now)
seen >$folder/broken
cmp -s $folder/whole $folder/broken && echo whole || echo broken
tries=0
until seen >$folder/now; cmp -s $folder/whole $folder/now; do
    tries=$((tries + 1))
    [ $tries -lt 400 ] || { diff $folder/whole $folder/now; cat $folder/said; exit 1; }
    sleep 0.02
done
echo $(((ended - begun) / 1000000)) $((($(now) - ended) / 1000000))
"""


def repaired(host: Host, what: str, fault: str) -> float:
    """Return how many seconds after the end of the command `fault` all of ours was there again.

    Prints it. Raises LabError, with the difference, where it was not after some 10 s.
    """
    host.put("/run/repair", _MEASURE)
    try:
        answer = host.run(f"sh /run/repair {_quoted(fault)}", timeout=120).stdout
    finally:
        host.run("rm -f /run/repair")
    state, fault_ms, repair_ms = answer.split()
    seconds = int(repair_ms) / 1000
    found = "broken" if state == "broken" else "whole again already"
    print(f"{host.name}: {what}: {int(fault_ms)} ms, then {found}, repaired {seconds:.2f} s later")
    return seconds


def _quoted(command: str) -> str:
    return "'" + command.replace("'", "'\\''") + "'"
