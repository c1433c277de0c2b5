"""What shards provide, compared with what a model reads."""

from __future__ import annotations

import logging
from pathlib import Path

from avcap.frontends import Inputs
from avcap.frontends.inputs import AUDIO, FEATURES, FRAMES
from avcap.shards.reader import ShardInfo

log = logging.getLogger(__name__)

REMEDIES = {
    AUDIO: "the clips have no sound; take a model without an audio encoder, or other clips",
    FRAMES: "store frames with `avcap data prepare --frames 20 --overwrite`",
    FEATURES: "run `avcap data features`, then `avcap data prepare --features FOLDER --overwrite`",
}


def require_provided(inputs: Inputs, info: ShardInfo, folder: Path, *, training: bool = False) -> None:
    """Refuse a model that reads what no clip of a split has; ``folder`` is where the split is, for the message.

    Raises:
        ValueError: naming the shards, what they lack, and the remedy.
    """
    if unknown := [key for key in inputs.keys if key not in REMEDIES]:
        raise ValueError(
            f"An encoder reads {unknown[0]!r}, which shards do not have; set its `input` to one of {', '.join(REMEDIES)}."
        )
    if AUDIO in inputs.keys and inputs.frontend is None:
        raise ValueError("The model reads audio, but its audio encoder has no frontend that makes it of the sound.")
    missing = [key for key in inputs.keys if not info.streams[key]]
    for key in missing:
        stream = (AUDIO,) if key == AUDIO else (FRAMES, FEATURES)
        if training or len(missing) == len(inputs.keys) or any(info.streams[other] for other in stream):
            raise ValueError(f"The shards in {folder} hold no {key}, which the model reads: {REMEDIES[key]}.")
        log.warning("The clips in %s have no %s; the model does without.", folder, "audio" if key == AUDIO else "video")
