# `make demo` and `make test` each work first, alone, in a fresh clone.
# They need Python >= 3.11, a C compiler and make; everything else goes into .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help setup demo test test-fast lint format bench docs clean

help:
	@echo "make demo    from planted logs and audio to a transfer table (minutes)"
	@echo "make test    lint, tests and docstring examples"
	@echo "make bench   every figure of benchmarks/README.md, measured again"
	@echo "make docs    the HTML documentation, in docs/_build/html"
	@echo "make lint    ruff check and format check;  make format  applies them"

setup: .venv/installed

# musicnn pins ancient versions of numpy and tensorflow; only its weight files are used.
.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps musicnn==0.1.0
	@touch $@

demo: setup
	$(BIN)/python examples/demo.py

# One thread: the tensors of tests are small, and threads would wait for each other.
test: setup lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

test-fast: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'not slow and not real'

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup
	$(BIN)/python benchmarks/run.py

docs: setup
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

clean:
	rm -rf .venv docs/_build docs/auto_examples
