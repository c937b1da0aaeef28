# make demo | make test | make format | make clean
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Most of what comes is never imported, and what is, is compiled when it is: half a minute saved.
QUICKLY := --quiet --no-compile

# Idle OpenMP threads must sleep, not spin: spinning makes torch many times slower on busy cores.
export OMP_WAIT_POLICY := PASSIVE
# Nothing is compiled by the installation; unless the first import keeps what it compiles, every
# process compiles it again: five seconds each.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check format clean

demo: $(VENV)/.installed
	$(BIN)/lsntp demo

# Three on two cores: a good part of the time, tests wait for servers to start.
test: check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 3 --dist loadfile

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/pip install $(QUICKLY) --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/pip install $(QUICKLY) --constraint constraints.txt --editable '.[dev]'
	touch $(VENV)/.installed $@

clean:
	rm -rf $(VENV) lsntp-data .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
