"""What each call of Pulumi's engine does on a host."""

import base64
import copy
import json
from dataclasses import replace
from typing import Any

import pytest
from pulumi.dynamic import ConfigureRequest
from pulumi.dynamic.config import Config
from pulumi.dynamic.dynamic import serialize_provider

from providers.errors import (
    ChangedMeanwhileError,
    DuplicateAddressError,
    HostError,
    UnreachableError,
)
from providers.host.plan import properties
from providers.host.resource import HostNetworkingProvider
from providers.ssh.target import Target
from providers.version import VERSION
from tests.providers.fake_remote import docker_network
from tests.providers.host.site import PROVIDER, Site
from tests.providers.samples import HOST, STACK, many, only, plan, props, stored

FAILURE = HostError(HOST, "cannot be reached", "unchanged", "check that the host is up")


def changes(site: Site) -> int:
    """Return the number of changes that the host has made."""
    return len(site.remote.changed)


# --- diff ----------------------------------------------------------------------------------------


def test_a_diff_contacts_nothing_and_sees_every_line(site: Site) -> None:
    """A plain preview opens no connection; nothing replaces the resource."""
    olds = {**props(), "__provider": "gASV"}
    assert PROVIDER.diff(HOST, olds, props()).changes is False
    for name, network in olds["networks"].items():
        for section, roles in network.items():
            for role in roles:
                news = copy.deepcopy(props())
                del news["networks"][name][section][role]
                result = PROVIDER.diff(HOST, olds, news)
                # None: the engine compares path by path, and a preview shows only this line.
                assert (result.changes, result.replaces) == (None, None)
    assert site.targets == []


@pytest.mark.parametrize(
    "more",
    [
        {"wan": "eth1"},
        {"stack": "acme/wanbound/other"},
        {"persist": "iptables-files"},
        {"metrics": "/srv/wanbound.prom"},
        {"taken_over": {"web": "1" * 64}},
        {"installed": {"script": "/usr/local/sbin/wanbound 0123456789ab"}},
        {"own": {}},
        {"networks": {}},
        {"host": {"name": HOST, "address": "192.0.2.77", "port": 22.0, "user": "root"}},
    ],
)
def test_every_property_is_a_change(more: dict[str, object]) -> None:
    """That includes how the host is reached, and another version of the script."""
    assert PROVIDER.diff(HOST, props(), {**props(), **more}).changes is None


def test_a_version_alone_is_no_change(up: Site) -> None:
    """The state has the version of the last change; a refresh reads it from the host."""
    up.remote.version = "0.0.1"
    assert up.refresh()["version"] == "0.0.1"
    assert PROVIDER.diff(HOST, up.state, props()).changes is False
    up.apply()
    assert up.state["version"] == VERSION
    up.remote.version = None
    assert "version" not in up.refresh()


