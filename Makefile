# Every target is a thin line over a command in .venv/bin. `make` alone lists them.

.DEFAULT_GOAL := help
.PHONY: help env demo test landing nightly check prove simulate soak drill restore fuzz sabotage mutate reached bench growth fmt lock up clean
MAKEFLAGS += --no-print-directory
# CI machines and images may forbid it, but hundreds of processes start here that would each compile two hundred modules again
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?=
BIN := .venv/bin
STAMP := .venv/.installed
# what pip is told elsewhere about indexes and certificates counts here too; where to put things does not
PIP := env -u PIP_TARGET -u PIP_PREFIX -u PIP_ROOT -u PIP_CONSTRAINT -u PIP_REQUIREMENT -u PIP_EDITABLE -u PYTHONPATH -u PYTHONHOME \
	PIP_USER=0 $(BIN)/python -m pip --no-cache-dir --disable-pip-version-check --quiet
ASK_PYTHON := import ensurepip, sqlite3, ssl, sys, venv; sys.exit(sys.version_info < (3, 11))

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-8s %s\n", $$1, $$2 }'

env: $(STAMP) ## the environment in .venv, from the lock file with its hashes (PYTHON=… chooses the interpreter)

demo: $(STAMP) ## the main job end to end on embedded parts, with the audit at the end (ARGS="--jobs 100 --keep")
	@$(BIN)/refunds demo $(ARGS)

# one process more than two cores have: a third of the time is spent waiting for real processes
test: $(STAMP) ## the suite of each commit, in five minutes (ARGS="-k stream")
	@$(BIN)/pytest -n 3 --dist worksteal -m "not landing and not nightly" $(ARGS)

landing: $(STAMP) ## the rest of what CI runs: real processes, a browser, and on Postgres what `make test` plays on SQLite
	@$(BIN)/pytest -n 3 --dist worksteal -m "landing and not nightly" $(ARGS)

DRAWN := tests/cases/test_model.py tests/review/test_people.py tests/threats/test_forgery.py::test_no_sequence_of_events_gives_more_than_was_bought
nightly: $(STAMP) ## the tests that take long: real processes and servers killed in the middle, larger shares of the proofs, 2,000 new examples of what is drawn
	@$(BIN)/pytest -n 2 --dist worksteal -m nightly $(ARGS)
	@$(BIN)/pytest -n 2 --dist worksteal --hypothesis-profile=night $(DRAWN)

COVERAGE := COVERAGE_FILE=.coverage.policy $(BIN)/coverage
check: $(STAMP) ## format, lint, types, import rules, dependencies, terms, every branch of the policy tested
	@$(BIN)/ruff format --check --quiet . || { echo "format: run make fmt"; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --strict policy worker tests celeryconfig.py
	@$(BIN)/lint-imports --no-cache --no-logo
	@$(BIN)/python -m tests.dependencies
	@$(BIN)/refunds policy check
	@$(COVERAGE) run --rcfile=/dev/null --branch --source=policy -m pytest -qq -p no:cacheprovider tests/policy
	@$(COVERAGE) report --rcfile=/dev/null --fail-under=100 --skip-covered --show-missing

prove: $(STAMP) ## every fault at every door of the automatic path and of money's, pairs, all told twice (ARGS="--every 10" for a tenth)
	@$(BIN)/python -m tests.models.prove
	@$(BIN)/python -m tests.crash.prove $(ARGS)
	@$(BIN)/python -m tests.money.prove $(ARGS)

simulate: $(STAMP) ## weeks of a town under drawn weather, one a seed, judged by an independent reference (SEEDS=200, or SEED=7 alone; SEEDS=1000 ARGS=--days for small towns)
	@$(BIN)/python -m tests.simulation.prove $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),200)) $(ARGS)

soak: $(STAMP) ## real processes and servers killed, frozen, cut off and emptied under load, disks full, clocks set, raw Celery beside (ARGS="--events 10000 --faults 60")
	@$(BIN)/python -m tests.soak.prove $(ARGS)

drill: $(STAMP) ## every part broken in turn under load: which alert fires, what status says, how it heals (ARGS="--only Redis")
	@$(BIN)/python -m tests.drill $(ARGS)

restore: $(STAMP) ## a backup of every moment of a refund put back after every later one: nothing is paid twice (ARGS="--every 10")
	@$(BIN)/python -m tests.restore.prove $(ARGS)

