# Needs Python 3.11 or later and make. Everything else comes into .venv, at the versions of requirements.lock.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
# The first that is there and recent enough; `make PYTHON=…` overrides it.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c '$(ENOUGH)' >/dev/null 2>&1 && { echo $$p; break; }; done)

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

.DEFAULT_GOAL := help
.PHONY: help run people test soak check format bench bench-peers bench-pairs bench-million lock clean wipe

help: ## Show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(STAMP) ## Start everything on this machine and show it at work (ONCE=1: stop afterwards; ARGS=…: see ARGS=--help)
	@$(BIN)/python -m deploy.demo $(if $(ONCE),--once) $(ARGS)

people: $(STAMP) ## Who has a user of the bus (ADD=name, REMOVE=name: also while everything runs)
	@$(BIN)/python -m deploy.local.people $(if $(ADD),add $(ADD),$(if $(REMOVE),remove $(REMOVE),list)) $(ARGS)

test: $(STAMP) ## Run the tests (ARGS=… for pytest)
	@$(BIN)/python -m pytest --numprocesses=3 --dist=loadfile --no-loadscope-reorder $(ARGS)

soak: $(STAMP) ## The property tests, the explorer and the mix of behaviours for hours: more, and others each time (ARGS=… for pytest)
	@HEADRACE_SOAK=1 $(BIN)/python -m pytest --numprocesses=3 tests/property tests/chaos/test_behaviours.py tests/integration/test_openapi_answers.py $(ARGS)

check: $(STAMP) ## What CI checks before the tests: lint, format, types, import rules, generated files
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(if $(wildcard deploy/generate.py deploy/generate/__main__.py),$(BIN)/python -m deploy.generate --check)

format: $(STAMP) ## Format, and mend what the linter can mend
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: $(STAMP) ## Measure the four workloads, beside six other systems (ARGS=--no-peers: alone); writes .headrace/bench/compute.json
	@$(BIN)/python -m tests.bench $(ARGS)

bench-peers: $(STAMP) ## Measure dask, ray, parsl, celery, procrastinate and taskiq-nats again, beside the last `make bench`
	@$(BIN)/python -m tests.bench.peers $(ARGS)

bench-pairs: $(STAMP) ## Measure this code and that of BASE=<commit> in turn, ten times each (ARGS=--help)
	@$(BIN)/python -m tests.bench.pairs $(BASE) $(ARGS)

bench-million: $(STAMP) ## Measure 1,000,000 tasks in one session, and who waits behind them; writes .headrace/bench/million.json
	@$(BIN)/python -m tests.bench.million $(ARGS)

lock: $(STAMP) ## Choose the versions anew, as far as pyproject.toml asks for it (UPGRADE=1: the newest of everything)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --all-extras --python-version 3.11 --generate-hashes --no-header \
		--no-emit-index-url --quiet $(if $(UPGRADE),--upgrade) --output-file requirements.lock
	for peer in tests/bench/peers/*_peer.py; do \
		$(BIN)/uv pip compile $$peer --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --quiet \
			--output-file $${peer%_peer.py}.lock || exit 1; done
	@! grep -n '://' requirements.lock tests/bench/peers/*.lock || { echo "no lock may name an address"; exit 1; }

clean: ## Delete what can be made again: .venv and caches
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

wipe: $(STAMP) ## Delete what `make run` has stored in .headrace
	@$(BIN)/python -m deploy.local --wipe

$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed, and none was found (make PYTHON=/path/to/python)"; exit 1; }
	@$(PYTHON) -c '$(ENOUGH)' || { echo "$(PYTHON) is older than Python 3.11"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "$(PYTHON) has no venv or ensurepip; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "Installing into $(VENV) with $(PYTHON) …"
	@$(BIN)/python -c '$(ENOUGH)' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@
