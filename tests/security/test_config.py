"""Hostile configurations, as from a pull request: no accepted value escapes its context.

A value of the configuration becomes a word for a shell, iptables, nft, ssh, Docker or Traefik.
Each test puts hostile text everywhere and asks that program, or its whole grammar, whether
what was accepted is still the one word that it should be.
"""

import re
import subprocess
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest
from hypothesis import currently_in_test_context, event, given
from hypothesis import strategies as st

from components.host import wanted_plan
from components.ssh import docker_host, ssh_options
from planner.config import Jump, Ssh, Stack
from planner.errors import ConfigError
from planner.plan import plan
from providers.host.generation import (
    BASE,
    COMMON,
    FILES,
    HOST_BASE,
    KEEP_BASE,
    METRICS,
    NAT_BASE,
    UNITS,
    common,
    compose,
)
from providers.host.plan import from_json
from providers.ssh import remote
from providers.ssh.remote import shell_program
from tests.planner.samples import HOST, MAIL, edited
from tests.planner.strategies import Raw, junk
from tests.providers.samples import STACK
from tests.security.check_command import words_of_checks
from tests.security.hostile import FUZZ, HOST_KEY, poisoned, sprinkled, texts

# --- the loader ----------------------------------------------------------------------------------


def _accepted(raw: object) -> Stack | None:
    """Return the stack, None if it is refused with a proper error."""
    try:
        stack = Stack.parse(cast("Raw", raw), "any")
    except ConfigError as error:
        assert error.problems
        assert all(line.isprintable() for line in str(error).splitlines())
        return None
    if currently_in_test_context():
        event("accepted")
    return stack


@given(junk())
@FUZZ
def test_junk_is_refused_in_words(raw: object) -> None:
    """Any value of YAML or JSON is handled, at the top and in place of hosts and networks."""
    for outer in (raw, {"hosts": raw}, {"hosts": [raw]}, {"hosts": [{"networks": [raw]}]}):
        _accepted(outer)


@given(poisoned())
@FUZZ
def test_a_poisoned_configuration_is_refused_in_words_or_planned(raw: Raw) -> None:
    """The loader and the planner raise nothing but ConfigError."""
    stack = _accepted(raw)
    if stack is not None:
        plan(stack)


CONFIDENTIAL = {
    f"{HOST}.ssh.user": "root",
    f"{HOST}.ssh.key": {"secret": "K"},
    f"{HOST}.ssh.key_passphrase": {"secret": "K"},
    f"{HOST}.ssh.host_key": HOST_KEY,
    f"{HOST}.engine.registry_mirrors": ["https://mirror.example.com"],
    f"{HOST}.engine.settings.log-driver": "splunk",
    f"{HOST}.engine.settings.log-opts": {"splunk-token": "x"},
    f"{HOST}.engine.settings.proxies": {"http-proxy": "http://proxy.example.com"},
    f"{MAIL}.containers.0.environment": {"A": "x", "B": {"secret": "K"}},
    f"{MAIL}.containers.0.labels": {"a.b": "x"},
    f"{MAIL}.containers.0.command": ["--password", "x"],
    f"{MAIL}.load_balancer.acme": {"email": "a@b.example", "ca_server": "https://ca.example.com/",
                                   "ca_certificates": {"secret": "K"}},
    f"{MAIL}.load_balancer.dashboard": {"domain": "d.example.com", "user": "bob",
                                        "password_hash": {"secret": "K"}},
    "echo": {"ipv4": "http://198.51.100.1/", "ipv6": "http://[2001:db8:ffff::1]/"},
}  # fmt: skip
"""Keys that may have a secret, or get one by mistake, with valid values."""

NO_SECRETS = {"email", "domain"}

HIDDEN = "hunter2Zq8"


def _inside(path: str, value: object) -> Iterator[str]:
    """Yield the path of a value and of every value in it."""
    yield path
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value if isinstance(value, list) else ())
    )
    for key, item in items:
        yield from _inside(f"{path}/{key}", item)


