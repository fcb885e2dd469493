# Everything runs in a virtual environment of its own. `make demo` and `make test` need nothing
# but Python 3.10 or newer and make.

PYTHON ?= python3
VENV   ?= .venv
# Tests mostly wait for servers, so more processes than cores pay; those of one file share servers.
PARALLEL ?= -n 4 --dist loadfile
BIN     = $(VENV)/bin
PIP     = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-slow test-faults test-ha soak test-matrix test-pythons check lint mypy pyright bench docs screenshots clean help

help:            ## Show the targets.
	@sed -n 's/^\([a-z-]*\): .*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: $(VENV)/demo.stamp  ## Walk through real environments and a real server.
	@$(BIN)/python examples/demo.py

test: $(VENV)/dev.stamp  ## Run the whole default suite against real servers (ARGS=... for pytest).
	@$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

test-slow: $(VENV)/dev.stamp  ## Run what the default suite leaves out: moving tables.
	@$(BIN)/python -m pytest $(PARALLEL) -m slow $(ARGS)

test-faults: $(VENV)/dev.stamp  ## Run every fault against its gate, about half an hour.
	@$(BIN)/python -m pytest -m faults $(ARGS)

test-ha: $(VENV)/dev.stamp  ## Run clusters and poolers under faults: Patroni, PgBouncer.
	@.ci/install pgbouncer patroni etcd:etcd-server
	@$(BIN)/python -m pytest -m ha $(ARGS)

soak: $(VENV)/dev.stamp  ## Play faults for half an hour (SECONDS=...); nothing may be lost.
	@$(BIN)/python -m tests.faults.soak $(SECONDS)

test-matrix: $(VENV)/dev.stamp  ## Install and test the wheel on every Python and PostgreSQL (FULL=--full for all pairs).
	@$(BIN)/python tests/matrix.py $(FULL)
	@$(BIN)/python -m pytest $(PARALLEL) -m matrix $(ARGS)

test-pythons: $(VENV)/dev.stamp  ## Test the wheel on every other Python that is here, against one PostgreSQL.
	@$(BIN)/python tests/matrix.py --quick

check: lint mypy pyright  ## Lint, types, and the dependency rule.
	@$(BIN)/python -m pytest -q tests/test_architecture.py
	@$(BIN)/pgstrata check --all --skip-files --fail-on info

lint: $(VENV)/dev.stamp
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

mypy: $(VENV)/dev.stamp
	@$(BIN)/mypy

pyright: $(VENV)/dev.stamp
	@$(BIN)/pyright --pythonpath $(BIN)/python

bench: $(VENV)/dev.stamp  ## Measure, and write the tables of docs/benchmarks.md (ARGS=... for some).
	@$(BIN)/python benchmarks/run.py $(ARGS)

docs: $(VENV)/dev.stamp  ## Write the generated pages of docs/reference, and build the site into site/.
	@$(BIN)/python docs/generate.py
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

screenshots: $(VENV)/dev.stamp  ## Make the pictures of the documentation from the real program (needs Chromium).
	@PYTHONPATH=src $(BIN)/python -m docs.screenshots

clean:           ## Remove what the other targets made.
	rm -rf $(VENV) build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("pgstrata needs Python 3.10 or newer, and $(PYTHON) is older; make PYTHON=... names another") if sys.version_info < (3, 10) else 0'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/demo.stamp: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV) ..."
	@$(PIP) --editable ".[binary,local]"
	@touch $@

$(VENV)/dev.stamp: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV) ..."
	@$(PIP) --editable ".[dev]"
	@touch $@ $(VENV)/demo.stamp
