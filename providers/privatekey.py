"""Private keys as text: of any kind and format, opened in memory and written nowhere."""

import base64
import io

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

_OPENSSH = "-----BEGIN OPENSSH PRIVATE KEY-----"
_MAGIC = b"openssh-key-v1\0"

_KINDS: tuple[tuple[type, type[paramiko.PKey]], ...] = (
    (ed25519.Ed25519PrivateKey, paramiko.Ed25519Key),
    (rsa.RSAPrivateKey, paramiko.RSAKey),
    (ec.EllipticCurvePrivateKey, paramiko.ECDSAKey),
)

_Key = ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class KeyUnusableError(ValueError):
    """Says why a text is no key that could be used: never with a part of the text."""


def private_key(text: str, passphrase: str | None) -> paramiko.PKey:
    """Return the key that logs in. Raises KeyUnusableError."""
    key = _opened(text, passphrase)
    kind = next(ours for theirs, ours in _KINDS if isinstance(key, theirs))
    return kind.from_private_key(io.StringIO(_openssh(key)))


def opened(text: str, passphrase: str | None) -> str:
    """Return the key in OpenSSH's format and without its passphrase. Raises KeyUnusableError."""
    return _openssh(_opened(text, passphrase))


def _openssh(key: _Key) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    ).decode()


def _opened(text: str, passphrase: str | None) -> _Key:
    # As configuration has it: without the last newline, or with the other system's newlines.
    text = "\n".join(text.strip().splitlines()) + "\n"
    locked = _locked(text)
    if locked and not passphrase:
        raise KeyUnusableError("needs a passphrase")
    load = serialization.load_pem_private_key
    if text.startswith(_OPENSSH):
        load = serialization.load_ssh_private_key
    try:
        key = load(text.encode(), passphrase.encode() if locked and passphrase else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # What the library says is not passed on: it is not ours to know that no text is in it.
        why = "is not opened by its passphrase" if locked else "is no private key"
        raise KeyUnusableError(why) from None
    if not isinstance(key, _Key):
        raise KeyUnusableError("is a key of a kind that SSH servers do not take")
    return key


def _locked(text: str) -> bool:
    """Return whether a passphrase is needed, by the key's own header."""
    if not text.startswith(_OPENSSH):
        return text.startswith("-----BEGIN ENCRYPTED") or "\nProc-Type: 4,ENCRYPTED\n" in text
    try:
        content = base64.b64decode("".join(text.splitlines()[1:-1]))
    except ValueError:
        return False
    # PROTOCOL.key of OpenSSH: the magic, then the cipher's name behind its length.
    return content.startswith(_MAGIC) and not content[len(_MAGIC) + 4 :].startswith(b"none\0")
