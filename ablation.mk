# The ablation matrix (docs/ablation.md). A cell is a file: $(RUNS)/<axis>/<variant>/<seed>/results.json, made from the base
# config of its axis, the overlay $(ABLATION)/<axis>/<variant>.yaml and the data. The table $(ABLATION)/<matrix>.mk says the rest.
ABLATION ?= configs/ablation
MATRIX ?= paper
LAUNCH ?=
SUBMIT ?=
INSTALLED ?= $(VENV)/.installed

SAME :=
include $(ABLATION)/$(MATRIX).mk

# of <axis>/<variant>/<seed>
axis_of = $(word 1,$(subst /, ,$(1)))
variant_of = $(word 2,$(subst /, ,$(1)))
base_of = $(base_$(axis_of))
overlay_of = $(call folder_of,$(axis_of))/$(variant_of).yaml
# of <axis>
folder_of = $(or $(folder_$(1)),$(ABLATION)/$(1))
variants = $(or $(variants_$(1)),$(patsubst %.yaml,%,$(notdir $(wildcard $(folder_of)/*.yaml))))
results = $(foreach variant,$(call variants,$(1)),$(SEEDS:%=$(RUNS)/$(1)/$(variant)/%/results.json))
CELLS := $(foreach axis,$(AXES),$(call results,$(axis)))
$(foreach axis,$(AXES),$(if $(base_$(axis)),,$(error $(ABLATION)/$(MATRIX).mk names no base for the axis $(axis): add base_$(axis) := configs/...)))

.PHONY: ablation
ablation: $(INSTALLED)  ## Run the ablation matrix, or what is left of it (-j 8, SEEDS=42, LAUNCH="srun ...", MATRIX=demo)
	-@$(MAKE) --no-print-directory --keep-going cells # nothing more on this line: a signal must reach the Make below
	@$(AVCAP) ablation status $(CELLS:/results.json=)

.PHONY: ablation-status
ablation-status: $(INSTALLED)  ## Show how far the cells are
	@$(AVCAP) ablation status $(CELLS:/results.json=)

ablation-%: $(INSTALLED)
	@$(MAKE) --no-print-directory ablation AXES=$*

.PHONY: cells
cells: $(CELLS)

define fit_and_test
$(AVCAP) ablation cell $(base_of) $(overlay_of) $(2) --seed $(notdir $(1)) $(if $(LAUNCH),--launch='$(LAUNCH)') $(if $(SUBMIT),--submit='$(SUBMIT)')
endef

# chain_<axis>, where the table has it, makes a cell of several trainings: $(1) variant, $(2) seed, $(3) its folder
.PRECIOUS: $(RUNS)/%/results.json
.SECONDEXPANSION:
$(RUNS)/%/results.json: $$(call base_of,$$*) $$(call overlay_of,$$*) $(DATA) | $(INSTALLED)
	@$(or $(call chain_$(call axis_of,$*),$(call variant_of,$*),$(notdir $*),$(@D)),$(call fit_and_test,$*,$(@D)))

# a cell that is the same run as another is a link to it
define link
$(RUNS)/$(1)/$(3)/results.json: $(RUNS)/$(2)/$(3)/results.json
	@test -L $$(@D) || test ! -e $$(@D) || { echo "$$(@D) is no link to $(2); delete it." >&2; exit 1; }
	@mkdir -p $(RUNS)/$(1) && ln -sfn ../../$(2)/$(3) $$(@D)
endef
$(foreach seed,$(SEEDS),$(foreach pair,$(SAME),$(eval $(call link,$(word 1,$(subst =, ,$(pair))),$(word 2,$(subst =, ,$(pair))),$(seed)))))

data/audiocaps/%:
	@echo "There is no $@: docs/data.md says how to bring AudioCaps (make ablation-demo needs nothing)." >&2; exit 1
