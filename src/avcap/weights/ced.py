"""CED from the authors' files, the Hugging Face port, or inside LAVCap: key table, and the two changes of shape."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

import torch.nn.functional as F
from torch import Tensor

from avcap.weights.format import CheckpointFormat, Conversion, ImportOptions
from avcap.weights.qkv import split_qkv

COMPONENT = "CEDEncoder"
PATCH = 16
HEAD_WIDTH = 64  # channels of one attention head, at every published size
SIZES = {192: "tiny", 256: "mini", 384: "small", 768: "base"}
TABLE = {  # official name -> ours
    "time_pos_embed": "time_pos_embed",
    "freq_pos_embed": "freq_pos_embed",
    "patch_embed.proj.weight": "patch_embed.weight",
    "patch_embed.proj.bias": "patch_embed.bias",
    "norm.weight": "norm.weight",
    "norm.bias": "norm.bias",
    # BatchNorm: 1 is its place between two changes of axes; the Hugging Face port has it alone
    **{
        f"init_bn{place}.{leaf}": f"init_bn.{leaf}"
        for place in ("", ".1")
        for leaf in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    },
}
BLOCK_LAYERS = ("norm1", "attn.q_proj", "attn.k_proj", "attn.v_proj", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
IGNORED = ("front_end.", "outputlayer.", "output_layer.")  # spectrogram buffers, and the head of the audio tagger
PORT_PREFIX = "encoder."  # of the Hugging Face port
PREFIXES = ("audio_encoder.base_model.model.", "audio_encoder.", "base_model.model.", "")  # with peft around it, or not
ADAPTED = ".base_layer."  # peft moves an adapted weight below this name
_BLOCK_KEY = re.compile(r"blocks\.(\d+)\.(.+)\.(weight|bias)")
LORA = re.compile(r"blocks\.\d+\..+\.lora_[AB]\.default\.weight")


def our_ced_name(key: str) -> str | None:
    """Return the name of an official weight in :class:`~avcap.encoders.ced.CEDEncoder`, or None if it has none."""
    if key in TABLE:
        return TABLE[key]
    block = _BLOCK_KEY.fullmatch(key)
    if (block and block[2] in BLOCK_LAYERS) or LORA.fullmatch(key):
        return key
    return None


def our_names(depth: int) -> frozenset[str]:
    """Return every name that an encoder with ``depth`` blocks needs (adapters are extra)."""
    blocks = {
        f"blocks.{i}.{layer}.{leaf}" for i in range(depth) for layer in BLOCK_LAYERS for leaf in ("weight", "bias")
    }
    return frozenset(blocks | set(TABLE.values()))


def fit_time_positions(positions: Tensor, places: int) -> Tensor:
    """Return time positions ``[1, C, 1, P]`` for ``places`` patches: the first ones if there are enough, else interpolated.

    Bilinear over the time axis without aligned corners, as LAVCap's loader does (63 places -> 64).
    """
    present = positions.shape[-1]
    if places <= present:
        return positions[..., :places]
    return F.interpolate(positions.float(), size=(1, places), mode="bilinear", align_corners=False).to(positions.dtype)


def convert_ced(state: Mapping[str, Tensor], options: ImportOptions, *, ignored: tuple[str, ...] = ()) -> Conversion:
    """Convert a CED state dict from official names (prefix removed, qkv fused or not) to ours, with time positions resized.

    Args:
        state: Official name -> tensor.
        options: Holds the target length in frames.
        ignored: Keys that the caller has left out already.
    """
    state = split_qkv(state)
    out: dict[str, Tensor] = {}
    unexpected = []
    left_out = list(ignored)
    for key, tensor in state.items():
        name = our_ced_name(key)
        if name is not None:
            out[name] = tensor.detach()
        elif key.startswith(IGNORED):
            left_out.append(key)
        else:
            unexpected.append(key)
    if "time_pos_embed" in out:
        out["time_pos_embed"] = fit_time_positions(out["time_pos_embed"], options.target_length // PATCH)
    depth = 1 + max((int(block[1]) for key in out if (block := _BLOCK_KEY.fullmatch(key))), default=0)
    return Conversion(out, our_names(depth), tuple(left_out), tuple(unexpected), _about(out, depth, options))


class _CED(CheckpointFormat):
    """A checkpoint of the encoder alone."""

    component = COMPONENT
    part = "audio"


class CEDOfficial(_CED):
    """Fused qkv, 63 time positions, a front end and a tagging head that are left out."""

    name = "ced_official"
    summary = "CED, the authors' .pt files (fused qkv, with front end and head)"

    def matches(self, keys: Collection[str]) -> bool:
        """Match official names without prefix, with q, k and v in one layer."""
        return {"time_pos_embed", "blocks.0.attn.qkv.weight"} <= set(keys)

    def convert(self, state: Mapping[str, Tensor], options: ImportOptions) -> Conversion:
        """Cut qkv in three, fit the time positions."""
        return convert_ced(state, options)


class CEDHuggingFace(_CED):
    """The official names behind ``encoder.``; the head stands outside of it, and there is no front end."""

    name = "ced_hf"
    summary = "CED, the Hugging Face folders mispeech/ced-tiny, -mini, -small, -base"

    def matches(self, keys: Collection[str]) -> bool:
        """Match official names behind the prefix, with q, k and v in one layer."""
        return {f"{PORT_PREFIX}time_pos_embed", f"{PORT_PREFIX}blocks.0.attn.qkv.weight"} <= set(keys)

    def convert(self, state: Mapping[str, Tensor], options: ImportOptions) -> Conversion:
        """Remove the prefix, cut qkv in three, fit the time positions."""
        return convert_ced({key.removeprefix(PORT_PREFIX): tensor for key, tensor in state.items()}, options)


class CEDLavcap(_CED):
    """Separate q, k and v, 64 time positions; adapters keep their names. Other components of the captioner are left out."""

    name = "ced_lavcap"
    summary = "CED alone out of a LAVCap checkpoint (separate q, k, v; LoRA adapters come along)"

    def matches(self, keys: Collection[str]) -> bool:
        """Match the encoder's time positions behind one of the prefixes, and q in its own layer; not a whole captioner."""
        return _prefix(keys) is not None and not any(key.startswith("speech_llama_proj.") for key in keys)

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


def _about(state: Mapping[str, Tensor], depth: int, options: ImportOptions) -> dict[str, str]:
    """Describe the sizes as text."""
    width = state["norm.weight"].shape[0] if "norm.weight" in state else 0
    rank = min(
        (min(tensor.shape) for key, tensor in state.items() if LORA.fullmatch(key)), default=0
    )  # A [rank, C], B [C, rank]
    return {
        "size": SIZES.get(width, "other") if depth == 12 else "other",
        "width": str(width),
        "depth": str(depth),
        "target_length": str(options.target_length),
        "lora_rank": str(rank),
    }
