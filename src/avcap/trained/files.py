"""A trained captioner for media files; the checkpoint contains the architecture and the input settings."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from avcap.checkpoints.carried_files import unpack_files
from avcap.checkpoints.places import placed, roots_of
from avcap.checkpoints.reading import read_checkpoint
from avcap.checkpoints.state import INPUTS_KEY, require_current
from avcap.config_files import layered_configs
from avcap.data.collate import collate, move, to_sample
from avcap.data.frame_sampling import FrameChoice
from avcap.encoders.precomputed import PrecomputedVisual
from avcap.models import CaptionModel
from avcap.named import named
from avcap.shards.reading import clip_of, item_of, read_clip
from avcap.trained.features import VideoFeatures
from avcap.types import AssignmentMap, Batch
from avcap.weights.released import read_released

log = logging.getLogger(__name__)

STORED = {"frames": 20, "size": 224}  # of AudioCaps' clips, as `avcap data prepare` stores them


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
        self.features: VideoFeatures | None = None
        if isinstance(model.visual_encoder, PrecomputedVisual):
            self.features = VideoFeatures(model.visual_encoder)
            self.size, self.stored_frames = self.features.size, self.features.frames

    @classmethod
    def from_checkpoint(cls, path: str | Path, *, weights_root: str | Path | None = None) -> FileCaptioner:
        """Rebuild a captioner from its checkpoint; see :func:`load`.

        Raises:
            FileNotFoundError: if there is no such file, or one that the model needs is gone.
            ValueError: if the file is no checkpoint of a captioner.
        """
        model, inputs = load_captioner(Path(path), weights_root=weights_root)
        if inputs is None:
            raise ValueError(f"{path} does not say what its inputs were; it is no checkpoint of `avcap fit`.")
        wanted = {"size": int, "stored_frames": int, "frames": int | None, "frame_sampling": str}
        if not all(isinstance(inputs.get(name, ...), kind) for name, kind in wanted.items()):
            raise ValueError(f"{path} is damaged: its {INPUTS_KEY} are not {', '.join(wanted)}.")
        return cls(_on_device(model), inputs)

    @classmethod
    def from_released(
        cls, configs: Sequence[Path], weights: Sequence[Path], *, weights_root: str | Path | None = None
    ) -> FileCaptioner:
        """Build the captioner of configs, each laid over those before it, with weights that were published for it; see :func:`load`.

        Raises:
            FileNotFoundError: if a file is not there.
            ValueError: if the config is of no captioner, or the weights are of another one.
        """
        model, inputs = load_released(configs, weights, weights_root=weights_root)
        return cls(_on_device(model), inputs)

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
        name = str(path) if isinstance(path, Path) else "+".join(map(str, path))
        if self.features is not None and item.frames is not None:
            with named(name):
                item.visual_features = self.features.of(item.frames, self.model.device)
        batch = move(collate([to_sample(item, self.frontend)]), self.model.device)
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


def load(
    checkpoint: str | Path | None = None,
    *,
    config: str | Path | Sequence[str | Path] = (),
    weights: str | Path | Sequence[str | Path] = (),
    weights_root: str | Path | None = None,
) -> FileCaptioner:
    """Open a trained captioner: the checkpoint of a run, or a config with the weights that were released for it.

    Args:
        checkpoint: A checkpoint of `avcap fit`, such as ``runs/demo/checkpoints/best.ckpt``.
        config: A config of the captioner, or several, each laid over those before it.
        weights: A file that holds its weights, or several that hold them together: as published, or imported by avcap. What is
            frozen and not in them (a language model) is read from where the config says.
        weights_root: Folder in which files that the checkpoint or the config names are looked for first; then come the folder of
            the run and those above it.

    Returns:
        The captioner, on the GPU if there is one; ``load(path).caption("clip.mp4")`` captions a file.

    Raises:
        FileNotFoundError: if there is no such file, or one that the model needs is gone.
        ValueError: if the file is no checkpoint of a captioner, the weights are of another one, or neither is given.
    """
    configs, files = ([Path(x)] if isinstance(x, str | Path) else [*map(Path, x)] for x in (config, weights))
    if checkpoint is not None and not (configs or files):
        return FileCaptioner.from_checkpoint(Path(checkpoint), weights_root=weights_root)
    if checkpoint is not None or not (configs and files):
        raise ValueError("Give a checkpoint alone, or a config together with its weights.")
    return FileCaptioner.from_released(configs, files, weights_root=weights_root)


def load_captioner(path: Path, *, weights_root: str | Path | None = None) -> tuple[CaptionModel, dict[str, Any] | None]:
    """Rebuild a captioner from its checkpoint, on the CPU.

    Its weights stay in the file until they are used; nothing else of the file is read. A part that has all its weights there
    reads no other file.

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
    settings = {name: settings[name] for name in CaptionModel.parts}
    settings = placed(settings, roots_of(path), own=None if weights_root is None else Path(weights_root))
    with named(path), _found_elsewhere():
        model = CaptionModel.from_settings(settings, content["state_dict"])
    weakref.finalize(model, folder.cleanup)  # the folder goes when the model goes
    return model, content.get(INPUTS_KEY)


def load_released(
    configs: Sequence[Path], weights: Sequence[Path], *, weights_root: str | Path | None = None
) -> tuple[CaptionModel, dict[str, Any]]:
    """Build the captioner of configs with released weights, on the CPU; see :meth:`FileCaptioner.from_released`."""
    import avcap.decoders
    import avcap.encoders
    import avcap.fusion  # noqa: F401 (what a config can name)

    document = layered_configs(configs)
    where = " + ".join(map(str, configs))
    system, data = (document.get(name) or {} for name in ("model", "data"))
    kind, settings = system.get("class_path", ""), system.get("init_args") or {}
    if kind.rpartition(".")[2] != "Captioner":
        raise ValueError(f"{where} is a config of {kind or 'no system'}, not of a Captioner.")
    if absent := [name for name in CaptionModel.parts if name not in settings]:
        raise ValueError(f"{where} names no {absent[0]}; it must have {', '.join(CaptionModel.parts)}.")
    settings = placed(
        {name: settings[name] for name in CaptionModel.parts},
        [],
        own=None if weights_root is None else Path(weights_root),
    )
    files = ", ".join(map(str, weights))
    with named(where), _found_elsewhere():
        planned = CaptionModel.plan(settings)
    frontend = planned.inputs.frontend
    state = read_released(weights, planned.state_dict(), target_length=None if frontend is None else frontend.shape[0])
    with named(files), _found_elsewhere():
        model = CaptionModel.from_settings(settings, state)
    frames = ((data.get("init_args") or {}).get("frames")) or {}
    sees = model.visual_encoder
    shape = (0,) if sees is None else sees.input_shape(1)  # of one frame: (1, 3, H, W)
    inputs = {
        "size": shape[-1] if len(shape) == 4 else STORED["size"],
        "stored_frames": STORED["frames"],
        "frames": frames.get("count"),
        "frame_sampling": frames.get("sampling", "even"),
    }
    return model, inputs


@contextmanager
def _found_elsewhere() -> Iterator[None]:
    """Say how to name the place of a file that is not found."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{str(error).rstrip('.')}; or give the folder in which it lies by --weights_root."
        ) from error


def _on_device(model: CaptionModel) -> CaptionModel:
    return model.to("cuda" if torch.cuda.is_available() else "cpu")
