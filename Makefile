# Set-up and the commands that one types. Everything runs in the environment .venv.
#
#   make demo                                   fit two models to a photograph, write a report
#   make test                                   the quick tests
#   make test PIP_ARGS="--extra-index-url URL"  the same, with one more source of wheels
#
# Where pip finds only the CUDA build of torch (gigabytes), name a source of CPU wheels,
# such as https://download.pytorch.org/whl/cpu.

PYTHON ?= python3
PIP_ARGS ?=
PYTEST_ARGS ?=
WORKERS ?= 2
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

DEMO ?= compare image astronaut --models instant-ngp,mulfagrid \
	--params 140000 --steps 300 --out runs/demo --overwrite

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow lint clean

help:  ## list these commands
	@sed -n 's/^\([a-z-]*\):[^#]*##/\1:/p' $(firstword $(MAKEFILE_LIST))

install: $(STAMP)  ## make the environment with the pinned versions

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check $(PIP_ARGS) \
		-c constraints.txt -e '.[test]'
	touch $@

demo: install  ## compare two models on a photograph in runs/demo
	$(BIN)/tangrid $(DEMO)

test: install  ## run the quick tests
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile $(PYTEST_ARGS)

test-slow: install  ## run the tests that take minutes
	$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

lint: install  ## check style, types and the order of the rooms
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/lint-imports --no-logo

clean:  ## remove the environment and what the tools left behind
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis tests/.hypothesis \
		.import_linter_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
