"""Types for what goes into Docker's daemon.json: known keys are checked, others are left to Docker.

The keys and their types are those of dockerd(8) and of config.Config in moby's daemon/config, up to
29. Docker itself refuses a key that it does not know. It reports a value of the wrong type only
when it starts, while every container of the host waits.
"""

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from planner.config.report import JsonSchema, kind_of, refusal, show, written


@dataclass(frozen=True)
class _Kind:
    """A type of value: its check, what the error says, and the keys.

    `schema` is the same check for editors.
    """

    fits: Callable[[Any], bool]
    schema: JsonSchema
    what: str
    remedy: str
    keys: str


def _all(kind: type, values: Any) -> bool:  # noqa: ANN401 - values are anything
    return all(isinstance(value, kind) for value in values)


_KINDS = (
    _Kind(
        lambda value: isinstance(value, bool),
        {"type": "boolean"},
        "neither true nor false",
        "write true or false",
        "debug experimental icc init ip-forward ip-forward-no-drop ip-masq ip6tables iptables ipv6"
        " live-restore no-new-privileges raw-logs selinux-enabled tls tlsverify userland-proxy",
    ),
    _Kind(
        lambda value: isinstance(value, int) and not isinstance(value, bool),
        {"type": "integer"},
        "not a whole number",
        "write a number, without quotes",
        "cpu-rt-period cpu-rt-runtime max-concurrent-downloads max-concurrent-uploads"
        " max-download-attempts mtu network-control-plane-mtu network-diagnostic-port"
        " oom-score-adjust shutdown-timeout",
    ),
    _Kind(
        lambda value: isinstance(value, str),
        {"type": "string"},
        "not text",
        "write text, in quotes",
        "bip bip6 bridge bridge-accept-fwmark cgroup-parent containerd containerd-namespace"
        " containerd-plugin-namespace data-root default-cgroupns-mode default-gateway"
        " default-gateway-v6 default-ipc-mode default-runtime exec-root firewall-backend fixed-cidr"
        " fixed-cidr-v6 group host-gateway-ip init-path ip log-driver log-format log-level"
        " metrics-addr pidfile seccomp-profile storage-driver swarm-default-advertise-addr"
        " tlscacert tlscert tlskey userland-proxy-path userns-remap",
    ),
    _Kind(
        lambda value: isinstance(value, list) and _all(str, value),
        {"type": "array", "items": {"type": "string"}},
        "not a list of text",
        'write a list like ["one", "two"]',
        "allow-nondistributable-artifacts authorization-plugins cdi-spec-dirs dns dns-opts"
        " dns-search exec-opts host-gateway-ips hosts insecure-registries labels"
        " node-generic-resources registry-mirrors storage-opts",
    ),
    _Kind(
        lambda value: isinstance(value, dict) and _all(str, value.values()),
        {"type": "object", "additionalProperties": {"type": "string"}},
        "not a mapping to text",
        "write a mapping like {max-size: 10m, max-file: '3'}, numbers in quotes",
        "log-opts",
    ),
    _Kind(
        lambda value: isinstance(value, dict),
        {"type": "object"},
        "not a mapping",
        "write a mapping like {name: value}",
        "builder default-network-opts default-ulimits features proxies runtimes",
    ),
    _Kind(
        lambda value: isinstance(value, list) and _all(dict, value),
        {"type": "array", "items": {"type": "object"}},
        "not a list of mappings",
        'write a list like [{base: "10.240.0.0/16", size: 24}]',
        "default-address-pools",
    ),
)
_BY_KEY: Mapping[str, _Kind] = {key: kind for kind in _KINDS for key in kind.keys.split()}

OWN_KEYS: Mapping[str, str] = {
    key.replace("_", "-"): key
    for key in ("ipv6", "fixed_cidr_v6", "ip6tables", "registry_mirrors", "live_restore")
}
"""daemon.json's keys that `engine` has as keys of its own, with their names there."""

ACCEPT_MARK = "bridge-accept-fwmark"
"""daemon.json's key for the mark of packets that Docker lets pass (from 29.0 on)."""


def fwmark(mark: int) -> str:
    """Return the value of that key for one bit: the mark, and which of its bits count."""
    return f"0x{mark:x}/0x{mark:x}"


