# Everything sets itself up: a virtual environment in .venv, made on first use and kept.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint bench clean help

help:
	@echo "make demo    start Mizzen, serve a model, ask it, stop     (about a minute the first time)"
	@echo "make test    run the test suite"
	@echo "make lint    check style, types and the direction of imports"
	@echo "make bench   measure the figures of docs/benchmarks.md"
	@echo "make clean   remove the virtual environment"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Mizzen needs Python 3.11 or newer; $(PYTHON) is older. Name another: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@echo "making a virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { echo "venv is missing; on Debian: apt-get install python3-venv"; rm -rf $(VENV); exit 1; }

$(VENV)/.demo: $(BIN)/python pyproject.toml
	@echo "installing Mizzen with its scikit-learn server (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[sklearn]'
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml
	@echo "installing Mizzen with what its tests need (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.demo

demo: $(VENV)/.demo
	@$(BIN)/python examples/iris/demo.py

test: $(VENV)/.dev
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.dev
	@$(BIN)/ruff check src tests bench examples scripts
	@$(BIN)/ruff format --check src tests bench examples scripts
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

bench: $(VENV)/.dev
	@$(BIN)/python bench/run.py $(BENCH_ARGS)

clean:
	rm -rf $(VENV)
