# One vocabulary of tasks: README, CI and hooks call these and nothing else.

PYTHON ?= python3.11
VENV := .venv/bin

.PHONY: help install demo test lint bench lock clean

help: ## show this list
	@awk -F':.*## ' '/^[a-z]+:.*##/ {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/installed ## create .venv/ with everything the project needs

# uv installs in seconds what takes pip two minutes; the lock files are pip's, and either reads them.
.venv/installed: requirements-dev.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(VENV)/python -m pip install --quiet --disable-pip-version-check \
		uv==$$(sed -n 's/^uv==\([0-9.]*\).*/\1/p' requirements-dev.lock)
	$(VENV)/uv pip install --quiet --require-hashes --requirement requirements-dev.lock
	$(VENV)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: install ## train, gate, register, deploy, 100 days of traffic, the reports
	$(VENV)/python demo.py

test: install ## every test
	$(VENV)/python -m pytest -n 2 --dist loadgroup --cov --cov-report=term:skip-covered

lint: install ## style and types
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy

bench: install ## the measurements; DIGITS_DATA=DIR for the full sets
	$(VENV)/python bench/training.py
	$(VENV)/python bench/serving.py

lock: install ## resolve the dependencies again
	$(VENV)/uv pip compile pyproject.toml --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --quiet --upgrade --output-file requirements.lock
	$(VENV)/uv pip compile pyproject.toml --group dev --constraint requirements.lock --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --quiet --upgrade --output-file requirements-dev.lock

clean: ## stop what runs here and remove what was made here
	-@test ! -x $(VENV)/aml || $(VENV)/aml down
	rm -rf .venv .amlocal .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov mlruns mlflow.db downloaded traffic
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