@pytest.mark.parametrize(("version", "said"), [("0.0.1", "0.0.1"), (None, "an older version")])
def test_an_older_script_is_replaced_and_that_is_said(
    up: Site, version: str | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The next change replaces it; nothing is printed if the script is the same."""
    up.remote.script, up.remote.version = "0" * 64, version
    up.apply()
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"host {HOST}: its script /usr/local/sbin/wanbound is now that of wanbound {VERSION};"
        f" it was that of {said}"
    )
    up.apply()
    assert capsys.readouterr().err == ""


def test_a_refresh_tells_that_a_flush_leaks(up: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """It is no drift, because no change corrects it; without support in nft, the status says so."""
    for state in ("held", "not supported"):
        up.remote.owned_table = state
        assert up.drift() == {}
        assert capsys.readouterr().err == ""
    up.remote.owned_table = "not held"
    assert up.drift() == {}
    (line,) = set(capsys.readouterr().err.splitlines())
    assert line.startswith(f"host {HOST}: `nft flush ruleset` lets packets out with private")


def test_drift_is_a_change(up: Site) -> None:
    """The drift is a property that the program does not declare, until an update repairs it."""
    assert PROVIDER.diff(HOST, {**props(), "drift": {"guard": "gone"}}, props()).changes is None


# --- create and update ---------------------------------------------------------------------------


def test_create_brings_everything_in_one_change(site: Site) -> None:
    """The outputs are the unchanged inputs, under a readable id."""
    result = PROVIDER.create({**props(), "__provider": "gASV"})
    assert (result.id, stored(result.outs)) == (HOST, {**props(), "version": VERSION})
    assert site.remote.calls == ["facts", "change"]
    assert site.remote.chain("WANBOUND-SNAT", "ipv6")
    assert site.targets == [Target(HOST, "192.0.2.1", 22, "root", None)]
    assert isinstance(site.targets[0].port, int)


@pytest.mark.parametrize("count", [0, 1, 100])
def test_one_change_whatever_the_number_of_networks(site: Site, count: int) -> None:
    """Up, update, refresh and destroy: one command each, after one that reads the facts."""
    wanted = many(count) if count else replace(many(1), networks={})
    site.up(wanted)
    assert site.remote.calls == ["facts", "change"]
    site.apply(wanted, installed={"script": "another"})
    assert site.remote.calls[2:] == ["facts", "change"]
    site.refresh()
    assert site.remote.calls[4:] == ["facts"]
    for name in wanted.networks:
        site.remote.remove_network(name)
    site.destroy()
    assert site.remote.calls[5:] == ["facts", "change"]


def test_create_adopts_what_is_there(up: Site) -> None:
    """After a lost state, existing lines are not an error."""
    up.state = {}
    up.apply()
    assert up.drift() == {}


def test_doing_it_twice_changes_nothing(up: Site) -> None:
    """An interrupted run can be repeated."""
    before = copy.deepcopy(up.remote.iptables["ipv4"].tables)
    for _ in range(2):
        up.apply()
    assert up.remote.iptables["ipv4"].tables == before
    assert up.drift() == {}


def test_addresses_are_swapped_in_one_update(up: Site) -> None:
    """One change gives each network the other's address; old connections of both end."""
    text = json.dumps(properties(plan()))
    for one, other in (("203.0.113.61", "203.0.113.62"), ("2001:db8::61", "2001:db8::62")):
        text = text.replace(one, "@").replace(other, one).replace("@", other)
    news = {**props(), **json.loads(text)}
    PROVIDER.update(HOST, up.state, stored(news))
    assert changes(up) == 2
    flows = up.remote.changed[-1]["new/flows"].splitlines()
    assert "from 172.29.11.0/24 203.0.113.62 hairpin" in flows
    (egress,) = (x for x in up.remote.chain("WANBOUND-SNAT") if "172.29.11.0/24 !" in x)
    assert egress.endswith("203.0.113.62")


def test_a_change_on_the_host_in_between_is_decided_again(up: Site) -> None:
    """The watcher finished a leaving network, or another run was faster."""
    up.apply(only("web", "old"))
    up.remote.meanwhile = [lambda: up.remote.remove_network("mail")]
    up.apply(only("web"))
    assert up.remote.calls[-4:] == ["facts", "change", "facts", "change"]
    assert up.remote.changed[-1]["new/leaving"] == "old.0\n"


def test_an_address_that_another_machine_has_is_named(site: Site) -> None:
    """With its network and its key; an address that is not in this plan gives the same error."""
    for address, words in (
        ("2001:db8::61", ["2001:db8::61 is in use", "public_ipv6 of network web", "rolled back"]),
        ("2001:db8::6", ["2001:db8::6 is in use", "choose another one"]),
    ):
        said = f"wanbound: {address} is in use by another machine on the link of wan0: no"
        failure = site.remote.failed(25, said, DuplicateAddressError)
        site.remote.failures = lambda number, failure=failure: failure if number % 2 == 0 else None  # type: ignore[misc]  # the default binds it
        with pytest.raises(DuplicateAddressError) as caught:
            site.apply()
        for word in (f"host {HOST}: ", *words):
            assert word in str(caught.value)


@pytest.mark.parametrize("call", ["update", "delete"])
def test_a_host_that_changes_all_the_time_is_an_error(site: Site, call: str) -> None:
    """wanbound gives up after three attempts, without a change."""
    site.apply()
    failure = ChangedMeanwhileError(HOST, "it has another state now", "as it was", "run again")
    site.remote.failures = lambda number: failure if site.remote.calls[-1] == "change" else None
    with pytest.raises(ChangedMeanwhileError):
        site.apply() if call == "update" else site.destroy()
    assert site.remote.calls[2:] == ["facts", "change"] * 3
    assert changes(site) == 1


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("failure", [FAILURE, UnreachableError(HOST, "gone", "not known", "look")])
def test_a_failure_leaves_the_host_as_it_was(site: Site, at: int, failure: HostError) -> None:
    """Create, update and delete: the error has the host's text, and there is no retry."""
    site.apply()
    before, calls = site.remote.current, len(site.remote.calls)
    for call in (
        lambda: PROVIDER.create(props()),
        lambda: PROVIDER.update(HOST, site.state, props(only("web"))),
        lambda: PROVIDER.delete(HOST, site.state),
    ):
        calls = len(site.remote.calls)
        fails = calls + at
        site.remote.failures = lambda number, fails=fails: failure if number == fails else None  # type: ignore[misc]  # the default binds it
        with pytest.raises(type(failure)) as caught:
            call()
        # If the host is unreachable, a destroy adds that Pulumi may have an old address.
        assert str(caught.value).startswith(str(failure))
        assert len(site.remote.calls) == fails
        assert site.remote.current == before


def test_a_failure_says_host_what_state_and_remedy(site: Site) -> None:
    """Host, problem, state and remedy have this order in every error."""
    site.remote.failures = lambda number: FAILURE
    with pytest.raises(HostError) as caught:
        site.apply()
    assert str(caught.value) == (
        "host edge-1: cannot be reached\n"
        "  The host now: unchanged\n"
        "  Fix: check that the host is up"
    )


def test_an_interface_that_is_not_there(site: Site) -> None:
    """The host refuses before it changes anything."""
    with pytest.raises(HostError, match="there is no interface wan0"):
        del site.remote.links["wan0"]
        site.apply()
    assert site.remote.current == "none"


# --- read ----------------------------------------------------------------------------------------


def test_read_gives_what_is_there(up: Site) -> None:
    """Properties and inputs are equal; a refresh of a correct host changes nothing."""
    assert up.refresh() == {**props(), "version": VERSION}
    assert PROVIDER.diff(HOST, up.state, props()).changes is False
    assert changes(up) == 1


def test_a_host_without_a_generation_has_no_id(site: Site) -> None:
    """The engine then drops it from the state, and the next update creates it."""
    result = PROVIDER.read(HOST, props())
    assert (result.id, result.outs) == ("", {})


def test_what_another_run_applied_is_read_by_line(up: Site) -> None:
    """It is read from the plan on the host, not from this state."""
    state = up.state
    up.apply(only("web", "old"))
    up.remote.remove_network("mail")
    up.state = state
    read = up.refresh()
    assert set(read["networks"]) == {"web", "old"}
    assert "drift" not in read


@pytest.mark.parametrize("text", ["", "Last login: today\n", "== generation\n"])
def test_an_answer_that_is_none_is_an_error_and_never_gone(up: Site, text: str) -> None:
    """A refresh over a broken connection must not make the engine forget the resource."""
    up.remote.answer = lambda _: text
    for call in (up.refresh, up.apply, up.destroy):
        with pytest.raises(HostError, match="host edge-1: its state cannot be read") as caught:
            call()
        assert "only read" in str(caught.value)
    assert changes(up) == 1


def test_docker_that_does_not_answer_is_an_error(up: Site) -> None:
    """Read as "no Docker", its networks would count as gone and be created a second time."""
    failure = up.remote.failed(24, "Docker does not answer: no answer within 60 s")
    up.remote.failures = lambda number: failure
    for call in (up.refresh, up.apply, up.destroy):
        with pytest.raises(HostError, match="Docker does not answer"):
            call()
    up.remote.failures = lambda number: None
    # An answer of the script without that part is an error too.
    up.remote.answer = lambda text: text.partition("docker 28")[0] + "== containers\n== end\n"
    with pytest.raises(HostError, match="does not say whether it has Docker"):
        up.refresh()
    assert changes(up) == 1


# --- two stacks ----------------------------------------------------------------------------------


def test_two_stacks_on_one_host(up: Site) -> None:
    """The second is refused with the owner's name, for every call."""
    up.state = {}
    other = "acme/wanbound/other"
    for call in (
        lambda: PROVIDER.create(props(stack=other)),
        lambda: PROVIDER.read(HOST, props(stack=other)),
        lambda: PROVIDER.delete(HOST, props(stack=other)),
    ):
        with pytest.raises(HostError) as caught:
            call()
        said = str(caught.value)
        assert f"it belongs to the stack {STACK}, and this is {other}" in said
        assert "rm -f /etc/wanbound/*/owner" in said
    assert changes(up) == 1


def test_a_host_that_another_stack_takes_meanwhile_is_refused(site: Site) -> None:
    """Both read a host without an owner."""

    def other() -> None:
        PROVIDER.create(props(stack="acme/wanbound/other"))

    site.remote.meanwhile = [other]
    with pytest.raises(HostError, match="belongs to the stack acme/wanbound/other"):
        site.apply()


# --- networks that leave -------------------------------------------------------------------------


def test_a_network_that_leaves_keeps_its_rules_until_its_bridge_is_gone(
    up: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """Then the host loads the next generation without them, which came with the change."""
    capsys.readouterr()
    up.apply(only("web", "old"))
    said = capsys.readouterr().err
    assert "host edge-1: network mail: its lines stay until Docker has removed its bridge" in said
    assert "(br-mail)" in said
    assert [x for x in up.remote.chain("WANBOUND-SNAT") if "br-mail" in x]
    before = up.remote.current
    up.remote.remove_network("mail")
    assert up.remote.current == f"{before}-then"
    assert not [x for x in up.remote.chain("WANBOUND-SNAT") if "br-mail" in x]
    assert ("wan0", "inet 203.0.113.62/32 scope host wan0") not in up.remote.addresses
    assert up.drift(only("web", "old")) == {}


def test_an_address_of_a_leaving_network_goes_to_another(up: Site) -> None:
    """In one update: the old bridge is closed, and the address has one owner."""
    wanted = only("web", "old")
    text = json.dumps(properties(wanted)).replace("203.0.113.61", "203.0.113.62")
    PROVIDER.update(HOST, up.state, stored({**props(wanted), **json.loads(text)}))
    snat = [x for x in up.remote.chain("WANBOUND-SNAT") if "203.0.113.62" in x]
    assert all("-o web" in x for x in snat)
    assert up.remote.table.chains["from-br-mail"] == ['oifname != "br-mail" counter drop']
    up.remote.remove_network("mail")
    assert "from-br-mail" not in up.remote.table.chains


def test_a_network_whose_bridge_is_gone_leaves_at_once(up: Site) -> None:
    """There is nothing to wait for."""
    up.remote.remove_network("mail")
    up.apply(only("web", "old"))
    assert not any(name.startswith("then/") for name in up.remote.changed[-1])
    assert not [x for x in up.remote.chain("WANBOUND-SNAT") if "br-mail" in x]


def test_a_leaving_network_is_known_without_the_hosts_record(up: Site) -> None:
    """plan.json was removed: then the state has the bridges."""
    del up.remote.disk[up.remote.current]["plan.json"]
    up.apply(only("web", "old"))
    assert up.remote.changed[-1]["new/leaving"] == "br-mail\n"


# --- delete --------------------------------------------------------------------------------------


def test_delete_refuses_while_a_bridge_exists(up: Site) -> None:
    """The error names each bridge, its network and containers; all rules stay in force."""
    (web,) = (each for each in up.remote.networks if each["Name"] == "web")
    web["Containers"] = {"1": {"Name": "shop"}, "2": {"Name": "app"}}
    up.remote.remove_network("mail")
    with pytest.raises(HostError) as caught:
        up.destroy()
    said = str(caught.value)
    assert said.startswith("host edge-1: its networks still exist: bridge old.0 of network old")
    assert "bridge web of network web (containers app, shop)" in said
    assert "bridge web-sock of network web (no container)" in said
    assert "br-mail" not in said
    assert "all rules, addresses and the guard are still in force" in said
    assert "docker network rm" in said
    assert changes(up) == 1


SHOP = '["/shop-app-1","","shop","app"]'
"""A container of a compose project, as docker_containers prints it."""


def test_delete_names_compose_projects(up: Site) -> None:
    """The operator needs to know the project's folder."""
    (web,) = (each for each in up.remote.networks if each["Name"] == "web")
    web["Containers"] = {"1": {"Name": "shop-app-1"}, "2": {"Name": "plain"}}
    up.remote.containers = [SHOP, '["/plain","","",""]']
    with pytest.raises(HostError) as caught:
        up.destroy()
    inside = "plain, shop-app-1 (compose project shop, service app)"
    assert f"bridge web of network web (containers {inside})" in str(caught.value)
    assert "`docker compose down`" in str(caught.value)


def _joined(up: Site, network: str) -> None:
    """Put a container of compose and one of the program into a network."""
    (there,) = (each for each in up.remote.networks if each["Name"] == network)
    there["Containers"] = {"1": {"Name": "shop-app-1"}, "2": {"Name": "lb"}}
    up.remote.containers = [SHOP, f'["/lb","{HOST}/{network}","",""]']


def test_containers_in_the_way_of_a_removal_are_named_before_it(
    up: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """Docker's error comes last and names none; the program's own containers are removed anyway."""
    _joined(up, "mail")
    up.apply(only("web", "old"))
    (said,) = (x for x in capsys.readouterr().err.splitlines() if "does not declare" in x)
    assert "network mail: it was removed from the stack" in said
    assert "declare shop-app-1 (compose project shop, service app). Fix: stop them" in said
    assert "lb" not in said


def test_containers_in_the_way_of_a_replacement_are_named_before_it(
    up: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """Docker replaces a network that gets another subnet."""
    _joined(up, "mail")
    up.apply()
    assert "does not declare" not in capsys.readouterr().err
    mail = plan().networks["mail"]
    moved = replace(mail, subnets={**mail.subnets, "ipv4": "172.30.99.0/24"})
    up.apply(replace(plan(), networks={**plan().networks, "mail": moved}))
    (said,) = (x for x in capsys.readouterr().err.splitlines() if "does not declare" in x)
    assert "network mail: it gets another subnet" in said
    assert "shop-app-1 (compose project shop, service app)" in said


def test_a_refresh_tells_what_leaves_past_its_network_and_finds_no_drift(
    up: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """No update corrects it, so as a difference it would be there after each `up`."""
    _joined(up, "web")
    up.remote.add_network(docker_network("aaa", "br-aaa", None, ["172.31.0.0/16"]))
    up.remote.containers[0:1] = [SHOP, "ipv4 default via 172.31.0.1 dev eth0"]
    assert up.drift() == {}
    (said,) = {x for x in capsys.readouterr().err.splitlines() if "default route" in x}
    assert said.startswith("host edge-1: network web: the IPv4 default route of container")
    assert "shop-app-1 (compose project shop, service app) is in network aaa" in said
    assert "gw_priority: 1 in web" in said


def test_delete_refuses_without_docker_and_without_the_hosts_record(up: Site) -> None:
    """Only the bridge counts, not who created it or whether Docker runs."""
    up.remote.docker = "docker stopped"
    with pytest.raises(HostError, match=r"bridge web of network web \(no container\)"):
        up.destroy()
    del up.remote.disk[up.remote.current]["plan.json"]
    with pytest.raises(HostError, match="bridge web of network web"):
        up.destroy()


def test_delete_names_a_leaving_network_too(up: Site) -> None:
    """Its bridge still exists."""
    up.apply(replace(plan(), networks={}))
    with pytest.raises(HostError, match="bridge br-mail of network mail"):
        up.destroy()


def test_delete_removes_everything(up: Site) -> None:
    """In one change, which the host refuses if a bridge has been created meanwhile."""
    for name in plan().networks:
        up.remote.remove_network(name)
    up.remote.meanwhile = [lambda: up.remote.links.update(web="up")]
    with pytest.raises(HostError, match="the bridge web still exists"):
        up.destroy()
    del up.remote.links["web"]
    up.destroy()
    assert up.remote.guard is None
    for each in up.remote.iptables.values():
        assert not any("WANBOUND" in line for line in each.saved())
    assert not any("203.0.113" in line for _, line in up.remote.addresses)


def test_delete_on_a_host_without_a_generation_does_nothing(site: Site) -> None:
    """An interrupted run can be repeated."""
    PROVIDER.delete(HOST, props())
    assert site.remote.calls == ["facts"]


# --- Docker networks created manually ------------------------------------------------------------


def test_a_network_made_by_hand_goes_only_after_a_refresh_found_it(up: Site) -> None:
    """The update after the refresh removes it; without a refresh the update refuses."""
    up.remote.remove_network("web")
    up.remote.add_network(docker_network("web", "web", None, ["172.29.11.0/24"]))
    with pytest.raises(HostError, match="there is a Docker network web already, created manually"):
        up.apply()
    assert up.remote.renewed == []
    up.refresh()
    up.refresh()
    up.up()
    assert up.remote.renewed == [("web", "edge-1/web")]
    assert up.drift() == {}


def test_a_network_that_others_use_stays(up: Site) -> None:
    """The host refuses before any change, and the error names the containers."""
    up.remote.remove_network("web")
    up.remote.add_network(docker_network("web", "web", None, containers=["shop"]))
    up.refresh()
    with pytest.raises(HostError, match="other containers: shop"):
        up.apply()
    assert changes(up) == 1


def test_nothing_is_removed_if_the_change_would_be_refused_for_another_reason(up: Site) -> None:
    """The error says that the host is unchanged, and it is."""
    up.remote.remove_network("web")
    up.remote.add_network(docker_network("web", "web", None, ["172.29.11.0/24"]))
    up.refresh()
    up.remote.add_network(docker_network("foreign", "br-foreign", None, ["172.29.12.0/24"]))
    with pytest.raises(HostError, match="The host now: unchanged; it was only read"):
        up.apply()
    assert up.remote.renewed == []


def test_what_was_removed_before_a_refusal_is_told(up: Site) -> None:
    """Of two manually created networks, the second has other containers."""
    for name, containers in (("mail", ()), ("web", ("shop",))):
        up.remote.remove_network(name)
        up.remote.add_network(docker_network(name, name, None, containers=containers))
    up.refresh()
    said = "The host now: without the manually created Docker networks mail, which were removed"
    with pytest.raises(HostError, match=said):
        up.apply()


def test_a_bridge_that_is_gone_takes_no_network_away(up: Site) -> None:
    """Loading the generation renames the bridge back, or Docker creates it."""
    up.remote.drop_link("web")
    assert up.drift() == {"bridge web": "bridge web is gone"}
    up.apply()
    assert up.remote.renewed == []


def test_what_was_taken_over_stays_so(site: Site) -> None:
    """An update without the input does not lose it: the host has a record, so it is not drift."""
    by_hand = docker_network("web", "web", None, ["172.29.11.0/24"])
    site.remote.add_network(by_hand)
    taken = replace(plan(), taken_over={"web": by_hand["Id"]})
    site.up(taken)
    assert site.drift(taken) == {}
    site.apply()
    assert site.drift() == {}
    assert site.remote.renewed == []
    by_hand["Id"] = "f" * 64
    assert set(site.drift()) == {"docker network web"}
    # With the input, another network is taken over.
    site.apply(replace(plan(), taken_over={"web": "f" * 64}))
    assert site.remote.renewed == []
    assert site.drift(replace(plan(), taken_over={"web": "f" * 64})) == {}


def test_what_was_taken_over_is_forgotten_with_its_network(site: Site) -> None:
    """Another network with that name is not taken over."""
    by_hand = docker_network("web", "web", None, ["172.29.11.0/24"])
    site.remote.add_network(by_hand)
    site.up(replace(plan(), taken_over={"web": by_hand["Id"]}))
    site.apply(only("mail", "old"))
    site.remote.remove_network("web")
    site.remote.add_network(by_hand)
    with pytest.raises(HostError, match="created manually"):
        site.apply()


# --- messages to the operator --------------------------------------------------------------------


def test_rules_made_by_hand_are_told(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Rules in the kernel and in a file loaded at boot, after the change is in force."""
    rule = "-A POSTROUTING -s 172.29.11.0/24 -o wan0 -j SNAT --to-source 203.0.113.61"
    site.remote.chain("POSTROUTING").append(rule)
    site.remote.files["/etc/iptables/rules.v4"] = f"*nat\n{rule}\nCOMMIT\n"
    site.up()
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert all(line.startswith("host edge-1: created manually, and ") for line in said)
    assert any("no longer needed" in line and "172.29.11.0/24" in line for line in said)
    assert any("loaded again at each boot" in line and "rules.v4" in line for line in said)


def test_nothing_is_told_of_a_change_that_failed(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """A host without findings gives no message either."""
    site.up()
    assert capsys.readouterr().err == ""
    site.remote.ipv6nat = True
    site.remote.failures = lambda number: FAILURE
    with pytest.raises(HostError):
        site.apply()
    assert capsys.readouterr().err == ""


def test_ipv6nat_is_told(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Only if a network has IPv6."""
    site.remote.ipv6nat = True
    site.up(only("old"))
    assert capsys.readouterr().err == ""
    site.up()
    assert "docker-ipv6nat runs here" in capsys.readouterr().err


def test_no_control_character_of_a_host_is_told(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rule was created manually."""
    rule = "-A POSTROUTING -s 172.29.11.0/24 -m comment --comment \x1b[2J -j MASQUERADE"
    site.remote.chain("POSTROUTING").append(rule)
    site.up()
    assert "\x1b" not in capsys.readouterr().err


# --- the provider itself -------------------------------------------------------------------------


def test_no_key_of_the_engines_own_gets_into_the_outputs(up: Site) -> None:
    """`__provider` is among the inputs, never among the outputs."""
    mine: dict[str, Any] = {**up.state, "__provider": "gASV"}
    assert "__provider" not in (PROVIDER.update(HOST, mine, mine).outs or {})
    assert "__provider" not in (PROVIDER.read(HOST, mine).outs or {})


def test_the_provider_is_pickled_by_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state has no code, so a change of the code does not change the state."""
    before = serialize_provider(HostNetworkingProvider())
    monkeypatch.setattr(HostNetworkingProvider, "update", lambda *_: None)
    monkeypatch.setattr(HostNetworkingProvider, "added", lambda *_: None, raising=False)
    assert serialize_provider(HostNetworkingProvider()) == before
    raw = base64.b64decode(before)
    assert b"providers.host.resource" in raw
    assert len(raw) < 200
    assert HostNetworkingProvider.serialize_as_secret_always is False
    assert vars(HostNetworkingProvider()) == {}


def test_a_host_that_has_moved_is_asked_where_it_is_today(site: Site) -> None:
    """Pulumi passes the current configuration; the state has the old address."""
    site.apply()
    provider = HostNetworkingProvider()
    hosts = [{"name": HOST, "ssh": {"address": "192.0.2.99", "port": 2222}}]
    provider.configure(ConfigureRequest(Config({"wanbound:hosts": json.dumps(hosts)}, "wanbound")))
    provider.read(HOST, site.state)
    assert (site.targets[-1].address, site.targets[-1].port) == ("192.0.2.99", 2222)


def test_a_saved_address_that_does_not_answer_is_explained(site: Site) -> None:
    """A refresh and a destroy use the state: the error says how they use the configuration."""
    site.apply()
    site.remote.failures = lambda number: UnreachableError(HOST, "no answer", "unchanged", "look")
    says = r"look\. If ssh\.address.*--run-program"
    with pytest.raises(UnreachableError, match=says):
        PROVIDER.read(HOST, site.state)
    with pytest.raises(UnreachableError, match=says):
        PROVIDER.delete(HOST, site.state)
