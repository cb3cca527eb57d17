# make help lists the targets. PYTHON=... chooses the Python (3.11 or newer) that .venv is made with.
SHELL := /bin/sh
BIN := .venv/bin
PYTHON ?=
export PYTHON
# Extra words for pytest: make test ARGS="-k sse -x".
ARGS ?=
# What is formatted and checked: not what somebody tries out beside it.
CHECKED := src tests bench scripts docs recipes README.md CONTRIBUTING.md CHANGELOG.md

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint fix docs test-peers soak fuzz bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## make .venv with everything in it (does nothing when it is up to date)
	@sh scripts/setup.sh

demo: setup ## start the server on its built-in agent, place a call, show it
	@exec $(BIN)/offhook demo

test: lint ## run every check
	@echo "== tests (pytest)"
	@$(BIN)/pytest tests $(ARGS)

lint: setup ## format, style, types and import laws, without the tests
	@echo "== format (ruff format --check)"
	@$(BIN)/ruff format --check $(CHECKED)
	@echo "== style (ruff check)"
	@$(BIN)/ruff check $(CHECKED)
	@echo "== types (mypy --strict)"
	@$(BIN)/mypy
	@echo "== import laws (import-linter)"
	@$(BIN)/lint-imports

fix: setup ## format and repair what ruff can repair
	@$(BIN)/ruff check --fix --exit-zero --quiet $(CHECKED)
	@$(BIN)/ruff format $(CHECKED)
	@$(BIN)/ruff check $(CHECKED)

docs: setup ## write the parts of docs/ that are made from the code
	@$(BIN)/python scripts/docs.py

test-peers: setup ## tests against foreign clients and servers (tests/peers)
	@test -d tests/peers || { echo "there are no peer tests yet (tests/peers)" >&2; exit 1; }
	@sh scripts/peers.sh
	@$(BIN)/pytest tests/peers --timeout=300 $(ARGS)

soak: setup ## long-running tests (tests/soak)
	@test -d tests/soak || { echo "there are no soak tests yet (tests/soak)" >&2; exit 1; }
	@$(BIN)/pytest tests/soak --timeout=0 $(ARGS)

fuzz: setup ## random and damaged input, for minutes (OFFHOOK_FUZZ=5000 examples of each test)
	@OFFHOOK_FUZZ=$${OFFHOOK_FUZZ:-5000} $(BIN)/pytest tests/fuzz --timeout=0 $(ARGS)

bench: setup ## measure, and print the numbers (bench/)
	@test -f bench/__main__.py || { echo "there are no benchmarks yet (bench/__main__.py)" >&2; exit 1; }
	@exec $(BIN)/python -m bench $(ARGS)

clean: ## remove .venv, caches and builds
	rm -rf .venv .venv-peers-* build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
