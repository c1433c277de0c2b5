"""The multimodal projector of LLaVA's original code, in a file of its own (``mm_projector.bin``)."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor

from avcap.weights.format import CheckpointFormat, Conversion, ImportOptions
from avcap.weights.report import require_weights

STEMS = ("mm_projector.", "audio_projector.")  # LLaVA's own, and what DALI calls the copy that it trains for sound
LAYERS = {"0": "linear_1", "2": "linear_2"}  # 1 is the GELU between them
TABLE = {
    f"{theirs}.{leaf}": f"{ours}.{leaf}" for theirs, ours in LAYERS.items() for leaf in ("weight", "bias")
}  # original name -> Hugging Face's
COMPONENT = "fusion.audio_projector"
ROOT = "model."  # original files name a parameter from the root of the whole model


class LlavaProjector(CheckpointFormat):
    """Two linear layers, numbered as in a ``Sequential``; Hugging Face's LLaVA, and ours, calls them by name.

    DALI's second stage trains such a projector for audio tokens; the file that comes out is what ``pretrained_audio`` of
    :class:`~avcap.fusion.LlavaProjection` reads.
    """

    name = "llava_projector"
    component = COMPONENT
    part = COMPONENT
    summary = "LLaVA's two-layer projector as the original code saves it (mm_projector.bin), DALI's for audio too"

    def matches(self, keys: Collection[str]) -> bool:
        """Match only the layers of one projector."""
        return bool(keys) and _stem(keys) is not None and all(_original(key, keys) in TABLE for key in keys)

    def convert(self, state: Mapping[str, Tensor], options: ImportOptions) -> Conversion:
        """Give the layers their names."""
        names = {key: TABLE.get(_original(key, state)) for key in state}
        out = {ours: state[key].detach() for key, ours in names.items() if ours is not None}
        unexpected = tuple(key for key, ours in names.items() if ours is None)
        about: dict[str, str] = {}
        if "linear_1.weight" in out:
            about |= {"input_width": str(out["linear_1.weight"].shape[1]), "width": str(len(out["linear_1.weight"]))}
        return Conversion(out, frozenset(TABLE.values()), (), unexpected, about)

    def export(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Convert a captioner's audio projector to numbered layers behind ``model.mm_projector.``."""
        begin = f"{COMPONENT}."
        mine = {name.removeprefix(begin): tensor for name, tensor in state.items() if name.startswith(begin)}
        require_weights(mine, frozenset(TABLE.values()), format_name=self.name)
        return {f"{ROOT}{STEMS[0]}{theirs}": mine[ours] for theirs, ours in TABLE.items()}


def _stem(keys: Collection[str]) -> str | None:
    """Return the prefix of the layers' numbers, or None if there is no projector."""
    first = next(iter(TABLE))
    return next((root + stem for root in ("", ROOT) for stem in STEMS if root + stem + first in keys), None)


def _original(key: str, keys: Collection[str]) -> str:
    """Return the name of a layer without its prefix; leave other keys unchanged."""
    return key.removeprefix(_stem(keys) or "")
