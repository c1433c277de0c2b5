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
endef

.PHONY: demo
demo: install  ## Make the embedded data set, train LAVCap on it, test it, show the results
	$(embedded_data)
	$(AVCAP) fit --config configs/demo/lavcap.yaml --ckpt_path last
	$(AVCAP) test --config configs/demo/lavcap.yaml --ckpt_path $(DEMO_RUN)/checkpoints/best.ckpt
	@$(AVCAP) summary $(DEMO_RUN)

$(DEMO_DATA)/shards/test/info.json: | $(VENV)/.installed
	$(embedded_data)

include ablation.mk

.PHONY: ablation-demo
ablation-demo: $(DEMO_DATA)/shards/test/info.json  ## Run a small matrix on the embedded data set (JOBS=2 at a time), compare by scene
	@$(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(JOBS)) ablation MATRIX=demo
	@$(AVCAP) compare runs/ablation_demo/modality/{audio,video,both}/*
	@$(AVCAP) report runs/ablation_demo --baseline fusion/ot_attention --out runs/ablation_demo/report

include dali.mk

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

.PHONY: bench
bench: install  ## Print the benchmarks' ratios
	for script in benchmarks/*.py; do $(BIN)/python $$script; done

.PHONY: clean
clean:  ## Remove caches and the demo's data and run; keeps .venv
	rm -rf $(DEMO_DATA) $(DEMO_RUN) .pytest_cache .ruff_cache .mypy_cache .import_linter_cache build dist src/*.egg-info
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
