"""A network's load balancer (Traefik), its access to Docker, and whoami behind it.

Flags and labels are those of Traefik 3 (doc.traefik.io/traefik/reference). docs/edge.md explains
the reasons for them.
"""

from planner.addresses import gateway
from planner.config import Acme, LoadBalancer, Network, Volume, Whoami
from planner.config.names import ROUTING_LABEL, socket_bridge, socket_network
from planner.docker import (
    OPTION,
    ContainerPlan,
    DockerNetwork,
    HealthCheck,
    Ipam,
    SocketPlan,
    Upload,
    VolumePlan,
)

RESOLVER = "lec"
"""What the certificate resolver is called, as in the recipe; labels refer to it."""

SOCKET = "/var/run/docker.sock"
SOCKET_PORT = 2375
"""Where the socket proxy listens; Docker's own port for plain HTTP."""

_STORAGE = "/letsencrypt"
_USERS = "/etc/traefik/dashboard.users"
_CA = "/etc/traefik/acme-ca.pem"
_PROXY_CONFIG = "/usr/local/etc/haproxy/haproxy.cfg"
# Loopback: only the container's own health check connects to it.
_PING = (
    "--ping=true",
    "--ping.entrypoint=ping",
    "--entrypoints.ping.address=127.0.0.1:8082",
)


def load_balancer(network: Network, balancer: LoadBalancer) -> ContainerPlan:
    """Return the network's Traefik."""
    subnet = balancer.socket_subnet
    volumes: tuple[Volume, ...] = ()
    if subnet is None:
        volumes += (Volume(source=SOCKET, target=SOCKET, read_only=True),)
    if balancer.acme is not None:
        volumes += (Volume(balancer.acme.volume, _STORAGE, read_only=False),)
    return ContainerPlan(
        role="load_balancer",
        name=balancer.name,
        image=balancer.image,
        command=_command(network, balancer),
        labels=_dashboard_labels(network, balancer),
        environment={},
        volumes=volumes,
        ipv4=_text(network.ipv4.load_balancer if network.ipv4 else None),
        ipv6=_text(network.ipv6.load_balancer if network.ipv6 else None),
        restart="unless-stopped",
        # After the gateway, which Docker also gives to an internal network, and the proxy.
        socket_ipv4=None if subnet is None else str(subnet.network_address + 3),
        uploads=_uploads(balancer),
        health=_health() if balancer.acme is not None else None,
        # Without CAP_NET_RAW, no process in it can forge packets on either of its networks.
        capabilities=("CAP_NET_BIND_SERVICE",),
    )


def socket(network: Network) -> SocketPlan | None:
    """Return the load balancer's socket proxy; None where it mounts the socket, or is off."""
    balancer = network.load_balancer
    if balancer is None or balancer.socket_image is None or balancer.socket_subnet is None:
        return None
    subnet = balancer.socket_subnet
    return SocketPlan(
        docker=DockerNetwork(
            name=socket_network(network.name),
            ipv6=False,
            ipam=(Ipam(str(subnet), str(gateway(subnet))),),
            options={f"{OPTION}.bridge.name": socket_bridge(network.bridge)},
            internal=True,
        ),
        proxy=ContainerPlan(
            role="socket_proxy",
            name=balancer.socket_name,
            image=balancer.socket_image,
            # -W -db is what the official image's own entry point would add.
            command=("haproxy", "-W", "-db", "-f", _PROXY_CONFIG),
            labels={},
            environment={},
            # Read-only protects the file and not the requests through it: the proxy filters those.
            volumes=(Volume(source=SOCKET, target=SOCKET, read_only=True),),
            ipv4=None,
            ipv6=None,
            restart="unless-stopped",
            socket_ipv4=_proxy_address(balancer),
            uploads=(Upload(_PROXY_CONFIG, (socket_rules(network.name),)),),
            capabilities=(),
            # The socket belongs to root and the group docker, whose number differs between hosts.
            # Root without any capability has only the rights of the socket's owner.
            user="0:0",
        ),
    )


def volumes(network: Network) -> tuple[VolumePlan, ...]:
    """Return the volumes in which the network's own containers keep data that must survive."""
    balancer = network.load_balancer
    if balancer is None or balancer.acme is None:
        return ()
    return (VolumePlan(balancer.acme.volume, balancer.acme.keep_volume),)


def socket_rules(network: str) -> str:
    """Return HAProxy's configuration: it passes the five requests that Traefik makes to Docker.

    Lists and events are always filtered by the network's own label, regardless of the request
    (Engine API, ContainerList and SystemEvents: `filters`). Inspecting a container needs its id,
    which has 256 random bits; names are refused. So only listed containers can be inspected.
    """
    label = f"{ROUTING_LABEL}={network}"
    listed = _encoded(f'{{"label":["{label}"]}}')
    events = _encoded(f'{{"label":["{label}"],"type":["container"]}}')
    return f"""\
# What Traefik of the network {network} may read of Docker. Everything else is refused.
global
    log stdout format raw local0 notice
    maxconn 32
    hard-stop-after 1s

defaults
    mode http
    log global
    timeout connect 5s
    timeout client 1h
    timeout server 1h

frontend docker
    bind :{SOCKET_PORT}
    acl reads method GET HEAD
    acl hello path -m reg ^(/v1[.][0-9]+)?/(_ping|version)$
    acl lists path -m reg ^(/v1[.][0-9]+)?/containers/json$
    acl watches path -m reg ^(/v1[.][0-9]+)?/events$
    acl inspects path -m reg ^(/v1[.][0-9]+)?/containers/[0-9a-f]{{64}}/json$
    http-request deny deny_status 403 unless reads
    http-request deny deny_status 403 unless hello or lists or watches or inspects
    http-request set-query filters={listed} if lists
    http-request set-query filters={events} if watches
    http-request set-query size=0 if inspects
    default_backend engine

backend engine
    server engine unix@{SOCKET}
"""


