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
	$(UV_COMPILE) $(UPGRADE) --group build -o requirements-build.lock

# The servers of the tests. Their versions are pinned beside the code that starts them; Java 17, Maven, Node and Go are the machine's.
.tools/kafka/.ready: tests/servers/kafka/pom.xml
	@command -v java >/dev/null && command -v mvn >/dev/null || { echo "Java 17 or later and Maven are needed"; exit 1; }
	rm -rf $(@D) && mkdir -p $(@D)
	mvn -B -q -f $< dependency:copy-dependencies -DoutputDirectory='$(CURDIR)/$(@D)/libs'
	@touch $@

.tools/kinesalite/.ready: tests/servers/kinesalite/package.json tests/servers/kinesalite/package-lock.json
	@command -v node >/dev/null && command -v npm >/dev/null || { echo "Node and npm are needed"; exit 1; }
	rm -rf $(@D) && mkdir -p $(@D)
	cp $^ $(@D)/
	cd $(@D) && npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

# Built from its source, once: minutes of work for the machine. Such a Helm has to be told which Kubernetes it renders for.
HELM_KUBERNETES := $(foreach part,Major=1 Minor=37,-X helm.sh/helm/v3/pkg/chartutil.k8sVersion$(part))
.tools/helm/.ready: tests/servers/helm/module.txt
	@command -v go >/dev/null || { echo "Go is needed"; exit 1; }
	rm -rf $(@D) && mkdir -p $(@D)
	GOBIN='$(CURDIR)/$(@D)' GOFLAGS= go install -ldflags='-s -w $(HELM_KUBERNETES)' "$$(cat $<)"
	@touch $@

.PHONY: servers
servers:  ## Fetches what the tests start, where that is possible: Kafka, a Kinesis emulator, and the Helm that renders the chart
	-@$(MAKE) --no-print-directory .tools/kafka/.ready
	-@$(MAKE) --no-print-directory .tools/kinesalite/.ready
	-@$(MAKE) --no-print-directory .tools/helm/.ready

# `exec` and the variable: a run whose make is killed, by whatever signal, ends too and takes its servers along.
PYTEST = exec env BRIDGE_TEST_END_WITH_PARENT=1 $(BIN)/python -m pytest

.PHONY: test
test: setup servers  ## Every tier of tests, against real servers where they can run
	$(PYTEST) tests -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: check
check: setup  ## Format, lint, types, layers, unit and consistency tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) tests/unit tests/consistency

.PHONY: fmt
fmt: setup  ## Formats the code and repairs what the linter can repair
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
IMAGE ?= kafka-kinesis-bridge
# A docker client without an engine is none. Podman and Buildah leave the health check out of their own format.
.PHONY: image
image:  ## Container image IMAGE:version, where docker, podman or buildah can build one
	@for builder in docker podman buildah none; do $$builder version >/dev/null 2>&1 && break; done; \
	case $$builder in \
		docker) build="docker build" ;; \
		none) echo "No image was built: docker with a running engine, podman or buildah is needed" >&2; exit 1 ;; \
		*) build="$$builder build --format docker" ;; \
	esac; \
	set -x; $$build --tag $(IMAGE):$(VERSION) --label org.opencontainers.image.revision="$$(git rev-parse HEAD)" \
		$(if $(PYTHON_IMAGE),--build-arg PYTHON_IMAGE=$(PYTHON_IMAGE)) .

.PHONY: chart
chart: setup .tools/helm/.ready  ## Chart and Dockerfile: linted, rendered with every example of values, and all of that checked
	BRIDGE_REQUIRE_REAL=1 $(PYTEST) $(wildcard tests/*/test_chart*.py tests/consistency/test_image*.py)

PYTHON_VERSIONS := 3.11 3.12 3.13
# On PATH (where a shim may stand for a version that is not active), else where pyenv keeps its versions.
FIND_PYTHON = for found in python$(1) "$$(pyenv prefix $(1) 2>/dev/null)/bin/python$(1)" \
	"$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/$(1).*/bin/python$(1); do "$$found" -c '' 2>/dev/null && break; found=; done

.PRECIOUS: .venv-%/.ready
.venv-%/.ready: requirements-dev.lock pyproject.toml
	@$(call FIND_PYTHON,$*); [ -n "$$found" ] || { echo "Python $* was not found on PATH or among pyenv's versions"; exit 1; }; \
		"$$found" -m venv $(@D)
	$(@D)/bin/pip install --quiet --no-deps --require-hashes -r requirements-dev.lock
	$(@D)/bin/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: test-all-pythons
test-all-pythons: servers  ## Unit, contract and consistency tests with every Python that is supported; a missing one is a failure
	@failed=; for version in $(PYTHON_VERSIONS); do \
		$(MAKE) --no-print-directory test-python-$$version || failed="$$failed $$version"; \
	done; [ -z "$$failed" ] || { echo "not passed with Python:$$failed"; exit 1; }

test-python-%: .venv-%/.ready
	$(subst $(BIN),.venv-$*/bin,$(PYTEST)) tests/unit tests/contract tests/consistency

.PHONY: demo
demo: setup  ## The main job on embedded servers: flights from Kafka to Kinesis, with a verdict
	$(BIN)/bridge demo

SEEDS ?= 300
.PHONY: simulate
simulate: setup  ## Fresh seeds of the simulation: SEEDS=3000 so many; SEED=n one of them, told in full
	$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(SEEDS))

.PHONY: simulate-mutants
simulate-mutants: setup  ## Planted bugs of the delivery code: each has to be caught by the simulation within 300 seeds
	$(BIN)/python -m tests.simulation.mutants

.PHONY: load
load: setup  ## The load scenarios, or SCENARIO=name; OPTIONS="..." for your own Kafka and stream, see README.md
	$(if $(findstring --bootstrap-servers,$(OPTIONS)),,@$(MAKE) --no-print-directory .tools/kafka/.ready)
	$(BIN)/python -m loadtest $(SCENARIO) $(OPTIONS)

MINUTES ?= 20
KILLS ?= 0
.PHONY: soak
soak: setup .tools/kafka/.ready  ## A steady flow under faults for MINUTES=20: memory, internal topics, every record; KILLS=600 kills daemons
	exec $(BIN)/python -m loadtest.soak --minutes $(MINUTES) --kills $(KILLS) $(OPTIONS)