fuzz: $(STAMP) ## outside bytes, changed by chance, into every parser they reach (ARGS="--target mail --seconds 600")
	@$(BIN)/python -m tests.fuzz $(ARGS)

sabotage: $(STAMP) ## puts bugs in, one after another, and shows which test catches each (ARGS="--only own_second_person")
	@$(BIN)/python -m tests.sabotage $(ARGS)

MUTATE := .venv-mutate/bin/python
mutate: .venv-mutate/.installed ## changes the code in thousands of small ways and names those that no test notices (ARGS="--of door --processes 4")
	@PYTHONPATH=. $(MUTATE) -m tests.mutation $(ARGS)

.venv-mutate/.installed: tests/mutation/requirements.lock $(STAMP)
	@echo "Installing what mutates into .venv-mutate ..."
	@$(BIN)/python -m venv --clear .venv-mutate
	@$(subst $(BIN)/python,$(MUTATE),$(PIP)) install --no-deps --require-hashes -r tests/mutation/requirements.lock
	@touch $@

reached: $(STAMP) ## what no test enters of the ledger, money, Creem, intake and re-runs; fails where that is an except nobody explained
	@$(BIN)/python -m tests.reached

BENCH := .venv-bench/bin/python
bench: .venv-bench/.installed ## the same work beside peers: Celery, Dramatiq, Procrastinate, DBOS, a hand-written loop (ARGS="--only celery,loop,ours")
	@PYTHONPATH=. $(BENCH) -m bench $(ARGS)

growth: $(STAMP) ## what gets dearer as history grows, in pages of Postgres rather than seconds (ARGS="--steps 0,10000,100000")
	@$(BIN)/python -m bench.growth $(ARGS)

.venv-bench/.installed: bench/requirements.lock $(STAMP)
	@echo "Installing the benchmark's peers into .venv-bench ..."
	@$(BIN)/python -m venv --clear .venv-bench
	@$(subst $(BIN)/python,$(BENCH),$(PIP)) install --no-deps --require-hashes -r bench/requirements.lock
	@touch $@

fmt: $(STAMP) ## formats the code and sorts its imports
	@$(BIN)/ruff check --quiet --select I --fix .
	@$(BIN)/ruff format .

# pins only, for every platform and Python: no addresses, so that any index that carries these files will do
COMPILE := $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate
lock: $(STAMP) ## writes both lock files anew from pyproject.toml (ARGS=--upgrade for newer versions)
	@$(COMPILE) $(ARGS) --extra flower --extra plots --extra embedded --extra telemetry --group dev pyproject.toml -o requirements-dev.lock
	@$(COMPILE) $(ARGS) --extra flower --extra telemetry --constraint requirements-dev.lock pyproject.toml -o requirements.lock
	@$(COMPILE) $(ARGS) --constraint requirements-dev.lock bench/requirements.in pyproject.toml -o bench/requirements.lock
	@$(COMPILE) $(ARGS) --constraint requirements-dev.lock --extra flower --extra plots --extra embedded --extra telemetry --group dev \
		tests/mutation/requirements.in pyproject.toml -o tests/mutation/requirements.lock

up: ## all processes with Redis and Postgres, by docker compose
	@docker compose up --build

clean: ## removes the environment and every cache
	@rm -rf .venv .venv-bench .venv-mutate mutants build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.*
	@find bench policy worker tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): requirements-dev.lock
	@python=''; \
	for candidate in $(or $(PYTHON),python3.13 python3.12 python3.11 python3); do \
		"$$candidate" -c '$(ASK_PYTHON)' 2>/dev/null && { python=$$candidate; break; }; \
	done; \
	if [ -z "$$python" ]; then \
		echo "make env: no usable Python found (tried: $(or $(PYTHON),python3.13 python3.12 python3.11 python3))."; \
		echo "  Python 3.11 or newer is needed, with venv and sqlite3 (Debian, Ubuntu: apt install python3-venv);"; \
		echo "  name another interpreter with: make env PYTHON=/path/to/python3"; \
		exit 1; \
	fi; \
	echo "Installing into .venv from requirements-dev.lock with $$("$$python" -V) (about a minute) ..."; \
	"$$python" -m venv --clear .venv
	@$(PIP) install --no-deps --require-hashes -r requirements-dev.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@
