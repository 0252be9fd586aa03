# Each target sets up all that it needs, in .venv/, on a machine with only Python and make.
#   make demo    run the example DAG on a real Airflow and show what was exported
#   make test    run the tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CONSTRAINTS := constraints/airflow-3.3.txt
# Arguments for pytest: make test TESTS=tests/unit ARGS='-k polling'
TESTS ?= tests/unit tests/integration tests/docs
ARGS ?=

# Without bytecode every start of Airflow takes seconds longer.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-loop test check format e2e compat lowest fuzz cluster bench docs build wheel constraints clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(READY) ## create .venv with the package and all that development needs

demo: $(READY) ## run the example DAG on a real Airflow and show what was exported
	@$(BIN)/python scripts/demo.py

demo-loop: $(READY) ## correct some utterances, and import, verify, train and test them
	@$(BIN)/python scripts/demo_loop.py

test: $(READY) ## run the unit and integration tests, and those of the documentation
	$(BIN)/python -m pytest $(TESTS) $(ARGS)

check: $(READY) ## lint, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY) ## format the code and mend what lint can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

e2e: $(READY) ## run the tests on a whole Airflow: api-server, scheduler, dag-processor, triggerer
	$(BIN)/python -m pytest tests/e2e $(ARGS)

# Parts of it, with fewer bots: make cluster CLUSTER=tests/cluster/test_pipeline.py CLUSTER_BOTS=10
CLUSTER ?= tests/cluster
export CLUSTER_BOTS
cluster: $(READY) ## run the tests on Celery workers without a shared disk: Redis, PostgreSQL, S3
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -c $(CONSTRAINTS) --group cluster
	$(BIN)/python -m pytest $(CLUSTER) $(ARGS)

# One or more of the combinations that `scripts/compat.py --list` prints: make compat COMPAT="2.11-py3.10"
compat: $(READY) ## run the tests on each supported Airflow and Python, in .venvs/
	@$(BIN)/python scripts/compat.py $(COMPAT)

lowest: $(READY) ## run the unit tests on the lowest versions that pyproject.toml allows
	@$(BIN)/python scripts/compat.py lowest

fuzz: $(READY) ## search for input that is counted or read wrongly: make fuzz FUZZ_SECONDS=300
	$(BIN)/python -m pytest tests/fuzz $(ARGS)

bench: $(READY) ## measure, and compare with what Airflow's own providers do
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -c $(CONSTRAINTS) --group bench
	@$(BIN)/python benchmarks/run.py $(BENCH)

docs: $(READY) ## build the documentation into site/, warnings as errors
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -c $(CONSTRAINTS) --group docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "The documentation is in site/index.html. With its search: $(BIN)/python -m http.server -d site"

build: $(READY) ## build wheel and sdist into dist/ and check them
	@rm -rf dist
	$(BIN)/python -m build --installer uv
	$(BIN)/twine check --strict dist/*

wheel: build ## build, look into the wheel, and install it alone into a bare Airflow 2.11 and 3.3
	@$(BIN)/python scripts/check_wheel.py

constraints: $(READY) ## resolve the newest versions into constraints/
	@$(BIN)/python scripts/update_constraints.py

clean: ## remove everything that these targets made
	rm -rf $(VENV) .venvs .demo dist build site .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Redone only when the dependencies change.
$(READY): pyproject.toml $(CONSTRAINTS)
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) was not found. Install Python 3.10 to 3.13, or name one: make PYTHON=/path/to/python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 10) or sys.exit("Python 3.10 to 3.13 is needed; %s is %d.%d. Name another: make PYTHON=/path/to/python3.12 ..." % (sys.executable, v[0], v[1]))'
	@test -x $(BIN)/python || echo "Setting up $(VENV) (a minute or two, once) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv --clear $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -c $(CONSTRAINTS) -e '.[emulator,jwe]' --group dev
	@touch $@
