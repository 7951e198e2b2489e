"""SSH host keys as the configuration pins them."""

import base64
import binascii
import re

from planner.config.refusal import refusal

_CURVES = {f"ecdsa-sha2-nistp{bits}": f"nistp{bits}".encode() for bits in (256, 384, 521)}
_POINTS = {"nistp256": 65, "nistp384": 97, "nistp521": 133}
_TYPES = ("ssh-ed25519", *_CURVES, "ssh-rsa")
_WHY = "Nothing is sent to a host whose key is not the pinned one, so this would match no host."
_REMEDY = (
    "take type and key from /etc/ssh/ssh_host_ed25519_key.pub on the host, for example"
    ' "ssh-ed25519 AAAAC3Nza…"; or remove the key to use known_hosts'
)


def host_key(value: object) -> str:
    """Return `type base64` of a public key line; a comment behind it is dropped.

    The value is never quoted in an error: somebody may have pasted the private half.
    """
    if not isinstance(value, str):
        raise refusal("is no SSH host key", _WHY, _REMEDY)
    if "PRIVATE KEY" in value:
        raise refusal("is a private key", "It would be readable by all who read this.", _REMEDY)
    kind, _, rest = value.strip().partition(" ")
    if kind not in _TYPES:
        if any(f" {known} " in f" {value}" for known in _TYPES):
            what = "has something before the type of the key (a host name, as in known_hosts?)"
        elif re.match(r"(SHA256|MD5):", value):
            what = "is a fingerprint, not a key"
        else:
            what = f"is no SSH host key of a known type ({', '.join(_TYPES)})"
        raise refusal(what, _WHY, _REMEDY)
    text = rest.split(maxsplit=1)[0] if rest.split() else ""
    try:
        blob = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise refusal(f"has no valid base64 behind {kind}", _WHY, _REMEDY) from None
    if not _is_key(kind, blob):
        raise refusal(f"has base64 behind {kind} that is no such key", _WHY, _REMEDY)
    return f"{kind} {text}"


def _is_key(kind: str, blob: bytes) -> bool:
    """Return whether `blob` is a public key of that type (RFC 4253 6.6, RFC 5656 3.1, RFC 8709)."""
    fields = _fields(blob)
    if not fields or fields[0] != kind.encode():
        return False
    match fields[1:]:
        case [key] if kind == "ssh-ed25519":
            return len(key) == 32
        case [curve, point] if kind in _CURVES:
            return curve == _CURVES[kind] and len(point) == _POINTS[curve.decode()]
        case [exponent, modulus] if kind == "ssh-rsa":
            return len(exponent) > 0 and len(modulus) >= 128
    return False


def _fields(blob: bytes) -> list[bytes]:
    """Return the length-prefixed strings that make up `blob`, none where they do not."""
    fields = []
    while blob:
        end = 4 + int.from_bytes(blob[:4])
        if len(blob) < max(end, 4):
            return []
        fields.append(blob[4:end])
        blob = blob[end:]
    return fields
