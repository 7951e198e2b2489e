"""What must hold for a network's load balancer: names, certificates, and what may be a secret."""

import re
from collections.abc import Iterator, Mapping

from planner.config.edge_spec import AcmeSpec, DashboardSpec, LoadBalancerSpec
from planner.config.edge_values import why_no_hash
from planner.config.model import LOAD_BALANCER, Protocol, SecretRef
from planner.config.names import socket_bridge, socket_network, socket_proxy, volume_name
from planner.config.references import check_secret
from planner.config.report import Loc, Report
from planner.config.shape import HostDraft, NetworkDraft, StackDraft
from planner.config.spec import IngressSpec

ROUTING_LABEL = "lb.net"
"""The label by which a network's Traefik knows its containers; its value is the network's name."""

_RULE = re.compile(r"traefik\.http\.routers\.[^.]+\.rule", re.IGNORECASE)
_HOSTS = re.compile(r"\bHost\(([^()]*)\)")
_QUOTED = re.compile(r"[`\"']([^`\"']+)[`\"']")


def check_edges(draft: StackDraft, report: Report) -> None:
    """Report what is wrong with the load balancers of `draft`."""
    for host in draft.hosts:
        for network in host.networks:
            if network.spec.load_balancer is not None:
                _Edge(network, network.spec.load_balancer, draft, report).check()
        _check_host_names(host, report)
        _check_volumes(host, report)
        _check_sockets(host, report)


class _Edge:
    """One load balancer and what it is judged with."""

    def __init__(
        self, network: NetworkDraft, spec: LoadBalancerSpec, draft: StackDraft, report: Report
    ) -> None:
        self._network, self._spec, self._draft, self._report = network, spec, draft, report
        self._loc: Loc = (*network.loc, "load_balancer")

    def check(self) -> None:
        spec = self._spec
        if spec.acme is None:
            self._without_acme()
        else:
            self._certificates(spec.acme)
        if spec.dashboard is not None:
            self._dashboard(spec.dashboard)
        elif spec.domain is not None:
            what = f"is {spec.domain}, but there is no dashboard"
            why = "Nothing else of the load balancer's own would answer to that name."
            remedy = f"add dashboard: {DashboardSpec.example}, or remove domain"
            self._add(("domain",), what, why, remedy)
        if spec.http3:
            self._http3()

    def _add(self, inner: Loc, what: str, why: str, remedy: str) -> None:
        self._report.add((*self._loc, *inner), what, why, remedy)

    def _without_acme(self) -> None:
        needs = f"add acme: {AcmeSpec.example}"
        if self._spec.dashboard is not None:
            why = "The dashboard's password would cross the internet in clear."
            self._add(("dashboard",), "is there without acme", why, f"{needs}, or remove dashboard")
        if self._spec.http3:
            why = "HTTP/3 is always encrypted and needs a certificate (RFC 9114)."
            self._add(("http3",), "is on without acme", why, f"{needs}, or remove http3")

    def _certificates(self, acme: AcmeSpec) -> None:
        port = 443 if acme.challenge == "tls-alpn" else 80
        for number, kind in ((443, "https"), (80, "http")):
            if number not in (443, port) or self._forwarded("tcp", number) == LOAD_BALANCER:
                continue
            what = f"is there, but TCP port {number} is not forwarded to the load balancer"
            why = f"Nobody could reach it by {kind} from outside"
            why += "; the certificate authority least of all." if number == port else "."
            remedy = f"add {{ports: [80, 443], to: {LOAD_BALANCER}}} to ingress, or remove acme"
            self._add(("acme",), what, why, remedy)
            break
        if acme.ca_certificates is not None:
            text = self._secret(("acme", "ca_certificates"), acme.ca_certificates)
            if text is not None and "-----BEGIN CERTIFICATE-----" not in text:
                what = f"is the secret {acme.ca_certificates.secret}, which holds no certificate"
                why = f"Traefik would not know {acme.ca_server} by it."
                remedy = "put the PEM text of the CA, from its BEGIN to its END line, into it"
                self._add(("acme", "ca_certificates"), what, why, remedy)

    def _dashboard(self, dashboard: DashboardSpec) -> None:
        inner: Loc = ("dashboard", "password_hash")
        value = self._secret(inner, dashboard.password_hash)
        reason = why_no_hash(value) if value is not None else None
        if reason is not None:
            what = f"is the secret {dashboard.password_hash.secret}, whose value {reason}"
            why = "Traefik would let nobody in, or everybody wonder why."
            remedy = (
                "put what stands behind the colon in `htpasswd -nbB USER PASSWORD` into it: it"
                " begins with $2y$ (bcrypt), $apr1$ or {SHA}"
            )
            self._add(inner, what, why, remedy)
        if self._spec.host_name is None:
            why = "The dashboard is a page of its own host name."
            remedy = "add domain: lb.mail.example.com, with a name whose DNS leads to this network"
            self._add(("domain",), "is missing, and there is a dashboard", why, remedy)
        elif dashboard.domain and self._spec.domain and dashboard.domain != self._spec.domain:
            what = f"is {dashboard.domain}, and the load balancer's own is {self._spec.domain}"
            why = "The dashboard has one name."
            self._add(("dashboard", "domain"), what, why, "remove one of the two")

    def _http3(self) -> None:
        to = self._forwarded("udp", 443)
        if to not in (None, LOAD_BALANCER):
            what = f"is on, but UDP port 443 is forwarded to {to}"
            why = "HTTP/3 comes in there, and a port's traffic has one place to go."
            self._add(("http3",), what, why, "remove http3, or 443 from that ingress entry")

    def _forwarded(self, protocol: Protocol, port: int) -> str | None:
        """Return to whom a port of the public addresses goes."""
        for entry in self._network.ingress:
            if entry.protocol == protocol and _has(entry, port):
                return entry.to
        return None

    def _secret(self, inner: Loc, reference: SecretRef) -> str | None:
        """Return a secret's value; None, reported, where there is none."""
        names, loc = self._draft.secrets, (*self._loc, *inner)
        check_secret(reference, names, loc, "Traefik could not be started.", self._report)
        value = self._draft.secret_values.get(reference.secret)
        # As the stack's file has it (`secure: …`) it is not for us to open.
        return value if isinstance(value, str) else None


