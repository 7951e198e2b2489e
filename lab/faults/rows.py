"""The faults, as data. What a row needs beyond a host's shell is in deeds.py."""

from __future__ import annotations

from lab.faults.armed import SHUT, Armed
from lab.faults.deeds import Idle, reboot, renumber
from lab.faults.model import Deed, Fault, Row
from lab.faults.watching import OWN_BACK

# Containers that are to restart "unless stopped", as ours are, do not after dockerd was killed: it
# finds them alive, ends them, and takes that for a stop (20.10 to 28.5). With "always" they do.
_CONTAINERS_BACK = "docker start $(docker ps -aq) >/dev/null"

_DOCKER_BACK = "until docker version >/dev/null 2>&1; do sleep 0.05; done"

_NOTHING_LEFT = "it takes every rule of the host, the guard's too: until the repair nothing filters"

ROWS: tuple[Row, ...] = (
    Fault("iptables -F", "iptables -F"),
    Fault("iptables -t nat -F", "iptables -t nat -F"),
    Fault("ip6tables -F", "ip6tables -F"),
    Fault("ip6tables -t nat -F", "ip6tables -t nat -F"),
    Fault(
        "iptables-restore of a file from before",
        'for tool in iptables ip6tables; do "$tool-restore" <"$folder/old.$tool"; done',
    ),
    Fault("nft delete table inet wanbound", "nft delete table inet wanbound"),
    Fault("nft flush ruleset", "nft flush ruleset", open=_NOTHING_LEFT),
    Fault(
        "a jump deleted",
        "for tool in iptables ip6tables; do\n"
        '    "$tool" -t nat -D POSTROUTING "$("$tool" -t nat -S POSTROUTING |\n'
        "        awk '/^-A/ { n++ } /WANBOUND-SNAT/ { print n; exit }')\"\n"
        "done",
    ),
    Fault(
        "a jump no longer first",
        "for tool in iptables ip6tables; do\n"
        '    "$tool" -t nat -I POSTROUTING -o wan0 -j MASQUERADE\n'
        "done",
    ),
    Fault("ip addr flush dev wan0", f"ip addr flush dev wan0\n{OWN_BACK}"),
    Fault(
        "a public address removed",
        'ip addr del "$public4/32" dev wan0\nip addr del "$public6/128" dev wan0',
    ),
    Fault(
        "a public address on another interface",
        'ip addr del "$public4/32" dev wan0\nip addr del "$public6/128" dev wan0\n'
        'ip addr add "$public4/32" dev host0\nip addr add "$public6/128" dev host0 nodad',
        restore='for one in "$public4/32" "$public6/128"; do\n'
        '    ip addr del "$one" dev host0 2>/dev/null || true\n'
        "done",
    ),
    Fault(
        "a bridge renamed",
        'ip link set "$bridge" name "x$bridge"',
        restore='ip link set "x$bridge" name "$bridge" 2>/dev/null || true',
    ),
    Fault("systemctl restart systemd-networkd", "systemctl restart systemd-networkd", unseen=True),
    Fault("networkctl reconfigure wan0", "networkctl reconfigure wan0", unseen=True),
    Fault(
        "the watcher killed, then a flush",
        "systemctl kill -s KILL wanbound-watch.service\n"
        "iptables -t nat -F\nip6tables -t nat -F\niptables -F\nip6tables -F",
    ),
    Fault(
        "systemctl restart docker",
        f"systemctl restart docker\n{_DOCKER_BACK}",
        unseen=True,
        traffic_within=30,
    ),
    Fault(
        "docker stopped, then started",
        f"systemctl stop docker.socket docker\nsystemctl start docker\n{_DOCKER_BACK}",
        unseen=True,
        traffic_within=30,
    ),
    Fault(
        "dockerd killed with -9",
        "systemctl kill --kill-whom=main -s KILL docker\nsleep 0.2\n"
        f"{_DOCKER_BACK}\n{_CONTAINERS_BACK}",
        unseen=True,
        traffic_within=30,
    ),
    Deed("reboot", reboot, "rules before the first packet, all back", traffic_within=120),
    Deed(
        "pulumi up: other addresses, and back",
        renumber,
        "the old address or the new one",
        renumbers=True,
    ),
    Deed(
        "a change that cuts new SSH connections off",
        Armed(SHUT, restore=SHUT.replace("-I", "-D")),
        "undone; the next up says so",
        traffic_within=60,
        renumbers=True,
        long=True,
    ),
    Deed(
        "sshd stopped right after a change",
        Armed("systemctl stop ssh", restore="systemctl start ssh"),
        "undone; the next up says so",
        traffic_within=60,
        renumbers=True,
        long=True,
    ),
    Deed(
        "a reboot before the confirmation",
        Armed(how="reboot"),
        "undone; the next up says so",
        traffic_within=60,
        renumbers=True,
        long=True,
    ),
    Deed(
        "the link down for 3 s in a change",
        Armed("ip link set host0 down\nsleep 3\nip link set host0 up", either=True),
        "the old state or the new one",
        traffic_within=60,
        renumbers=True,
        long=True,
    ),
    Deed(
        "the client killed with -9 in a change",
        Armed(how="kill", either=True),
        "the old state or the new one",
        traffic_within=60,
        renumbers=True,
        long=True,
    ),
    Deed("idle", Idle(seconds=60), "no CPU time; legacy reads its tables"),
)
