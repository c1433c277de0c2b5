# DALI on the embedded data set, stage by stage (docs/dali.md). Every stage is a file; what is there is not made again, and a
# stage that was stopped goes on. $(DALI)/<objective>/<seed>/<tokens> holds what depends on the three, $(DALI)/results what was tested.
DALI := runs/dali
# none: the audio encoder that alignment starts from
OBJECTIVES ?= none contrastive mmd ot attentive_ot
DALI_SEEDS ?= 0 1 2
# audio tokens as alignment leaves them, and with the spread of image tokens (avcap dali calibrate)
TOKENS ?= as_trained calibrated
DALI_SHARDS := $(DEMO_DATA)/shards/test/info.json

.PHONY: demo-dali
demo-dali: $(DALI_SHARDS)  ## DALI on the embedded data set: all stages by optimal transport, one seed, and a report
	@$(MAKE) --no-print-directory dali OBJECTIVES=ot DALI_SEEDS=0 TOKENS=calibrated

.PHONY: dali
dali: $(DALI_SHARDS)  ## DALI's table: every objective and seed (OBJECTIVES="ot mmd", DALI_SEEDS="0 1 2", TOKENS=calibrated, -j 2)
	-@$(if $(filter -j%,$(MAKEFLAGS)),OMP_NUM_THREADS=1) $(MAKE) --no-print-directory --keep-going dali-cells
	@$(AVCAP) report $(DALI)/results --baseline $(or $(filter contrastive,$(OBJECTIVES)),$(firstword $(OBJECTIVES)))_audio \
		--out $(DALI)/report --title "DALI on the embedded data set"

$(DEMO_DATA)/texts.jsonl: | $(DALI_SHARDS)
	$(AVCAP) dali texts --out $@

$(DALI)/language/lm/config.json: | $(DEMO_DATA)/texts.jsonl
	$(AVCAP) fit --config configs/dali/0a_language.yaml --trainer.default_root_dir $(DALI)/language --ckpt_path last

$(DEMO_DATA)/stills/train/info.json: | $(VENV)/.installed
	$(AVCAP) dali stills --out $(DEMO_DATA)/stills

$(DALI)/instructions.jsonl: $(DALI)/language/lm/config.json | $(DEMO_DATA)/stills/train/info.json
	$(AVCAP) dali instructions --language_model $(<D) --shards $(DEMO_DATA)/stills --out $@ --overwrite

$(DALI)/llava_captions/config.json: $(DALI)/language/lm/config.json | $(DEMO_DATA)/stills/train/info.json
	$(AVCAP) fit --config configs/dali/0b_image_captioner.yaml --trainer.default_root_dir $(DALI)/image_captioner --ckpt_path last
	$(call llava_of,image_captioner)

$(DALI)/llava/config.json: $(DALI)/llava_captions/config.json $(DALI)/instructions.jsonl
	$(AVCAP) fit --config configs/dali/0b_image_captioner.yaml --config configs/dali/0c_instructions.yaml \
		--trainer.default_root_dir $(DALI)/instructed --ckpt_path last
	$(call llava_of,instructed)

# $(1) the run whose captioner becomes the folder of the target; one that was begun is made anew
define llava_of
rm -rf $(@D)
$(AVCAP) dali captioner $(DALI)/$(1)/checkpoints/best.ckpt $(@D)
endef

$(DALI)/prefix.safetensors: $(DALI)/llava/config.json
	$(AVCAP) fit --config configs/dali/1a_prefix.yaml --trainer.default_root_dir $(DALI)/prefix --ckpt_path last
	$(AVCAP) weights part $(DALI)/prefix/checkpoints/last.ckpt decoder.prefix $@

$(DALI)/backbone.safetensors: $(DALI)/llava/config.json
	$(AVCAP) fit --config configs/dali/1b_alignment.yaml --config configs/dali/0d_audio_backbone.yaml \
		--trainer.default_root_dir $(DALI)/backbone --ckpt_path last
	$(AVCAP) dali calibrate $(DALI)/backbone/checkpoints/last.ckpt $@ --spread channels

# $(1) objective, $(2) seed; the checkpoint of a run that was stopped is there too, so the weights are what says that it ended
define alignment
$(DALI)/$(1)/$(2)/as_trained/encoder.safetensors: $(DALI)/backbone.safetensors
	$$(AVCAP) fit --config configs/dali/1b_alignment.yaml --config configs/dali/objective/$(1).yaml --seed_everything $(2) \
		--data.init_args.seed $(2) --trainer.default_root_dir $(DALI)/$(call trained,$(1),$(2)) --ckpt_path last
	$$(AVCAP) weights part $(DALI)/$(call trained,$(1),$(2))/checkpoints/last.ckpt audio_encoder $$@