def _written(path: str, value: object) -> Raw:
    """Return the sample with all of CONFIDENTIAL, and a value at one of its paths."""
    raw = edited(("secrets", {"K": "k"}), *CONFIDENTIAL.items())
    place, _, inner = path.partition("/")
    here: Any = raw
    *way, last = [*place.split("."), *inner.split("/")] if inner else place.split(".")
    for part in way:
        here = here[int(part)] if isinstance(here, list) else here[part]
    here[int(last) if isinstance(here, list) else last] = value
    return raw


@pytest.mark.parametrize(
    "path",
    [
        inner
        for path, value in CONFIDENTIAL.items()
        for inner in _inside(path, value)
        if inner.rpartition("/")[2] not in NO_SECRETS
    ],
)
def test_no_error_shows_what_may_be_a_secret(path: str) -> None:
    """In place of a name, mapping or list, in a key, or after a user name."""
    for value in (
        HIDDEN,
        f"bob:{HIDDEN}",
        f"https://bob:{HIDDEN}@mirror.example.com/x?y",
        f"A={HIDDEN} ",
        f"http://10.0.0.1:99999/{HIDDEN}",
        f"http://localhost/{HIDDEN}",
        f"http://127.0.0.1/{HIDDEN}",
        f"http://[::1]/{HIDDEN}",
        [HIDDEN],
        [{"name": HIDDEN}],
        {f"A={HIDDEN}": "x"},
        {f"A={HIDDEN}": None},
        {f"A={HIDDEN}": {"secret": 1}},
        {"secret": HIDDEN},
        {"secret": f"{HIDDEN}!"},
        {"secret": [HIDDEN]},
        {"A": {"secret": f"{HIDDEN}\n"}},
    ):
        try:
            Stack.parse(_written(path, value), "any")
        except ConfigError as error:
            assert HIDDEN not in str(error), (value, str(error))


def test_no_error_shows_what_stands_for_a_mapping_or_a_list() -> None:
    """The content of a wrong value is not shown either."""
    for place in ("hosts", HOST, f"{HOST}.ssh", f"{HOST}.networks", MAIL, f"{MAIL}.containers.0"):
        with pytest.raises(ConfigError) as caught:
            Stack.parse(_written(place, f"A={HIDDEN}"), "any")
        assert HIDDEN not in str(caught.value)


