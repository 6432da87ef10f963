# `make demo` and `make test` do all the set-up themselves, into .venv. They need Python 3.10 to 3.13, make and a network;
# docs/install.md has the ways without one, and without make.
.DEFAULT_GOAL := help
.PHONY: help install demo paper-table foundation-table test test-quick fuzz lint types imports check bench bench-quick gpu-check check-python wheelhouse dist docs site pictures clean

VENV := .venv
BIN := $(VENV)/bin
# The first Python on the PATH that clearctl supports; `make PYTHON=... install` takes another. 3.14 is not refused, and not tested.
PYTHON ?= $(shell for p in python3.12 python3.11 python3.13 python3.10 python3.14 python3 python; do \
	$$p -c '$(IS_SUPPORTED)' 2>/dev/null && echo $$p && break; done)
IS_SUPPORTED := import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 15))
# `make TORCH=cpu TORCH_INDEX=URL install` takes torch without CUDA, from a package index that has such wheels.
TORCH ?=
TORCH_INDEX ?=
# Of `make check-python` and `make wheelhouse`.
CHECK_VENV ?= .venv-check
WHEELHOUSE ?= wheelhouse
# Of the tests: more than two cores need, since tests wait for processes and disks.
WORKERS ?= 3
# Of `make test-quick`: what is tested in a minute, before each commit; the rest of the tests trains networks.
QUICK := tests/config tests/dataset tests/doctor tests/docs tests/report tests/test_*.py
# Of `make fuzz`.
TIMES ?= 10
# Of `make paper-table`.
DATASET ?= dataset/CLEAR-10-PUBLIC
FEATURES ?= moco_b0
SEEDS ?= 0-4
PAPER ?= work_dirs/paper/$(FEATURES)
# Of `make foundation-table`, whose FEATURES are names of timm's models.
FOUNDATION ?= work_dirs/foundation
EXTRACT ?=
# Of `make gpu-check`. GPU_PYTHON is a Python that has the packages, for a machine where none can be installed.
GPU_PYTHON ?=
DEVICE ?= cuda
SMALL ?=
PARTS ?=
OUT ?= gpu-check

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.installed ## make .venv with clearctl and its tools in it

PIP := $(BIN)/python -m pip --disable-pip-version-check
MMCV_WHEEL = $$($(BIN)/python -m clearctl.doctor.mmcv_wheel)

