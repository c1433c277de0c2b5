"""CAV-MAE checkpoints (pre-training, or fine-tuned): key table, and the way back.

Both halves of the model and the joint layers go into one file, each behind its own part: ``audio.``, ``visual.``,
``joint.``. The official blocks all carry six LayerNorms; those that captioning never uses are left out, and written back
as they start (ones and zeros).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from avcap.weights.format import CheckpointFormat, Conversion, ImportOptions
from avcap.weights.qkv import join_qkv, split_qkv
from avcap.weights.report import require_weights

PREFIX = "module."  # the official code cuts seven characters off every key
PATCH = 16
ROWS = 8  # patches over the 128 mel bins
LABELS = 527  # AudioSet classes, of the head that captioning does not use
PARTS = ("audio", "visual", "joint")
LEAVES = ("weight", "bias")
TABLE = {  # official name -> ours, outside of the blocks
    "modality_a": "audio.modality",
    "modality_v": "visual.modality",
    "pos_embed_a": "audio.pos_embed",
    "pos_embed_v": "visual.pos_embed",
    **{
        f"patch_embed_{s}.proj.{leaf}": f"{part}.patch_embed.{leaf}"
        for s, part in (("a", "audio"), ("v", "visual"))
        for leaf in LEAVES
    },
    **{
        f"norm{s}.{leaf}": f"joint.norm.{norm}.{leaf}"
        for s, norm in (("", "joint"), ("_a", "audio"), ("_v", "video"))
        for leaf in LEAVES
    },
}
STACKS = {"blocks_a": "audio", "blocks_v": "visual", "blocks_u": "joint"}
LINEAR = ("attn.q_proj", "attn.k_proj", "attn.v_proj", "attn.proj", "mlp.fc1", "mlp.fc2")  # same names in both
SINGLE_NORMS = {"norm1": "norm1", "norm2": "norm2"}
JOINT_NORMS = {
    f"norm{i}{s}": f"norm{i}.{norm}" for i in (1, 2) for s, norm in (("", "joint"), ("_a", "audio"), ("_v", "video"))
}
UNUSED_NORMS = tuple(set(JOINT_NORMS) - set(SINGLE_NORMS))  # in the blocks of one stream
IGNORED = ("decoder_", "mask_token", "mlp_head.")  # the masked autoencoder's decoder, the head of the audio tagger
_BLOCK = re.compile(r"(blocks_[avu])\.(\d+)\.(.+)\.(weight|bias)")
_OURS = re.compile(r"(audio|visual|joint)\.blocks\.(\d+)\..+")


def our_name(key: str) -> str | None:
    """Return our name of an official weight (q, k and v apart); None if a captioner does not have it."""
    if key in TABLE:
        return TABLE[key]
    block = _BLOCK.fullmatch(key)
    if block is None:
        return None
    stack, index, layer, leaf = block.groups()
    norms = JOINT_NORMS if stack == "blocks_u" else SINGLE_NORMS
    ours = layer if layer in LINEAR else norms.get(layer)
    return None if ours is None else f"{STACKS[stack]}.blocks.{index}.{ours}.{leaf}"


def official_names(depths: Mapping[str, int]) -> dict[str, str]:
    """Return the official name (q, k and v apart) of each of our names that a captioner needs.

    Args:
        depths: Part -> number of its blocks.
    """
    names = {ours: official for official, ours in TABLE.items()}
    for stack, part in STACKS.items():
        norms = JOINT_NORMS if part == "joint" else SINGLE_NORMS
        for index in range(depths[part]):
            for official, ours in {**{layer: layer for layer in LINEAR}, **norms}.items():
                names.update(
                    {f"{part}.blocks.{index}.{ours}.{leaf}": f"{stack}.{index}.{official}.{leaf}" for leaf in LEAVES}
                )
    return names


def block_depths(names: Iterable[str]) -> dict[str, int]:
    """Return the number of blocks of each part, from our names."""
    depths = dict.fromkeys(PARTS, 0)
    for name in names:
        if found := _OURS.fullmatch(name):
            depths[found[1]] = max(depths[found[1]], int(found[2]) + 1)
    return depths


def convert_cav_mae(state: Mapping[str, Tensor], options: ImportOptions) -> Conversion:
    """Convert a state dict from official names to ours, with the audio positions resized to the target length.

    Args:
        state: Official name (without ``module.``) -> tensor.
        options: Holds the target length in frames.
    """
    left_out = {key: None for key in state if key.startswith(IGNORED) or _unused_norm(key)}  # in order
    wanted = split_qkv({key: tensor for key, tensor in state.items() if key not in left_out})
    names = {key: our_name(key) for key in wanted}
    out = {name: wanted[key].detach() for key, name in names.items() if name is not None}
    unexpected = tuple(key for key, name in names.items() if name is None)
    depths = block_depths(out)
    if "audio.pos_embed" in out:
        out["audio.pos_embed"] = fit_audio_positions(out["audio.pos_embed"], options.target_length)
    required = frozenset(official_names(depths))
    return Conversion(out, required, tuple(left_out), unexpected, _about(out, depths, options))


def export_cav_mae(state: Mapping[str, Tensor], *, format_name: str) -> dict[str, Tensor]:
    """Convert our parts to all official names; fill what captioning never uses with ones and zeros.

    Args:
        state: Our names; other parts are not read.
        format_name: Name of the format, for messages.

    Raises:
        ValueError: if a weight is missing or has no place.
    """
    mine = {name: tensor for name, tensor in state.items() if name.partition(".")[0] in PARTS}
    depths = block_depths(mine)
    names = official_names(depths)
    require_weights(mine, frozenset(names), format_name=format_name)
    out = join_qkv({names[name]: tensor for name, tensor in mine.items()})
    like = mine["joint.norm.joint.weight"]
    for stack, part in STACKS.items():
        if part != "joint":
            for index in range(depths[part]):
                for norm in UNUSED_NORMS:
                    out[f"{stack}.{index}.{norm}.weight"] = torch.ones_like(like)
                    out[f"{stack}.{index}.{norm}.bias"] = torch.zeros_like(like)
    return out


def fit_audio_positions(positions: Tensor, target_length: int) -> Tensor:
    """Return positions ``[1, 8 * P, C]``, time fastest, for ``target_length / 16`` columns: the first ones, else interpolated.

    Raises:
        ValueError: if they are not of 8 rows of patches.
    """
    if positions.ndim != 3 or positions.shape[1] % ROWS:
        raise ValueError(
            f"the audio positions have the shape {list(positions.shape)}, not [1, {ROWS} * columns, width]; only models of "
            f"{ROWS * PATCH} mel bins can be imported."
        )
    columns = target_length // PATCH
    grid = positions.unflatten(1, (ROWS, -1))  # [1, 8, P, C]
    if columns > grid.shape[2]:
        channels_first = grid.float().permute(0, 3, 1, 2)  # [1, C, 8, P]
        grid = F.interpolate(channels_first, size=(ROWS, columns), mode="bilinear", align_corners=False)
        grid = grid.permute(0, 2, 3, 1).to(positions.dtype)
    return grid[:, :, :columns].flatten(1, 2)


class CAVMAE(CheckpointFormat):
    """The authors' ``.pth`` files, each key behind ``module.``; AVCap starts from the pre-training checkpoint scale++."""

    name = "cav_mae"
    component = "CAVMAE"
    summary = "CAV-MAE (scale++ and others): audio and visual encoder, joint layers of TokenConcat"

    def matches(self, keys: Collection[str]) -> bool:
        """Match official names without prefix, of both streams, and no projection, which DALI adds."""
        needed = {"modality_a", "modality_v", "patch_embed_a.proj.weight", "norm.weight"}
        return needed <= set(keys) and "proj.weight" not in keys

    def convert(self, state: Mapping[str, Tensor], options: ImportOptions) -> Conversion:
        """See :func:`convert_cav_mae`."""
        return convert_cav_mae(state, options)

    def export(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See :func:`export_cav_mae`; with ``module.`` before every name."""
        return {PREFIX + name: tensor for name, tensor in export_cav_mae(state, format_name=self.name).items()}


def _unused_norm(key: str) -> bool:
    """Return whether this is a LayerNorm in a block of one stream that captioning never calls."""
    block = _BLOCK.fullmatch(key)
    return block is not None and block[1] != "blocks_u" and block[3] in UNUSED_NORMS


def _about(state: Mapping[str, Tensor], depths: Mapping[str, int], options: ImportOptions) -> dict[str, str]:
    """Describe the sizes as text."""
    kernel = state.get("visual.patch_embed.weight")
    norm = state.get("joint.norm.joint.weight")
    return {
        "width": str(0 if norm is None else norm.shape[0]),
        "depth": str(depths["audio"]),
        "visual_depth": str(depths["visual"]),
        "joint_depth": str(depths["joint"]),
        "tubelet": str(kernel.shape[2] if kernel is not None and kernel.ndim == 5 else 1),
        "target_length": str(options.target_length),
    }
