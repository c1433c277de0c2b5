"""A trained captioner on loose files: the checkpoint brings its own architecture and the shape of its inputs."""

from __future__ import annotations

import logging
import pickle
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

import avcap.decoders
import avcap.encoders
import avcap.fusion  # noqa: F401 (the classes that a checkpoint names must be imported)
from avcap.checkpoints.carried_files import unpack_files
from avcap.data.collate import Framing, collate, to_sample
from avcap.data.frame_sampling import frame_choice
from avcap.data.front_end import make_front_end
from avcap.data.item import load_clip
from avcap.data.media import duration
from avcap.systems import Captioner
from avcap.systems.captioner import INPUTS_KEY
from avcap.types import AssignmentMap, Batch

log = logging.getLogger(__name__)

TAIL = 0.1  # seconds: what an encoder may add to the end of a file is not worth a warning


class Prediction(NamedTuple):
    """What a captioner says of one file."""

    file: str
    caption: str
    streams: tuple[str, ...]  # of "audio" and "video", what the file had
    seconds: float  # length of what was read of it, NaN where unknown


class FileCaptioner:
    """Captions of loose files.

    Args:
        model: A trained captioner.
        inputs: What :meth:`AudioCapsDataModule.input_settings` gave when it was trained.
    """

    def __init__(self, model: Captioner, inputs: dict[str, Any]) -> None:
        self.model = model.eval()
        self.front_end = make_front_end(inputs["front_end"], inputs["mels"])
        self.framing = Framing(inputs["target_length"], inputs["mean"], inputs["std"], self.front_end.pad_value)
        self.frames, self.size = inputs["frames"], inputs["size"]
        self.stored_frames = inputs.get("stored_frames", self.frames)
        self.choose = frame_choice(inputs.get("frame_sampling", "even"))

    @classmethod
    def from_checkpoint(cls, path: Path) -> FileCaptioner:
        """Rebuild a captioner from its checkpoint.

        Raises:
            FileNotFoundError: if there is no such file, or one that the model needs is gone.
            ValueError: if the file is no checkpoint of a captioner.
        """
        model, inputs = load_captioner(path)
        if inputs is None:
            raise ValueError(f"{path} does not say what its inputs were; it is no checkpoint of `avcap fit`.")
        return cls(model.to("cuda" if torch.cuda.is_available() else "cpu"), inputs)

    def load(self, path: Path | tuple[Path, Path]) -> tuple[Batch, Prediction]:
        """Decode a file, or a pair of a sound and a picture: a batch of one, and a prediction without its caption.

        Raises:
            FileNotFoundError: if a file is not there.
            ValueError: if it cannot be decoded.
        """
        heard = None if self.model.audio_encoder is None else self.framing.target_length * 0.01  # seconds
        item = load_clip(path, self.front_end, frames=self.stored_frames, size=self.size, max_seconds=heard)
        item.take_frames(self.choose, self.frames)
        batch = collate([to_sample(item, self.framing)])
        batch = {k: v.to(self.model.device) if isinstance(v, Tensor) else v for k, v in batch.items()}
        name = str(path) if isinstance(path, Path) else "+".join(map(str, path))
        files = [path] if isinstance(path, Path) else path
        if heard is not None and any(duration(file) > heard + TAIL for file in files):
            log.warning("%s is longer than the %.1f s that the model hears; the rest is left out.", name, heard)
        streams = [name for name, there in (("audio", item.fbank), ("video", item.frames)) if there is not None]
        missing = self._needed() - set(streams)
        if missing == self._needed():
            raise ValueError(f"{name} has no {' or '.join(sorted(missing))}, and that is all that this model reads.")
        return batch, Prediction(name, "", tuple(streams), item.duration)

    @torch.inference_mode()
    def caption(self, batch: Batch, **generation: Any) -> tuple[list[str], dict[str, AssignmentMap]]:
        """Captions and assignment maps of a batch."""
        fused = self.model.fuse(batch)
        return self.model.decoder.generate(fused.tokens, **generation), fused.maps

    def _needed(self) -> set[str]:
        encoders = {"audio": self.model.audio_encoder, "video": self.model.visual_encoder}
        return {stream for stream, encoder in encoders.items() if encoder is not None}


def load_captioner(path: Path) -> tuple[Captioner, dict[str, Any] | None]:
    """Rebuild a captioner from its checkpoint, on the CPU.

    Returns:
        The captioner, and what the checkpoint says of its inputs.

    Raises:
        FileNotFoundError: if there is no such file, or one that the model needs is gone.
        ValueError: if the file is no checkpoint of a captioner.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no checkpoint {path}; train one with `make demo` or `avcap fit`.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, OSError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"{path} is damaged or holds code instead of weights (it was not run); name a .ckpt file."
        ) from error
    if not isinstance(content, dict) or "hyper_parameters" not in content:
        raise ValueError(f"{path} does not say how its model is built; it is no checkpoint of `avcap fit`.")
    folder = tempfile.TemporaryDirectory(prefix="avcap_")  # goes when the model goes
    unpack_files(content, Path(folder.name))
    here = Path(folder.name) / path.name
    torch.save(content, here)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = Captioner.load_from_checkpoint(here, map_location="cpu")
    here.unlink()
    model._files = folder
    return model, content.get(INPUTS_KEY)


def parse_files(words: Sequence[Path]) -> list[Path | tuple[Path, Path]]:
    """Files of a command line; ``sound.wav+picture.jpg`` is a pair, unless a file has that name."""
    files: list[Path | tuple[Path, Path]] = []
    for word in words:
        parts = str(word).split("+")
        files.append((Path(parts[0]), Path(parts[1])) if len(parts) == 2 and not word.exists() else word)
    return files