@pytest.mark.parametrize("size", [10_000, 1_000_000])
@pytest.mark.parametrize("text", ["a", "-", ".", "a-", "a.", "0", ":", "::", "/a", "[", "\u0301"])
def test_long_text_costs_no_time(text: str, size: int) -> None:
    """No pattern of the loader backtracks: a megabyte in each place is refused at once."""
    long = text * (size // len(text))
    network = {"name": long, "bridge": long, "public_ipv4": long, "public_ipv6": long,
               "subnet_ipv4": long, "subnet_ipv6": long, "whoami": {"domain": long},
               "ingress": [{"protocol": long, "ports": [long], "to": long}],
               "containers": [{"name": long, "image": long, "volumes": [long],
                               "labels": {long: ""},
                               "environment": {long: {"secret": long}}}]}  # fmt: skip
    host = {"name": long, "ssh": {"address": long, "user": long, "host_key": long, "port": long},
            "wan": {"interface": long}, "networks": [network]}  # fmt: skip
    # CPU time of this process only: the machine's load does not count.
    started = time.process_time()
    raw = {"seed": long, "ipv4_pool": long, "echo": {"ipv4": long}, "hosts": [host]}
    assert _accepted(raw) is None
    assert time.process_time() - started < 5.0


# --- rule lines ----------------------------------------------------------------------------------

_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}"
_V4, _V6 = r"[0-9.]+(?:/[0-9]+)?", r"[0-9a-f:]+(?:/[0-9]+)?"
_ANY = rf"(?:{_V4}|{_V6})"
_MATCH = r"-m conntrack --ctstate"
_PORT = r"-p (?:tcp|udp)(?: -m (?:tcp|udp) --dport [0-9]+(?::[0-9]+)?)?"
_IPTABLES = re.compile(
    rf"-A WANBOUND-(?:DNAT -d {_ANY} {_PORT} -j DNAT --to-destination {_ANY}"
    rf"|SNAT -s (?:{_ANY}|@{_NAME}) (?:! )?-o {_NAME}(?: {_MATCH} DNAT)? -j SNAT"
    rf" --to-source {_ANY}"
    rf"|FORWARD -m mark --mark (0x[1248]0*)/\1 -j ACCEPT"
    rf"|FORWARD -i {_NAME} {_MATCH.replace(' --', ' ! --')} RELATED,ESTABLISHED,DNAT -j DROP"
    rf"|INPUT {_MATCH} RELATED,ESTABLISHED -j ACCEPT"
    rf"|INPUT(?: -s {_ANY})? {_PORT} -j ACCEPT"
    rf"|INPUT -s fe80::/10 -p udp -m udp --sport 547 --dport 546 -j ACCEPT"
    rf"|INPUT -p (?:icmp|ipv6-icmp -m icmp6 --icmpv6-type [0-9]+) -j ACCEPT"
    rf"|INPUT -i lo -j ACCEPT|INPUT -j DROP)",
    re.ASCII,
)
_FRAME = re.compile(
    r"# beside others|\*(?:nat|filter)|:WANBOUND-[A-Z]+ - \[0:0\]|# jumps (?:nat|filter)|COMMIT"
    r"|-[IA] (?:@hook|[A-Z]+)(?: 1)? -j WANBOUND-[A-Z]+",
    re.ASCII,
)
_IP = r"ip6? (?:saddr|daddr)"
_DROPS = rf"(?:(?:source|only|from|to|ingress|egress|public)-{_NAME}|forged)"
_CHAIN = rf"(?:{_DROPS}|drop-{_DROPS}|(?:dnat|snat)-{_NAME}|pass|unmark|input|strangers)"
_PORTS = r"(?:tcp|udp) dport [0-9]+(?:-[0-9]+)?"
_NFT = re.compile(
    rf'(?:"{_NAME}"|{_ANY}) : jump (?:{_CHAIN}|forged),'
    rf"|meta mark set meta mark (?:& 0x[0-9a-f]{{8}}|\| 0x[0-9a-f]{{8}} accept)"
    rf'|oifname "{_NAME}" (?:meta nfproto ipv[46]|{_IP} {_ANY}) jump pass'
    rf"|(?:meta nfproto ipv[46] )?ct state established,related jump pass"
    rf"|{_IP} {_ANY} ct status dnat ct original {_IP} {_ANY} jump pass"
    rf"|ip6? daddr {_ANY} (?:meta l4proto tcp|{_PORTS}) dnat ip6? to {_ANY}"
    rf'|oifname (?:!= "{_NAME}"|"{_NAME}" ct status dnat) snat ip6? to {_ANY}'
    rf"|(?:(?:ip6? saddr {_ANY}|meta nfproto ipv[46]) )?{_PORTS} accept"
    rf"|(?:ct state established,related|ip protocol icmp|icmpv6 type [a-z0-9-]+) accept"
    rf"|ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept"
    rf'|iifname "lo" accept|iifname "{_NAME}" counter drop|counter drop'
    rf'|(?:[io]ifname != "{_NAME}")?(?: ?meta nfproto ipv[46])?(?: iifname != "{_NAME}")?'
    rf"(?: ?ct status dnat)?"
    rf"(?: ?ct original)?(?: ?{_IP}(?: !=)? {_ANY}){{0,4}}"
    rf"(?: fib [sd]addr type != [a-z]+| fib daddr type != unicast fib saddr \. iif oif missing)?"
    rf"(?: counter (?:drop|goto drop-{_DROPS})| accept)"
    rf"|ct original {_IP} {_ANY} meta l4proto (?:tcp|udp)(?: ct original proto-dst \d+(?:-\d+)?)?"
    rf"(?: ct reply {_IP} {_ANY}(?:/\d+)?)?(?: return| counter (?:drop|goto drop-{_DROPS}))"
    rf'|drop|limit rate 12/minute burst 10 packets log prefix "wanbound (?:{_NAME} )?[a-z]+: "',
    re.ASCII,
)
_NFT_FRAME = re.compile(
    rf"(?:add |delete )?table inet wanbound(?: \{{)?|map [a-z0-9-]+ \{{|chain {_CHAIN} \{{"
    r"|chain (?:(?:nat-)?(?:prerouting|output|postrouting)|host-(?:input|forward)) \{"
    r"|chain (?:forward|forward-first|forged) \{|\}|\t\}|\telements = \{"
    r"|\tflags interval|\ttype (?:ifname|ipv[46]_addr) : verdict",
    re.ASCII,
)
_BASE = {
    f"\t\t{rule}"
    for rules in (
        *(rest for _, *rest in (BASE | NAT_BASE | HOST_BASE).values()),
        *COMMON.values(),
    )
    for rule in rules
}
# With log_drops.
_BASE |= {f"\t\t{rule}" for rules in common(["drop-forged"]).values() for rule in rules}
_BASE |= {
    f"\t\ttype filter hook {hook}; policy accept;" for hook, *_ in (BASE | HOST_BASE).values()
}
_BASE |= {f"\t\ttype nat hook {hook}; policy accept;" for hook, *_ in NAT_BASE.values()}
_KEEP_ELEMENT = re.compile(rf'\t\t\t(?:"{_NAME}"|{_ANY}|@{_NAME}),', re.ASCII)
_KEEP = {
    "add table inet wanbound-keep { flags owner, persist; };",
    "delete table inet wanbound-keep;",
    "add set inet wanbound-keep bridges { type ifname;",
    "add set inet wanbound-keep subnets-ipv4 { type ipv4_addr; flags interval; auto-merge;",
    "add set inet wanbound-keep subnets-ipv6 { type ipv6_addr; flags interval; auto-merge;",
    "elements = {",
    "};",
    "add chain inet wanbound-keep postrouting"
    " { type filter hook postrouting priority 160; policy accept; };",
    *(f"add rule inet wanbound-keep postrouting {rule};" for rule in KEEP_BASE),
}
_LINK = r"[A-Za-z0-9][A-Za-z0-9_./-]{0,14}"
_FILES = {
    "addresses": rf"addr replace {_ANY} dev {_NAME} (?:scope host|preferred_lft 0(?: nodad)?)",
    "host": rf"route ipv[46] default via {_ANY} dev {_NAME}|link {_NAME} up"
    rf"|sysctl net\.ipv[46]\.(?:conf\.{_LINK}\.[a-z_]+|ip_forward) [0-9]",
    "bridges": _NAME,
    "flows": rf"from (?:{_ANY}/\d+|@{_NAME}) {_ANY}(?: hairpin)?|only {_ANY}"
    rf"|to {_ANY} (?:tcp|udp) \d+-\d+ {_ANY}",
    "leaving": _NAME,
    "absent": _NAME,
    "owner": STACK,
}
_METRICS = {
    "wanbound-metrics.networks": f"{_NAME} {_NAME}",
    "wanbound-metrics.service": r"(?!Exec).*"
    r"|ExecStart=/usr/local/sbin/wanbound metrics (?:/\w[\w.@+-]*)+\.prom",
    "wanbound-metrics.timer": r"(?!Exec).*",
}


