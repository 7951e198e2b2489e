"""Read the stack, plan it, wire one component per host."""

import pulumi

from components.adopt import TakeoverError, taken_over
from components.host import Host
from components.settings import raw_settings, secret_texts, secret_values
from components.ssh_agent import AgentError, hold_keys
from planner.config import Stack
from planner.errors import ConfigError
from planner.plan import plan

try:
    hosts = plan(Stack.parse(raw_settings(), pulumi.get_stack()))
    hold_keys(hosts, secret_texts())
    networks = taken_over(hosts)
except (ConfigError, AgentError, TakeoverError) as error:
    # The operator's own words back, without a traceback through the program.
    raise pulumi.RunError(str(error)) from None

secrets = secret_values()
for host in hosts:
    Host(host, secrets, networks.get(host.name))
