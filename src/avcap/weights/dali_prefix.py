"""DALI's learned prefix (``prefix.bin``), which follows the tokens of every clip."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor

from avcap.weights.format import CheckpointFormat, Conversion, ImportOptions
from avcap.weights.report import require_weights

OFFICIAL = "model.audio_tower.prefix"
PART = "decoder.prefix"
OURS = "prefix"


class DALIPrefix(CheckpointFormat):
    """One tensor ``[K, C]``; the file that comes out is what ``file`` of :class:`~avcap.decoders.prefix.PrefixTuning` reads."""

    name = "dali_prefix"
    component = PART
    part = PART
    summary = "DALI's learned prefix as the authors save it (prefix.bin)"

    def matches(self, keys: Collection[str]) -> bool:
        """Match the prefix alone."""
        return set(keys) == {OFFICIAL}

    def convert(self, state: Mapping[str, Tensor], options: ImportOptions) -> Conversion:
        """Rename the tensor.

        Raises:
            ValueError: if it is no matrix.
        """
        found = {OURS: state[OFFICIAL]} if OFFICIAL in state else {}
        about = {}
        if found:
            if found[OURS].ndim != 2:
                raise ValueError(
                    f"{OFFICIAL} has the shape {list(found[OURS].shape)}, not [vectors, width]; check the file."
                )
            about = {"tokens": str(found[OURS].shape[0]), "width": str(found[OURS].shape[1])}
        return Conversion(found, frozenset({OURS}), (), tuple(key for key in state if key != OFFICIAL), about)

    def export(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the prefix of a captioner; nothing else is written."""
        mine = {name: tensor for name, tensor in state.items() if name.startswith(f"{PART}.")}
        require_weights(mine, frozenset({f"{PART}.{OURS}"}), format_name=self.name)
        return {OFFICIAL: mine[f"{PART}.{OURS}"]}
