"""The file that holds what a host wants for itself, made from its lines. Pure.

`Rules` is those lines as a provider's properties have them: section → role → line.
"""

from providers.fragment import Rules

BASE_SECTIONS = (
    "link",
    "routes",
    "sysctls",
    "input_ipv4",
    "forward_ipv4",
    "input_ipv6",
    "forward_ipv6",
)
"""The sections of the host's own `Rules`, in the order in which the file has them."""

BASE_NAME = "_host"
"""The name of the host's own fragment; a network's begins with a letter or a digit."""

_PREFIXES = {
    "link": "link",
    "input_ipv4": "ipv4 filter",
    "forward_ipv4": "ipv4 filter",
    "input_ipv6": "ipv6 filter",
    "forward_ipv6": "ipv6 filter",
}


def base_fragment(rules: Rules, persist: str | None) -> str:
    """Return the text of /etc/wanbound/_host.rules; providers/onhost has its format.

    `persist` is "iptables-files" where all rules are to stand in /etc/iptables as well. Lines are
    in the order of their roles, as in `providers.fragment.fragment`.
    """
    lines = [
        "# wanbound, the host itself: written by `pulumi up`, loaded by `wanbound apply`.",
        "# Changes made here by hand are drift: the next `pulumi up --refresh` undoes them.",
    ]
    for section in BASE_SECTIONS:
        for role, line in sorted(rules.get(section, {}).items()):
            if section == "routes":
                lines.append(f"route {role} {line}")
            elif section == "sysctls":
                key, _, value = line.partition(" = ")
                lines.append(f"sysctl {key} {value}")
            else:
                lines.append(f"{_PREFIXES[section]} {line}")
    if persist is not None:
        lines.append(f"option persist {persist}")
    return "".join(f"{line}\n" for line in lines)
