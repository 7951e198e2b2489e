"""Single invalid values: each gives one error that names its key and the remedy."""

import pytest

from tests.planner.samples import ABSENT, HOST, MAIL, WEB, only_problem, problems

_TURN = f"{MAIL}.containers.0"
_WEB_KEY = "wanbound:hosts[0].networks[0]"
_TURN_KEY = "wanbound:hosts[0].networks[1].containers[0]"
_INGRESS = f"{WEB}.ingress"

# Path of the value, the value, words of what is wrong, words of the remedy.
_CASES: list[tuple[str, object, str, str]] = [
    # addresses
    (f"{WEB}.public_ipv4", "203.0.113.256", "not an IPv4 address", "203.0.113.10"),
    (f"{WEB}.public_ipv4", "203.0.113.010", "not an IPv4 address", "203.0.113.10"),
    (f"{WEB}.public_ipv4", "203.0.113.10/32", "prefix length", "write 203.0.113.10 alone"),
    (f"{WEB}.public_ipv4", 3405803786, "is 3405803786", "203.0.113.10"),
    (f"{WEB}.public_ipv4", "", "not an IPv4 address", "203.0.113.10"),
    (f"{WEB}.public_ipv4", "2001:db8::1", "is IPv6, not IPv4", "public_ipv6"),
    (f"{WEB}.public_ipv4", "224.0.0.5", "multicast", "your provider"),
    (f"{WEB}.public_ipv4", "127.0.0.1", "loopback", "your provider"),
    (f"{WEB}.public_ipv4", "0.0.0.0", "unspecified", "your provider"),
    (f"{WEB}.public_ipv4", "169.254.1.1", "link-local", "your provider"),
    (f"{WEB}.public_ipv4", "0.1.2.3", "reserved", "your provider"),
    (f"{WEB}.public_ipv4", "255.255.255.255", "reserved", "your provider"),
    (f"{WEB}.public_ipv6", "2001:db8::g", "not an IPv6 address", '"2001:db8::10"'),
    (f"{WEB}.public_ipv6", "203.0.113.11", "is IPv4, not IPv6", "public_ipv4"),
    (f"{WEB}.public_ipv6", "::ffff:203.0.113.11", "IPv4-mapped", "203.0.113.11 as public_ipv4"),
    (f"{WEB}.public_ipv4", "::ffff:203.0.113.11", "IPv4-mapped", "203.0.113.11 as public_ipv4"),
    (f"{WEB}.public_ipv6", "ff02::1", "multicast", "your provider"),
    (f"{WEB}.public_ipv6", "fe80::1", "link-local", "your provider"),
    (f"{WEB}.public_ipv6", "fe80::1%wan0;reboot", "zone", '"2001:db8::10"'),
    (f"{WEB}.public_ipv6", "::1", "loopback", "your provider"),
    (f"{WEB}.public_ipv6", "::", "unspecified", "your provider"),
    # subnets
    (f"{WEB}.subnet_ipv4", "172.20.1.1/24", "host bits", "write 172.20.1.0/24"),
    (f"{WEB}.subnet_ipv6", "fd5c:1b2a:77f0:1::1/64", "host bits", "write fd5c:1b2a:77f0:1::/64"),
    (f"{WEB}.subnet_ipv4", "172.20.1.0", "no prefix length", "172.20.0.0/24"),
    (f"{WEB}.subnet_ipv4", "172.20.1.0/255.255.255.0", "not an IPv4 subnet", "172.20.0.0/24"),
    (f"{WEB}.subnet_ipv4", "172.20.1.0/33", "prefix length", "172.20.0.0/24"),
    (f"{WEB}.subnet_ipv4", "172.20.1.0/31", "too small", "172.20.0.0/24"),
    (f"{WEB}.subnet_ipv6", "fd5c::/127", "too small", "fd5c:1b2a:77f0:1::/64"),
    (f"{WEB}.subnet_ipv4", "fd5c::/64", "is IPv6, not IPv4", "subnet_ipv6"),
    (f"{WEB}.subnet_ipv4", "169.254.0.0/16", "cannot be a subnet", "172.20.0.0/24"),
    (f"{WEB}.subnet_ipv4", "0.0.0.0/0", "cannot be a subnet", "172.20.0.0/24"),
    (f"{WEB}.subnet_ipv6", "fe80::/64", "cannot be a subnet", "fd5c:1b2a:77f0:1::/64"),
    (f"{WEB}.subnet_ipv6", "ff00:10:10::/48", "cannot be a subnet", "fd5c:1b2a:77f0:1::/64"),
    (f"{WEB}.subnet_ipv4", "172.10.0.0/24", "not private", "172.16.0.0/12"),
    (f"{WEB}.subnet_ipv4", "172.32.0.0/24", "not private", "172.16.0.0/12"),
    (f"{WEB}.subnet_ipv4", "172.16.0.0/11", "host bits", "write 172.0.0.0/11"),
    (f"{WEB}.subnet_ipv4", "100.64.0.0/24", "not private", "allow_public_subnet"),
    (f"{WEB}.subnet_ipv6", "fc00:10:10::/96", "not for local use", "like fd00:10:10::/96"),
    (f"{WEB}.subnet_ipv6", "2001:db8:1::/64", "not private", "allow_public_subnet"),
    ("ipv4_pool", "10.200.0.0/25", "too small", "172.20.0.0/24"),
    ("ipv4_pool", "172.10.0.0/16", "not private", "10.128.0.0/9"),
    # names
    (f"{WEB}.name", "", "is empty", "1 to 15"),
    (f"{WEB}.name", "a" * 16, "16 characters", "1 to 15"),
    (f"{WEB}.name", "we/b", 'has "/"', "1 to 15"),
    (f"{WEB}.name", "we:b", 'has ":"', "1 to 15"),
    (f"{WEB}.name", "we b", 'has " "', "1 to 15"),
    (f"{WEB}.name", "wéb", "has ", "1 to 15"),
    (f"{WEB}.name", ".", 'begins with "."', "1 to 15"),
    (f"{WEB}.name", "..", 'begins with "."', "1 to 15"),
    (f"{WEB}.name", "-web", 'begins with "-"', "1 to 15"),
    (f"{WEB}.name", "web+", 'has "+"', "1 to 15"),
    (f"{WEB}.name", "bridge", "reserved", "choose another name"),
    (f"{WEB}.name", True, "is true", "put it in quotes"),
    (f"{WEB}.bridge", "", "is empty", "1 to 15"),
    (f"{WEB}.bridge", "b" * 16, "16 characters", "1 to 15"),
    (f"{WEB}.bridge", "br%d", 'has "%"', "1 to 15"),
    (f"{WEB}.bridge", "br;reboot", 'has ";"', "1 to 15"),
    (f"{WEB}.bridge", "docker0", "reserved", "choose another name"),
    (f"{WEB}.bridge", "lo", "reserved", "choose another name"),
    (f"{WEB}.bridge", "all", "reserved", "choose another name"),
    (f"{HOST}.wan.interface", "", "is empty", "like eth0"),
    (f"{HOST}.wan.interface", "eth0 ", 'has " "', "like eth0"),
    (f"{HOST}.wan.interface", "lo", "reserved", "like eth0"),
    (f"{HOST}.name", "Edge_1", "not a host name", "like edge-1"),
    (f"{HOST}.name", "e" * 64, "64 characters", "at most 63"),
    # ssh
    (f"{HOST}.ssh.address", "300.1.2.3", "not an address, a DNS name", "192.0.2.10"),
    (f"{HOST}.ssh.address", "-oProxyCommand=reboot", "not an address", "192.0.2.10"),
    ("echo", {"ipv4": "http://198.51.100.1:99999/"}, "the port 99999", "http://198.51.100.1/"),
    ("echo", {"ipv4": "http://198.51.100.1:0/"}, "the port 0", "http://198.51.100.1/"),
    ("echo", {"ipv4": "http://127.0.0.1/"}, "is a loopback address", "http://198.51.100.1/"),
    ("echo", {"ipv6": "http://[::1]/"}, "is a loopback address", "ffff::1"),
    ("echo", {"ipv4": "http://localhost/"}, "the container itself", "http://198.51.100.1/"),
    (f"{_TURN}.volumes", ["data:/x/"], "has a target that ends in /", "remove the /"),
    (f"{HOST}.ssh.address", "a..b", "not an address", "192.0.2.10"),
    (f"{HOST}.ssh.address", "edge*", "not an address", "192.0.2.10"),
    (f"{HOST}.ssh.address", "fe80::1%eth0", "zone", "192.0.2.10"),
    (f"{HOST}.ssh.address", "0.0.0.0", "unspecified", "192.0.2.10"),
    (f"{HOST}.ssh.address", "a" * 300, "300 characters", "192.0.2.10"),
    (f"{HOST}.ssh.port", 0, "not a port", "1 to 65535"),
    (f"{HOST}.ssh.port", 65536, "not a port", "1 to 65535"),
    (f"{HOST}.ssh.port", "ssh", "not a port", "1 to 65535"),
    (f"{HOST}.ssh.port", True, "not a port", "1 to 65535"),
    (f"{HOST}.ssh.user", "root -oX", "not a user name", "like root"),
    # ports
    (_INGRESS, [{"ports": [0]}], "outside 1 to 65535", "1000-1010"),
    (_INGRESS, [{"ports": ["1-65536"]}], "outside 1 to 65535", "1000-1010"),
    (_INGRESS, [{"ports": ["1010-1000"]}], "ends before", '"1000-1010"'),
    (_INGRESS, [{"ports": ["http"]}], "not a port", "1000-1010"),
    (_INGRESS, [{"ports": [True]}], "not a port", "1000-1010"),
    (_INGRESS, [{"ports": "25,465"}], "not a port", "1000-1010"),
    (_INGRESS, [{"ports": []}], "lists no port", "remove this ingress entry"),
    (_INGRESS, [{"ports": [25], "to": {}}], "has no address", "write {ipv4: 172.20.0.25"),
    (_INGRESS, [{"ports": [25], "to": {"ip": "1.2.3.4"}}], 'has the key "ip"', "write {ipv4:"),
    (_INGRESS, [{"ports": [25], "to": {"ipv4": "::1"}}], '"::1" is IPv6, not IPv4', "as ipv6"),
    (_INGRESS, [{"ports": [25], "to": ["turn"]}], "is a list, not load_balancer", "write load_b"),
    (_INGRESS, [{"ports": "all", "protocol": "sctp"}], "not one of tcp or udp", "tcp or udp"),
    (_INGRESS, [{"ports": "all", "to": "lb;x"}], "name of a container", "load_balancer"),
    # containers
    (f"{_TURN}.name", "t", "not a container name", "like turn"),
    (f"{_TURN}.name", "turn server", "not a container name", "like turn"),
    (f"{_TURN}.image", "Example/Turn", "not an image reference", "lower case"),
    (f"{_TURN}.image", "turn:la test", "not an image reference", "traefik:v3.7"),
    (f"{_TURN}.image", "turn@sha256:abc", "not an image reference", "digest"),
    (f"{_TURN}.environment", {"A B": "x"}, "environment variable", "like TURN_REALM"),
    (f"{_TURN}.environment", {"A": True}, "a boolean, true", "quotes"),
    (f"{_TURN}.environment", {"A": 1.5}, "a number", "quotes"),
    (f"{_TURN}.environment", {"A": {"secrets": "X"}}, "other keys than secret", "{secret: NAME}"),
    (f"{_TURN}.environment", {"A": {"secret": "a b"}}, "name of a secret", "DATABASE_PASSWORD"),
    (f"{_TURN}.labels", {"a b": "x"}, "key of a label", "like traefik.enable"),
    (f"{_TURN}.labels", {"traefik.enable": True}, "a boolean, true", "quotes"),
    (f"{_TURN}.command", [True], "a boolean", "quotes"),
    (f"{_TURN}.volumes", ["data"], "no valid target", "source:/target"),
    (f"{_TURN}.volumes", ["data:/data:rx"], "neither ro nor rw", "source:/target"),
    (f"{_TURN}.volumes", ["data:data"], "no valid target", "source:/target"),
    (f"{_TURN}.volumes", ["/etc/../root:/x"], "no valid source", "source:/target"),
    (f"{_TURN}.volumes", ["d:/x"], "no valid source", "source:/target"),
    (f"{_TURN}.volumes", ["$(reboot):/x"], "no valid source", "source:/target"),
    (f"{_TURN}.restart", "never", "not one of no, on-failure", "unless-stopped"),
    (f"{_TURN}.restart", True, "not one of no, on-failure", "unless-stopped"),
    # the rest
    (f"{WEB}.whoami", {"domain": "mail`)||Host(`x"}, "not a DNS name", "whoami.mail.example.com"),
    (f"{WEB}.manage_addresses", "maybe", "neither true nor false", "true or false"),
    (f"{WEB}.load_balancer", "off", "neither false nor a mapping", "write false"),
    (f"{HOST}.adopt", 1, "neither true nor false", "true or false"),
    (f"{HOST}.log_drops", "yes", "neither true nor false", "true or false"),
    (f"{HOST}.metrics", "wanbound.prom", "not an absolute path", "/wanbound.prom"),
    (f"{HOST}.metrics", "/srv/metrics", "not an absolute path", "/wanbound.prom"),
    (f"{HOST}.metrics", "/srv/../etc/x.prom", "not an absolute path", "/wanbound.prom"),
    (f"{HOST}.metrics", "/srv/.prom", "not an absolute path", "/wanbound.prom"),
    (f"{HOST}.metrics", "/srv/%n.prom", "not an absolute path", "/wanbound.prom"),
    (f"{HOST}.metrics", "/srv/a b.prom", "not an absolute path", "/wanbound.prom"),
    (f"{HOST}.metrics", "/srv/x.prom\n", "has a line break", "on one line"),
    ("mark", 0, "is 0x00000000, which has 0 bits", "0x02000000"),
    ("mark", 0x03000000, "is 0x03000000, which has 2 bits", "0x02000000"),
    ("mark", "0x100000000", "has 32 bits", "0x02000000"),
    ("mark", -1, "has 32 bits", "0x02000000"),
    ("mark", True, "not one bit", "0x02000000"),
    ("mark", "33554432.0", "not one bit", "0x02000000"),
    ("mark", 0x4000, "a bit that Kubernetes uses", "0x02000000"),
    ("mark", "0x8000", "a bit that Kubernetes uses", "0x02000000"),
    ("mark", 0x40, "a bit that wg-quick uses", "0x02000000"),
    ("mark", 0x40000, "a bit that Tailscale uses", "0x02000000"),
    ("verify", "ja", "neither true nor false", "true or false"),
    ("seed", "", "is empty", "like"),
    ("images.traefik", "traefik:", "not an image reference", "traefik:v3.7"),
    ("echo.ipv4", "ftp://198.51.100.1/", "not an http://", "http://198.51.100.1/"),
    ("echo.ipv4", "http://x/$(reboot)", "not an http://", "http://198.51.100.1/"),
    ("echo.ipv4", "http://[2001:db8::1]/", "is IPv6, not IPv4", "http://198.51.100.1/"),
    ("echo.ipv6", "http://198.51.100.1/", "is IPv4, not IPv6", "http://[2001:db8:ffff::1]/"),
    ("echo.ipv6", "http://[::g]/", "not an http://", "http://[2001:db8:ffff::1]/"),
    ("echo.ipv6", "http://[1::2::3]/", "not a valid address", "http://[2001:db8:ffff::1]/"),
]


