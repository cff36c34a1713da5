# Two commands are enough on a fresh machine that has Python 3.11 and make: `make run` and `make test`.
# Each makes what it needs and remembers it in stamp files; a change of pyproject.toml or the lock installs again.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BENCH_VENV := .bench-venv
BIN := $(VENV)/bin
PIP := -m pip install --quiet --disable-pip-version-check --constraint requirements.txt
# Tests run side by side; 0 runs them in one process, which a debugger needs.
WORKERS ?= 2
# Names of benchmarks, all of them when empty: make bench BENCH=w1,cold
BENCH ?=
# PostgreSQL version that the tests run on, the newest one when empty: make test PG=16
PG ?=
# Options of pytest: make test TESTS="tests/unit -k settle"
TESTS ?=
# The soak of live trading: make soak SECONDS=1800 KILLS=5000 SEED=random BROKER=paper
SECONDS ?= 60
KILLS ?= 0
SEED ?= 1
BROKER ?= oanda
SLOW ?= 1
# Faulty traders that the soak has to catch, all of them when empty: make soak-mutants MUTANTS="M4 M12"
MUTANTS ?=
# Where descriptions of venues lie that are not part of the repository, and Prism, which checks against OANDA's.
REFERENCE := $(or $(TRADESENTRY_SHARED_REFERENCE),../shared/reference)
PRISM := build/prism
PRISM_LOCK := $(addprefix tests/conformance/brokers/prism/,package.json package-lock.json)

.DEFAULT_GOAL := help
.PHONY: help run test check lint format bench soak soak-mutants oanda-contract lock clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 16

run: $(VENV)/runtime.stamp ## back-test a strategy on the built-in synthetic market and write a report
	@$(BIN)/tradesentry backtest breakout --source synthetic --costs 0,1,2 --limits off --baselines --report

test: $(VENV)/test.stamp ## run the test suite
	@TRADESENTRY_TEST_PG="$(PG)" $(BIN)/python -m pytest -q -n $(WORKERS) $(TESTS)

check: $(VENV)/dev.stamp lint ## check format, style, types and who imports whom
	@$(BIN)/mypy
	@$(BIN)/lint-imports

lint: $(VENV)/dev.stamp
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

format: $(VENV)/dev.stamp ## format the code and repair what can be repaired safely
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(VENV)/test.stamp $(BENCH_VENV)/peers.stamp ## measure speed against other engines, in an environment of their own
	@BENCH="$(BENCH)" $(BIN)/python tests/benchmarks/run.py

soak: $(VENV)/test.stamp ## kill traders, database and network while orders go out, and look for lost or doubled ones
	@$(BIN)/python -m tests.acceptance.soak --seconds $(SECONDS) --kills $(KILLS) --seed $(SEED) --broker $(BROKER) --slow $(SLOW)

soak-mutants: $(VENV)/test.stamp ## prove that the soak catches every faulty trader, and passes a right one under the same faults
	@$(BIN)/python -m tests.acceptance.soak --seconds 20 --seed $(SEED) --broker $(BROKER) --slow $(SLOW) --controls --mutants $(MUTANTS)

oanda-contract: $(VENV)/test.stamp ## check the OANDA adapter against the venue's own description, where that and Node.js are
	@if [ -d "$(REFERENCE)/oanda" ] && command -v npm >/dev/null; then $(MAKE) --no-print-directory $(PRISM)/prism.stamp; fi
	@$(BIN)/python -m pytest tests/conformance/brokers/test_oanda_contract.py -m reference -q -rs

lock: ## write requirements.txt anew from pyproject.toml
	@rm -rf build/lock-venv && $(PYTHON) -m venv build/lock-venv
	@build/lock-venv/bin/python -m pip install --quiet --disable-pip-version-check .
	@{ echo "# Exact versions of what TradeSentry needs at run time. Written by \`make lock\`; do not edit."; \
	   build/lock-venv/bin/python -m pip freeze --exclude trade-sentry-ai --exclude pip --exclude setuptools; } > requirements.txt
	@rm -rf build/lock-venv

clean: ## remove environments, caches and build outputs
	rm -rf $(VENV) $(BENCH_VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find tradesentry tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/python.stamp:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer was not found. Install it, or name it: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than Python 3.11. Name a newer one: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Creating $(VENV) ..." && $(PYTHON) -m venv $(VENV) && touch $@

$(VENV)/runtime.stamp: $(VENV)/python.stamp pyproject.toml requirements.txt
	@echo "Installing TradeSentry ..." && $(BIN)/python $(PIP) --editable . && touch $@

$(VENV)/test.stamp: $(VENV)/runtime.stamp
	@echo "Installing what the tests need ..." && $(BIN)/python $(PIP) --editable '.[test,drl]' && touch $@

$(VENV)/dev.stamp: $(VENV)/runtime.stamp
	@echo "Installing what the checks need ..." && $(BIN)/python $(PIP) --editable '.[dev,drl]' && touch $@

$(BENCH_VENV)/peers.stamp: $(VENV)/python.stamp tests/benchmarks/requirements-peers.txt
	@echo "Creating $(BENCH_VENV) ..." && $(PYTHON) -m venv $(BENCH_VENV)
	@$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r tests/benchmarks/requirements-peers.txt && touch $@

$(PRISM)/prism.stamp: $(PRISM_LOCK)
	@echo "Installing Prism ..." && mkdir -p $(PRISM) && cp $(PRISM_LOCK) $(PRISM)
	@npm ci --prefix $(PRISM) --silent --no-audit --no-fund --ignore-scripts && touch $@
