VENV   ?= .venv
PYTHON ?= python3
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# Where the real data lie that benchmarks measure on; docs/data.md says where they come from.
AFRIQA ?= ../shared/data/afriqa
XQUAD  ?= ../shared/data/xquad
NTREX  ?= ../shared/data/ntrex
# A folder of multilingual-e5-small, and how a step of it is measured.
E5      ?=
E5_STEP := --encoder $(E5) --optimizer --max-seq-length 96 --negatives
E5_B32  := $(E5_STEP) --batch-size 32 --rows-negatives 1 --variants columns packed "packed used" "packed used bf16" \
           --out benchmarks/results/training-step-e5-small.json
E5_B64  := $(E5_STEP) --batch-size 64 --rows-negatives 5 --variants columns "packed used" "packed used bf16" --rounds 1 \
           --out benchmarks/results/training-step-e5-small-b64.json

.PHONY: help install quickstart test use check format docs site bench pictures soak study build lowest clean

help:            ## List the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(VENV)/.dev  ## Install the package, the tools and the requirements of tests and docs into .venv

quickstart: $(VENV)/.quickstart  ## Install what is needed, then the whole path on the data that ships
	$(BIN)/clear-ir quickstart --overwrite

test: $(VENV)/.dev  ## Install what is needed, then run the tests
	$(BIN)/python -m pytest

use: $(VENV)/.use  ## Test exports and the snippets of docs/use.md; installs some 500 MB of libraries
	$(BIN)/python -m pytest tests/serve/test_export.py tests/test_use_page.py

check: $(VENV)/.dev  ## Lint, format, spelling, types, and whether tables are those of the committed JSON
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/typos
	$(BIN)/mypy
	$(BIN)/python -m benchmarks.tables --check
	$(BIN)/python -m study.tables --check

format: $(VENV)/.dev  ## Let ruff fix what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.dev  ## Rewrite every table and figure in README and docs from the committed JSON
	$(BIN)/python -m benchmarks.tables
	$(BIN)/python -m study.tables

site: $(VENV)/.dev  ## Build the documentation into build/site; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(VENV)/.bench  ## Measure speed and memory: make bench AFRIQA=DIR XQUAD=DIR E5=DIR; an hour or two on two cores
	$(BIN)/python -m benchmarks.training_step --afriqa $(AFRIQA)
	$(if $(E5),$(BIN)/python -m benchmarks.training_step --afriqa $(AFRIQA) $(E5_B32))
	$(if $(E5),$(BIN)/python -m benchmarks.training_step --afriqa $(AFRIQA) $(E5_B64))
	$(BIN)/python -m benchmarks.search_speed
	$(if $(E5),$(BIN)/python -m benchmarks.demo_speed --encoder $(E5))
	$(BIN)/python -m benchmarks.mining_speed --afriqa $(AFRIQA)
	$(BIN)/python -m benchmarks.scale
	$(BIN)/python -m benchmarks.encoding_speed --afriqa $(AFRIQA)
	$(BIN)/python -m benchmarks.ray_overhead --afriqa $(AFRIQA)
	$(BIN)/python -m benchmarks.mteb_speed --xquad $(XQUAD)
	$(BIN)/python -m benchmarks.baselines --xquad $(XQUAD) --afriqa $(AFRIQA)
	$(BIN)/python -m benchmarks.tables

pictures: $(VENV)/.dev  ## Take the docs' pictures of report and demo, in Chromium, after make quickstart
	$(BIN)/python -m benchmarks.pictures

soak: $(VENV)/.dev  ## Kill commands and workers of Ray, damage 200 inputs of each kind; 40 minutes on two cores
	$(BIN)/python tests/soak.py --kills 100 --inputs 200
	PYTHONPATH=tests $(BIN)/python tests/translation_soak.py --kills 100
	PYTHONPATH=tests $(BIN)/python tests/ray_soak.py --kills 20
	$(BIN)/python -m benchmarks.tables

study: $(VENV)/.dev  ## Run what is left of the study: make study AFRIQA=DIR XQUAD=DIR E5=DIR; hours
	$(BIN)/python -m study.run --afriqa $(AFRIQA) --xquad $(XQUAD) --encoder $(E5)
	$(BIN)/python -m study.tables

build: $(VENV)/.dev  ## Build sdist and wheel into dist; check what the wheel holds and that it runs in a fresh venv
	rm -rf dist build/wheel-venv
	$(BIN)/python -m build
	$(BIN)/python .ci/check_wheel.py dist/*.whl
	$(PYTHON) -m venv build/wheel-venv
	build/wheel-venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt dist/*.whl
	cd build && wheel-venv/bin/clear-ir --help

# Warnings are no errors here: those of old versions are fixed in newer ones.
lowest:          ## Run the tests with the lowest versions that pyproject.toml allows, in build/lowest-venv
	rm -rf build/lowest-venv
	$(PYTHON) -m venv build/lowest-venv
	build/lowest-venv/bin/python -m pip install --quiet --disable-pip-version-check uv
	build/lowest-venv/bin/uv pip install --quiet --python build/lowest-venv/bin/python --resolution lowest-direct -e '.[test]'
	build/lowest-venv/bin/python -m pytest -W default

clean:           ## Remove what the targets made
	rm -rf $(VENV) build dist quickstart runs .pytest_cache .mypy_cache .ruff_cache

# torch first: the rest of the requirements would take a newer one.
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.quickstart: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) torch
	$(PIP) -e '.[quickstart]'
	@touch $@

$(VENV)/.bench: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) torch
	$(PIP) -e '.[dev,docs,bench]'
	@touch $@

# axe-core checks pages in tests; without npm those are skipped.
$(VENV)/.use: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) torch
	$(PIP) -e '.[dev,docs,use]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) torch
	$(PIP) -e '.[dev,docs]'
	-npm install --silent --no-fund --no-audit --prefix $(VENV) axe-core@4.14.1
	@touch $@