def _key(path: str) -> str:
    text = ""
    for part in path.split("."):
        text += f"[{part}]" if part.isdigit() else f".{part}"
    return f"wanbound:{text.removeprefix('.')}"


@pytest.mark.parametrize(("path", "value", "what", "remedy"), _CASES)
def test_one_error_names_key_and_remedy(path: str, value: object, what: str, remedy: str) -> None:
    """The key is that of the value, or one inside it if the value is a list or mapping."""
    problem = only_problem((path, value))
    assert problem.key.startswith(_key(path))
    if not isinstance(value, list | dict):
        assert problem.key == _key(path)
    assert what in problem.what
    assert remedy in problem.remedy


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (f"{WEB}.public_ipv6", "2001:0DB8::0010"),
        (f"{WEB}.bridge", "br-web_1.x"),
        ("mark", "0x80000000"),
        ("mark", "16777216"),
        (f"{WEB}.bridge", "b" * 15),
        (f"{HOST}.wan.interface", "enp1s0f0np0.42"),
        (f"{HOST}.ssh.address", "Edge-1.Example.com"),
        (f"{HOST}.ssh.address", "2001:db8::99"),
        (f"{HOST}.ssh.port", "2222"),
        (_INGRESS, [{"ports": [25, "465", "1000-1010", "2000 - 2010"]}]),
        (_INGRESS, [{"ports": 443}]),
        (_INGRESS, []),
        (f"{_TURN}.image", "registry.example.com:5000/a/b_c:v1.0@sha256:" + "0" * 64),
        (f"{_TURN}.environment", {"discovery.type": "single node; $(x)", "N": 5, "E": ""}),
        (f"{_TURN}.labels", {"traefik.http.routers.a.tls.domains[0].main": "Host(`x`)"}),
        (f"{_TURN}.volumes", ["/var/run/docker.sock:/var/run/docker.sock:ro", "d1:/d1:rw"]),
        (f"{_TURN}.restart", False),
        (f"{_TURN}.command", ["--port", 80, "a b"]),
        ("echo.ipv4", "https://ip.example.com:8443/plain"),
        ("verify", "false"),
        ("seed", 12345),
        ("ipv4_pool", "192.168.0.0/16"),
    ],
)
def test_ways_in_which_operators_write(path: str, value: object) -> None:
    """A spelling with a clear meaning is accepted."""
    assert problems((path, value)) == ()


