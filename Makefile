# Every target sets up what it needs; see README.md for what each one is for.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help
help:  ## Lists the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 20

.venv/.ready: requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements-dev.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: setup
setup: .venv/.ready  ## Virtual environment with the package and its locked dependencies

UV_COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header
.PHONY: lock
lock: setup  ## Resolves the lock files again (add UPGRADE=--upgrade for newer versions)
	$(UV_COMPILE) $(UPGRADE) pyproject.toml -o requirements.lock
	$(UV_COMPILE) $(UPGRADE) pyproject.toml --group dev -o requirements-dev.lock

# The servers of the tests. Their versions are pinned beside the code that starts them; Java 17, Maven and Node are the machine's.
.tools/kafka/.ready: tests/servers/kafka/pom.xml
	rm -rf $(@D) && mkdir -p $(@D)
	mvn -B -q -f $< dependency:copy-dependencies -DoutputDirectory='$(CURDIR)/$(@D)/libs'
	@touch $@

.tools/kinesalite/.ready: tests/servers/kinesalite/package.json tests/servers/kinesalite/package-lock.json
	rm -rf $(@D) && mkdir -p $(@D)
	cp $^ $(@D)/
	cd $(@D) && npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

.PHONY: servers
servers:  ## Fetches the Kafka and the Kinesis emulator that the integration tests start (what cannot be fetched is named)
	@for name in kafka kinesalite; do \
		$(MAKE) --no-print-directory .tools/$$name/.ready || echo "make servers: no $$name; the tests that need it will not run"; \
	done
