# make demo   pre-train two small models on real clips            make test   lint and the whole test suite
# Options, as NAME=value: VIDEOS  PYTHON  VENV  TORCH_INDEX_URL  PYTEST_ARGS   (docs/install.md)
.NOTPARALLEL:
.PHONY: help core full demo lint test

VENV ?= .venv
PYTHON_FITS = import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))
FOUND_PYTHON := $(shell for python in $(or $(PYTHON),python3.11 python3.12 python3.10 python3); do \
	"$$python" -c '$(PYTHON_FITS)' 2>/dev/null && echo "$$python" && break; done)
INSTALL = $(if $(FOUND_PYTHON),"$(FOUND_PYTHON)" requirements/install.py --venv "$(VENV)",\
	echo 'No Python 3.10 to 3.12 found as $(or $(PYTHON),python3.11 python3.12 python3.10 python3): install one (apt-get install python3.11 python3.11-venv), or name it: make PYTHON=/path/to/python' >&2; exit 1;)
RUN = "$(VENV)/bin/python"
export VIDEOS PYTEST_ARGS TORCH_INDEX_URL

help:
	@sed -n '/^#/!q; s/^# //p' Makefile

core full:
	@$(INSTALL) $@

demo: core
	@$(RUN) tools/demo.py $${VIDEOS:+--videos "$$VIDEOS"}

lint: full
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

test: lint
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 $$PYTEST_ARGS
