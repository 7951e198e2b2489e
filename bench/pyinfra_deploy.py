"""pyinfra's deploy: the rules in $BENCH_RULES by its iptables operations. Runs inside pyinfra."""

import json
import os
from importlib import import_module
from pathlib import Path
from typing import Any

# By name: pyinfra is in a separate environment, which the type checker does not see.
iptables: Any = import_module("pyinfra.operations.iptables")
server: Any = import_module("pyinfra.operations.server")

wanted = json.loads(Path(os.environ["BENCH_RULES"]).read_text())
for chain in wanted["chains"]:
    if chain["version"] == 4:
        iptables.chain(**chain)
    else:
        # In 3.10.0, its own fact for these, Ip6tablesChains, raises TypeError.
        call, name = f"ip6tables -t {chain['table']}", chain["chain"]
        server.shell(commands=[f"{call} -S {name} >/dev/null 2>&1 || {call} -N {name}"])
for rule in wanted["rules"]:
    iptables.rule(**rule)
