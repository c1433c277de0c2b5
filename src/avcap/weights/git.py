"""The text decoder of GIT (base and large), from the authors' files, the Hugging Face port, or inside AVCap: key tables."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from avcap.checkpoints.loading import block_count
from avcap.weights.format import CheckpointFormat, Conversion, ImportOptions
from avcap.weights.report import require_weights

COMPONENT = "GITDecoder"
TEXT, PROJECTION = "decoder.text.", "decoder.projection."
BLOCK_LAYERS = {  # BERT's names, which both checkpoints keep -> ours
    "attention.self.query": "attn.q_proj",
    "attention.self.key": "attn.k_proj",
    "attention.self.value": "attn.v_proj",
    "attention.output.dense": "attn.proj",
    "attention.output.LayerNorm": "norm1",
    "intermediate.dense": "fc1",
    "output.dense": "fc2",
    "output.LayerNorm": "norm2",
}
_PROJECTION_LAYERS = ("0.weight", "0.bias", "1.weight", "1.bias")


@dataclass(frozen=True)
class GITNames:
    """The names of the text decoder's parts in one kind of checkpoint.

    Attributes:
        words: Word embeddings.
        positions: Position embeddings.
        norm: LayerNorm of the embeddings.
        layers: Prefix of the number of a layer.
        output: Output layer; its weights are the word embeddings once more.
        projection: Linear 0 and LayerNorm 1 that bring tokens to the decoder's width.
    """

    words: str
    positions: str
    norm: str
    layers: str
    output: str
    projection: str

    def text_table(self, depth: int) -> dict[str, str]:
        """Return our name of each of GIT's names, for a text decoder of ``depth`` layers without its output weights."""
        table = {
            f"{self.words}.weight": f"{TEXT}words.weight",
            f"{self.positions}.weight": f"{TEXT}positions.weight",
            f"{self.output}.bias": f"{TEXT}output_bias",
        }
        for leaf in ("weight", "bias"):
            table[f"{self.norm}.{leaf}"] = f"{TEXT}norm.{leaf}"
            for theirs, ours in BLOCK_LAYERS.items():
                for i in range(depth):
                    table[f"{self.layers}.{i}.{theirs}.{leaf}"] = f"{TEXT}blocks.{i}.{ours}.{leaf}"
        return table

    def projection_table(self) -> dict[str, str]:
        """Return our name of each of GIT's names of the projection."""
        return {f"{self.projection}.{leaf}": f"{PROJECTION}{leaf}" for leaf in _PROJECTION_LAYERS}

    def depth(self, keys: Collection[str]) -> int:
        """Count the layers that the keys refer to."""
        layer = re.compile(re.escape(self.layers) + r"\.(\d+)\.")
        return 1 + max((int(found[1]) for key in keys if (found := layer.match(key))), default=-1)

    def holds(self, keys: Collection[str]) -> bool:
        """Return whether word embeddings, a first layer and an output of these names are among the keys."""
        first = f"{self.layers}.0.attention.self.query.weight"
        return {f"{self.words}.weight", first, f"{self.output}.bias"} <= set(keys)


OFFICIAL = GITNames(
    words="textual.embedding.words",
    positions="textual.embedding.positions",
    norm="textual.embedding.layer_norm",
    layers="textual.transformer.encoder.layer",
    output="textual.output",
    projection="textual.visual_projection",
)
AVCAP = replace(OFFICIAL, projection="textual.av_projection")
HUGGING_FACE = GITNames(
    words="git.embeddings.word_embeddings",
    positions="git.embeddings.position_embeddings",
    norm="git.embeddings.LayerNorm",
    layers="git.encoder.layer",
    output="output",
    projection="git.visual_projection.visual_projection",
)


