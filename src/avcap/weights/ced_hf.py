"""The Hugging Face port of CED (``mispeech/ced-<size>``): a local folder, or its weights file."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor

from avcap.weights.ced import COMPONENT, convert_ced
from avcap.weights.format import CheckpointFormat, Conversion, ImportOptions

PREFIX = "encoder."


class CEDHuggingFace(CheckpointFormat):
    """The official names behind ``encoder.``; the head stands outside of it, and there is no front end."""

    name = "ced_hf"
    component = COMPONENT
    summary = "CED, the Hugging Face folders mispeech/ced-tiny, -mini, -small, -base"

    def matches(self, keys: Collection[str]) -> bool:
        """Match official names behind the prefix, with q, k and v in one layer."""
        return {f"{PREFIX}time_pos_embed", f"{PREFIX}blocks.0.attn.qkv.weight"} <= set(keys)

    def convert(self, state: Mapping[str, Tensor], options: ImportOptions) -> Conversion:
        """Remove the prefix, cut qkv in three, fit the time positions."""
        return convert_ced({key.removeprefix(PREFIX): tensor for key, tensor in state.items()}, options)
