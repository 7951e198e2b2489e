"""The faults, as data. procedures.py has what a row needs beyond a host's shell."""

from __future__ import annotations

from lab.faults.armed import SHUT, Armed
from lab.faults.model import Fault, Procedure, Row
from lab.faults.procedures import Idle, reboot, renumber, upgrade
from lab.faults.watching import DOCKER_BACK, OWN_BACK

# Containers with "unless stopped", as wanbound's, do not restart after dockerd was killed: it finds
# them running, ends them, and takes that for a stop (20.10 to 28.5). With "always" they do.
_CONTAINERS_BACK = "docker start $(docker ps -aq) >/dev/null"

_NOTHING_LEFT = (
    "it takes every rule of the host, the guard's too: where nft is older than 1.1, nothing filters"
    " until the repair"
)

_OLD_NFT = ("bookworm",)
"""Where no table survives it. All hosts have this machine's kernel, which must be 6.9 or newer."""

_NAT_GONE = (
    "it takes the guard and the NAT at once: where nft is older than 1.1, nothing translates or"
    " filters until the repair"
)


def _deleted(chain: str) -> str:
    """Delete the first rule of that chain of the host's first network."""
    listed = f'nft -a list chain inet wanbound "{chain}-$bridge"'
    handle = "awk '/ # handle / && !/{/ { print $NF; exit }'"
    rule = f'"{chain}-$bridge" handle "$({listed} | {handle})"'
    return f"nft delete rule inet wanbound {rule}"


ROWS: tuple[Row, ...] = (
    Fault("iptables -F", "iptables -F", spares=("nftables",)),
    Fault("iptables -t nat -F", "iptables -t nat -F", spares=("nftables",)),
    Fault("ip6tables -F", "ip6tables -F", spares=("nftables",)),
    Fault("ip6tables -t nat -F", "ip6tables -t nat -F", spares=("nftables",)),
    Fault(
        "iptables-restore of a file from before",
        'for tool in iptables ip6tables; do "$tool-restore" <"$folder/old.$tool"; done',
        spares=("nftables",),
    ),
    Fault(
        "nft delete table inet wanbound",
        "nft delete table inet wanbound",
        firewalls=("iptables",),
    ),
    Fault(
        "nft delete table inet wanbound, with the NAT",
        "nft delete table inet wanbound",
        firewalls=("nftables",),
        open=_NAT_GONE,
        open_on=_OLD_NFT,
    ),
    Fault("nft flush ruleset", "nft flush ruleset", open=_NOTHING_LEFT, open_on=_OLD_NFT),
    Fault(
        "a jump deleted",
        "for tool in iptables ip6tables; do\n"
        '    "$tool" -t nat -D POSTROUTING "$("$tool" -t nat -S POSTROUTING |\n'
        "        awk '/^-A/ { n++ } /WANBOUND-SNAT/ { print n; exit }')\"\n"
        "done",
        firewalls=("iptables",),
    ),
    Fault(
        "a jump no longer first",
        "for tool in iptables ip6tables; do\n"
        '    "$tool" -t nat -I POSTROUTING -o wan0 -j MASQUERADE\n'
        "done",
        spares=("nftables",),
    ),
    Fault(
        "a nat chain of others before ours",
        "nft -f - <<.\n"
        "table inet others {\n"
        "    chain first {\n"
        "        type nat hook postrouting priority srcnat - 10\n"
        "        oifname wan0 masquerade\n"
        "    }\n"
        "}\n.",
        expected="closed",
        unseen=True,
        restore="nft delete table inet others 2>/dev/null || true",
        firewalls=("nftables",),
    ),
    Fault(
        "a map element deleted",
        'nft delete element inet wanbound snat-ipv4 "{ $subnet4 }"\n'
        'nft delete element inet wanbound dnat-ipv6 "{ $public6 }"',
        firewalls=("nftables",),
    ),
    Fault("a rule of the NAT deleted", _deleted("snat"), firewalls=("nftables",)),
    Fault("a rule of the guard deleted", _deleted("egress"), firewalls=("nftables",)),
    Fault(
        "Docker's own nft tables flushed",
        "for family in ip ip6; do nft flush table $family docker-bridges; done",
        firewalls=("nftables",),
        spares=("nftables",),
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
        firewalls=("iptables",),
    ),
    Fault(
        "the watcher killed, then a chain flushed",
        "systemctl kill -s KILL wanbound-watch.service\n"
        'nft flush chain inet wanbound "snat-$bridge"',
        firewalls=("nftables",),
    ),
    Fault(
        "systemctl restart docker",
        f"systemctl restart docker\n{DOCKER_BACK}",
        unseen=True,
        traffic_within=30,
    ),
    Fault(
        "docker stopped, then started",
        f"systemctl stop docker.socket docker\nsystemctl start docker\n{DOCKER_BACK}",
        unseen=True,
        traffic_within=30,
    ),
    Fault(
        "dockerd killed with -9",
        "systemctl kill --kill-whom=main -s KILL docker\nsleep 0.2\n"
        f"{DOCKER_BACK}\n{_CONTAINERS_BACK}",
        unseen=True,
        traffic_within=30,
    ),
    Procedure(
        "Docker 28 upgraded to 29",
        upgrade,
        "repaired, under the running stack",
        traffic_within=30,
        engine="28.",
    ),
    Procedure("reboot", reboot, "rules before the first packet, all back", traffic_within=120),
    Procedure(
        "pulumi up: other addresses, and back",
        renumber,
        "the old address or the new one",
        renumbers=True,
    ),
    Procedure(
        "a change that cuts new SSH connections off",
        Armed(SHUT, restore=SHUT.replace("-I", "-D")),
        "undone; the next up says so",
        traffic_within=60,
        renumbers=True,
        long=True,
    ),
    Procedure(
        "sshd stopped right after a change",
        Armed("systemctl stop ssh", restore="systemctl start ssh"),
        "undone; the next up says so",
        traffic_within=60,
        renumbers=True,
        long=True,
    ),
    Procedure(
        "a reboot before the confirmation",
        Armed(how="reboot"),
        "undone; the next up says so",
        traffic_within=60,
        renumbers=True,
        long=True,
    ),
    Procedure(
        "the link down for 3 s in a change",
        Armed("ip link set host0 down\nsleep 3\nip link set host0 up", either=True),
        "the old state or the new one",
        traffic_within=60,
        renumbers=True,
        long=True,
    ),
    Procedure(
        "the client killed with -9 in a change",
        Armed(how="kill", either=True),
        "the old state or the new one",
        traffic_within=60,
        renumbers=True,
        long=True,
    ),
    Procedure("idle", Idle(seconds=60), "no CPU time; legacy reads its tables"),
)
