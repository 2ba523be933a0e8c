# From a fresh clone with only Python: `make demo` and `make test` do their own set-up in .venv.
#
#   INDEX_URL        pip's index, instead of its default
#   TORCH_INDEX_URL  an index for torch alone: on Linux the default one brings gigabytes of CUDA packages with torch;
#                    torch's own index of CPU builds (see its installation page) brings 200 MB
#   PYTHON           the interpreter to use, 3.11 or newer

VENV := .venv
BIN := $(VENV)/bin
CANDIDATES := python3 python3.13 python3.12 python3.11 python3.14 python
USABLE := 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))'
PYTHON ?= $(shell for name in $(CANDIDATES); do $$name -c $(USABLE) 2>/dev/null && echo $$name && break; done)
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
INDEX := $(if $(INDEX_URL),--index-url $(INDEX_URL))
TORCH_INDEX := $(if $(TORCH_INDEX_URL),--index-url $(TORCH_INDEX_URL),$(INDEX))

# One thread each: the tests run two processes, and torch's threads cost small models more than they gain.
export OMP_NUM_THREADS := 1

.PHONY: demo test check docs format wheel clean

demo: $(VENV)/.train
	$(BIN)/lstm-edge demo

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist worksteal

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) docs

# Without the network; a link to nowhere, a docstring that cannot be read: each warning is an error.
docs: $(VENV)/.dev
	$(BIN)/python -m sphinx -b html -E -n -W --keep-going -q -d docs/_build/doctrees docs docs/_build/html

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# What a gateway installs: the one file in dist/, whose version it names.
wheel: | $(BIN)/python
	rm -rf dist
	$(BIN)/python -m pip --disable-pip-version-check wheel --quiet $(INDEX) --no-deps --wheel-dir dist .
	@ls dist/*.whl

clean:
	rm -rf $(VENV)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer with venv was not found; fix: install it (Debian: apt install python3-venv) or name it: make PYTHON=/path/to/python3"; exit 2; }
	$(PYTHON) -m venv $(VENV)

# torch first and alone, at the version that constraints.txt pins.
$(VENV)/.torch: constraints.txt | $(BIN)/python
	$(PIP) $(TORCH_INDEX) --constraint constraints.txt torch
	touch $@

$(VENV)/.train: pyproject.toml constraints.txt $(VENV)/.torch
	$(PIP) $(INDEX) --constraint constraints.txt --editable '.[train]'
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt $(VENV)/.train
	$(PIP) $(INDEX) --constraint constraints.txt --editable '.[dev]'
	touch $@
