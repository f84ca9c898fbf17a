# Everything sets itself up: a virtual environment in .venv, made on first use and kept.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
KSERVE := 0.21.0
KSERVE_VENV := .venv-kserve
MLSERVER := 1.7.1
MLSERVER_VENV := .venv-mlserver
# How many tests run at once. They mostly wait, so more than there are cores is no harm.
TEST_PROCESSES ?= 4

.PHONY: demo test lint bench kserve-env peer-envs clean help

help:
	@echo "make demo    start Mizzen, serve a model, ask it, stop     (about a minute the first time)"
	@echo "make test    run the test suite"
	@echo "make lint    check style, types and the direction of imports"
	@echo "make bench   measure the figures of docs/benchmarks.md"
	@echo "make kserve-env   install KServe's own SDK apart, so that make test drives it, too"
	@echo "make peer-envs    install KServe's and MLServer's servers apart, so that make bench compares with them"
	@echo "make clean   remove the virtual environments"

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
	@$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile $(PYTEST_ARGS)

lint: $(VENV)/.dev
	@$(BIN)/ruff check src tests bench examples scripts
	@$(BIN)/ruff format --check src tests bench examples scripts
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

bench: $(VENV)/.dev
	@$(BIN)/python bench/run.py $(BENCH_ARGS)

# KServe's SDK pins other versions than ours, so it lives in an environment of its own.
kserve-env: $(KSERVE_VENV)/.kserve-$(KSERVE)

$(KSERVE_VENV)/.kserve-$(KSERVE):
	@echo "installing KServe's SDK in $(KSERVE_VENV) (once)"
	@rm -rf $(KSERVE_VENV)
	@$(PYTHON) -m venv $(KSERVE_VENV)
	@$(KSERVE_VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
	  'kserve==$(KSERVE)' 'kubernetes<37' scikit-learn
	@touch $@

# What the model server is measured beside: KServe's and MLServer's own, each in an environment of its own.
peer-envs: kserve-env $(MLSERVER_VENV)/.mlserver-$(MLSERVER)

$(MLSERVER_VENV)/.mlserver-$(MLSERVER):
	@echo "installing MLServer in $(MLSERVER_VENV) (once)"
	@rm -rf $(MLSERVER_VENV)
	@$(PYTHON) -m venv $(MLSERVER_VENV)
	@$(MLSERVER_VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
	  'mlserver==$(MLSERVER)' 'mlserver-sklearn==$(MLSERVER)' 'uvloop<0.22'
	@touch $@

clean:
	rm -rf $(VENV) $(KSERVE_VENV) $(MLSERVER_VENV)