def _has(entry: IngressSpec, port: int) -> bool:
    if entry.ports == "all":
        return True
    return any(ports.first <= port <= ports.last for ports in entry.ports)


def _host_names(network: NetworkDraft) -> Iterator[tuple[Loc, str, str]]:
    """Yield each host name that the load balancer answers to: place, name, whose it is."""
    spec = network.spec
    if spec.load_balancer is None:
        return
    if spec.load_balancer.host_name is not None and spec.load_balancer.dashboard is not None:
        own = spec.load_balancer.dashboard.domain is not None
        inner: Loc = ("dashboard", "domain") if own else ("domain",)
        yield (
            (*network.loc, "load_balancer", *inner),
            spec.load_balancer.host_name,
            f"the dashboard of network {spec.name}",
        )
    if spec.whoami is not None:
        loc = (*network.loc, "whoami", "domain")
        yield loc, spec.whoami.domain, f"whoami of network {spec.name}"
    for place, container in enumerate(spec.containers):
        if container.labels.get(ROUTING_LABEL) != spec.name:
            continue
        for label, name in host_names_of(container.labels):
            loc = (*network.loc, "containers", place, "labels", label)
            yield loc, name, f"container {container.name}"


def host_names_of(labels: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the host names in the rules of Traefik's routers, each behind its label.

    A rule that says more than the host (a path, a header) may share its host with another.
    """
    for label, rule in sorted(labels.items()):
        found = _HOSTS.fullmatch(rule.strip()) if _RULE.fullmatch(label) else None
        for name in _QUOTED.findall(found[1]) if found is not None else ():
            yield label, name.lower()


def _check_host_names(host: HostDraft, report: Report) -> None:
    owners: dict[str, str] = {}
    for network in host.networks:
        for loc, name, owner in _host_names(network):
            other = owners.setdefault(name, owner)
            if other != owner:
                what = f"{name} is the host name of {other}, too"
                why = "A name leads to one service; which of the two would answer is chance."
                report.add(loc, what, why, "give each service a name of its own")


def _check_volumes(host: HostDraft, report: Report) -> None:
    owners: dict[str, str] = {}
    for network in host.networks:
        balancer = network.spec.load_balancer
        if balancer is None or balancer.acme is None:
            continue
        volume = balancer.acme.volume or volume_name(network.spec.name)
        other = owners.setdefault(volume, network.spec.name)
        if other != network.spec.name:
            what = f"{volume} is where network {other} keeps its certificates"
            why = "Two Traefiks that write one file lose each other's certificates."
            loc = (*network.loc, "load_balancer", "acme", "volume")
            report.add(loc, what, why, "give each network a volume of its own")


def _check_sockets(host: HostDraft, report: Report) -> None:
    """Refuse networks and containers whose names the proxies before Docker's socket have."""
    networks: dict[str, str] = {}
    bridges: dict[str, str] = {}
    proxies: dict[str, str] = {}
    for network in host.networks:
        balancer, name = network.spec.load_balancer, network.spec.name
        if balancer is None or balancer.docker_socket == "direct":
            continue
        networks[socket_network(name)] = name
        proxies[socket_proxy(name)] = name
        bridges[socket_bridge(network.bridge)] = name
    why = "Docker and the kernel know one thing by one name."
    for network in host.networks:
        for key, mine, taken in (
            ("name", network.spec.name, networks),
            ("bridge" if network.spec.bridge else "name", network.bridge, bridges),
        ):
            if mine in taken:
                what = f"{mine} is the network between {taken[mine]}'s load balancer and Docker"
                report.add((*network.loc, key), what, why, "choose another name")
                break
        for place, container in enumerate(network.spec.containers):
            if container.name in proxies:
                what = f"{container.name} is the socket proxy of network {proxies[container.name]}"
                loc = (*network.loc, "containers", place, "name")
                report.add(loc, what, why, "choose another name")