@given(poisoned())
@FUZZ
def test_every_line_for_the_host_is_of_the_grammar(raw: Raw) -> None:
    """iptables lines get no extra option or word, nft lines no foreign quote, brace, semicolon."""
    _is_of_the_grammar(_accepted(raw))


@given(poisoned())
@FUZZ
def test_every_line_of_nftables_is_of_the_grammar(raw: Raw) -> None:
    """The same for hosts whose NAT and filter are in nftables."""
    for host in raw["hosts"]:
        host["firewall"] = "nftables"
        host.pop("persist", None)
    _is_of_the_grammar(_accepted(raw))


def _is_of_the_grammar(stack: Stack | None) -> None:
    for host in plan(stack) if stack is not None else ():
        wanted = wanted_plan(host, STACK, {})
        generation = compose(wanted)
        metrics = set(_METRICS if host.metrics is not None else ())
        assert set(generation.files) - metrics == {
            "ipv4.rules", "ipv6.rules", "guard.nft", "keep.nft", "plan.json", *_FILES, *UNITS
        } == set(FILES)  # fmt: skip
        assert metrics <= set(METRICS) & set(generation.files)
        for name in metrics:
            for line in generation.files[name].splitlines():
                assert re.fullmatch(_METRICS[name], line, re.ASCII), f"{name}: {line}"
        count = 0
        for name, text in generation.files.items():
            if name in UNITS or name in metrics:
                # The same for every host, or checked against its grammar above.
                continue
            assert text.isascii()
            assert not text or text.endswith("\n")
            for line in text.split("\n")[:-1]:
                assert name == "plan.json" or _known(name, line), f"{name}: {line}"
                count += name not in ("keep.nft", "plan.json") and not _is_frame(name, line)
        assert from_json(generation.files["plan.json"]) == wanted
        lines = len(host.wanted) + sum(len(each.wanted) for each in host.networks)
        bridges = sum(len(each.owns.bridges) for each in host.networks)
        flows = sum(len(each.owns.flows) for each in host.networks)
        flows += sum(len(each.lines.get("addresses", {})) for each in wanted.networks.values())
        assert count == lines + bridges + flows + len(["owner"])


