"""The whole LAVCap captioner as its trainer saves it: CED, LLaMA's adapters, the projection and the temperature."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from torch import Tensor

from avcap.checkpoints.loading import block_count
from avcap.weights.ced import ADAPTED, LORA, TABLE, convert_ced, our_names
from avcap.weights.format import CheckpointFormat, Conversion, ImportOptions
from avcap.weights.report import require_weights

ENCODER, DECODER = "audio_encoder.", "llama_decoder."
PEFT = "base_model.model."  # what peft puts before the names of a model that it wraps
HEADS = ("output_layer.", "outputlayer.")  # CED's tagging head
UNUSED = "unused."  # part of our file that no component reads: an export writes it back
PROJECTION = {f"speech_llama_proj.{leaf}": f"decoder.projection.{leaf}" for leaf in ("weight", "bias")}
TOPS = {  # official name -> ours
    **PROJECTION,
    "logit_scale": "fusion.contrast.logit_scale",
    **{
        f"cross_attn.{leaf}": f"fusion.merge.cross_attention.attention.{leaf}"
        for leaf in ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")
    },
}
_OURS = {ours: official for official, ours in TOPS.items()}
_CED = {ours: official for official, ours in TABLE.items()}  # of two names the second, which LAVCap's copy has
_LLAMA_LORA = re.compile(r"model\.layers\.\d+\..+\.lora_[AB]\.default\.weight")
LM = "decoder.lm."


class LAVCapOfficial(CheckpointFormat):
    """``{"model": ...}`` with the encoder and the language model wrapped by peft.

    LLaMA's own frozen weights, where they are saved too, are left out by name: they are read from its folder. A checkpoint
    may also lack CED's frozen weights; then the encoder has its adapters alone, and the rest comes from ``pretrained``.
    """

    name = "lavcap_official"
    component = "LAVCap"
    summary = "LAVCap, the whole captioner as its trainer saves it (adapters, projection, temperature, CED)"
    wrapper = "model"

    def matches(self, keys: Collection[str]) -> bool:
        """Match the projection beside an encoder."""
        return PROJECTION.keys() <= set(keys) and any(key.startswith(ENCODER) for key in keys)

    def convert(self, state: Mapping[str, Tensor], options: ImportOptions) -> Conversion:
        """Convert the encoder as from a CED checkpoint, and rename the rest."""
        sound = {
            key.removeprefix(ENCODER).removeprefix(PEFT).replace(ADAPTED, "."): tensor
            for key, tensor in state.items()
            if key.startswith(ENCODER)
        }
        head = {f"{UNUSED}{key}": tensor for key, tensor in sound.items() if key.startswith(HEADS)}
        encoder = convert_ced({key: tensor for key, tensor in sound.items() if not key.startswith(HEADS)}, options)
        out = {f"audio.{name}": tensor for name, tensor in encoder.state.items()}
        ignored = [ENCODER + key for key in encoder.ignored]
        unexpected = [ENCODER + key for key in encoder.unexpected]
        for key, tensor in state.items():
            inside = key.removeprefix(DECODER).removeprefix(PEFT)
            if key in TOPS:
                out[TOPS[key]] = tensor
            elif key.startswith(DECODER) and _LLAMA_LORA.fullmatch(inside):
                out[LM + inside] = tensor
            elif key.startswith(DECODER) and ".lora_" not in key:
                ignored.append(key)  # LLaMA itself
            elif not key.startswith(ENCODER):
                unexpected.append(key)
        required = _both_halves(out) | set(PROJECTION.values())
        if any(not LORA.fullmatch(name) for name in encoder.state):
            required |= {f"audio.{name}" for name in encoder.required}
        return Conversion(out | head, frozenset(required), tuple(ignored), tuple(unexpected), encoder.about)

    def export(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return all that the official code loads over LLaMA's own weights; CED's where they are there."""
        audio = {
            name.removeprefix("audio.").replace(ADAPTED, "."): tensor
            for name, tensor in state.items()
            if name.startswith("audio.")
        }
        own = {name: tensor for name, tensor in audio.items() if not LORA.fullmatch(name)}
        if own:
            require_weights(own, our_names(block_count(own)), format_name=self.name)
        rest = {name: tensor for name, tensor in state.items() if name.startswith(("fusion.", "decoder."))}
        lora = {name for name in rest if _LLAMA_LORA.fullmatch(name.removeprefix(LM))}
        known = lora | set(PROJECTION.values()) | (_OURS.keys() & rest.keys())
        require_weights(rest, frozenset(known), format_name=self.name)
        prefix = ENCODER + (PEFT if len(own) < len(audio) else "")
        adapted = {name.partition(".lora_")[0] for name in audio if name not in own}
        out = {prefix + _official(name, adapted): tensor for name, tensor in audio.items()}
        out |= {prefix + name.removeprefix(UNUSED): tensor for name, tensor in state.items() if name.startswith(UNUSED)}
        return out | {
            _OURS.get(name) or f"{DECODER}{PEFT}{name.removeprefix(LM)}": tensor for name, tensor in rest.items()
        }


def _official(name: str, adapted: Collection[str]) -> str:
    """Return the official name of an encoder's weight, below ``base_layer`` where its layer has an adapter."""
    layer, _, leaf = name.rpartition(".")
    return f"{layer}{ADAPTED}{leaf}" if layer in adapted else _CED.get(name, name)


def _both_halves(names: Collection[str]) -> set[str]:
    """Return the names of both matrices of every adapter of which one is there."""
    stems = {name.partition(".lora_")[0] for name in names if ".lora_" in name}
    return {f"{stem}.lora_{half}.default.weight" for stem in stems for half in "AB"}
