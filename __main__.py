"""Read the stack, plan it, wire one component per host."""

import sys

import pulumi

from components.adopt import TakeoverError, taken_over
from components.host import Host
from components.settings import raw_settings, secret_texts, secret_values
from components.ssh_agent import AgentError, hold_keys
from planner.config import Stack
from planner.errors import ConfigError
from planner.plan import plan

_SHOWN = 32
"""The exit status after which Pulumi adds no words of its own: the program has shown its error.

The constant of pulumi-language-python for that. After any other status, Pulumi adds "an unhandled
error occurred: program exited with non-zero exit code".
"""

try:
    hosts = plan(Stack.parse(raw_settings(), pulumi.get_stack()))
    hold_keys(hosts, secret_texts())
    networks = taken_over(hosts)
except (ConfigError, AgentError, TakeoverError) as error:
    pulumi.log.error(str(error))
    sys.exit(_SHOWN)

secrets = secret_values()
for host in hosts:
    Host(host, secrets, networks.get(host.name))
