"""The whole AVCap captioner as its trainer saves it: encoder and text decoder in one file."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from avcap.weights.cav_mae import LABELS, convert_cav_mae, export_cav_mae
from avcap.weights.format import CheckpointFormat, Conversion, ImportOptions
from avcap.weights.git import AVCAP, decoder_to_ours, decoder_to_theirs

ENCODER = "av_encoder."
DECODER = "textual."


class AVCapOfficial(CheckpointFormat):
    """``av_encoder.*`` is CAV-MAE, ``textual.*`` GIT's text decoder with a projection of its own.

    The file that comes out serves all four components: each reads its part (``audio.``, ``visual.``, ``joint.``,
    ``decoder.``).
    """

    name = "avcap_official"
    component = "AVCap"
    summary = "AVCap, the whole captioner as its trainer saves it (four parts)"

    def matches(self, keys: Collection[str]) -> bool:
        """Match both halves, and AVCap's name of the projection."""
        needed = {f"{ENCODER}modality_a", f"{ENCODER}modality_v", f"{AVCAP.projection}.0.weight"}
        return needed <= set(keys) and AVCAP.holds(keys)

    def convert(self, state: Mapping[str, Tensor], options: ImportOptions) -> Conversion:
        """Convert the encoder as from a CAV-MAE checkpoint, and the decoder with its projection as from a GIT one."""
        encoder = convert_cav_mae(_below(state, ENCODER), options)
        decoder = decoder_to_ours(
            {key: tensor for key, tensor in state.items() if key.startswith(DECODER)}, AVCAP, projection=True
        )
        strangers = tuple(key for key in state if not key.startswith((ENCODER, DECODER)))
        about = {f"decoder_{name}": value for name, value in decoder.about.items()}
        return Conversion(
            encoder.state | decoder.state,
            encoder.required | decoder.required,
            (*(ENCODER + key for key in encoder.ignored), *decoder.ignored),
            (*(ENCODER + key for key in encoder.unexpected), *decoder.unexpected, *strangers),
            encoder.about | about,
        )

    def export(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Convert to all names of the official captioner; fill its unused tagging head with ones and zeros."""
        encoder = export_cav_mae(state, format_name=self.name)
        like = encoder["norm.weight"]
        encoder |= {
            "mlp_head.0.weight": torch.ones_like(like),
            "mlp_head.0.bias": torch.zeros_like(like),
            "mlp_head.1.weight": like.new_zeros(LABELS, like.shape[0]),
            "mlp_head.1.bias": like.new_zeros(LABELS),
        }
        decoder = decoder_to_theirs(state, AVCAP, format_name=self.name)
        return {ENCODER + name: tensor for name, tensor in encoder.items()} | decoder


def _below(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): tensor for key, tensor in state.items() if key.startswith(prefix)}