def _known(name: str, line: str) -> bool:
    if name in _FILES:
        return re.fullmatch(_FILES[name], line, re.ASCII) is not None
    if _is_frame(name, line):
        return True
    if name == "keep.nft":
        return line in _KEEP or _KEEP_ELEMENT.fullmatch(line) is not None
    if name != "guard.nft":
        return _IPTABLES.fullmatch(line) is not None
    return line.startswith("\t\t") and _NFT.fullmatch(line.strip("\t")) is not None


def _is_frame(name: str, line: str) -> bool:
    """Return whether a line belongs to the frame around the plan's lines."""
    if name == "guard.nft":
        return line in _BASE or _NFT_FRAME.fullmatch(line) is not None
    return name.endswith(".rules") and _FRAME.fullmatch(line) is not None


def test_the_grammar_can_refuse() -> None:
    """It finds lines with one word too many or with another quote."""
    for line in (
        "-A WANBOUND-SNAT -s 10.0.0.0/24 ! -o a -j ACCEPT -j SNAT --to-source 203.0.113.1",
        "-A WANBOUND-SNAT -s 10.0.0.0/24 ! -o -j -j SNAT --to-source 203.0.113.1",
        "-A WANBOUND-SNAT -s 10.0.0.0/24 ! -o a\n-j SNAT --to-source 203.0.113.1",
        "-A INPUT -j ACCEPT",
        "-A WANBOUND-FORWARD -i a -j ACCEPT",
        "-A WANBOUND-FORWARD -m mark --mark 0x2000000/0x3000000 -j ACCEPT",
    ):
        assert not _IPTABLES.fullmatch(line)
    for line in (
        '\t\toifname != "a" b" ip saddr != 10.0.0.0/24 counter drop',
        '\t\t\t"a" : accept , "b" : jump from-b,',
        "\t\tct status dnat accept ; flush ruleset",
        '\t\toifname != "a" snat ip to 203.0.113.1 ; accept',
        "\t\tip daddr 203.0.113.1 meta l4proto udp dnat ip to 10.0.0.1",
        "\t\ttcp dport 1-2, 22 accept",
        "chain from-a { accept ; }",
        "table inet other {",
        "}}",
    ):
        assert not _known("guard.nft", line)
    for line in ('\t\t\t"a", "b",', '\t\t\t"a"; flush ruleset;,', "flush ruleset;"):
        assert not _known("keep.nft", line)
    for name, line in (
        ("addresses", "wan0 inet 203.0.113.1/32 scope global wan0 label x"),
        ("routes", "ipv4 default via 203.0.113.1 dev wan0 onlink"),
        ("sysctls", "kernel.core_pattern = 1"),
        ("bridges", "../x"),
    ):
        assert not _known(name, line)