def _settings(value: object) -> dict[str, Any]:
    example = "{log-driver: json-file, log-opts: {max-size: 10m}}"
    if not isinstance(value, dict):
        what = f"is {kind_of(value)}, not a mapping"
        raise refusal(what, "It holds keys of daemon.json.", f"write a mapping like {example}")
    start = "Docker would not start with it, and the old file would have to be restored."
    for key, item in value.items():
        if not re.fullmatch("[a-z0-9][a-z0-9-]*", key):
            hyphens = " They have hyphens and not underscores." if "_" in key else ""
            why = f"Keys of daemon.json are lower-case words.{hyphens}"
            found = f"the key {show(key)}" if re.fullmatch(r"[\w.-]+", key) else "an invalid key"
            raise refusal(f"has {found}", why, _or_near(key))
        if key in OWN_KEYS:
            what = f"sets {key}, which is a key of engine itself"
            why = "One setting cannot have two values."
            raise refusal(what, why, f"write it as engine.{OWN_KEYS[key]}")
        kind = _BY_KEY.get(key)
        if kind is None and difflib.get_close_matches(key, _BY_KEY, n=1, cutoff=0.85):
            raise refusal(f"has the unknown key {show(key)}", start, _or_near(key))
        if _is_huge(item):
            what = f"has a number of more than 64 bits for {key}"
            raise refusal(what, start, f"write a smaller one for {key}")
        if kind is not None and not kind.fits(item):
            # Not shown: what belongs to a log or a proxy may be a token.
            what = f"has {kind_of(item)} for {key}, {kind.what}"
            raise refusal(what, start, f"{kind.remedy} for {key}")
    if value.get("firewall-backend") == "nftables":
        raise refusal(
            "sets firewall-backend to nftables",
            "Docker would then drop connections to public addresses, unless it accepts the mark of"
            " what may pass.",
            "write engine.firewall_backend: nftables and firewall: nftables of the host, which set"
            " both; or leave it out",
        )
    return value


def _is_huge(value: object) -> bool:
    """Return whether there is a number in a value that Docker's JSON decoder would not take."""
    if isinstance(value, dict | list):
        return any(map(_is_huge, value.values() if isinstance(value, dict) else value))
    return isinstance(value, int) and abs(value) >= 1 << 64


def _or_near(key: str) -> str:
    near = difflib.get_close_matches(key.lower().replace("_", "-"), _BY_KEY, n=1)
    if near and near[0] in OWN_KEYS:
        return f"did you mean {near[0]}? That one is engine.{OWN_KEYS[near[0]]}"
    hint = f"did you mean {near[0]}? Otherwise " if near else ""
    return f"{hint}write keys as `man dockerd` and Docker's documentation of daemon.json have them"


def _mirrors(value: object) -> tuple[str, ...]:
    remedy = 'write a list like ["https://mirror.example.com"]'
    if not isinstance(value, list):
        raise refusal(f"is {kind_of(value)}, not a list", "", remedy)
    for place, item in enumerate(value):
        # As ValidateMirror of moby's registry package: no path, and no password in a file for all.
        host = r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?)"
        if not isinstance(item, str) or not re.fullmatch(
            f"https?://{host}(:[0-9]{{1,5}})?/?", item
        ):
            why = "Docker takes http:// or https://, a host and a port, and no path."
            # Not shown: there may be a password in it.
            raise refusal(f"has an entry [{place}] that is not a registry address", why, remedy)
    return tuple(value)


_SETTINGS: JsonSchema = {
    "type": "object",
    "properties": {
        key: kind.schema for key, kind in sorted(_BY_KEY.items()) if key not in OWN_KEYS
    },
    "propertyNames": {"pattern": "^[a-z0-9][a-z0-9-]*$", "not": {"enum": sorted(OWN_KEYS)}},
}
_MIRRORS: JsonSchema = {
    "type": "array",
    "items": {"type": "string", "pattern": "^https?://[^/@]+/?$"},
}

DaemonSettings = Annotated[dict[str, Any], written(_settings, _SETTINGS)]
Mirrors = Annotated[tuple[str, ...], written(_mirrors, _MIRRORS)]
