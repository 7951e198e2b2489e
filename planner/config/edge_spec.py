"""What the operator may write about a load balancer."""

from planner.config.edge_values import (
    LETS_ENCRYPT,
    AcmeUrl,
    Certificates,
    ChallengeWord,
    DashboardUser,
    Email,
    PasswordHash,
    SocketWord,
    TrustedRanges,
    VolumeName,
)
from planner.config.ip import AddressV4, AddressV6
from planner.config.model import Address, Version
from planner.config.refusal import refusal
from planner.config.report import show
from planner.config.scalars import Domain, Flag, ImageRef
from planner.config.spec_base import Spec, key


class AcmeSpec(Spec):
    """`acme` of a load balancer."""

    example = "{email: bob@example.com}"

    email: Email = key("bob@example.com", "The certificate authority wants an address to write to.")
    ca_server: AcmeUrl = key(LETS_ENCRYPT, "Certificates are asked for there.", LETS_ENCRYPT)
    ca_certificates: Certificates | None = key(
        "{secret: ca}", "A CA server of your own is known by it.", None
    )
    challenge: ChallengeWord = key(
        "http", "By it the authority sees that the name is yours.", "tls-alpn"
    )
    volume: VolumeName | None = key("mail_letsencrypt", "Certificates are kept there.", None)
    keep_volume: Flag = key("true", "It leaves the certificates when the network goes.", False)


class DashboardSpec(Spec):
    """`dashboard` of a load balancer."""

    example = "{user: bob, password_hash: {secret: dashboard}}"

    domain: Domain | None = key("lb.mail.example.com", "The dashboard has this name.", None)
    user: DashboardUser = key("bob", "The dashboard shows all of the network's routes.")
    password_hash: PasswordHash = key(
        "{secret: dashboard}", "Nobody should see the dashboard without a password."
    )


class LoadBalancerSpec(Spec):
    """`load_balancer` of a network."""

    example = "{ipv4: 172.20.0.254}"

    ipv4: AddressV4 | None = key("172.20.0.254", "Ingress goes to this address.", None)
    ipv6: AddressV6 | None = key('"fd5c:1b2a:77f0:1::fffe"', "Ingress goes to this address.", None)
    image: ImageRef | None = key("traefik:v3.7", "It is run as the load balancer.", None)
    domain: Domain | None = key("lb.mail.example.com", "The dashboard is reached by it.", None)
    acme: AcmeSpec | None = key(AcmeSpec.example, "With it all is answered over https.", None)
    dashboard: DashboardSpec | None = key(
        DashboardSpec.example, "Traefik shows there what it does.", None
    )
    http3: Flag = key("true", "HTTP/3 is HTTP over UDP.", False)
    trusted_ips: TrustedRanges | None = key(
        '["172.20.0.0/24"]', "Whose X-Forwarded-For is believed.", None
    )
    docker_socket: SocketWord = key("proxy", "Traefik reads there what runs.", "proxy")

    def of(self, version: Version) -> Address | None:
        """Return the address of that family."""
        return self.ipv4 if version == 4 else self.ipv6

    @property
    def host_name(self) -> str | None:
        """The dashboard's name, None where there is no dashboard or it has none."""
        return None if self.dashboard is None else self.dashboard.domain or self.domain


def on_off(value: object) -> object:
    """Turn false into None (off) and true into the defaults."""
    if isinstance(value, bool):
        return {} if value else None
    if not isinstance(value, dict):
        what = f"is {show(value)}, neither false nor a mapping"
        why = "The load balancer is on unless it is turned off."
        remedy = "write false to have none, or {ipv4: …, ipv6: …, image: …}, or remove the key"
        raise refusal(what, why, remedy)
    return value
