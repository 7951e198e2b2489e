"""The copy of the rules in /etc/iptables, which is written with the confirmation."""

from dataclasses import replace

import pytest

from tests.providers.host.site import Site
from tests.providers.samples import only, plan

WANTED = replace(plan(), persist="iptables-files")
V4, V6 = "/etc/iptables/rules.v4", "/etc/iptables/rules.v6"
THEIRS = [
    "# theirs\n*filter\n:INPUT DROP [0:0]\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n",
    "*nat\n-A POSTROUTING -s 10.0.0.0/8 -j MASQUERADE\nCOMMIT\n# not UTF-8: \udcff\n",
    "*filter\n-A INPUT -j ACCEPT\nCOMMIT",
    "no newline at the end",
    "\n\n",
    "",
]


def test_a_rule_whose_subnet_docker_chooses_is_left_out(site: Site) -> None:
    """Only the host knows it; iptables-restore would refuse the file, and the rules of others."""
    web = plan().networks["web"]
    rules = {
        role: text.replace("172.29.11.0/24", "@web")
        for role, text in web.lines["snat_ipv4"].items()
    }
    assert any("-s @web " in text for text in rules.values())
    networks = {**plan().networks, "web": replace(web, lines={**web.lines, "snat_ipv4": rules})}
    site.up(replace(WANTED, networks=networks))
    assert "-A WANBOUND-SNAT -s " in site.remote.files[V4]
    assert "@" not in site.remote.files[V4]


def _clear(site: Site) -> None:
    for name in plan().networks:
        site.remote.remove_network(name)


def test_both_files_are_made_and_removed(site: Site) -> None:
    """They have our chains, and the destroy leaves no trace."""
    site.up(WANTED)
    assert "-A WANBOUND-SNAT -s 172.29.11.0/24 " in site.remote.files[V4]
    assert "-A WANBOUND-SNAT -s fd5c:" in site.remote.files[V6]
    assert site.drift(WANTED) == {}
    _clear(site)
    site.destroy()
    assert site.remote.files == {}


@pytest.mark.parametrize("text", THEIRS)
def test_what_others_have_there_comes_back_to_the_byte(site: Site, text: str) -> None:
    """Also without a newline at its end, and in any encoding."""
    site.remote.files[V4] = text
    site.up(WANTED)
    assert "WANBOUND-SNAT" in site.remote.files[V4]
    site.apply(plan())
    assert site.remote.files == {V4: text}
    site.apply(WANTED)
    _clear(site)
    site.destroy()
    assert site.remote.files == {V4: text}


def test_without_persist_nothing_is_written(up: Site) -> None:
    """A foreign file stays as it is."""
    up.remote.files[V4] = THEIRS[0]
    up.apply()
    assert up.remote.files == {V4: THEIRS[0]}


def test_rules_of_a_leaving_network_are_not_saved(site: Site) -> None:
    """At the next boot its bridge may be gone, and nothing would remove them."""
    site.up(WANTED)
    site.apply(only("web", of=WANTED))
    assert [x for x in site.remote.chain("WANBOUND-SNAT") if "br-mail" in x]
    assert "br-mail" not in site.remote.files[V4]


def test_nothing_is_written_where_the_file_is_right(site: Site) -> None:
    """The update changes something else."""
    site.up(WANTED)
    before = dict(site.remote.files)
    site.apply(WANTED, installed={"script": "another"})
    assert site.remote.files == before
