"""The checkpoints that the CED authors published (``audiotransformer_<size>_mAP_*.pt``)."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor

from avcap.weights.ced import COMPONENT, convert_ced
from avcap.weights.format import CheckpointFormat, Conversion, ImportOptions


class CEDOfficial(CheckpointFormat):
    """Fused qkv, 63 time positions, a front end and a tagging head that are left out."""

    name = "ced_official"
    component = COMPONENT
    summary = "CED, the authors' .pt files (fused qkv, with front end and head)"

    def matches(self, keys: Collection[str]) -> bool:
        """Match official names without prefix, with q, k and v in one layer."""
        return {"time_pos_embed", "blocks.0.attn.qkv.weight"} <= set(keys)

    def convert(self, state: Mapping[str, Tensor], options: ImportOptions) -> Conversion:
        """Cut qkv in three, fit the time positions."""
        return convert_ced(state, options)