# --- shells --------------------------------------------------------------------------------------


@given(st.dictionaries(st.from_regex(_NAME, fullmatch=True), texts(), min_size=1, max_size=3))
@FUZZ
def test_a_here_document_brings_every_byte_and_runs_none(files: dict[str, str]) -> None:
    """A real shell reads the program: any text arrives unchanged."""
    bundle = "".join(f"== put {name}\n{_sendable(text)}\n" for name, text in files.items())
    with pytest.MonkeyPatch.context() as patch:
        # In place of the script, which would change the machine that runs the tests.
        patch.setattr(remote, "call_script", lambda: 'cat "$2/bundle"\n')
        program = shell_program("change $stage 00 30", {"bundle": bundle})
    program = re.sub("stage=/run/wanbound/", "stage=${TMPDIR:-/tmp}/wanbound-test/", program)
    done = subprocess.run(["sh"], input=program.encode(), capture_output=True, timeout=20)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"wanbound\n{bundle}".encode()


def _sendable(text: str) -> str:
    """Remove NUL and non-ASCII text, which no fragment has, as shown above.

    (dash 0.5.12 loses the first non-ASCII byte after a line start that could begin the document's
    end, as in "END-é".)
    """
    return text.replace("\0", "").encode("ascii", errors="ignore").decode()


@given(poisoned())
@FUZZ
def test_the_checks_command_line_is_one_word_for_each_word(raw: Raw) -> None:
    """A real shell prints the words of the egress check's command line."""
    stack = _accepted(raw)
    for wanted, command in words_of_checks(stack) if stack is not None else ():
        done = subprocess.run(
            ["sh", "-c", f"printf '%s\\0' {command}"], capture_output=True, timeout=20
        )
        assert done.stderr == b""
        assert done.stdout.decode().split("\0")[:-1] == wanted


# --- ssh -----------------------------------------------------------------------------------------


_MEANT = {"address": "host-1.example.com", "user": "root", "host_key": HOST_KEY, "port": "22"}


@st.composite
def _tampered_ssh(draw: st.DrawFn) -> Raw:
    """Draw one key of `ssh` with a tampered value; a jump host gets it too."""
    field = draw(st.sampled_from(["address", "address", "user", "user", "host_key", "port"]))
    meant = draw(st.sampled_from([_MEANT[field], "2001:db8::1"])) if field == "address" else ""
    return {"address": "192.0.2.8", field: draw(sprinkled(meant or _MEANT[field]))}


@given(_tampered_ssh())
@FUZZ
def test_ssh_understands_what_was_meant(evil: Raw) -> None:
    """`ssh -G` prints the result of the options: this host, this user, no injected command."""
    for ssh in (evil, {"address": "192.0.2.9", "jump": evil}):
        host = {"name": "edge-1", "ssh": ssh, "wan": {"interface": "wan0"},
                "networks": [{"name": "web", "public_ipv4": "203.0.113.9"}]}  # fmt: skip
        stack = _accepted({"hosts": [host]})
        if stack is not None:
            _assert_ssh(stack.hosts[0].ssh)


