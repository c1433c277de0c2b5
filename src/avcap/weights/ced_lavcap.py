"""The CED encoder inside a LAVCap checkpoint, with or without its LoRA adapters."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor

from avcap.weights.ced import COMPONENT, convert_ced
from avcap.weights.format import CheckpointFormat, Conversion, ImportOptions

PREFIXES = ("audio_encoder.base_model.model.", "audio_encoder.", "base_model.model.", "")  # with peft around it, or not
ADAPTED = ".base_layer."  # peft moves an adapted weight below this name


class CEDLavcap(CheckpointFormat):
    """Separate q, k and v, 64 time positions; adapters keep their names. Other components of the captioner are left out."""

    name = "ced_lavcap"
    component = COMPONENT
    summary = "CED out of a LAVCap checkpoint (separate q, k, v; LoRA adapters come along)"

    def matches(self, keys: Collection[str]) -> bool:
        """Match a state dict with the encoder's time positions behind one of the prefixes, and q in its own layer."""
        return _prefix(keys) is not None

    def convert(self, state: Mapping[str, Tensor], options: ImportOptions) -> Conversion:
        """Remove the prefix and peft's ``base_layer``, fit the time positions."""
        prefix = _prefix(state) or ""
        encoder = {
            key.removeprefix(prefix).replace(ADAPTED, "."): tensor
            for key, tensor in state.items()
            if key.startswith(prefix)
        }
        return convert_ced(encoder, options, ignored=tuple(key for key in state if not key.startswith(prefix)))


def _prefix(keys: Collection[str]) -> str | None:
    """Return the prefix of the encoder's names, or None if there is no such encoder."""
    present = set(keys)
    for prefix in PREFIXES:
        query = f"{prefix}blocks.0.attn.q_proj"
        if f"{prefix}time_pos_embed" in present and {f"{query}.weight", f"{query}{ADAPTED}weight"} & present:
            return prefix
    return None
