# `make demo` and `make test` do all the set-up themselves, into .venv. They need Python 3.10–3.12, make and a network.
.DEFAULT_GOAL := help
.PHONY: help install demo paper-table test fuzz lint types imports check bench bench-quick gpu-check docs clean

VENV := .venv
BIN := $(VENV)/bin
# The first Python on the PATH that clearctl supports; `make PYTHON=... install` takes another.
PYTHON ?= $(shell for p in python3.12 python3.11 python3.10 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 13))' 2>/dev/null && echo $$p && break; done)
WORKERS ?= 2
# Of `make fuzz`.
TIMES ?= 10
# Of `make paper-table`.
DATASET ?= dataset/CLEAR-10-PUBLIC
FEATURES ?= moco_b0
SEEDS ?= 0-4
PAPER ?= work_dirs/paper/$(FEATURES)
# Of `make gpu-check`. GPU_PYTHON is a Python that has the packages, for a machine where none can be installed.
GPU_PYTHON ?=
DEVICE ?= cuda
SMALL ?=
PARTS ?=
OUT ?= gpu-check

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.installed ## make .venv with clearctl and its tools in it

$(VENV)/.installed: pyproject.toml constraints.txt build-constraints.txt
	@test -n "$(PYTHON)" || { echo "clearctl needs Python 3.10, 3.11 or 3.12; none is on the PATH" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	# mmcv's build needs an older setuptools. pip before 25.3 reads the first variable for it, later ones the second.
	PIP_CONSTRAINT=build-constraints.txt PIP_BUILD_CONSTRAINT=build-constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 \
		$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	touch $@

demo: install ## see the whole of it on real images (about a minute)
	$(BIN)/clearctl demo

paper-table: install ## the CLEAR-10 feature grid as a table: DATASET=DIR [FEATURES=moco_b0] [SEEDS=0-4] [SWEEP=OPTIONS]
	$(BIN)/clearctl sweep configs/paper/*.py --seeds $(SEEDS) --dataset-root "$(DATASET)" \
		--set scenario.feature_type=$(FEATURES) --work-dir "$(PAPER)" $(SWEEP)
	$(BIN)/clearctl report "$(PAPER)" --output "$(PAPER)/table.tex"
	$(BIN)/clearctl report "$(PAPER)" --output "$(PAPER)/report.html"
	$(BIN)/clearctl report "$(PAPER)"

test: install ## run all tests
	$(BIN)/pytest -n $(WORKERS) --dist worksteal

fuzz: install ## ten times as many odd configs and run folders as `make test` tries: TIMES=10
	CLEARCTL_FUZZ=$(TIMES) $(BIN)/pytest -n $(WORKERS) tests/fuzz

lint: install ## style, and that everything public has a docstring
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install ## strict type check
	$(BIN)/mypy

imports: install ## that each layer imports only those below it
	$(BIN)/lint-imports --no-logo

check: lint types imports test bench-quick ## what CI runs
	$(MAKE) gpu-check DEVICE=cpu SMALL=1

bench: install ## measure, side by side in one run
	$(BIN)/python -m benchmarks

bench-quick: install ## small sizes; fails where a ratio is below its floor
	$(BIN)/python -m benchmarks --quick

gpu-check: $(if $(GPU_PYTHON),,install) ## what only a GPU can show, in 8 minutes: [DEVICE=cpu SMALL=1] [PARTS="demo resume"] [OUT=DIR]
	$(or $(GPU_PYTHON),$(BIN)/python) -m benchmarks.gpu --device $(DEVICE) $(if $(SMALL),--small) --out "$(OUT)" $(PARTS)

docs: install ## make docs/config.md anew, from the code
	$(BIN)/python -W ignore docs/make_config.py

clean: ## remove what was made here, the environment too
	rm -rf $(VENV) *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache clearctl-demo gpu-check
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
