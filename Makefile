# make run     set up .venv if needed, run the whole graph, write the report     CONFIG=config/config.yaml CORES=all
# make test    every test            make test-fast   those of a few seconds     TESTS=tests/hopping
# make lint    style and types       make report      the HTML report alone
# make docs    the documentation as a site, in build/site
# make clean   remove caches; results stay
#
# The first `make` installs; it needs Python 3.11 or newer and nothing else. Settings for that step: PYTHON=python3.12,
# TORCH=torch==2.13.0 (another version or build), TORCH_INDEX=URL (where pip finds that build, e.g. for a CUDA version).

CONFIG ?= config/config.yaml
CORES ?= all
TESTS ?= tests
VENV ?= .venv
# extra options of Snakemake or pytest
ARGS ?=

export PYTHON TORCH TORCH_INDEX
export PATH := $(abspath $(VENV))/bin:$(PATH)
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup run report test test-fast lint schema readme docs clean

# another lock file, another stamp: an environment is complete for exactly the packages it was made from
READY := $(VENV)/.ready-$(shell cat envs/requirements.txt envs/install.sh pyproject.toml | sha256sum | cut -c1-16)

help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile

setup: $(READY)

$(READY):
	@envs/install.sh $(VENV) $@

run: setup
	@workflow/run.sh "$(CONFIG)" --cores $(CORES) $(ARGS)

report: setup
	@workflow/report.sh "$(CONFIG)"

# one process a core, up to four, and one thread a process: the numbers do not depend on the machine
PYTEST := OMP_NUM_THREADS=1 python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

test: setup
	@$(PYTEST) $(TESTS) $(ARGS)

test-fast: setup
	@$(PYTEST) -m "not slow and not slurm" $(TESTS) $(ARGS)

lint: setup
	ruff check
	ruff format --check
	mypy
	snakefmt --check Snakefile workflow
	snakemake --lint

# what is generated from the models of the configuration
schema: setup
	n2amd config schema --out workflow/schemas/config.schema.json
	n2amd config docs --out docs/configuration.md

# the table of numbers in README.md
readme: setup
	python workflow/readme.py results/summary.json

# strict: a page outside the menu, a broken link or anchor is an error
docs: $(VENV)/.ready-docs-$(shell sha256sum envs/requirements-docs.txt | cut -c1-16)
	@NO_MKDOCS_2_WARNING=1 mkdocs build --strict
	@echo "build/site/index.html"

$(VENV)/.ready-docs-%: $(READY)
	@rm -f $(VENV)/.ready-docs-*
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-input --retries 10 \
	  --requirement envs/requirements-docs.txt --constraint envs/requirements.txt
	@touch $@

clean:
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis build
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