def test_the_error_names_host_network_and_container() -> None:
    """A position in a list is hard to find, so the error has the names too."""
    problem = only_problem((f"{_TURN}.image", "A B"))
    assert problem.key == f"{_TURN_KEY}.image"
    assert problem.where == "host edge-1, network mail, container turn"


@pytest.mark.parametrize("character", ["\n", "\r", "\t", "\0", "\x1b", "\x85", "\u2028", "\u202e"])
@pytest.mark.parametrize(
    "path",
    [f"{WEB}.public_ipv4", f"{WEB}.name", "seed", f"{_TURN}.environment.A", f"{_TURN}.image"],
)
def test_control_characters_are_refused_and_not_printed(path: str, character: str) -> None:
    """A newline would start another line in a rule file; the text may be a password."""
    problem = only_problem((path, f"hidden{character}value"))
    assert problem.key == _key(path)
    assert "hidden" not in str(problem)
    assert "one line" in problem.remedy


@pytest.mark.parametrize("path", [f"{WEB}.public_ipv4", f"{WEB}.load_balancer", f"{HOST}.adopt"])
def test_a_key_without_value_is_refused(path: str) -> None:
    """`public_ipv4:` without a value is usually an unfinished line."""
    problem = only_problem((path, None))
    assert (problem.key, problem.what) == (_key(path), "has no value")
    assert "remove the key" in problem.remedy


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        (f"{HOST}.wan.interface", "add interface: eth0"),
        (f"{HOST}.wan", "add wan: {interface: eth0}"),
        (f"{HOST}.ssh", "add ssh: {address: 192.0.2.10"),
        (f"{HOST}.ssh.address", "add address: 192.0.2.10"),
        (f"{HOST}.name", "add name: edge-1"),
        (f"{HOST}.networks", "add networks: [{name: mail"),
        (f"{WEB}.name", "add name: mail"),
        (f"{_TURN}.image", "add image: coturn/coturn:4.6"),
        ("hosts", "add wanbound:hosts: [{name: edge-1"),
    ],
)
def test_a_missing_key_is_named_with_an_example(path: str, remedy: str) -> None:
    """The example can be pasted."""
    found = [p for p in problems((path, ABSENT)) if p.key == _key(path)]
    assert [p.what for p in found] == ["is missing"]
    assert remedy in found[0].remedy


