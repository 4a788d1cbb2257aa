# Every target sets up what it needs; the first one makes .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# A lock decides alone: what it names is installed as it stands and nothing is resolved, because pip would take a newer
# release of whatever a package asks for with an extra. `pip check` then says whether the lock was complete.
INSTALL := $(PIP) install --quiet --no-deps --require-hashes --requirement
STAMP := $(VENV)/.installed
STAMP_DEV := $(VENV)/.installed-dev

# Processes that run tests: one more than there are processors, since many tests wait for a sandbox or a server, but four
# at most, because sandboxes have processes of their own. 0 runs them in the one that reports, which a debugger needs.
# Tests are handed out in order, so that attacks come last. What pytest makes of the tests' source is kept, also where
# Python is told to keep nothing: it takes each process seconds.
WORKERS ?= $(shell $(PYTHON) -c "import os; print(min(4, 1 + (os.cpu_count() or 1)))")
PYTEST = PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadgroup --no-loadscope-reorder

# What `make coverage` holds to its gate: where a line that no test has run could cost money or let something out. It
# wants the machine that `make test` wants for everything, since half of a sandbox that cannot run here is not run.
COVERED := loop reply budget requests sandboxes
GATE := 90

.PHONY: demo test test-fast fuzz coverage check live bench dist try-wheel pictures docs docs-version tool-binary lock format clean

demo: $(STAMP)  ## run the main job on the interpreter's own standard library
	$(BIN)/rlmbox demo

test: $(STAMP_DEV)  ## run all tests; those that need what is not here say why they are skipped
	$(PYTEST) $(PYTEST_ARGS)

test-fast: $(STAMP_DEV)  ## run the tests without a marker, and no replays; says what is left out
	$(PYTEST) --dist load --fast -m "not (slow or attack or engine or browser)" $(PYTEST_ARGS)

fuzz: $(STAMP_DEV)  ## run the tests that draw random examples, with new ones
	$(PYTEST) -m hypothesis --hypothesis-profile random $(PYTEST_ARGS)

coverage: $(STAMP_DEV)  ## run tests with branch coverage, and fail where a package is below the gate
	$(PYTEST) -m "not (attack or browser)" --cov --cov-report= $(PYTEST_ARGS)
	@for package in $(COVERED); do \
	  echo "== $$package, at least $(GATE) %"; \
	  $(BIN)/coverage report --include "src/rlmbox/$$package/*" --fail-under $(GATE) --skip-covered || exit 1; \
	done

check: $(STAMP_DEV)  ## lint, types, import direction, documentation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir $(VENV)/site

live: $(STAMP_DEV)  ## ask each provider whose key there is one cheap question; costs a fraction of a cent
	$(BIN)/python -m rlmbox.testing.live

bench: $(STAMP_DEV)  ## measure, and write bench/RESULTS.md
	$(BIN)/python bench/run.py --write

dist: $(STAMP_DEV)  ## build wheel and sdist into dist/, and try the wheel from an empty environment; list what it brings
	rm -rf dist && mkdir dist
	$(BIN)/hatchling build -d dist
	$(MAKE) try-wheel
	dist/.try/bin/python .ci/bill-of-materials requirements.lock > dist/rlmbox.cdx.json
	rm -rf dist/.try

try-wheel:  ## install dist/*.whl into an empty environment of PYTHON and ask it a question
	rm -rf dist/.try && $(PYTHON) -m venv dist/.try
	dist/.try/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --require-hashes --requirement requirements.lock
	dist/.try/bin/python -m pip --disable-pip-version-check install --quiet --no-deps dist/*.whl
	dist/.try/bin/python -m pip --disable-pip-version-check check
	cd dist && .try/bin/rlmbox --version && .try/bin/rlmbox demo --json > /dev/null

pictures: $(STAMP_DEV)  ## make docs/pictures by running the product
	$(BIN)/python docs/pictures.py

docs: $(STAMP_DEV)  ## build the site into site/
	$(BIN)/mkdocs build --strict

docs-version: $(STAMP_DEV)  ## put this version's site on the branch gh-pages, as its newest
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/mike deploy $(MIKE_ARGS) --update-aliases \
	  "$$($(BIN)/python -c 'import rlmbox; print(rlmbox.__version__.rsplit(".", 1)[0])')" latest
	$(BIN)/mike set-default $(MIKE_ARGS) latest

tool-binary: $(STAMP)  ## build `rlmbox tool` as one file and as a tree, for Linux without Python, in build/tool-binary
	$(BIN)/python packaging/tool_binary.py build/tool-binary

lock: $(STAMP_DEV)  ## choose versions anew and write their hashes
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --group build \
	  --custom-compile-command "make lock" --output-file requirements.lock pyproject.toml
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --all-extras --group dev --group docs \
	  --constraint requirements.lock --custom-compile-command "make lock" --output-file requirements-dev.lock pyproject.toml

format: $(STAMP_DEV)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) site dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "rlmbox needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(STAMP): $(BIN)/python requirements.lock pyproject.toml
	$(INSTALL) requirements.lock
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	$(PIP) check
	@touch $@

$(STAMP_DEV): $(BIN)/python requirements-dev.lock pyproject.toml
	$(INSTALL) requirements-dev.lock
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	$(PIP) check
	@touch $@ $(STAMP)
