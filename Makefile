# Every target makes the virtual environment that it needs: nothing but make and Python 3.11 or newer has to be there.
#
#   make demo       fit eight schools and the baseball hierarchy, print what they say, save a picture to demo-output/
#   make test       lint, types, tests and doctests, on WORKERS processes
#   make test-all   the same, with the tests marked slow
#   make test-oldest  the tests on the oldest JAX that pyproject.toml allows
#   make docs       the documentation as HTML, in docs/_build/html
#   make bench      compare with a bare loop, and with peers: make bench PEERS="numpyro=ENVIRONMENT"
#   make bench-distributions  log densities, gradients and draws beside scipy and peers: PEERS="numpyro=ENV tfp=ENV"
#   make bench-svi  steps of variational inference beside a bare loop and NumPyro: PEERS="numpyro=ENV"
#   make format     put the code into the form that `make test` asks for

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
    $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
CODE := numpyro tests examples benchmarks docs README.md
PYTEST_ARGS ?=
PEERS ?=
POSTERIORS ?=
BENCH_ARGS ?=

export JAX_PLATFORMS ?= cpu

.PHONY: bench bench-distributions bench-svi demo test test-all test-oldest docs format lint clean
.DELETE_ON_ERROR:
.SECONDARY:

demo: $(VENV)/.has-plot
	$(BIN)/python -m numpyro.examples.demo

test: lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(PYTEST_ARGS)

test-all: lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "" $(PYTEST_ARGS)

bench: $(VENV)/.has-dev
	PYTHONPATH=. $(BIN)/python -m benchmarks.run --peers $(PEERS) --posteriors "$(POSTERIORS)" $(BENCH_ARGS)

bench-distributions: $(VENV)/.has-dev
	PYTHONPATH=. $(BIN)/python -m benchmarks.distributions --peers $(PEERS) $(BENCH_ARGS)

bench-svi: $(VENV)/.has-dev
	PYTHONPATH=. $(BIN)/python -m benchmarks.svi --peers $(PEERS) $(BENCH_ARGS)

lint: $(VENV)/.has-dev
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy

format: $(VENV)/.has-dev
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

docs: $(VENV)/.has-docs
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

test-oldest:
	$(MAKE) VENV=.venv-oldest .venv-oldest/.has-dev
	.venv-oldest/bin/python -m pip install --quiet "jax==$$(sed -n 's/.*"jax>=\([0-9.]*\)".*/\1/p' pyproject.toml)"
	.venv-oldest/bin/python -m pytest -n $(WORKERS) --dist loadfile $(PYTEST_ARGS)

# The stamp of an extra is as old as its installation; a change of pyproject.toml installs again.
$(VENV)/.has-%: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable ".[$*]"
	touch $@

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name it with: make PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

clean:
	rm -rf build dist docs/_build demo-output *.egg-info .mypy_cache .pytest_cache .ruff_cache
