# The demo's matrix: nine different cells, two seeds each, on the embedded data set; less than an hour on two CPU cores.
RUNS := runs/ablation_demo
DATA := $(DEMO_DATA)/shards/test/info.json
SEEDS := 0 1
AXES := fusion modality ot

base_fusion := $(ABLATION)/demo.yaml
base_modality := $(ABLATION)/demo.yaml
base_ot := $(ABLATION)/demo.yaml
base_layers_demo := configs/demo/avcap_vit.yaml# not in AXES: `make ablation-layers_demo MATRIX=demo`

variants_fusion := ot_attention ot_time_concat time_concat cross_attention token_concat
variants_ot := full clip_contrast no_loss no_attention off

SAME := modality/both=fusion/ot_attention ot/full=fusion/ot_attention ot/no_attention=fusion/ot_time_concat ot/off=fusion/time_concat
