.DEFAULT_GOAL := help
.PHONY: help serve demo test lint browser bench lock clean
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Stamps, so that a second call installs nothing.
RUN := $(VENV)/.run-$(shell cat requirements.lock setup.cfg | cksum | cut -d' ' -f1)
TEST := $(VENV)/.test-$(shell cat requirements-test.lock setup.cfg | cksum | cut -d' ' -f1)

help:  ## What you can do
	@grep -hE '^[a-z]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(RUN): | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@rm -f $(VENV)/.run-* && touch $@

$(TEST): | $(RUN)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-test.lock
	@rm -f $(VENV)/.test-* && touch $@

serve: $(RUN)  ## Serve a repository: make serve ROOT=../my-project
	$(BIN)/lectern serve $(ROOT) --open

demo: $(RUN)  ## Everything at once, simulated: no account, no network
	$(BIN)/lectern demo --open

test: $(TEST)  ## All tests, browser tests included
	$(BIN)/pytest -n auto --dist loadfile $(ARGS)

browser: $(TEST)  ## The browser tests alone
	$(BIN)/pytest tests/browser $(ARGS)

lint: $(TEST)  ## Style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(TEST)  ## Figures: first token, pages under open streams, start
	$(BIN)/python -m bench

clean:  ## Remove what was installed and cached here
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info build
