"""The foreign checkpoints that can be imported; a new one is a class and a line here."""

from __future__ import annotations

from collections.abc import Collection

from avcap.weights.avcap_official import AVCapOfficial
from avcap.weights.cav_mae import CAVMAE
from avcap.weights.ced import CEDHuggingFace, CEDLavcap, CEDOfficial
from avcap.weights.dali import DALIAudioOfficial
from avcap.weights.dali_prefix import DALIPrefix
from avcap.weights.format import CheckpointFormat
from avcap.weights.git import GITHuggingFace, GITOfficial
from avcap.weights.lavcap import LAVCapOfficial
from avcap.weights.llava_projector import LlavaProjector

FORMATS: dict[str, CheckpointFormat] = {
    f.name: f
    for f in (
        CEDOfficial(),
        CEDHuggingFace(),
        CEDLavcap(),
        LAVCapOfficial(),
        CAVMAE(),
        GITOfficial(),
        GITHuggingFace(),
        AVCapOfficial(),
        DALIAudioOfficial(),
        DALIPrefix(),
        LlavaProjector(),
    )
}


def find_format(keys: Collection[str], name: str = "auto") -> CheckpointFormat:
    """Return the format called ``name``; for ``auto``, the one whose structure the keys match.

    Raises:
        ValueError: if the name is unknown, or not exactly one format fits the keys.
    """
    if name != "auto":
        if name not in FORMATS:
            raise ValueError(f"--format {name} is unknown; choose auto or one of {', '.join(FORMATS)}.")
        return FORMATS[name]
    fitting = [f for f in FORMATS.values() if f.matches(keys)]
    if len(fitting) != 1:
        found = ", ".join(f.name for f in fitting) or "no format"
        first = ", ".join(sorted(keys)[:3])
        raise ValueError(
            f"the keys ({first}, ...) fit {found}; name the right one with --format: {', '.join(FORMATS)}."
        )
    return fitting[0]
