# make demo      set everything up, boot the lab, `pulumi up` the demo, show what the internet sees
# make test      everything: lint, types, unit tests, then the lab tests on real hosts (root)
# make check     lint, types and unit tests; no root needed
# make preview   STACK=name: what `pulumi up` would change, line by line
# make faults    every fault on six hosts of its own, under constant traffic, as one table (root)
# make matrix    every check on four engines and their backends, the recipe, Docker alone (root)
# make bench     speed against a floor and against peers, as ratios (root)
# make release-check  check this checkout before a release: version, changelog, lock, tree
# make clean     stop the lab, remove what it made, its caches and .venv

STACK ?= demo
PYTHON_IN := .venv/bin/python

.PHONY: help setup demo test check lab-test preview bench faults matrix release-check clean

help:
	@sed -n 's/^# make/make/p' Makefile

setup:
	@tools/setup.sh

demo: setup
	@$(PYTHON_IN) -m lab.demo

# Builds that take minutes the first time run before pytest, which would hide their progress and
# repeat them in each worker.
check: setup
	@tools/test-tools.sh
	@echo '· lint'
	@.venv/bin/ruff check --quiet .
	@.venv/bin/ruff format --check --quiet .
	@echo '· types'
	@.venv/bin/mypy
	@$(PYTHON_IN) -c 'from lab import tools; tools.pulumi()'
	@echo '· unit tests'
	@$(PYTHON_IN) -m pytest -n auto --dist loadfile --durations=10 -m 'not lab'

# The lab tests run after the unit tests and not in parallel: their timing needs the processors.
# They spend most of their time waiting, so three workers run them, each in a lab of its own.
lab-test: setup
	@$(PYTHON_IN) -m lab prepare \
	    --hosts test-1=bookworm,test-2=forky+29,test-3=bookworm+bare,test-4=forky+bare
	@echo '· lab tests: real hosts, real Docker, real packets'
	@$(PYTHON_IN) -m pytest -n 3 --no-loadscope-reorder --durations=10 -m lab
	@echo '· only in make matrix: every check on Docker 26 and legacy iptables, with the recipe and Docker alone'

test: check lab-test

# --show-full-output: otherwise pulumi cuts lines at 150 characters, and rules are longer.
# Its warnings about the lab's plugins on PATH are removed; descriptor 3 passes its exit status.
preview: setup
	@set -e; PATH="$$PWD/.venv/bin:$$PATH"; preview='pulumi preview --diff --show-full-output'; \
	if [ "$(STACK)" != demo ]; then exec $$preview --stack "$(STACK)"; fi; \
	$(PYTHON_IN) -m lab up; \
	env=$$($(PYTHON_IN) -m lab env); eval "$$env"; \
	pulumi stack select demo 2>/dev/null || pulumi stack init demo; \
	color=never; [ ! -t 1 ] || color=always; exec 4>&1; \
	status=$$({ { $$preview --color $$color --stack demo 2>&1 3>&- && echo 0 >&3 || echo $$? >&3; } | \
	    grep -v 'warning: .*using pulumi-resource-' >&4 || :; } 3>&1); \
	exit "$$status"

bench: setup
	@$(PYTHON_IN) -m bench

faults: setup
	@$(PYTHON_IN) -m lab.faults

matrix: setup
	@$(PYTHON_IN) -m lab.matrix

release-check: setup
	@$(PYTHON_IN) -m tools.release

clean:
	@if [ -x $(PYTHON_IN) ]; then $(PYTHON_IN) -m lab.faults --down; $(PYTHON_IN) -m lab.matrix --down; $(PYTHON_IN) -m bench --down; $(PYTHON_IN) -m lab clean; fi
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