endef
define no_alignment
$(DALI)/none/$(2)/as_trained/encoder.safetensors: $(DALI)/backbone.safetensors
	mkdir -p $$(@D)
	cp $$< $$@
endef
define calibration
$(DALI)/$(1)/$(2)/calibrated/encoder.safetensors: $(DALI)/$(1)/$(2)/as_trained/encoder.safetensors
	$$(AVCAP) dali calibrate $(DALI)/$(call trained,$(1),$(2))/checkpoints/last.ckpt $$@
endef
trained = $(if $(filter none,$(1)),backbone,$(1)/$(2)/alignment)

# $(1) objective, $(2) seed, $(3) tokens
define distillation
$(DALI)/$(1)/$(2)/$(3)/pseudo.jsonl: $(DALI)/$(1)/$(2)/$(3)/encoder.safetensors $(DALI)/prefix.safetensors
	$$(AVCAP) dali pseudo-label --config configs/dali/inference.yaml --trainer.default_root_dir $$(@D)/pseudo --out $$@ \
		--model.init_args.audio_encoder.init_args.pretrained $$<

$(DALI)/$(1)/$(2)/$(3)/audio_projector.safetensors: $(DALI)/$(1)/$(2)/$(3)/pseudo.jsonl
	$$(AVCAP) fit --config configs/dali/2_distillation.yaml --seed_everything $(2) --data.init_args.seed $(2) \
		--data.init_args.captions.path $$< --model.init_args.audio_encoder.init_args.pretrained $$(@D)/encoder.safetensors \
		--trainer.default_root_dir $$(@D)/distillation --ckpt_path last
	$$(AVCAP) weights part $$(@D)/distillation/checkpoints/last.ckpt fusion.audio_projector $$@

$(foreach modality,$(if $(call own,$(1),$(2)),audio both shuffled),$(call cell,before,$(1),$(2),$(3),$(modality)))
$(foreach modality,audio both,$(call cell,after,$(1),$(2),$(3),$(modality)))
endef
# whether a seed has an encoder of its own; none is the same for all, and tested once before stage 2
own = $(if $(filter none,$(1)),$(filter $(firstword $(DALI_SEEDS)),$(2)),$(2))

# $(1) before or after stage 2, $(2) objective, $(3) seed, $(4) tokens, $(5) modality: a test, which shows the tokens of its alignment
define cell
dali-cells: $(DALI)/results/$(1)_$(4)/$(2)_$(5)/$(3)/results.json
$(DALI)/results/$(1)_$(4)/$(2)_$(5)/$(3)/results.json: $(DALI)/$(2)/$(3)/$(4)/$(needs_$(1)) $(DALI)/prefix.safetensors
	$$(AVCAP) test --config configs/dali/inference.yaml --config configs/dali/modality/$(5).yaml $$(call options_$(1),$$(<D)) \
		--model.init_args.audio_encoder.init_args.pretrained $$(<D)/encoder.safetensors --trainer.default_root_dir $$(@D)
	$(if $(filter before_$(firstword $(TOKENS))_audio,$(1)_$(4)_$(5)),ln -sfn ../../../../$(call trained,$(2),$(3))/figures $$(@D)/figures)

endef
needs_before := encoder.safetensors
needs_after := audio_projector.safetensors
options_before =
options_after = --config configs/dali/distilled.yaml --model.init_args.fusion.init_args.pretrained_audio $(1)/audio_projector.safetensors

.PHONY: dali-cells
dali-cells: $(DALI)/results/controls/image/0/results.json
$(DALI)/results/controls/image/0/results.json: $(DALI)/prefix.safetensors
	$(AVCAP) test --config configs/dali/inference.yaml --config configs/dali/modality/image.yaml --trainer.default_root_dir $(@D)

stages = $(eval $(call $(if $(filter none,$(1)),no_alignment,alignment),$(1),$(2)))$(eval $(call calibration,$(1),$(2)))\
	$(foreach tokens,$(TOKENS),$(eval $(call distillation,$(1),$(2),$(tokens))))
$(foreach seed,$(DALI_SEEDS),$(foreach objective,$(OBJECTIVES),$(call stages,$(objective),$(seed))))
