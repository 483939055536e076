# make run    set up .venv and distil the embedded demo
# make test   set up .venv and run the tests
# make check  format, lint, types, import contracts
# make bench  what steps and answers cost, beside what they cost elsewhere

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: run test test-slow check bench clean

run: $(READY)
	$(BIN)/kid distill

test: $(READY)
	$(BIN)/python -m pytest -q

test-slow: $(READY)
	$(BIN)/python -m pytest -q -m slow

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)
	$(BIN)/pip install -q -c constraints.txt -e '.[bench]'
	$(BIN)/python benchmarks/promises.py

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "kid needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt -e '.[dev,gguf,figures,duckdb,constrained]'
	touch $(READY)

clean:
	rm -rf $(VENV) build dist
