PYTHON ?= python3
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
BIN := .venv/bin

.PHONY: run test

run: .venv/run.installed
	$(BIN)/continual-envs study quick --jobs $(JOBS) --out runs/quick

test: .venv/dev.installed
	$(BIN)/python -m pytest -n $(JOBS)

.venv/run.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/dev.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@ .venv/run.installed
