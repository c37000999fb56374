# Everything one does here. `make help` lists it; CI calls nothing else.
SHELL := /bin/bash
VENV  := .venv
BIN   := $(VENV)/bin
T     ?=

.DEFAULT_GOAL := help
.PHONY: help run dev test fuzz check bench profile fmt lock schema clean

help: ## This list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(VENV)/.runtime: requirements.lock pyproject.toml
	@.ci/setup-python requirements.lock
	@touch $@

$(VENV)/.development: requirements-dev.lock pyproject.toml
	@.ci/setup-python requirements-dev.lock
	@touch $@ $(VENV)/.runtime

run: $(VENV)/.runtime ## Set up what is missing, then the whole thing on this machine: gateway, identity provider, API, app
	@exec $(BIN)/gateway dev

dev: run ## The same as run

test: $(VENV)/.development ## Set up what is missing, then every test; T=pattern picks some
	@.ci/setup-tests
	@.ci/test $(BIN)/pytest $(if $(T),-k '$(T)')

fuzz: $(VENV)/.development ## Every parser with fifty times the examples; T=pattern picks some
	@$(BIN)/pytest --hypothesis-profile=long tests/property $(if $(T),-k '$(T)')

check: $(VENV)/.development ## Format, lint, types, import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(VENV)/.development ## This gateway and its peers doing the same work; QUICK=1 takes about two minutes
	@bench/setup
	@$(BIN)/python -m bench

profile: $(VENV)/.development ## Where the time of a request goes, function by function
	@bench/setup
	@$(BIN)/python -m bench.profiling

fmt: $(VENV)/.development ## Format and fix what can be fixed by itself
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: $(VENV)/.development ## Renew the lock files from pyproject.toml
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-emit-find-links pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-emit-find-links pyproject.toml --group dev -o requirements-dev.lock

schema: $(VENV)/.development ## Write config/schema.json anew
	@$(BIN)/gateway schema > config/schema.json

clean: ## Remove what make made
	rm -rf $(VENV) bench/.cache bench/node/node_modules .gateway build .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/e2e/provider/node_modules
