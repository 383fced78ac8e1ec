# `make run` and `make test` do all the set-up themselves; they need Python 3.11 or newer and nothing else.

PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: run serve demo test check torture bench routes reset clean
.DELETE_ON_ERROR:

run: .venv/installed                    # serve the demo workspace, made if there is no database yet
	@$(BIN)/flask --app app demo
	@$(BIN)/flask --app app serve

serve: .venv/installed                  # serve what the database holds: HOST, PORT, WORKERS, SIGMA_… as in the README
	@$(BIN)/flask --app app serve

demo: .venv/installed                   # play a key's story in the terminal, on a database of its own; ARGS="--fast --exit"
	@exec $(BIN)/python -c "from sigma.cli.story import play; play()" $(ARGS)

# The tests commit thousands of times; where there is room in memory, none of them waits for a disk.
MEMORY := $(shell df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 && $$4 > 500000 { print "TMPDIR=/dev/shm" }')

test: .venv/installed-tests             # the test suite, in random order, in parallel
	$(MEMORY) $(BIN)/python -m pytest -n auto

check: .venv/installed-tests            # lint, format, types, known vulnerabilities
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy app.py sigma
	$(BIN)/python tests/audit.py

torture: .venv/installed-torture        # what takes longer: fuzzing, kill -9, generated clients, a browser
	$(BIN)/python -m pytest tests/torture -n auto -rs

ROWS ?= inprocess sizes searching sockets starting locks
PEERS := .venv-bench/installed-python .venv-bench/installed-node
bench: .venv/installed $(if $(filter sockets,$(ROWS)),$(PEERS))  # how fast it is, beside others; ROWS="inprocess locks" is a part
	@$(BIN)/python tests/bench/bench.py $(ROWS)

routes: .venv/installed                 # every route of the service
	@$(BIN)/flask --app app routes

reset:                                  # with the service stopped: put sigma.db aside, so that `make run` begins afresh
	@if [ -e sigma.db ]; then folder=old-sigma.db-$$(date +%Y%m%d-%H%M%S); mkdir $$folder && mv -v sigma.db* $$folder/; fi

clean:                                  # remove what was installed
	rm -rf .venv .venv-bench

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

# What the service is measured against is kept apart from it, and may be missing: the benchmark then says why.
.venv-bench/installed-python: tests/bench/requirements.txt | .venv/bin/python
	$(BIN)/python -m venv .venv-bench
	@.venv-bench/bin/python -m pip install --quiet --requirement $< >.venv-bench/python.log 2>&1 && touch $@ || cat .venv-bench/python.log

.venv-bench/installed-node: tests/bench/package.json
	@mkdir -p .venv-bench && cp $< .venv-bench/
	cd .venv-bench && npm install --no-audit --no-fund --no-package-lock >node.log 2>&1 && touch installed-node || cat node.log
