# Two commands do everything: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test quick check browser bench soak drift kills clean

run: $(VENV)/.run
	$(BIN)/python run_master.py

test: $(VENV)/.dev browser check
	$(BIN)/python -m pytest -n auto --dist worksteal

quick: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not slow" -n auto --dist worksteal

# For the tests of the web console. Where it cannot be had, those tests skip and say so.
browser:
	@command -v chromium >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get -qq update \
	  && DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends chromium >/dev/null; } \
	  || echo "no Chromium here: the tests that need a browser will skip (Debian: apt-get install chromium)"

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(VENV)/.run: requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/.dev: requirements.txt requirements-dev.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@ $(VENV)/.run

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks.fanout
	$(BIN)/python -m benchmarks.five_venues
	$(BIN)/python -m benchmarks.resting
	$(BIN)/python -m benchmarks.footprint
	$(BIN)/python -m benchmarks.strategy
	$(BIN)/python -m benchmarks.backtest
	$(BIN)/python -m benchmarks.independent

soak: $(VENV)/.dev
	$(BIN)/python benchmarks/soak.py

drift: $(VENV)/.dev
	$(BIN)/python benchmarks/drift.py

# Every boundary of every story is died at: hours. `make test` has some of each kind.
kills: $(VENV)/.dev
	CRASH_ALL=1 $(BIN)/python -m pytest tests/crash

clean:
	rm -rf $(VENV) .venv-bench
