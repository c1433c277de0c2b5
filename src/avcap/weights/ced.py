"""Shared code of the three CED formats: our key table, and the two changes of shape."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from avcap.weights.format import Conversion, ImportOptions
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
_BLOCK_KEY = re.compile(r"blocks\.(\d+)\.(.+)\.(weight|bias)")
_LORA_KEY = re.compile(r"blocks\.\d+\..+\.lora_[AB]\.default\.weight")


def our_ced_name(key: str) -> str | None:
    """Return the name of an official weight in :class:`~avcap.encoders.ced.CEDEncoder`, or None if it has none."""
    if key in TABLE:
        return TABLE[key]
    block = _BLOCK_KEY.fullmatch(key)
    if (block and block[2] in BLOCK_LAYERS) or _LORA_KEY.fullmatch(key):
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
            out[name] = tensor.detach().clone()
        elif key.startswith(IGNORED):
            left_out.append(key)
        else:
            unexpected.append(key)
    if "time_pos_embed" in out:
        out["time_pos_embed"] = fit_time_positions(out["time_pos_embed"], options.target_length // PATCH)
    depth = 1 + max((int(block[1]) for key in out if (block := _BLOCK_KEY.fullmatch(key))), default=0)
    return Conversion(out, our_names(depth), tuple(left_out), tuple(unexpected), _about(out, depth, options))


def _about(state: Mapping[str, Tensor], depth: int, options: ImportOptions) -> dict[str, str]:
    """Describe the sizes as text."""
    width = state["norm.weight"].shape[0] if "norm.weight" in state else 0
    rank = min(
        (min(tensor.shape) for key, tensor in state.items() if _LORA_KEY.fullmatch(key)), default=0
    )  # A [rank, C], B [C, rank]
    return {
        "size": SIZES.get(width, "other") if depth == 12 else "other",
        "width": str(width),
        "depth": str(depth),
        "target_length": str(options.target_length),
        "lora_rank": str(rank),
    }
