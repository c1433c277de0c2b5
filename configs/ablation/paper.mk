# The matrix at paper size, on AudioCaps: every file of an axis is a cell.
RUNS := runs/ablation
DATA := data/audiocaps/shards/test/info.json
SEEDS := 42 43 44
AXES := fusion modality ot tuning decoder layers frames streams frozen

# LAVCap
base_fusion := configs/lavcap.yaml
base_modality := configs/lavcap.yaml
base_ot := configs/lavcap.yaml
base_tuning := configs/lavcap.yaml
base_decoder := configs/lavcap.yaml
# AVCap
base_layers := configs/avcap.yaml
base_frames := configs/avcap.yaml
base_streams := configs/avcap.yaml
base_frozen := configs/avcap.yaml

# cells that are the same run: the first is a link to the second
lavcap := fusion/ot_attention
SAME := modality/both=$(lavcap) tuning/lora=$(lavcap) decoder/llama2=$(lavcap)
SAME += ot/full=$(lavcap) ot/plan_log=$(lavcap) ot/raw_plan=$(lavcap) ot/no_attention=fusion/ot_time_concat ot/off=fusion/time_concat
SAME += ot/clip_contrast=fusion/contrasted_ot_attention
SAME += layers/l11=frames/1 streams/both=frames/1 frozen/none=frames/1
