# Each target does its own set-up on a fresh machine: `make run`, `make test`, `make bench`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: run test soak lint bench clean

run: $(READY)
	$(BIN)/streamlit run

# Two processes, whose threads do not spin while they wait for one another; the tests of a file share slow fixtures.
test: lint
	OMP_WAIT_POLICY=passive $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

# Slow tests: races, kills and mutations by the hundred, one after another, each with its seed.
soak: $(READY)
	OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -m soak --timeout 7200

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)
	$(BIN)/python -m benchmarks promises

$(READY): requirements.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -r requirements.txt
	touch $@

clean:
	rm -rf $(VENV)