def _assert_ssh(ssh: Ssh) -> None:
    destination = f"{ssh.user}@{ssh.address}"
    words = ["ssh", "-F", "none", "-G", *ssh_options(ssh), "-p", str(ssh.port), destination]
    done = subprocess.run(words, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    found = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
    # ssh has read its configuration by then, and treats the name as a DNS name.
    assert (found["hostname"], found["user"]) == (ssh.address.lower(), ssh.user)
    assert (found["port"], found["stricthostkeychecking"]) == (str(ssh.port), "true")
    assert not found.keys() & {"proxyjump", "localcommand", "remotecommand"}
    assert ("proxycommand" in found) == (ssh.jump is not None)
    if ssh.jump is not None:
        _assert_jump(found["proxycommand"], ssh, ssh.jump)
    wanted = None if ssh.host_key is None else f"/bin/echo %H {ssh.host_key}"
    assert found.get("knownhostscommand", "none") == (wanted or "none")
    url = re.fullmatch(r"ssh://([^@/]+)@(\[[0-9a-f:.]+\]|[^@:/\[\]]+):([0-9]+)", docker_host(ssh))
    assert url is not None
    assert (url[1], url[2].strip("[]"), url[3]) == (ssh.user, ssh.address, str(ssh.port))


def _assert_jump(command: str, ssh: Ssh, jump: Jump) -> None:
    """Expand the tokens as ssh does, and let a real shell split the result into words."""
    tokens = {"%%": "%", "%h": ssh.address, "%p": str(ssh.port)}
    expanded = re.sub("%.", lambda token: tokens[token.group()], command)
    said = subprocess.run(
        ["sh", "-c", f"printf '%s\\0' {expanded}"], capture_output=True, timeout=20
    )
    assert said.stderr == b""
    words = said.stdout.decode().split("\0")[:-1]
    end = ["-p", str(jump.port), "-l", jump.user, "-W", f"[{ssh.address}]:{ssh.port}", "--"]
    assert words[0] == "ssh"
    assert words[-len(end) - 1 :] == [*end, jump.address]
    options, values = words[1 : -len(end) - 1 : 2], words[2 : -len(end) - 1 : 2]
    assert set(options) == {"-o"}
    assert len(options) == len(values)
    keys = [value.partition("=")[0] for value in values]
    assert len(set(keys)) == len(keys)
    assert not {"ProxyCommand", "ProxyJump", "LocalCommand", "PermitLocalCommand"} & set(keys)


# --- Docker and Traefik --------------------------------------------------------------------------


@given(poisoned())
@FUZZ
def test_a_routing_rule_names_one_host_and_one_network(raw: Raw) -> None:
    """No backtick, operator or bracket gets into a rule for Traefik."""
    stack = _accepted(raw)
    hosts = plan(stack) if stack is not None else ()
    for network in (each for host in hosts for each in host.networks):
        for container in network.containers:
            if container.role == "whoami":
                (rule,) = (v for k, v in container.labels.items() if k.endswith(".rule"))
                assert re.fullmatch(r"Host\(`[a-z0-9.-]+`\)", rule, re.ASCII)
                keys = [key for key in container.labels if key.startswith("traefik.")]
                assert all(re.fullmatch(rf"[a-z.]+\.whoami-{_NAME}\.[a-z.]+", k) for k in keys)
            if container.role == "load_balancer":
                for word in container.command:
                    assert re.fullmatch(rf"--[a-z.]+=(?:true|false|:[0-9]+|{_NAME}"
                                        rf"|tcp://[0-9.]+:2375"
                                        rf"|Label\(`lb\.net`,`{_NAME}`\))", word), word  # fmt: skip
            assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", container.name)
            for volume in container.volumes:
                assert re.fullmatch(r"[A-Za-z0-9_.@+/-]+", volume.source + volume.target)
                assert ".." not in volume.target.split("/")
            for key, value in container.environment.items():
                assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", key)
                assert not isinstance(value, str) or value.isprintable()