@pytest.mark.parametrize(
    "path",
    [
        "seed",
        "verify",
        "socket_pool",
        "secret",
        f"{HOST}.name",
        f"{HOST}.ssh.port",
        f"{HOST}.confirm_seconds",
        f"{HOST}.engine.settings.mtu",
        f"{HOST}.engine.settings.features.some",
        f"{HOST}.engine.settings.some-new-thing",
        f"{WEB}.public_ipv4",
        f"{WEB}.ingress",
        f"{_TURN}.environment.A",
        f"{_TURN}.ports",
    ],
)
@pytest.mark.parametrize("number", [10**5000, -(10**5000)], ids=["positive", "negative"])
def test_a_number_of_5000_digits_is_a_problem_like_any_other(path: str, number: int) -> None:
    """Python cannot convert it to text, so it is neither quoted nor sent on as JSON."""
    problem = only_problem((path, number))
    assert problem.key.startswith("wanbound:")
    assert len(str(problem)) < 1000


def test_a_field_that_follows_from_others_is_no_key() -> None:
    """A derived field cannot be set: it is an unknown key."""
    for path in (f"{WEB}.ipv4", f"{WEB}.load_balancer.name", f"{WEB}.load_balancer.socket_name"):
        problem = only_problem((path, "172.20.1.0/24"))
        assert (problem.key, problem.what) == (_key(path), "is an unknown key")
        assert path.rpartition(".")[2] not in problem.remedy.split("keys here are ")[1].split(", ")
