# What people type: `make run`, `make test`. `make help` tells the rest.

PYTHON ?= python3
VENV   ?= .venv
# Tests that run at the same time; they use ports and folders of their own.
JOBS   ?= 2
TESTS  ?= tests
# Real servers beside real clients on a busy machine can be late: a test is tried again, and is said to have been. One that
# is broken fails each time.
RETRY  ?= --reruns 2 --reruns-delay 1
# What `make run` gives to `aigate run`, and `make test` to pytest.
ARGS   ?=
# Where big things are kept between runs of `make test-real`: a model server and its model.
CACHE  ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/aigate

SHELL := /bin/bash
BIN   := $(VENV)/bin
PIP   := $(BIN)/python -m pip --disable-pip-version-check --quiet install
SOURCES := pyproject.toml setup.py

.PHONY: help run test test-deps test-real fuzz soak bench check lint types arrows coverage clean
.DELETE_ON_ERROR:

help: ## Tell what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

run: $(VENV)/.installed ## Install into .venv and start the gate in the foreground
	@AIGATE_COMMAND='make run' exec $(BIN)/aigate run $(ARGS)

test: $(if $(filter true,$(CI)),test-deps) ## Run every test; those whose server is missing skip and tell the cure
	@$(MAKE) --no-print-directory $(VENV)/.tests
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(RETRY) -q -raR -m "not real and not soak" $(TESTS) $(ARGS)

test-deps: ## Install the servers and clients that tests use (Debian packages, as root)
	@tests/deps.sh

test-real: $(VENV)/.tests ## Ask a real model through the gate (makes the server once: ten minutes, 700 MB)
	@PYTHON=$(abspath $(BIN)/python) tests/real/prepare.sh $(CACHE)/real
	AIGATE_REAL=$(CACHE)/real $(BIN)/python -m pytest -q -m real tests/real $(ARGS)

fuzz: $(VENV)/.tests ## Fuzz the parsers against llhttp by coverage (SECONDS=600 for each of six targets; needs atheris)
	$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/pip install -q atheris
	@for target in requests answers chunks paths fields frames; do \
		$(BIN)/python -m tests.fuzz.run $$target -max_total_time=$(or $(SECONDS),600) || exit 1; done

soak: $(VENV)/.tests ## An hour of abuse, then an hour of every kind of traffic, and nothing grows (HOURS=1)
	AIGATE_SOAK_HOURS=$(or $(HOURS),1) $(BIN)/python -m pytest -q -m soak --timeout 0 $(TESTS) $(ARGS)
	$(BIN)/python -m bench.soak --minutes $$(awk 'BEGIN { print 60 * $(or $(HOURS),1) }')

check: lint types arrows coverage ## Lint, types, arrows between the rooms, branch coverage

lint: $(VENV)/.check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.check
	$(BIN)/mypy edge plugins

arrows: $(VENV)/.check
	$(BIN)/lint-imports

coverage: $(VENV)/.check
	@rm -f .coverage .coverage.*
	@# Without CI: what measures time skips under a tracer, and `make test` has run it.
	env -u CI $(BIN)/coverage run -m pytest -n $(JOBS) --dist loadfile $(RETRY) -q -m "not real and not soak" --ignore tests/packaging tests
	@$(BIN)/coverage combine -q
	$(BIN)/coverage report

bench: $(VENV)/.tests ## Measure the gate beside nginx, Caddy and others (quarter of an hour; docs/speed.md)
	$(BIN)/python -m bench --install $(ARGS)

clean: ## Remove what was built; keeps .venv and all data
	@rm -rf build dist *.egg-info edge/shipped .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

# The environment. A stamp each for running, testing and checking, so that a second call takes no time.

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "python3 is missing; on Debian: apt install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or later is needed, and $(PYTHON) is $$($(PYTHON) -V 2>&1); name another: make $(or $(firstword $(MAKECMDGOALS)),run) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "python3-venv is missing; on Debian: apt install python3-venv" >&2; exit 1; }
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(SOURCES) | $(BIN)/python
	@echo "installing into $(VENV); once, and it takes a minute"
	@$(PIP) -e .
	@touch $@

$(VENV)/.tests: $(SOURCES) | $(BIN)/python
	@echo "installing what the tests need into $(VENV)"
	@$(PIP) -e '.[test]'
	@touch $(VENV)/.installed $@

$(VENV)/.check: $(SOURCES) | $(BIN)/python
	@echo "installing what the checks need into $(VENV)"
	@$(PIP) -e '.[test,check]'
	@touch $(VENV)/.installed $(VENV)/.tests $@
