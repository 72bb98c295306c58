PY ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup demo test check pocket bench clean

help:
	@echo "make demo     set up, then watch one candidate be refused and the repaired one ship"
	@echo "make test     set up what is missing, then linters, types and the whole test suite"
	@echo "make setup    only the environment in .venv"
	@echo "make pocket   rebuild the quickstart's base model and adapters from scratch (about an hour)"
	@echo "make bench    measure the figures that the README quotes"

setup: $(READY)

# torch goes first, by itself: where a CPU wheel lies on the machine pip takes it, elsewhere set PIP_EXTRA_INDEX_URL to PyTorch's CPU index.
# Everything else is pinned and installed without following dependencies; the lock file says why.
$(READY): requirements.lock pyproject.toml
	@$(PY) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] < (3, 12) else "the locked environment needs Python 3.11: make PY=python3.11 ...")'
	@test -x $(BIN)/python || $(PY) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-deps torch==2.13.0
	$(BIN)/pip install --quiet --no-deps -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: setup
	@$(BIN)/harness demo

# Tests that serve, train or open a browser need both cores for themselves; the others share them, a file at a time.
test: setup check
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not heavy and not browser"
	$(BIN)/python -m pytest -m "heavy or browser"

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

pocket: setup
	$(BIN)/python -m training.pocket.build

bench: setup
	$(BIN)/python benchmarks/run_all.py

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
