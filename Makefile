# make demo   pre-train two small models on real clips            make test   lint and the whole test suite
# make core   only the set-up of make demo                        make full   only the set-up of make test
# make docs   the documentation site, in docs/_build/html         make coverage   the test suite, and which lines it runs
# make docs-check   runs every command of the documentation, with tiny data; pages: PAGES='README.md docs/data.md'
# make bench  speed against the references, small and quick: tools/benchmarks (docs/benchmarks.md)
# make board  scores frozen encoders on DAVIS=folder, JHMDB=folder, SOT=folder or some of them (docs/results/board.md)
# Options, as NAME=value: VIDEOS  DAVIS  JHMDB  SOT  PAGES  PYTHON  STACK  VENV  TORCH_INDEX_URL  PYTEST_ARGS   (docs/install.md)
.NOTPARALLEL:
.PHONY: help core full demo lint docs test coverage docs-check bench board

VENV ?= .venv$(STACK:%=-%)
CANDIDATES := $(or $(PYTHON),python3.11 python3.12 python3.10 python3)
FITS := import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))
FOUND := $(shell for python in $(CANDIDATES); do "$$python" -c '$(FITS)' 2>/dev/null && echo "$$python" && break; done)
RUN := "$(VENV)/bin/python"
export VIDEOS DAVIS JHMDB SOT TORCH_INDEX_URL

help:
	@sed -n '/^#/!q; s/^# //p' Makefile

core full:
ifeq ($(FOUND),)
	@echo 'None of "$(CANDIDATES)" is Python 3.10 to 3.12: apt-get install python3.11 python3.11-venv,' \
		'or name one: make $@ PYTHON=/path/to/python' >&2; exit 1
else
	@"$(FOUND)" requirements/install.py --venv "$(VENV)" $(STACK:%=--stack %) $@
endif

demo: core
	@$(RUN) tools/demo.py $${VIDEOS:+--videos "$$VIDEOS"}

lint: full
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

docs: full
	$(RUN) -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo 'Open docs/_build/html/index.html'

test: lint
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n 3 --dist worksteal $(PYTEST_ARGS)

coverage: full
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 --cov $(PYTEST_ARGS)

docs-check: full
	OMP_NUM_THREADS=1 $(RUN) tests/docs_check.py $(PAGES)

bench: full
	$(RUN) tools/benchmarks/pretraining_step.py dropmae --arch small --img-size 112 --repeats 3
	$(RUN) tools/benchmarks/pretraining_step.py siammae --img-size 112 --repeats 3
	$(RUN) tools/benchmarks/scaling.py siammae --arch tiny --img-size 112 --repeats 2 --parts checkpointing
	$(RUN) tools/benchmarks/label_propagation.py --size 240 432 --frames 6 --repeats 2
	$(RUN) tools/benchmarks/tracking.py --arch small --template-size 128 --search-size 256 --frames 3 --repeats 2
	@clips="$${VIDEOS:-work_dirs/demo/originals}"; if [ -d "$$clips" ]; \
	then $(RUN) tools/benchmarks/pair_loading.py "$$clips" --repeats 1; \
	else echo "There is no $$clips, so the loader was not timed: give VIDEOS=FOLDER, or run make demo, which fetches clips"; fi

board: full
	$(RUN) tools/experiments/board.py work_dirs/board $${DAVIS:+--davis "$$DAVIS"} $${JHMDB:+--jhmdb "$$JHMDB"} \
		$${SOT:+--sot "$$SOT"} --frames davis=24 jhmdb=24 sot=24 --page work_dirs/board.md
