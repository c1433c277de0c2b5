# DALI on the embedded data set, stage by stage (docs/dali.md). Every stage is a file; what is there is not made again, and a
# stage that was stopped goes on. $(DALI)/<objective>/<seed> holds what depends on both, $(DALI)/results what was tested.
DALI := runs/dali
OBJECTIVES ?= contrastive mmd ot attentive_ot
DALI_SEEDS ?= 0 1 2
DALI_SHARDS := $(DEMO_DATA)/shards/test/info.json

.PHONY: demo-dali
demo-dali: $(DALI_SHARDS)  ## DALI on the embedded data set: all stages by optimal transport, one seed, and a report
	@$(MAKE) --no-print-directory dali OBJECTIVES=ot DALI_SEEDS=0

.PHONY: dali
dali: $(DALI_SHARDS)  ## DALI's table: every objective and seed (OBJECTIVES="ot mmd", DALI_SEEDS="0 1 2", -j 2)
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
	rm -rf $(@D)
	$(AVCAP) dali captioner $(DALI)/image_captioner/checkpoints/best.ckpt $(@D)

$(DALI)/llava/config.json: $(DALI)/llava_captions/config.json $(DALI)/instructions.jsonl
	$(AVCAP) fit --config configs/dali/0b_image_captioner.yaml --config configs/dali/0c_instructions.yaml \
		--trainer.default_root_dir $(DALI)/instructed --ckpt_path last
	rm -rf $(@D)
	$(AVCAP) dali captioner $(DALI)/instructed/checkpoints/best.ckpt $(@D)

$(DALI)/prefix.safetensors: $(DALI)/llava/config.json
	$(AVCAP) fit --config configs/dali/1a_prefix.yaml --trainer.default_root_dir $(DALI)/prefix --ckpt_path last
	$(AVCAP) weights part $(DALI)/prefix/checkpoints/last.ckpt decoder.prefix $@

$(DALI)/backbone.safetensors: $(DALI)/llava/config.json
	$(AVCAP) fit --config configs/dali/1b_alignment.yaml --config configs/dali/0d_audio_backbone.yaml \
		--trainer.default_root_dir $(DALI)/backbone --ckpt_path last
	$(AVCAP) dali calibrate $(DALI)/backbone/checkpoints/last.ckpt $@ --spread channels

# $(1) objective, $(2) seed
define stages
$(DALI)/$(1)/$(2)/aligned.safetensors: $(DALI)/backbone.safetensors
	$$(AVCAP) fit --config configs/dali/1b_alignment.yaml --config configs/dali/objective/$(1).yaml --seed_everything $(2) \
		--data.init_args.seed $(2) --trainer.default_root_dir $$(@D)/alignment --ckpt_path last
	$$(AVCAP) dali calibrate $$(@D)/alignment/checkpoints/last.ckpt $$@

$(DALI)/$(1)/$(2)/uncalibrated.safetensors: $(DALI)/$(1)/$(2)/aligned.safetensors
	$$(AVCAP) weights part $$(@D)/alignment/checkpoints/last.ckpt audio_encoder $$@

$(DALI)/$(1)/$(2)/pseudo.jsonl: $(DALI)/$(1)/$(2)/aligned.safetensors $(DALI)/prefix.safetensors
	$$(AVCAP) dali pseudo-label --config configs/dali/inference.yaml --trainer.default_root_dir $$(@D)/pseudo --out $$@ \
		--model.init_args.audio_encoder.init_args.pretrained $$(@D)/aligned.safetensors

$(DALI)/$(1)/$(2)/audio_projector.safetensors: $(DALI)/$(1)/$(2)/pseudo.jsonl
	$$(AVCAP) fit --config configs/dali/2_distillation.yaml --seed_everything $(2) --data.init_args.seed $(2) \
		--data.init_args.captions $$< --model.init_args.audio_encoder.init_args.pretrained $$(@D)/aligned.safetensors \
		--trainer.default_root_dir $$(@D)/distillation --ckpt_path last
	$$(AVCAP) weights part $$(@D)/distillation/checkpoints/last.ckpt fusion.audio_projector $$@

$(foreach modality,audio both,$(call cell,before,$(1),$(2),$(modality))$(call cell,after,$(1),$(2),$(modality)))
$(call cell,before,$(1),$(2),shuffled)$(call cell,uncalibrated,$(1),$(2),audio)
endef

# $(1) before or after stage 2, or before it without calibration, $(2) objective, $(3) seed, $(4) modality: a test
define cell
dali-cells: $(DALI)/results/$(1)/$(2)_$(4)/$(3)/results.json
$(DALI)/results/$(1)/$(2)_$(4)/$(3)/results.json: $(DALI)/$(2)/$(3)/$(needs_$(1)) $(DALI)/prefix.safetensors
	$$(AVCAP) test --config configs/dali/inference.yaml $$(modality_$(4)) $$(call options_$(1),$(DALI)/$(2)/$(3)) \
		--model.init_args.audio_encoder.init_args.pretrained $(DALI)/$(2)/$(3)/$(encoder_$(1)) --trainer.default_root_dir $$(@D)
	$$(call figures_$(1),$(2)/$(3),$$(@D))

endef
# the report shows the tokens as alignment left them
figures_uncalibrated = ln -sfn ../../../../$(1)/alignment/figures $(2)/figures
encoder_before := aligned.safetensors
encoder_after := aligned.safetensors
encoder_uncalibrated := uncalibrated.safetensors
needs_before := $(encoder_before)
needs_uncalibrated := $(encoder_uncalibrated)
needs_after := audio_projector.safetensors
options_before =
options_after = --config configs/dali/distilled.yaml --model.init_args.fusion.init_args.pretrained_audio $(1)/audio_projector.safetensors
modality_audio := --config configs/dali/modality/audio.yaml
modality_both := --config configs/dali/modality/both.yaml
modality_shuffled := --config configs/dali/modality/shuffled.yaml

.PHONY: dali-cells
dali-cells: $(DALI)/results/before/image/0/results.json
$(DALI)/results/before/image/0/results.json: $(DALI)/prefix.safetensors
	$(AVCAP) test --config configs/dali/inference.yaml --config configs/dali/modality/image.yaml --trainer.default_root_dir $(@D)

$(foreach seed,$(DALI_SEEDS),$(foreach objective,$(OBJECTIVES),$(eval $(call stages,$(objective),$(seed)))))
