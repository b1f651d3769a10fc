VENV   ?= .venv
PYTHON ?= python3
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# Where the real data lie that benchmarks measure on; docs/data.md says where they come from.
AFRIQA ?= ../shared/data/afriqa
XQUAD  ?= ../shared/data/xquad
NTREX  ?= ../shared/data/ntrex

.PHONY: help quickstart test check format docs bench study clean

help:            ## List the targets
	@grep -E '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

quickstart: $(VENV)/.quickstart  ## Install what is needed, then the whole path on the data that ships
	$(BIN)/clear-ir quickstart --overwrite

test: $(VENV)/.dev  ## Install what is needed, then run the tests
	$(BIN)/python -m pytest

check: $(VENV)/.dev  ## Lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m benchmarks.tables --check
	$(BIN)/python -m study.tables --check

format: $(VENV)/.dev  ## Let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.dev  ## Rewrite every table and figure in README and docs from the committed JSON
	$(BIN)/python -m benchmarks.tables
	$(BIN)/python -m study.tables

bench: $(VENV)/.bench  ## Measure speed and memory: make bench AFRIQA=DIR XQUAD=DIR; an hour or two on two cores
	$(BIN)/python -m benchmarks.training_step --afriqa $(AFRIQA)
	$(BIN)/python -m benchmarks.search_speed
	$(BIN)/python -m benchmarks.mining_speed --afriqa $(AFRIQA)
	$(BIN)/python -m benchmarks.encoding_speed --afriqa $(AFRIQA)
	$(BIN)/python -m benchmarks.mteb_speed --xquad $(XQUAD)
	$(BIN)/python -m benchmarks.baselines --xquad $(XQUAD) --afriqa $(AFRIQA)
	$(BIN)/python -m benchmarks.tables

study: $(VENV)/.dev  ## Run what is left of the study's matrix: make study AFRIQA=DIR XQUAD=DIR NTREX=DIR; hours
	$(BIN)/python -m study.run --afriqa $(AFRIQA) --xquad $(XQUAD) --ntrex $(NTREX)
	$(BIN)/python -m study.tables

clean:           ## Remove what the targets made
	rm -rf $(VENV) quickstart runs .pytest_cache .mypy_cache .ruff_cache

# torch first: the rest of the requirements would take a newer one.
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.quickstart: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) torch
	$(PIP) -e '.[quickstart]'
	@touch $@

$(VENV)/.bench: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) torch
	$(PIP) -e '.[dev,bench]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) torch
	$(PIP) -e '.[dev]'
	@touch $@
