PY ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help
help:
	@echo "make demo     set up, then watch a candidate be refused and a repaired one ship"
	@echo "make test     set up, then run linters, types and the whole test suite"
	@echo "make pocket   rebuild the quickstart's base model and adapters from scratch"
