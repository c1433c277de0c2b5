"""A trained captioner for media files; the checkpoint contains the architecture and the input settings."""

from __future__ import annotations

import logging
import weakref
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from avcap.checkpoints.carried_files import unpack_files
from avcap.checkpoints.reading import named, read_checkpoint
from avcap.checkpoints.state import INPUTS_KEY, require_current
from avcap.data.collate import collate, move, to_sample
from avcap.data.frame_sampling import FrameChoice
from avcap.models import CaptionModel
from avcap.shards.reading import clip_of, item_of, read_clip
from avcap.types import AssignmentMap, Batch

log = logging.getLogger(__name__)


class Caption(NamedTuple):
    """The caption, plan and times of one file."""

    text: str
    file: str
    streams: tuple[str, ...]  # of "audio" and "video", what the file has
    seconds: float  # length of what was read of it, NaN where unknown
    map: AssignmentMap | None  # of this clip alone; None where the fusion makes none or a stream is missing

    @property
    def plan(self) -> Tensor | None:
        """How much of the plan joins each visual and each audio token ``[Nv, Na]``; None without a map."""
        return None if self.map is None else self.map.plan[0]

    @property
    def visual_time(self) -> Tensor | None:
        """The middle of each visual token in seconds ``[Nv]``; None without a map."""
        return None if self.map is None else self.map.visual_time[0]

    @property
    def audio_time(self) -> Tensor | None:
        """The middle of each audio token in seconds ``[Na]``; None without a map."""
        return None if self.map is None else self.map.audio_time[0]


class FileCaptioner:
    """Captions of media files.

    Args:
        model: A trained captioner.
        inputs: What :meth:`AudioCapsDataModule.input_settings` gave when it was trained.
    """

    def __init__(self, model: CaptionModel, inputs: dict[str, Any]) -> None:
        self.model = model.eval()
        self.frontend = model.inputs.frontend
        self.size, self.stored_frames = inputs["size"], inputs["stored_frames"]
        self.frames = FrameChoice(inputs["frames"] or None, inputs["frame_sampling"])

    @classmethod
    def from_checkpoint(cls, path: str | Path) -> FileCaptioner:
        """Rebuild a captioner from its checkpoint.

        Raises:
            FileNotFoundError: if there is no such file, or one that the model needs is gone.
            ValueError: if the file is no checkpoint of a captioner.
        """
        model, inputs = load_captioner(Path(path))
        if inputs is None:
            raise ValueError(f"{path} does not say what its inputs were; it is no checkpoint of `avcap fit`.")
        wanted = {"size": int, "stored_frames": int, "frames": int | None, "frame_sampling": str}
        if not all(isinstance(inputs.get(name, ...), kind) for name, kind in wanted.items()):
            raise ValueError(f"{path} is damaged: its {INPUTS_KEY} are not {', '.join(wanted)}.")
        return cls(model.to("cuda" if torch.cuda.is_available() else "cpu"), inputs)

    def load(self, path: Path | tuple[Path, Path]) -> tuple[Batch, Caption]:
        """Decode a file, or a pair of a file with sound and an image or video: a batch of one, and a caption without its text.

        Raises:
            FileNotFoundError: if a file is not there.
            ValueError: if it cannot be decoded.
        """
        heard = None if self.frontend is None else self.frontend.seconds
        rate = {} if self.frontend is None else {"sample_rate": self.frontend.sample_rate}
        clip = clip_of(path)
        media = read_clip(clip, frames=self.stored_frames, size=self.size, max_seconds=heard, **rate)
        item = item_of(clip, media, **rate)
        if self.frames.count is not None:
            item.take_frames(self.frames.choose(), self.frames.count)
        batch = move(collate([to_sample(item, self.frontend)]), self.model.device)
        name = str(path) if isinstance(path, Path) else "+".join(map(str, path))
        if media.more:
            log.warning("%s is longer than the %.1f s that the model hears; the rest is left out.", name, heard)
        streams = [name for name, there in (("audio", item.waveform), ("video", item.frames)) if there is not None]
        needed = set(self.model.encoders)
        missing = needed - set(streams)
        if missing == needed:
            raise ValueError(f"{name} has no {' or '.join(sorted(missing))}, and that is all that this model reads.")
        return batch, Caption("", name, tuple(streams), item.duration, None)

    def caption(self, file: str | Path | tuple[Path, Path], **generation: Any) -> Caption:
        """Caption a video or sound file.

        Args:
            file: The file, or a pair of a file with sound and an image or video.
            **generation: Decoding settings over the model's own (``num_beams=1``).

        Raises:
            FileNotFoundError: if a file is not there.
            ValueError: if it cannot be decoded, or has nothing that the model reads.
        """
        return self.caption_loaded(*self.load(Path(file) if isinstance(file, str) else file), **generation)

    @torch.inference_mode()
    def caption_loaded(self, batch: Batch, loaded: Caption, **generation: Any) -> Caption:
        """Caption what :meth:`load` gave, for a caller that needs the batch too."""
        fused = self.model.fuse(batch)
        (text,) = self.model.decoder.generate(fused.tokens, **generation)
        return loaded._replace(text=text, map=next(iter(fused.maps.values()), None))


def load(checkpoint: str | Path) -> FileCaptioner:
    """Open a trained captioner.

    Args:
        checkpoint: A checkpoint of `avcap fit`, such as ``runs/demo/checkpoints/best.ckpt``.

    Returns:
        The captioner, on the GPU if there is one; ``load(path).caption("clip.mp4")`` captions a file.

    Raises:
        FileNotFoundError: if there is no such file, or one that the model needs is gone.
        ValueError: if the file is no checkpoint of a captioner.
    """
    return FileCaptioner.from_checkpoint(Path(checkpoint))


def load_captioner(path: Path) -> tuple[CaptionModel, dict[str, Any] | None]:
    """Rebuild a captioner from its checkpoint, on the CPU.

    Returns:
        The captioner, and the checkpoint's settings of its inputs.

    Raises:
        FileNotFoundError: if there is no such file, or one that the model needs is gone.
        ValueError: if the file is no checkpoint of a captioner, or of one that did not own its front end yet.
    """
    content = read_checkpoint(path)
    require_current(content, path)
    with named(path):
        folder = unpack_files(content)
    settings = content["hyper_parameters"]
    if not set(CaptionModel.parts) <= settings.keys():
        raise ValueError(f"{path} is of {settings.get('_class_path', 'another system')}, not of a captioner.")
    with named(path):
        model = CaptionModel.from_settings(settings, content["state_dict"])
        getattr(model.decoder, "codec", None)  # reads the tokenizer, which is in the checkpoint as a rule
    weakref.finalize(model, folder.cleanup)  # the folder goes when the model goes
    return model, content.get(INPUTS_KEY)
