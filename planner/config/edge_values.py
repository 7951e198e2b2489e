"""Types for the single values of a load balancer: what Traefik and its certificates need."""

import re
from typing import Annotated

from pydantic import PlainValidator

from planner.config.ip import source_range
from planner.config.model import Challenge, DockerSocket, SecretRef, Subnet
from planner.config.refusal import matching, one_of, refusal
from planner.config.report import show
from planner.config.scalars import DNS, secret_reference

_LOCAL_PART = r"[A-Za-z0-9!#$%&'*+/=?^_{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_{|}~-]+)*"
"""A mail address before its @, without quotes and without ` (RFC 5321: Dot-string)."""

_URL = re.compile(
    rf"https://(?:{DNS}|\[[0-9A-Fa-f:.]+\])(?::[0-9]{{1,5}})?(?:/[A-Za-z0-9._~=%-]*)*"
)

_HASHES = (
    # crypt(5) and htpasswd(1): what Traefik's basic auth compares with.
    re.compile(r"\$2[aby]\$(?:0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}"),
    re.compile(r"\$apr1\$[./A-Za-z0-9]{1,8}\$[./A-Za-z0-9]{22}"),
    re.compile(r"\{SHA\}[A-Za-z0-9+/]{27}="),
)


def why_no_hash(value: str) -> str | None:
    """Return what is wrong with a password's hash, None for a good one. Never quotes it."""
    if any(pattern.fullmatch(value) for pattern in _HASHES):
        return None
    _, colon, rest = value.partition(":")
    if colon and any(pattern.fullmatch(rest.strip()) for pattern in _HASHES):
        return "begins with a user's name, as a whole line of htpasswd does"
    if any(pattern.fullmatch(value.strip()) for pattern in _HASHES):
        return "has a space or a line break at its end or beginning"
    if any(pattern.fullmatch(value.replace("$$", "$")) for pattern in _HASHES):
        return "has each $ doubled, as Docker Compose wants it and nobody else"
    return "is none of the hashes that Traefik knows"


def _ca_server(value: object) -> str:
    if isinstance(value, str) and len(value) <= 300 and _URL.fullmatch(value):
        return value
    why = "Certificates are asked for there (RFC 8555), and ACME is spoken over https alone."
    remedy = f"write the directory's address, like {LETS_ENCRYPT}, or remove the key to get that"
    raise refusal(f"is {show(value)}, no https:// address", why, remedy)


def _trusted(value: object) -> tuple[Subnet, ...]:
    if not isinstance(value, list | tuple):
        remedy = 'write a list like ["172.20.0.0/24"], or [] to trust nobody'
        raise refusal(f"is {show(value)}, not a list of ranges", "", remedy)
    return tuple(dict.fromkeys(source_range(item) for item in value))


def _password_hash(value: object) -> SecretRef:
    # The value is never quoted: somebody may have written the hash itself.
    return secret_reference(
        value,
        "A hash can be guessed at by whoever reads it, and this file is read by many.",
        "write {secret: NAME} and put what `htpasswd -nbB USER PASSWORD` prints behind the colon"
        " into wanbound:secrets",
    )


def _certificates(value: object) -> SecretRef:
    return secret_reference(
        value,
        "A certificate has many lines, and a value here has one.",
        "write {secret: NAME} and put the PEM text into wanbound:secrets:"
        " pulumi config set --secret --path wanbound:secrets.NAME <ca.pem",
    )


LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
"""The directory of Let's Encrypt (letsencrypt.org/docs/acme-protocol-updates)."""

Email = Annotated[
    str,
    PlainValidator(
        matching(
            rf"{_LOCAL_PART}@{DNS}",
            "a mail address",
            "The certificate authority writes there when something is wrong with a certificate.",
            "bob@example.com",
            254,
        )
    ),
]
AcmeUrl = Annotated[str, PlainValidator(_ca_server)]
ChallengeWord = Annotated[Challenge, PlainValidator(one_of("tls-alpn", "http"))]
SocketWord = Annotated[DockerSocket, PlainValidator(one_of("proxy", "direct"))]
TrustedRanges = Annotated[tuple[Subnet, ...], PlainValidator(_trusted)]
DashboardUser = Annotated[
    str,
    PlainValidator(
        matching(
            "[A-Za-z0-9._@+-]+",
            "a user name (letters, digits, . _ @ + -)",
            "The dashboard asks for it; a : would end it.",
            "bob",
            64,
        )
    ),
]
PasswordHash = Annotated[SecretRef, PlainValidator(_password_hash)]
Certificates = Annotated[SecretRef, PlainValidator(_certificates)]
VolumeName = Annotated[
    str,
    PlainValidator(
        matching(
            "[A-Za-z0-9][A-Za-z0-9_.-]+",
            "a volume's name (two characters or more: letters, digits, _, . and -)",
            "Docker refuses other names.",
            "mail_letsencrypt",
            200,
        )
    ),
]
