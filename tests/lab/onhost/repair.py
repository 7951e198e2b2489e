"""Breaks something on a host, and measures on the host how long it stays broken."""

import shlex

from lab.api import Host
from lab.settings import ROUTER_IPV4, ROUTER_LINK_LOCAL
from providers.host.plan import Plan
from tests.lab.planned import numbered

ALLOWED_SECONDS = 15.0
"""A repair takes one second on an idle machine; docs/faults.md has the times that were measured."""

NUMBERS = {"test-1": 51, "test-2": 151}
"""The last part of each host's public addresses."""

WAN = {"interface": "wan0", "gateway_ipv4": ROUTER_IPV4, "gateway_ipv6": ROUTER_LINK_LOCAL}


def plan(host: Host, *more: str, **keys: object) -> Plan:
    """Return the plan of one network and of `more`; `keys` go into the host's configuration."""
    names = {"net": 51} | {name: 52 + number for number, name in enumerate(more)}
    return numbered(host, names, **{"wan": WAN, **keys})


# Runs on the host: a check from this machine takes longer than a repair.
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
    # The host's own, which networkd sets, may come back later and behind.
    for family in 4 6; do
        ip -$family route show default | sed 's/ expires [0-9]*sec//; s/ proto .*//; q'
    done
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
    """Return how many seconds after the command `fault` ended all of wanbound's state was restored.

    Prints it. Raises LabError with the difference if it is not restored within about 10 s.
    """
    answer = host.run(f"sh -s {shlex.quote(fault)}", stdin=_MEASURE, timeout=120).stdout
    state, fault_ms, repair_ms = answer.split()
    seconds = int(repair_ms) / 1000
    found = "broken" if state == "broken" else "whole again already"
    print(f"{host.name}: {what}: {int(fault_ms)} ms, then {found}, repaired {seconds:.2f} s later")
    return seconds
