# `make demo` and `make test` each work first, alone, in a fresh clone. They need Python
# >= 3.11 and make; everything else goes into .venv, in the versions and with the hashes
# of requirements/*.txt, which `make lock` writes.
PYTHON ?= python3
VENV ?= .venv
# Processes that run the tests side by side; 0 runs them in one.
JOBS ?= auto

# Compiled modules lie apart, also where the environment says to write none: the tests
# start many processes, and compiling torch and scikit-learn takes each of them 8 s.
export PYTHONPYCACHEPREFIX := $(abspath $(VENV))/pycache
unexport PYTHONDONTWRITEBYTECODE

BIN := $(VENV)/bin
UV := $(BIN)/uv
UV_INSTALLED := $(VENV)/uv.installed
INSTALL := $(UV) pip install --quiet --python $(BIN)/python
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --upgrade \
	--generate-hashes --no-emit-index-url --custom-compile-command "make lock"
# The tensors of tests are small: with one thread each, no test waits for another's.
PYTEST := OMP_NUM_THREADS=1 PYTHONHASHSEED=0 $(BIN)/python -m pytest \
	-n $(JOBS) --dist worksteal

.PHONY: help demo test test-long test-all test-fast test-newest test-lowest \
	lint format bench docs lock build clean

help:
	@echo "make demo         from planted logs and audio to a transfer table (minutes)"
	@echo "make test         lint, tests and docstring examples; test-long: the long cases;"
	@echo "                  test-all: both; test-fast: without slow ones and real data"
	@echo "make test-newest  the tests with the newest releases of everything;"
	@echo "make test-lowest  with the lowest that pyproject.toml allows"
	@echo "make lint         ruff and mypy;  make format  applies ruff's changes"
	@echo "make docs         the HTML documentation, in docs/_build/html"
	@echo "make bench        every figure of benchmarks/README.md, measured again"
	@echo "make lock         write requirements/*.txt anew, with the newest releases"
	@echo "make build        sdist and wheel, in dist"

# The Makefile's own tool, then a locked set, then this package and musicnn's weights
# (musicnn pins ancient versions of numpy and tensorflow; only its files are used).
$(UV_INSTALLED):
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/uv.txt
	@touch $@

$(VENV)/%.installed: requirements/%.txt requirements/musicnn.txt pyproject.toml | $(UV_INSTALLED)
	$(INSTALL) --require-hashes -r requirements/$*.txt
	$(INSTALL) --no-deps --require-hashes -r requirements/musicnn.txt
	$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(VENV)/demo.installed
	$(BIN)/python examples/demo.py

test: lint
	$(PYTEST) -m 'not long'

test-long: $(VENV)/dev.installed
	$(PYTEST) -m long

test-all: test test-long

test-fast: $(VENV)/dev.installed
	$(PYTEST) -m 'not slow and not long and not real'

# Environments of their own, thrown away before each run: what is installed today counts.
test-newest test-lowest: test-%:
	rm -rf .venv-$*
	$(MAKE) VENV=.venv-$* .venv-$*/uv.installed
	.venv-$*/bin/uv pip install --quiet --python .venv-$*/bin/python \
		--resolution $(if $(filter newest,$*),highest,lowest-direct) --editable '.[dev]'
	.venv-$*/bin/uv pip install --quiet --python .venv-$*/bin/python --no-deps \
		-r requirements/musicnn.txt
	.venv-$*/bin/uv pip list --python .venv-$*/bin/python
	OMP_NUM_THREADS=1 PYTHONHASHSEED=0 .venv-$*/bin/python -m pytest \
		-n $(JOBS) --dist worksteal -m 'not long'

lint: $(VENV)/dev.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/dev.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/dev.installed
	$(BIN)/python benchmarks/run.py

docs: $(VENV)/dev.installed
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html
	USERLOGFEAT_SITE=docs/_build/html $(BIN)/python -m pytest -q tests/test_docs.py

lock: | $(UV_INSTALLED)
	echo uv | $(COMPILE) - -o requirements/uv.txt
	echo musicnn==0.1.0 | $(COMPILE) --no-deps - -o requirements/musicnn.txt
	$(COMPILE) pyproject.toml --extra dev --extra docs -o requirements/dev.txt
	$(COMPILE) pyproject.toml --extra plots -c requirements/dev.txt -o requirements/demo.txt

build: $(VENV)/dev.installed
	$(UV) build --python $(BIN)/python --out-dir dist

clean:
	rm -rf .venv .venv-newest .venv-lowest build dist docs/_build docs/auto_examples docs/generated docs/reference
