"""Which names the lab's DNS serves for a stack, and the file that it reads them from."""

from pathlib import Path

from lab import names
from lab.settings import Settings
from lab.stacks import CHECKOUT, parsed, read


def test_every_name_leads_to_its_networks_public_addresses() -> None:
    """Pages and dashboards of both hosts, in both families; no name belongs to two networks."""
    found = list(names.records(parsed(read(CHECKOUT / "stacks" / "Pulumi.demo.yaml"), "demo")))
    assert ("whoami.mail.example.com", "203.0.113.20") in found
    assert ("whoami.mail.example.com", "2001:db8::20") in found
    assert ("lb.mail.example.net", "2001:db8::120") in found
    assert len(found) == len(set(found)) == 2 * (3 + 1) * 2
    for name in {name for name, _ in found}:
        addresses = [address for one, address in found if one == name]
        assert len([each for each in addresses if ":" in each]) == 1
        assert len(addresses) == 2


def test_containers_names_are_those_of_their_labels() -> None:
    """If their own network's load balancer routes to them."""
    config = read(CHECKOUT / "stacks" / "Pulumi.demo.yaml")
    config["hosts"][0]["networks"][0]["containers"] = [
        {
            "name": f"c{number}",
            "image": "example/app",
            "labels": {"lb.net": network, "traefik.http.routers.r.rule": f"Host(`{number}.test`)"},
        }
        for number, network in enumerate(["web", "mail"])
    ]
    found = {name for name, _ in names.records(parsed(config, "demo"))}
    assert "0.test" in found
    assert "1.test" not in found


def test_what_is_published_again_replaces_what_was(tmp_path: Path) -> None:
    """One file per stack, in the form of /etc/hosts; a stack's name cannot leave the folder."""
    lab = Settings(state=tmp_path)
    names.publish(lab, "a/../b", [("x.test", "192.0.2.1"), ("x.test", "2001:db8::1")])
    (file,) = names.folder(lab).iterdir()
    assert file.read_text() == "192.0.2.1 x.test\n2001:db8::1 x.test\n"
    names.publish(lab, "a/../b", ())
    assert file.read_text() == ""
