"""What a network needs on its host besides its own lines, as it is there. Pure.

Script and units keep the lines in force; the Docker network has to be the one that was made for
them: one that somebody made by hand has another bridge, or masquerades, or other subnets.
"""

from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_network

from providers.installed import DIGITS, SCRIPT
from providers.live import Live

NETWORK = "drift network"
"""The role of a Docker network that is not the one that was made."""


def live_installed(wanted: Mapping[str, str], live: Live) -> dict[str, str]:
    """Return `wanted`, the script and the units by role, as they are on the host.

    Without systemd nothing could enable a unit: they are taken to be as wanted then.
    """
    script = f"{SCRIPT} {live.script[:DIGITS] if live.script else 'is missing'}"
    units = {role: line for role, line in wanted.items() if role != "script"}
    if live.units is not None:
        units = {role: _unit(live.units.get(role, ("missing",))) for role in units}
    return {"script": script, **units}


def _unit(words: tuple[str, ...]) -> str:
    """Return the words of a unit without what goes without saying."""
    if words[0] == "missing":
        return "missing"
    return ", ".join(word for word in words if word != "written")


def live_docker(
    name: str, label: str, taken_over: str, bridge: str, subnets: Iterable[str], live: Live
) -> dict[str, str]:
    """Say what is wrong with the Docker network and its bridge, nothing where all is well.

    `label` is that of the network that was made for it; one that was `taken_over`, which is an id,
    has none. A network that Docker does not have is not missed here: the network's own resource is
    what has to notice, and at times it is not there yet.
    """
    ours = [each for each in live.docker or () if each.name == name]
    if not ours:
        return {}
    drift = {}
    if len(ours) > 1:
        drift[NETWORK] = f"Docker has {len(ours)} networks called {name}"
    elif ours[0].label is None and ours[0].id != taken_over:
        drift[NETWORK] = f"Docker network {name} was made by hand (no label wanbound={label})"
    elif ours[0].label not in (None, label):
        other = str(ours[0].label)[:60]
        drift[NETWORK] = f"Docker network {name} is another's (label wanbound={other}, not {label})"
    if bridge not in live.links:
        elsewhere = [
            f"{address} stands on {device}" for device, address in _inside(list(subnets), live)
        ]
        drift["drift bridge"] = "; ".join([f"bridge {bridge} is gone", *elsewhere[:4]])
    elif live.links[bridge] != "up":
        drift["drift bridge"] = f"bridge {bridge} is {live.links[bridge]}"
    return drift


def unlabelled(name: str, live: Live) -> str:
    """Return the id of the Docker network `name` if it has no label, else nothing."""
    found = [each.id for each in live.docker or () if each.name == name and each.label is None]
    return found[0] if len(found) == 1 else ""


def _inside(subnets: Iterable[str], live: Live) -> Iterable[tuple[str, str]]:
    """Yield the host's own addresses in subnets, each with its interface."""
    places = [ip_network(subnet) for subnet in subnets]
    for device, line in live.addresses:
        text = line.split()[1].partition("/")[0]
        try:
            address = ip_address(text)
        except ValueError:
            continue
        if any(address in place for place in places):
            yield device, text
