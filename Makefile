# avcap: `make` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
AVCAP := $(BIN)/avcap
DEMO_DATA ?= data/demo
DEMO_RUN ?= runs/demo
JOBS ?= 2
PYTEST_ARGS ?=

export TOKENIZERS_PARALLELISM := false
export HF_HUB_OFFLINE ?= 1

.PHONY: help
help:  ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z][a-zA-Z_-]*:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))' || \
		{ echo "avcap needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

.PHONY: install
install: $(VENV)/.installed  ## Make .venv with the pinned versions

define embedded_data
$(AVCAP) data demo --root $(DEMO_DATA)
$(AVCAP) data prepare $(DEMO_DATA) --frames 8 --size 64
$(AVCAP) data derive $(DEMO_DATA)/shards --config configs/demo/lavcap.yaml
endef

.PHONY: demo
demo: install  ## Make the embedded data set, train LAVCap on it, test it, show the results
	$(embedded_data)
	$(AVCAP) fit --config configs/demo/lavcap.yaml --ckpt_path last
	$(AVCAP) test --config configs/demo/lavcap.yaml --ckpt_path $(DEMO_RUN)/checkpoints/best.ckpt
	@$(AVCAP) summary $(DEMO_RUN)

$(DEMO_DATA)/shards/test/info.json: | $(VENV)/.installed
	$(embedded_data)

# Tables of runs: the program knows the runs, Make hands it what the user sets; `make -j8` runs eight at a time.
MATRIX ?= paper
option = $(if $($(2)),--$(1) '$($(2))')
jobs = --jobs $(or $(patsubst -j%,%,$(patsubst -j,-j$(shell nproc),$(filter -j%,$(MAKEFLAGS)))),$(1))
ablation = $(AVCAP) ablation run $(MATRIX) $(call option,axes,AXES) $(call option,seeds,SEEDS) $(call option,runs,RUNS) \
	$(call option,data,DATA) $(call option,launch,LAUNCH) $(call option,submit,SUBMIT)

.PHONY: ablation
ablation: install  ## Run the ablation matrix, or what is left of it (-j8, SEEDS=42, LAUNCH="srun ...", MATRIX=demo)
	@$(ablation) $(call jobs,1)

.PHONY: ablation-status
ablation-status: install  ## Show how far the cells are
	@$(ablation) --status

ablation-%: install
	@$(ablation) --axes $* $(call jobs,1)

.PHONY: ablation-demo
ablation-demo: $(DEMO_DATA)/shards/test/info.json  ## Run a small matrix on the embedded data set (JOBS=2 at a time), compare by scene
	@$(AVCAP) ablation run demo $(call jobs,$(JOBS))
	@$(AVCAP) compare runs/ablation_demo/modality/{audio,video,both}/*
	@$(AVCAP) report runs/ablation_demo --baseline fusion/ot_attention --out runs/ablation_demo/report

.PHONY: demo-dali
demo-dali: $(DEMO_DATA)/shards/test/info.json  ## DALI on the embedded data set: all stages by optimal transport, one seed, and a report
	@$(AVCAP) dali run --objectives ot --seeds 0 --tokens calibrated $(call jobs,1)

.PHONY: dali
dali: $(DEMO_DATA)/shards/test/info.json  ## DALI's table: every objective and seed (OBJECTIVES="ot mmd", DALI_SEEDS="0 1 2", TOKENS=calibrated, -j2)
	@$(AVCAP) dali run $(call option,objectives,OBJECTIVES) $(call option,seeds,DALI_SEEDS) $(call option,tokens,TOKENS) $(call jobs,1)

.PHONY: reproduce-lavcap reproduce-avcap reproduce-dali
reproduce-lavcap reproduce-avcap reproduce-dali: install
reproduce-lavcap:  ## LAVCap's table: DATA=<AudioCaps> WEIGHTS=<folder> (RELEASED=1, ROWS=, DEVICES=8, DRY_RUN=1)
reproduce-avcap:  ## AVCap's table (the same options)
reproduce-dali:  ## DALI's table (and AUDIOSET=<folder> BALANCED=<folder>)
reproduce-lavcap reproduce-avcap reproduce-dali:
	@$(AVCAP) reproduce $(@:reproduce-%=%) $(call option,data,DATA) $(call option,weights,WEIGHTS) $(call option,rows,ROWS) \
		$(call option,seeds,SEEDS) $(call option,audioset,AUDIOSET) $(call option,balanced,BALANCED) $(call option,devices,DEVICES) $(if $(RELEASED),--released) $(if $(DRY_RUN),--dry_run) \
		$(call option,launch,LAUNCH) $(call option,submit,SUBMIT) $(call jobs,1)

.PHONY: test
test: install  ## Run all tests (PYTEST_ARGS="-m 'not slow'" for the quick ones)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(PYTEST_ARGS)

.PHONY: lint
lint: install  ## Check style, formatting, the import order and the types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

.PHONY: format
format: install  ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

KILLS ?= 100
FUZZ ?= 10000

.PHONY: drills
drills: install  ## Kill prepare, training and DDP at random (KILLS=100 each), try FUZZ=10000 odd inputs at every entrance
	@for drill in prepare train resume; do $(AVCAP) drill $$drill --kills $(KILLS) || exit 1; done
	AVCAP_FUZZ=$(FUZZ) AVCAP_FUZZ_SEED=$${AVCAP_FUZZ_SEED:-$$RANDOM} OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/fuzz

.PHONY: bench
bench: install  ## Print one table of speeds beside the plain ways and the machine's matrix product (BENCH="--threads 2", without --quick)
	@$(BIN)/python -m benchmarks $(or $(BENCH),--quick)

.PHONY: clean
clean:  ## Remove caches and the demo's data and run; keeps .venv
	rm -rf $(DEMO_DATA) $(DEMO_RUN) .pytest_cache .ruff_cache .mypy_cache .import_linter_cache build dist src/*.egg-info
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