$(VENV)/.installed: pyproject.toml constraints.txt
	@test -z "$(TORCH)" || test "$(TORCH)" = cpu -a -n "$(TORCH_INDEX)" || { \
		echo "TORCH=$(TORCH): expected TORCH=cpu with TORCH_INDEX=URL, an index that has CPU wheels of torch and torchvision" >&2; \
		exit 1; }
	@test -n "$(PYTHON)" || { \
		echo "no Python 3.10 to 3.13 is on the PATH: make PYTHON=/path/to/python3 install" >&2; exit 1; }
	@$(PYTHON) -c '$(IS_SUPPORTED)' || { echo "$(PYTHON): expected Python 3.10 to 3.13" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) has no venv module: install it (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@echo "Installing clearctl and what it needs into $(VENV), once: 3 GB to download, 6 GB on disk, minutes."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -z "$(TORCH)" || $(PIP) install -q -c constraints.txt --index-url "$(TORCH_INDEX)" torch torchvision
	@wheel="$(MMCV_WHEEL)" && $(PIP) install -q -c constraints.txt "$$wheel" -e '.[dev]'
	@touch $@

demo: install ## see the whole of it on real images (about a minute)
	$(BIN)/clearctl demo

paper-table: install ## the CLEAR-10 feature grid as a table: DATASET=DIR [FEATURES=moco_b0] [SEEDS=0-4] [SWEEP=OPTIONS]
	$(BIN)/clearctl sweep configs/paper/*.py --seeds $(SEEDS) --dataset-root "$(DATASET)" \
		--set scenario.feature_type=$(FEATURES) --work-dir "$(PAPER)" $(SWEEP)
	$(BIN)/clearctl report "$(PAPER)" --output "$(PAPER)/table.tex"
	$(BIN)/clearctl report "$(PAPER)" --output "$(PAPER)/report.html"
	$(BIN)/clearctl report "$(PAPER)"

foundation-table: FEATURES = vit_base_patch16_clip_224.openai vit_small_patch14_dinov2.lvd142m resnet50.a1_in1k
foundation-table: install ## heads on features of foundation models as a table: DATASET=DIR [FEATURES="timm names"] [SEEDS=0-4]
	$(BIN)/clearctl make-fewshot --shot 1 --seed 0 --dataset-root "$(DATASET)"
	$(BIN)/clearctl make-fewshot --shot 5 --seed 0 --dataset-root "$(DATASET)"
	set -e; for name in $(FEATURES); do \
		test -d "$(DATASET)/training_folder/features/$$name" || \
			$(BIN)/clearctl extract-features --arch "timm:$$name" --dataset-root "$(DATASET)" $(EXTRACT); \
		$(BIN)/clearctl sweep configs/foundation/*/*.py --seeds $(SEEDS) --dataset-root "$(DATASET)" \
			--set scenario.feature_type=$$name --work-dir "$(FOUNDATION)/$$name" $(SWEEP); \
	done
	$(BIN)/clearctl report "$(FOUNDATION)" --output "$(FOUNDATION)/table.tex"
	$(BIN)/clearctl report "$(FOUNDATION)" --output "$(FOUNDATION)/report.html"
	$(BIN)/clearctl report "$(FOUNDATION)"

test: install ## run all tests
	$(BIN)/pytest -n $(WORKERS) --dist worksteal

test-quick: install ## in a minute: configs, datasets, reports, docs; no test marked slow or process
	$(BIN)/pytest -q -n $(WORKERS) --dist worksteal -m "not slow and not process" $(QUICK)

fuzz: install ## ten times as many odd configs and run folders as `make test` tries: TIMES=10
	CLEARCTL_FUZZ=$(TIMES) $(BIN)/pytest -n $(WORKERS) tests/fuzz

lint: install ## style, and that everything public has a docstring
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install ## strict type check
	$(BIN)/mypy

imports: install ## that each layer imports only those below it
	$(BIN)/lint-imports --no-logo

check: lint types imports site test bench-quick ## what CI runs
	$(MAKE) gpu-check DEVICE=cpu SMALL=1

bench: install ## measure, side by side in one run
	$(BIN)/python -m benchmarks

bench-quick: install ## small sizes; fails where a ratio is below its floor
	$(BIN)/python -m benchmarks --quick

gpu-check: $(if $(GPU_PYTHON),,install) ## what only a GPU can show, in 8 minutes: [DEVICE=cpu SMALL=1] [PARTS="demo resume"] [OUT=DIR]
	$(or $(GPU_PYTHON),$(BIN)/python) -m benchmarks.gpu --device $(DEVICE) $(if $(SMALL),--small) --out "$(OUT)" $(PARTS)

check-python: ## install, demo and quick tests under another Python, in .venv-check: PYTHON=python3.13
	$(MAKE) install VENV="$(CHECK_VENV)"
	$(CHECK_VENV)/bin/clearctl demo "$(CHECK_VENV)/demo"
	$(CHECK_VENV)/bin/pytest -q -m "not slow" -n $(WORKERS) tests/config tests/models tests/data tests/dataset tests/doctor

wheelhouse: install ## all wheels for a machine without a network, as docs/install.md says: [WHEELHOUSE=DIR]
	@echo "Collecting gigabytes of wheels in $(WHEELHOUSE), for this machine's kind and $$($(BIN)/python --version)."
	@wheel="$(MMCV_WHEEL)" && $(PIP) wheel -q -c constraints.txt -w "$(WHEELHOUSE)" \
		"$$wheel" . pip 'setuptools<81' wheel

dist: ## the source archive and the wheel, in dist
	$(PYTHON) -m venv build/venv
	build/venv/bin/python -m pip --disable-pip-version-check install -q build
	build/venv/bin/python -m build --outdir dist .

docs: install ## write docs/config.md and docs/commands.md again, from the code
	$(BIN)/python -W ignore docs/make_config.py
	$(BIN)/python -W ignore docs/make_commands.py

# Without --quiet, which makes mkdocs ignore warnings, so that --strict lets broken links through.
site: install ## the docs as a site in site/, links checked, without a network
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -W ignore -m mkdocs build --strict
	@echo "site/index.html; for the search serve it: python3 -m http.server -d site"

pictures: install ## draw the pictures of the README and the docs again, from runs on the demo's stream (minutes; Chromium)
	$(BIN)/python -W ignore docs/make_pictures.py

clean: ## remove what was made here, the environment too
	rm -rf $(VENV) $(CHECK_VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache clearctl-demo gpu-check site
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