def _encoded(text: str) -> str:
    """Return JSON encoded for a query (RFC 3986; names of networks need nothing more).

    Each % is doubled: HAProxy reads the value as a format, in which one % begins a variable.
    """
    for character in '{}[]":,=':
        text = text.replace(character, f"%%{ord(character):02X}")
    return text


def whoami(network: Network, page: Whoami, echoes: dict[str, str]) -> ContainerPlan:
    """Return the network's whoami, at its domain; `echoes` are its settings for IP-echo."""
    balancer = network.load_balancer
    router = f"traefik.http.routers.{page.name}"
    secure = balancer is not None and balancer.acme is not None
    return ContainerPlan(
        role="whoami",
        name=page.name,
        image=page.image,
        command=(),
        labels={
            ROUTING_LABEL: network.name,
            f"{router}.rule": f"Host(`{page.domain}`)",
            **(_secure(router) if secure else {f"{router}.entrypoints": "web"}),
            f"traefik.http.services.{page.name}.loadbalancer.server.port": "80",
        },
        environment=echoes,
        volumes=(),
        ipv4=None,
        ipv6=None,
        restart="unless-stopped",
    )


def _secure(router: str) -> dict[str, str]:
    return {f"{router}.entrypoints": "websecure", f"{router}.tls.certresolver": RESOLVER}


def _command(network: Network, balancer: LoadBalancer) -> tuple[str, ...]:
    name = network.name
    endpoint: tuple[str, ...] = ()
    if balancer.socket_subnet is not None:
        endpoint = (f"--providers.docker.endpoint=tcp://{_proxy_address(balancer)}:{SOCKET_PORT}",)
    return (
        "--global.checknewversion=false",
        "--global.sendanonymoususage=false",
        "--entrypoints.web.address=:80",
        *_trusted(balancer, "web"),
        *(() if balancer.acme is None else _https(balancer, balancer.acme)),
        "--providers.docker=true",
        *endpoint,
        f"--providers.docker.constraints=Label(`{ROUTING_LABEL}`,`{name}`)",
        f"--providers.docker.network={name}",
        *(() if balancer.dashboard is None else ("--api=true",)),
    )


def _https(balancer: LoadBalancer, acme: Acme) -> tuple[str, ...]:
    resolver = f"--certificatesresolvers.{RESOLVER}.acme"
    redirections = "--entrypoints.web.http.redirections.entrypoint"
    challenge = f"{resolver}.tlschallenge=true"
    if acme.challenge == "http":
        challenge = f"{resolver}.httpchallenge.entrypoint=web"
    private = () if acme.ca_certificates is None else (f"{resolver}.cacertificates={_CA}",)
    return (
        f"{redirections}.to=websecure",
        f"{redirections}.scheme=https",
        f"{redirections}.permanent=true",
        "--entrypoints.websecure.address=:443",
        *(("--entrypoints.websecure.http3=true",) if balancer.http3 else ()),
        *_trusted(balancer, "websecure"),
        f"{resolver}.email={acme.email}",
        f"{resolver}.caserver={acme.ca_server}",
        f"{resolver}.storage={_STORAGE}/acme.json",
        challenge,
        *private,
        *_PING,
    )


def _trusted(balancer: LoadBalancer, entry: str) -> tuple[str, ...]:
    if not balancer.trusted_ips:
        return ()
    ranges = ",".join(map(str, balancer.trusted_ips))
    return (f"--entrypoints.{entry}.forwardedheaders.trustedips={ranges}",)


def _dashboard_labels(network: Network, balancer: LoadBalancer) -> dict[str, str]:
    dashboard = balancer.dashboard
    if dashboard is None:
        return {}
    router, guard = "traefik.http.routers.dashboard", "dashboard-auth"
    return {
        ROUTING_LABEL: network.name,
        f"{router}.rule": f"Host(`{dashboard.domain}`)",
        f"{router}.service": "api@internal",
        **_secure(router),
        f"{router}.middlewares": guard,
        # A file and not the label `users`: everyone with access to Docker can read labels.
        f"traefik.http.middlewares.{guard}.basicauth.usersfile": _USERS,
    }


def _uploads(balancer: LoadBalancer) -> tuple[Upload, ...]:
    found = []
    if balancer.dashboard is not None:
        dashboard = balancer.dashboard
        found.append(Upload(_USERS, (f"{dashboard.user}:", dashboard.password_hash, "\n")))
    if balancer.acme is not None and balancer.acme.ca_certificates is not None:
        found.append(Upload(_CA, (balancer.acme.ca_certificates,)))
    return tuple(found)


def _health() -> HealthCheck:
    return HealthCheck(
        test=("CMD", "traefik", "healthcheck", *_PING),
        interval="10s",
        timeout="5s",
        retries=3,
        start_period="30s",
    )


def _proxy_address(balancer: LoadBalancer) -> str:
    subnet = balancer.socket_subnet
    return "" if subnet is None else str(subnet.network_address + 2)


def _text(address: object) -> str | None:
    return None if address is None else str(address)
