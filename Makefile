# MarketPrism. `make run` sets everything up and starts the whole pipeline.
#
#   make run                                  the pipeline on the exchange simulator
#   make run CONFIG=deploy/config/live.yaml   the same on the real exchange
#   make run RECORDING=path.jsonl SPEED=10    the same on a recorded session
#   make status | stop | clean                look at it, end it (from another terminal), remove its data
#   make setup | check | test | bench         set-up alone, lint and types, every test, the benchmarks
#
# PYTHON names the interpreter of the virtual environment (3.11, 3.12 or 3.13).

PYTHON ?=
CONFIG ?=
RECORDING ?=
SPEED ?=
ARGS ?=
export PYTHON CONFIG RECORDING SPEED

PY := .venv/bin/python
LOCAL := $(PY) -m deploy.local
PYTEST := $(PY) -m pytest

.PHONY: run stop status clean distclean setup check test unit integration bench docs

# `exec` and the parent's pid: the stack ends with make, however make ends.
run: setup
	@MARKETPRISM_PARENT_PID=$$PPID exec $(LOCAL) run --config "$$CONFIG" --recording "$$RECORDING" --speed "$$SPEED"

stop status clean: setup
	@exec $(LOCAL) $@ --config "$$CONFIG"

# Everything that was ever downloaded or built.
distclean: clean
	rm -rf .venv .marketprism .mypy_cache .ruff_cache .pytest_cache .hypothesis

setup:
	@python=$$(command -v python3 || command -v python || echo "$$PYTHON"); \
	if [ -z "$$python" ]; then echo "error: no Python here: install 3.11, 3.12 or 3.13" >&2; exit 1; fi; \
	exec "$$python" deploy/local/bootstrap.py

check: setup
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PYTEST) -q tests/test_architecture.py

test: unit integration

unit: setup
	$(PYTEST) -n 4 --dist worksteal -m "not integration" $(ARGS)

integration: setup
	$(PYTEST) -n 2 --dist loadfile --no-loadscope-reorder -m integration $(ARGS)

bench: setup
	$(PY) -m bench $(ARGS)

docs: setup
	$(PY) -m deploy.docs
