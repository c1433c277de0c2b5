"""DALI's audio backbone after alignment: CAV-MAE's names, a projection, and the scorers of attentive transport.

The official checkpoint is a CAV-MAE with CLIP inside; what sound never passes is left out by name. Its parts become
``audio.`` (for :class:`~avcap.encoders.dali_audio.DALIAudio`) and ``scorers.`` (the names of
:class:`~avcap.losses.AttentiveOTAlignment`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor

from avcap.layers.joint import single_stream_name
from avcap.weights import cav_mae
from avcap.weights.format import CheckpointFormat, Conversion, ImportOptions
from avcap.weights.qkv import join_qkv
from avcap.weights.report import require_weights

IGNORED = ("blocks_v.", "vision_tower.", "mmd.")  # beside what CAV-MAE's own path of vision and its decoder are called
PROJECTION = {f"proj.{leaf}": f"audio.projection.{leaf}" for leaf in cav_mae.LEAVES}
ATTENTION = ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")
SCORER_LAYERS = {  # official layer -> ours; a scorer is called after the tokens that it weighs, there after those it reads
    "a_q": "audio_scorer.query",
    "i_k": "audio_scorer.key",
    "i_v": "audio_scorer.value",
    "image_scorer": "audio_scorer.attention",
    "i_q": "image_scorer.query",
    "a_k": "image_scorer.key",
    "a_v": "image_scorer.value",
    "audio_scorer": "image_scorer.attention",
}
SCORERS = {  # official name -> ours
    f"{theirs}.{leaf}": f"scorers.{ours}.{leaf}"
    for theirs, ours in SCORER_LAYERS.items()
    for leaf in (ATTENTION if ours.endswith(".attention") else cav_mae.LEAVES)
}


def dali_name(name: str) -> str | None:
    """Convert our name of a CAV-MAE weight to its name in DALI's audio encoder; None if audio alone does not use it."""
    part, _, rest = name.partition(".")
    if part == "audio":
        return f"audio.stream.{rest}"
    own = single_stream_name(rest, "audio") if part == "joint" else None
    return None if own is None else f"audio.joint.{own}"


def official_dali_names(depth: int, joint_depth: int) -> dict[str, str]:
    """Return the official name (q, k and v apart) of each of our names that the audio encoder needs."""
    table = cav_mae.official_names({"audio": depth, "visual": 0, "joint": joint_depth})
    names = {own: official for name, official in table.items() if (own := dali_name(name)) is not None}
    return names | {ours: official for official, ours in PROJECTION.items()}


class DALIAudioOfficial(CheckpointFormat):
    """The authors' ``.pth`` files of the alignment stage, each key behind ``module.``, with CLIP beside the backbone.

    The scorers are there after attentive transport only; where there is one of their weights, all are needed.
    """

    name = "dali_audio"
    component = "DALIAudio"
    summary = "DALI's audio backbone after alignment (audio encoder; scorers of attentive transport)"

    def matches(self, keys: Collection[str]) -> bool:
        """Match CAV-MAE's audio path, with DALI's projection."""
        return {"modality_a", "patch_embed_a.proj.weight", "norm_a.weight", *PROJECTION} <= set(keys)

    def convert(self, state: Mapping[str, Tensor], options: ImportOptions) -> Conversion:
        """Convert the audio path as from a CAV-MAE checkpoint, with the audio norms under plain names."""
        ignored = tuple(key for key in state if _takes_no_part(key))
        added = {key: ours for key, ours in (PROJECTION | SCORERS).items() if key in state}
        rest = {key: tensor for key, tensor in state.items() if key not in added and key not in ignored}
        encoder = cav_mae.convert_cav_mae(rest, options)
        out = {own: tensor for name, tensor in encoder.state.items() if (own := dali_name(name)) is not None}
        out |= {ours: state[key].detach() for key, ours in added.items()}
        depths = cav_mae.block_depths(encoder.state)
        required = {*official_dali_names(depths["audio"], depths["joint"])}
        if SCORERS.keys() & added.keys():
            required |= {*SCORERS.values()}
        return Conversion(
            out, frozenset(required), (*ignored, *encoder.ignored), encoder.unexpected, _about(out, depths, options)
        )

    def export(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the audio path, the projection, and the scorers if there are any; nothing else is written."""
        audio = {name: tensor for name, tensor in state.items() if name.startswith("audio.")}
        # ``audio.stream.blocks.0.*`` -> ``audio.blocks.0.*``, ``audio.joint.blocks.0.*`` -> ``joint.blocks.0.*``
        plain = (name.replace("audio.stream.", "audio.", 1).replace("audio.joint.", "joint.", 1) for name in audio)
        depths = cav_mae.block_depths(plain)
        names = official_dali_names(depths["audio"], depths["joint"])
        require_weights(audio, frozenset(names), format_name=self.name)
        out = join_qkv({names[name]: tensor for name, tensor in audio.items()})
        scorers = {name: tensor for name, tensor in state.items() if name.startswith("scorers.")}
        if scorers:
            require_weights(scorers, frozenset(SCORERS.values()), format_name=self.name)
            out |= {official: scorers[ours] for official, ours in SCORERS.items()}
        return {cav_mae.PREFIX + name: tensor for name, tensor in out.items()}


def _takes_no_part(key: str) -> bool:
    """Return whether an official weight is known and not used for audio alone."""
    name = cav_mae.our_name(key)
    return key.startswith(IGNORED) or (name is not None and dali_name(name) is None)


def _about(state: Mapping[str, Tensor], depths: Mapping[str, int], options: ImportOptions) -> dict[str, str]:
    """Describe the sizes as text."""
    projection = state.get("audio.projection.weight")
    width, output_width = (0, 0) if projection is None else (projection.shape[1], projection.shape[0])
    return {
        "width": str(width),
        "depth": str(depths["audio"]),
        "joint_depth": str(depths["joint"]),
        "output_width": str(output_width),
        "target_length": str(options.target_length),
        "scorers": "included" if any(name in state for name in SCORERS.values()) else "absent",
    }