def decoder_to_ours(
    state: Mapping[str, Tensor], names: GITNames, *, projection: bool, ignored: tuple[str, ...] = ()
) -> Conversion:
    """Convert the decoder of a checkpoint to our names.

    Args:
        state: Their name -> tensor.
        names: How they call the parts.
        projection: Take their projection; else it is left out, and the decoder's starts at random.
        ignored: What the names of parts that are none of the decoder begin with.
    """
    depth = names.depth(state)
    table = names.text_table(depth)
    if projection:
        table |= names.projection_table()
    else:
        ignored = (*ignored, f"{names.projection}.")
    out = {ours: state[theirs].detach() for theirs, ours in table.items() if theirs in state}
    output = state.get(f"{names.output}.weight")
    words = out.get(f"{TEXT}words.weight")
    tied = output is None or (words is not None and torch.equal(output, words))
    if output is not None and not tied:
        out[f"{TEXT}output_weight"] = output.detach()
    others = [key for key in state if key not in table and key != f"{names.output}.weight"]
    return Conversion(
        out,
        frozenset(table.values()),
        tuple(key for key in others if key.startswith(ignored)),
        tuple(key for key in others if not key.startswith(ignored)),
        _about(out, depth, projection=projection, tied=tied),
    )


def decoder_to_theirs(state: Mapping[str, Tensor], names: GITNames, *, format_name: str) -> dict[str, Tensor]:
    """Convert our ``decoder.*`` back to GIT's names; the output weights appear twice, as in GIT's files.

    Args:
        state: Names that begin with ``decoder.``; others are not read. A projection may be absent.
        names: How they call the parts.
        format_name: Name of the format, for messages.

    Raises:
        ValueError: if a weight is missing or has no place in the format.
    """
    mine = {name: tensor for name, tensor in state.items() if name.startswith("decoder.")}
    table = names.text_table(block_count(name.removeprefix(TEXT) for name in mine))
    own = mine.pop(f"{TEXT}output_weight", None)
    if any(name.startswith(PROJECTION) for name in mine):
        table |= names.projection_table()
    require_weights(mine, frozenset(table.values()), format_name=format_name)
    output = mine[f"{TEXT}words.weight"] if own is None else own
    return {theirs: mine[ours] for theirs, ours in table.items()} | {f"{names.output}.weight": output}


class _GIT(CheckpointFormat):
    """A checkpoint that holds GIT's text decoder, beside an image encoder that is left out."""

    component = COMPONENT
    names: ClassVar[GITNames]
    ignored: ClassVar[tuple[str, ...]]

    def matches(self, keys: Collection[str]) -> bool:
        """Match a text decoder of these names, with GIT's projection or none, not AVCap's."""
        return self.names.holds(keys) and f"{AVCAP.projection}.0.weight" not in keys

    def convert(self, state: Mapping[str, Tensor], options: ImportOptions) -> Conversion:
        """Rename; leave out the image encoder, and the projection unless it is asked for."""
        return decoder_to_ours(state, self.names, projection=options.projection, ignored=self.ignored)

    def export(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Convert the text decoder, and the projection if there is one."""
        return decoder_to_theirs(state, self.names, format_name=self.name)


class GITOfficial(_GIT):
    """The authors' files: ``textual.*`` beside an image encoder, which is left out.

    The official AVCap code never loads GIT's ``visual_projection``, since it calls its own ``av_projection``; so it is left
    out here too unless :attr:`ImportOptions.projection` asks for it.
    """

    name = "git"
    summary = "GIT base or large, the authors' .pt files (text decoder)"
    names = OFFICIAL
    ignored = ("image_encoder.", "img_temperal_embedding.")


class GITHuggingFace(_GIT):
    """The Hugging Face port: other names for the embeddings, BERT's for the layers."""

    name = "git_hf"
    summary = "GIT, the Hugging Face folders microsoft/git-base, git-large and their fine-tuned kin"
    names = HUGGING_FACE
    ignored = ("git.image_encoder.", "git.img_temperal_embedding.", "git.embeddings.position_ids")


def _about(state: Mapping[str, Tensor], depth: int, *, projection: bool, tied: bool) -> dict[str, str]:
    """Describe the sizes as text."""
    about = {"depth": str(depth), "tied": str(tied).lower(), "projection": "included" if projection else "absent"}
    for label, name in (("vocab_size", f"{TEXT}words.weight"), ("positions", f"{TEXT}positions.weight")):
        if name in state:
            about[label] = str(state[name].shape[0])
    return about
