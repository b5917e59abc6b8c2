# Everything a developer or a build server types. `make help` lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV = $(BIN)/uv

# Works as root, without a terminal, and whatever pip the machine has.
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
export PIP_ROOT_USER_ACTION := ignore

# A venv made by a python3 without ensurepip (Debian's, say) holds no pip: then the machine's own pip installs into it.
PIP = $$($(BIN)/python -c 'import pip' 2>/dev/null && echo $(BIN)/python -m pip \
	|| echo $(PYTHON) -m pip --python $(BIN)/python)
# Twice quiet shows errors only.
PIP_INSTALL = $(PIP) install --quiet --quiet --no-input

VENV_STAMP := $(VENV)/.stamp-venv
INSTALL_STAMP := $(VENV)/.stamp-install
DEV_STAMP := $(VENV)/.stamp-install-dev
FUZZ_STAMP := $(VENV)/.stamp-install-fuzz

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: install
install: $(INSTALL_STAMP) ## make .venv/bin/sweepd, with the locked runtime dependencies

.PHONY: install-dev
install-dev: $(DEV_STAMP) ## the same, with everything that tests and checks need

.PHONY: demo
demo: install ## show sweepd at work in a sample workspace; Ctrl-C ends it
	@exec $(BIN)/sweepd demo

.PHONY: test
test: install-dev ## run the tests, their files in memory where it is large enough; ARGS="..." goes to pytest
	@$(BIN)/python -m pytest -q -n 4 -m 'not exhaustive' $(ARGS)

.PHONY: test-all
test-all: install-dev ## the same with those that take long, on each database, all files on the disk
	@TMPDIR=$${TMPDIR:-/tmp} $(BIN)/python -m pytest -q -n 4 $(ARGS)

# SAMPLE=60 tries for about that many seconds; POINT='...' repeats one that failed.
.PHONY: torture
torture: install-dev ## kill, starve and mutate the deletion engine at every point; SAMPLE=seconds
	@PYTHONPATH=tests $(BIN)/python -m torture $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(POINT),--point '$(POINT)') $(ARGS)

# MINUTES=60 for an hour; SEED=... makes the same choices again.
.PHONY: soak
soak: install-dev ## a real daemon under load, with kills and outages; then everything is audited; MINUTES=3
	@PYTHONPATH=tests $(BIN)/python -m soak $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) $(ARGS)

# SECONDS=120 looks for longer. Needs Debian's package prometheus.
.PHONY: monitoring
monitoring: install-dev ## a real Prometheus scrapes a daemon at work, and is asked what dashboard and alerts ask; SECONDS=30
	@PYTHONPATH=tests $(BIN)/python -m scraping $(if $(SECONDS),--seconds $(SECONDS)) $(ARGS)

# As root, with systemd-container and debootstrap; says "not run" and ends with 77 where that does not go.
.PHONY: boot
boot: install-dev ## boot a Debian with systemd in a container, and try the units there
	@PYTHONPATH=tests $(BIN)/python -m boot

.PHONY: dashboard
dashboard: install-dev ## make monitoring/grafana/sweepd.json anew
	@$(BIN)/python -m monitoring.grafana

# EXAMPLES=10 of each operation for less; SEED=... repeats a run.
.PHONY: fuzz
fuzz: $(FUZZ_STAMP) ## hold a real daemon to its OpenAPI description with Schemathesis, 2,000 cases or more
	@PYTHONPATH=tests $(BIN)/python -m fuzz $(if $(EXAMPLES),--examples $(EXAMPLES)) $(if $(SEED),--seed $(SEED)) $(ARGS)

.PHONY: bench
bench: install-dev ## measure beside rm -rf and others; ARGS="--only removal --scale 0.1"
	@PYTHONPATH=tests $(BIN)/python -m bench $(ARGS)

.PHONY: check
check: check-lint check-format check-types check-layers ## lint, format, types and the layers; changes nothing

.PHONY: check-lint check-format check-types check-layers
check-lint: install-dev
	$(BIN)/ruff check .
check-format: install-dev
	$(BIN)/ruff format --check .
check-types: install-dev
	$(BIN)/mypy
check-layers: install-dev
	$(BIN)/lint-imports --no-logo

.PHONY: format
format: install-dev ## format, and fix what the linter can fix by itself
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

# `make lock` keeps the pinned versions that still fit; `make lock UPGRADE=1` takes the newest.
LOCK = UV_NO_CONFIG=1 $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-index-url --no-emit-find-links --annotation-style line $(if $(UPGRADE),--upgrade)

.PHONY: lock
lock: install-dev ## renew requirements/*.txt from pyproject.toml; UPGRADE=1 takes newer versions
	$(LOCK) pyproject.toml -o requirements/runtime.txt
	$(LOCK) pyproject.toml --group dev -c requirements/runtime.txt -o requirements/dev.txt
	$(LOCK) --group fuzz -c requirements/dev.txt -o requirements/fuzz.txt
	$(LOCK) --group build -c requirements/dev.txt -o requirements/build.txt

.PHONY: package
package: install-dev ## the manual page, the completions, and wheel and sdist in dist/
	@$(BIN)/sweepd manual > packaging/sweepd.1
	@for shell in bash zsh fish; do _SWEEPD_COMPLETE=source_$$shell $(BIN)/sweepd | sed '/./,$$!d' > packaging/completions/sweepd.$$shell; done
	@printf '\nif [ "$$funcstack[1]" = _sweepd ]; then\n  _sweepd_completion  # zsh loads this file when it first wants to call it\nfi\n' >> packaging/completions/sweepd.zsh
	@$(BIN)/python -m hatchling build

.PHONY: try-package
try-package: install-dev ## build sdist and wheel, and use the wheel in a venv and a folder of its own
	@$(BIN)/python packaging/try_out.py

.PHONY: clean
clean: ## remove caches and build output
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage htmlcov
	find daemon tests -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: distclean
distclean: clean ## the same, and .venv
	rm -rf $(VENV)

$(VENV_STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'sweepd needs Python 3.11 or newer, and "$(PYTHON)" is not: make install PYTHON=/path/to/python3.11' >&2; \
		exit 1; }
	@if $(PYTHON) -c 'import ensurepip' 2>/dev/null; then \
		$(PYTHON) -m venv $(VENV); \
	elif $(PYTHON) -m pip --version >/dev/null 2>&1; then \
		$(PYTHON) -m venv --without-pip $(VENV); \
	else \
		echo '"$(PYTHON)" has neither ensurepip nor pip: apt install python3-venv python3-pip' >&2; \
		exit 1; \
	fi
	@touch $@

$(INSTALL_STAMP): $(VENV_STAMP) requirements/runtime.txt requirements/build.txt pyproject.toml daemon/__init__.py
	@echo 'installing the locked dependencies and sweepd into $(VENV)'
	@$(PIP_INSTALL) --require-hashes -r requirements/runtime.txt -r requirements/build.txt
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV_STAMP): $(INSTALL_STAMP) requirements/dev.txt
	@echo 'installing the locked development tools into $(VENV)'
	@$(PIP_INSTALL) --require-hashes -r requirements/dev.txt
	@touch $@

$(FUZZ_STAMP): $(DEV_STAMP) requirements/fuzz.txt
	@echo 'installing Schemathesis into $(VENV)'
	@$(PIP_INSTALL) --require-hashes -r requirements/fuzz.txt
	@touch $@
