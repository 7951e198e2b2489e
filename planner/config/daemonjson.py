"""Types for what goes into Docker's daemon.json: known keys are checked, others are Docker's word.

The keys and their types are those of dockerd(8) and of config.Config in moby's daemon/config, up to
29. Docker itself refuses a key that it does not know; that a value has the wrong type it says only
when it starts, with every container of the host waiting for it.
"""

import difflib
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import PlainValidator

from planner.config.refusal import refusal
from planner.config.report import show

Kind: TypeAlias = Literal["flag", "number", "text", "list", "texts", "map", "ranges"]
"""true or false, a whole number, text, a list of text, a mapping to text, a mapping, a list of
mappings."""

_BY_KIND: Mapping[Kind, str] = {
    "flag": (
        "debug experimental icc init ip-forward ip-forward-no-drop ip-masq ip6tables iptables ipv6"
        " live-restore no-new-privileges raw-logs selinux-enabled tls tlsverify userland-proxy"
    ),
    "number": (
        "cpu-rt-period cpu-rt-runtime max-concurrent-downloads max-concurrent-uploads"
        " max-download-attempts mtu network-control-plane-mtu network-diagnostic-port"
        " oom-score-adjust shutdown-timeout"
    ),
    "text": (
        "bip bip6 bridge bridge-accept-fwmark cgroup-parent containerd containerd-namespace"
        " containerd-plugin-namespace data-root default-cgroupns-mode default-gateway"
        " default-gateway-v6 default-ipc-mode default-runtime exec-root firewall-backend fixed-cidr"
        " fixed-cidr-v6 group host-gateway-ip init-path ip log-driver log-format log-level"
        " metrics-addr pidfile seccomp-profile storage-driver swarm-default-advertise-addr"
        " tlscacert tlscert tlskey userland-proxy-path userns-remap"
    ),
    "list": (
        "allow-nondistributable-artifacts authorization-plugins cdi-spec-dirs dns dns-opts"
        " dns-search exec-opts host-gateway-ips hosts insecure-registries labels"
        " node-generic-resources registry-mirrors storage-opts"
    ),
    "texts": "log-opts",
    "map": "builder default-network-opts default-ulimits features proxies runtimes",
    "ranges": "default-address-pools",
}

KINDS: Mapping[str, Kind] = {key: kind for kind, keys in _BY_KIND.items() for key in keys.split()}
"""What daemon.json's known keys have as their values."""

OWN_KEYS: Mapping[str, str] = {
    "ipv6": "ipv6",
    "fixed-cidr-v6": "fixed_cidr_v6",
    "ip6tables": "ip6tables",
    "registry-mirrors": "registry_mirrors",
    "live-restore": "live_restore",
}
"""daemon.json's keys that `engine` has as keys of its own."""

_WORDS: Mapping[Kind, tuple[str, str]] = {
    "flag": ("neither true nor false", "write true or false"),
    "number": ("not a whole number", "write a number, without quotes"),
    "text": ("not text", "write text, in quotes"),
    "list": ("not a list of text", 'write a list like ["one", "two"]'),
    "texts": (
        "not a mapping to text",
        "write a mapping like {max-size: 10m, max-file: '3'}, numbers in quotes",
    ),
    "map": ("not a mapping", "write a mapping like {name: value}"),
    "ranges": (
        "not a list of mappings",
        'write a list like [{base: "10.201.0.0/16", size: 24}]',
    ),
}
_WHY = "Docker would not start with it, and would have to be given its old file back."


def _fits(kind: Kind, value: object) -> bool:
    match kind:
        case "flag":
            return isinstance(value, bool)
        case "number":
            return isinstance(value, int) and not isinstance(value, bool)
        case "text":
            return isinstance(value, str)
        case "list":
            return isinstance(value, list) and all(isinstance(item, str) for item in value)
        case "texts":
            return isinstance(value, dict) and all(isinstance(v, str) for v in value.values())
        case "map":
            return isinstance(value, dict)
        case "ranges":
            return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _settings(value: object) -> dict[str, Any]:
    example = "{log-driver: json-file, log-opts: {max-size: 10m}}"
    if not isinstance(value, dict):
        what = f"is {show(value)}, not a mapping"
        raise refusal(what, "It holds keys of daemon.json.", f"write a mapping like {example}")
    for key, item in value.items():
        if not re.fullmatch("[a-z0-9][a-z0-9-]*", key):
            raise refusal(f"has the key {show(key)}", _no_key(key), _or_near(key))
        if key in OWN_KEYS:
            own = OWN_KEYS[key]
            raise refusal(
                f"has {key}, which is a key of engine itself",
                "Written in two places, it could say two things.",
                f"write it as engine.{own}",
            )
        if key not in KINDS:
            if difflib.get_close_matches(key, KINDS, n=1, cutoff=0.85):
                raise refusal(f"has the unknown key {show(key)}", _WHY, _or_near(key))
            continue
        kind = KINDS[key]
        if not _fits(kind, item):
            what, remedy = _WORDS[kind]
            raise refusal(f"has {show(item)} for {key}, {what}", _WHY, f"{remedy} for {key}")
    if value.get("firewall-backend") == "nftables":
        raise refusal(
            "sets firewall-backend to nftables",
            "Docker would then have no chain into which wanbound's rules can go, and would load"
            " its own past them.",
            "write firewall-backend: iptables, or leave it out",
        )
    return value


def _no_key(key: str) -> str:
    hyphens = " They have hyphens where others have underscores." if "_" in key else ""
    return f"Keys of daemon.json are lower-case words.{hyphens}"


def _or_near(key: str) -> str:
    known = [*KINDS]
    near = difflib.get_close_matches(key.lower().replace("_", "-"), known, n=1)
    if near and near[0] in OWN_KEYS:
        return f"did you mean {near[0]}? That one is engine.{OWN_KEYS[near[0]]}"
    hint = f"did you mean {near[0]}? Else " if near else ""
    return f"{hint}write keys as `man dockerd` and Docker's documentation of daemon.json have them"


def _mirrors(value: object) -> tuple[str, ...]:
    example = '["https://mirror.example.com"]'
    remedy = f"write a list like {example}"
    if not isinstance(value, list):
        raise refusal(f"is {show(value)}, not a list", "", remedy)
    for item in value:
        # As ValidateMirror of moby's registry package: no path, and no password in a file for all.
        good = isinstance(item, str) and re.fullmatch(
            r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?)(:[0-9]{1,5})?/?",
            item,
        )
        if not good:
            why = "Docker takes http:// or https://, a host and a port, and nothing behind them."
            raise refusal(f"has {show(item)}, no registry's address", why, remedy)
    return tuple(value)


DaemonSettings = Annotated[dict[str, Any], PlainValidator(_settings)]
Mirrors = Annotated[tuple[str, ...], PlainValidator(_mirrors)]
