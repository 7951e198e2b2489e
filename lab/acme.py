"""The internet's certificate authority: pebble, the small ACME server of Let's Encrypt's makers.

It validates for real: it asks the lab's DNS for a name and connects to port 443 (TLS-ALPN-01) or 80
(HTTP-01) of the public address in the answer, by IPv6 first where there is one, as Go does.

There are two authorities. `root` is pebble's own, created at each start; it signs the certificates
of the load balancers. `server_ca` only certifies pebble's own address. Like the hosts' SSH keys it
is derived from a constant, so that a stack file can contain it.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab import processes
from lab.errors import LabError
from lab.namespace import inside
from lab.settings import ACME_IPV4, ACME_NAME, NAMES_IPV4, Settings
from lab.steps import output, step, wait_until

DIRECTORY = f"https://{ACME_NAME}:14000/dir"
_MANAGEMENT = f"https://{ACME_NAME}:15000"
_BEGIN = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
_END = datetime.datetime(2120, 1, 1, tzinfo=datetime.UTC)


def _key(what: str) -> Ed25519PrivateKey:
    seed = hashlib.sha256(f"wanbound lab {what}".encode()).digest()
    return Ed25519PrivateKey.from_private_bytes(seed)


def _certificate(subject: str, *, server: bool) -> x509.Certificate:
    """Return the same bytes each time: Ed25519 signs without randomness (RFC 8032)."""
    authority = _key("certificate authority")
    key = _key("certificate of the ACME server") if server else authority
    names = [
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        for name in (subject, "wanbound lab CA")
    ]
    builder = (
        x509.CertificateBuilder()
        .subject_name(names[0])
        .issuer_name(names[1])
        .public_key(key.public_key())
        .serial_number(2 if server else 1)
        .not_valid_before(_BEGIN)
        .not_valid_after(_END)
        .add_extension(x509.BasicConstraints(ca=not server, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()),
            critical=False,
        )
    )
    if server:
        alternative = x509.SubjectAlternativeName([x509.DNSName(subject)])
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        builder = builder.add_extension(alternative, critical=False)
        builder = builder.add_extension(usage, critical=False)
    return builder.sign(authority, None)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def server_ca() -> str:
    """Return the certificate authority of pebble's own address, as PEM text."""
    return _pem(_certificate("wanbound lab CA", server=False))


def server_certificate() -> x509.Certificate:
    """Return pebble's certificate for its own address."""
    return _certificate(ACME_NAME, server=True)


def start(lab: Settings) -> None:
    """Start pebble in the internet, unless it runs, and wait until it answers."""
    if processes.find(lab, "pebble"):
        return
    folder = lab.state / "acme"
    folder.mkdir(parents=True, exist_ok=True)
    server = _key("certificate of the ACME server")
    pem = server.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    (folder / "server.key").write_text(pem)
    (folder / "server.pem").write_text(_pem(server_certificate()))
    (folder / "ca.pem").write_text(server_ca())
    root(lab).unlink(missing_ok=True)
    config = folder / "pebble.json"
    settings = {
        "listenAddress": ":14000",
        "managementListenAddress": ":15000",
        "certificate": str(folder / "server.pem"),
        "privateKey": str(folder / "server.key"),
        "httpPort": 80,
        "tlsPort": 443,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": False,
        "retryAfter": {"authz": 1, "order": 1},
    }
    config.write_text(json.dumps({"pebble": settings}, indent=2) + "\n")
    log = lab.logs / "pebble.log"
    with step("starting the certificate authority", log):
        words: list[str | Path] = ["pebble", "-config", config, "-dnsserver", f"{NAMES_IPV4}:53"]
        # By default it waits up to 15 s before each validation, and skips half of those for names
        # that it has validated before (its README).
        environment = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_AUTHZREUSE": "0"}
        # Two new orders at once can deadlock: one iterates over all authorizations while it holds
        # the store, the other the reverse. With one processor an order is not interrupted there.
        # (2.4.0 stopped after 405 orders of 12 clients; with this it took 8748 in the same 20 s.)
        environment["GOMAXPROCS"] = "1"
        processes.spawn(lab, "pebble", inside(lab, words), log=log, env=environment)
        wait_until("the certificate authority", lambda: _root(lab), timeout=60, every=0.1)


def root(lab: Settings) -> Path:
    """Return the file with the root of pebble's certificates."""
    return lab.state / "acme" / "root.pem"


def _root(lab: Settings) -> bool:
    words = ["curl", "-sf", "-m", "10", "--noproxy", "*"]
    words += ["--cacert", str(lab.state / "acme" / "ca.pem")]
    words += ["--resolve", f"{ACME_NAME}:15000:{ACME_IPV4}", f"{_MANAGEMENT}/roots/0"]
    try:
        text = output(inside(lab, words))
    except LabError:
        return False
    root(lab).write_text(text)
    return True
