# One vocabulary of tasks: README, CI and hooks call these and nothing else.

# Any Python that the projects take; the newest that all of Azure's images have comes first.
PYTHON ?= $(shell for each in python3.11 python3.12 python3.13; do $$each -c "" 2>/dev/null && echo $$each && break; done)
VENV := .venv/bin
# Images of containers often set it; then each process compiles TensorFlow and azure-ai-ml anew, and all takes twice as long.
unexport PYTHONDONTWRITEBYTECODE
# The one package that carries Azure's resource types as Bicep's compiler knows them.
BICEP_TYPES := @azure/mcp@2.0.5

.PHONY: help install tools demo test test-quick coverage lint bench smoke release-check lock clean

help: ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*##/ {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/installed ## create .venv/ with everything the project needs

# uv installs in seconds what takes pip two minutes; the lock files are pip's, and either reads them.
.venv/installed: requirements-dev.lock pyproject.toml amlocal/pyproject.toml
	$(PYTHON) -m venv .venv
	$(VENV)/python -m pip install --quiet --quiet --disable-pip-version-check \
		uv==$$(sed -n 's/^uv==\([0-9.]*\).*/\1/p' requirements-dev.lock)
	$(VENV)/uv pip install --quiet --python .venv --require-hashes --requirement requirements-dev.lock
	$(VENV)/uv pip install --quiet --python .venv --no-deps --no-build-isolation --editable . --editable ./amlocal
	@touch $@

tools: .tools/installed ## create .tools/ with what checks workflows and infrastructure (npm for Azure's Bicep types)

.tools/installed: requirements-tools.lock .venv/installed
	@command -v npm >/dev/null || { echo "npm is not there: Azure's resource types come as an npm package; install Node.js"; exit 1; }
	$(PYTHON) -m venv .tools
	$(VENV)/uv pip install --quiet --python .tools --require-hashes --requirement requirements-tools.lock
	npm install --silent --no-save --no-package-lock --no-audit --no-fund --ignore-scripts --prefix .tools/node $(BICEP_TYPES)
	@touch $@

demo: install ## train, gate, register, deploy, 100 days of traffic, the reports
	$(VENV)/python demo.py

# A file's tests run in one process, which makes what they share once; the order is the conftests'.
SPREAD := --dist loadfile --no-loadscope-reorder

test: install ## every test
	cd amlocal && ../$(VENV)/python -m pytest -n 4 $(SPREAD)  # more than cores: its tests mostly wait for processes
	$(VENV)/python -m pytest -n 2 $(SPREAD)

test-quick: install ## what takes less than a minute of them, before each commit
	cd amlocal && ../$(VENV)/python -m pytest -q -n 2 $(SPREAD) --quick
	$(VENV)/python -m pytest -q -n 2 $(SPREAD) --quick

coverage: install ## every test of the template, and which lines none of them runs
	$(VENV)/python -m pytest -n 2 $(SPREAD) --cov --cov-report=term:skip-covered

smoke: install ## amlocal alone, in a fresh environment of each Python from 3.11 to 3.13 that is here
	@for each in python3.11 python3.12 python3.13; do \
		$$each -c "" 2>/dev/null || continue; \
		$(VENV)/python amlocal/tests/smoke.py --python $$each || exit 1; \
	done
	$(VENV)/python amlocal/tests/smoke.py --lowest

release-check: install tools ## build amlocal's sdist and wheel, check them, use the wheel; all of a release but the upload
	rm -rf amlocal/dist
	cd amlocal && ../$(VENV)/uv build --quiet --no-create-gitignore
	.tools/bin/twine check --strict amlocal/dist/*
	$(VENV)/python -m pytest -q amlocal/tests/test_project.py
	$(VENV)/python amlocal/tests/smoke.py amlocal/dist/*.whl

lint: install tools ## style, types, workflows, infrastructure
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy
	$(VENV)/python -m tests.infra.checker
	$(VENV)/python -m tests.infra.compile
	PATH="$(CURDIR)/.tools/bin:$$PATH" .tools/bin/actionlint
	.tools/bin/shellcheck .github/scripts/*.sh .ci/run
	.tools/bin/zizmor --quiet --offline .github
	.tools/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	.tools/bin/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml

bench: install ## the measurements; DIGITS_DATA=DIR for the full sets
	$(VENV)/python bench/training.py
	-$(VENV)/python bench/serving.py
	$(VENV)/python amlocal/bench/commands.py

# Both projects' dependencies in one set of versions, for every Python they take.
COMPILE := $(VENV)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --quiet --upgrade

lock: install ## resolve the dependencies of both projects again
	$(COMPILE) pyproject.toml amlocal/pyproject.toml --output-file requirements.lock
	$(COMPILE) pyproject.toml amlocal/pyproject.toml --group pyproject.toml:dev --group amlocal/pyproject.toml:test \
		--constraint requirements.lock --output-file requirements-dev.lock
	$(COMPILE) --group tools --output-file requirements-tools.lock

# What these commands and those of README and docs leave here. Files of your own in data/ stay.
MADE := data/batch data/devanagari data/digits data/japanese data/mnist downloaded from-azure traffic
MADE_ANYWHERE := *.py[cod] .amlocal .coverage* .hypothesis .ipynb_checkpoints .mypy_cache .pytest_cache .ruff_cache .tools \
	.venv dist htmlcov mlflow.db mlruns

clean: ## stop what runs here and remove what was made here
	-@test ! -x $(VENV)/aml || test -z "$$AMLOCAL_HOME" || $(VENV)/aml down
	-@test ! -x $(VENV)/aml || find . -name .amlocal -prune -exec env AMLOCAL_HOME={} $(VENV)/aml down \;
	rm -rf $(MADE)
	@test ! -d data || rmdir data 2>/dev/null || true
	@find . -path ./.git -prune -o \( -name __pycache__ $(foreach name,$(MADE_ANYWHERE),-o -name '$(name)') \) -prune -exec rm -rf {} +
