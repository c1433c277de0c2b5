"""A checkpoint and the clips that its run was made of: for the analysis of a trained captioner."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from avcap.config_files import whole_config
from avcap.data.collate import collate, move
from avcap.data.corruptions import CorruptedClips, Corruption
from avcap.data.dataset import ClipDataset
from avcap.data.loader import ClipLoader
from avcap.data.provided import require_provided
from avcap.data.sampler import ClipBatchSampler
from avcap.models import CaptionModel
from avcap.shards.reader import Shards
from avcap.trained.files import FileCaptioner
from avcap.types import Batch


class CheckpointClips(NamedTuple):
    """A captioner and a split of shards."""

    captioner: FileCaptioner
    shards: Shards

    @classmethod
    def open(
        cls, ckpt_path: str | Path, *, shards: str | Path | None, config: str | Path | None, split: str
    ) -> CheckpointClips:
        """Load the checkpoint and find the clips.

        Args:
            ckpt_path: Checkpoint of a trained captioner.
            shards: Folder of the shards; None: the one that the config names.
            config: The config of the run; None: ``config.yaml`` in its folder.
            split: train, val or test.

        Raises:
            FileNotFoundError: if the checkpoint, its config or the shards are not there.
            ValueError: if the checkpoint is none of a captioner, the config names no shards, or these lack what it reads.
        """
        captioner = FileCaptioner.from_checkpoint(ckpt_path)
        folder = shards or shards_of(Path(config or run_folder(Path(ckpt_path)) / "config.yaml"))
        clips = Shards(Path(folder, split))
        require_provided(captioner.model.inputs, clips.info, clips.folder)
        return cls(captioner, clips)

    @property
    def model(self) -> CaptionModel:
        """The captioner."""
        return self.captioner.model

    def clips(
        self, corruptions: Sequence[Corruption] = (), *, seed: int = 0, limit: int | None = None
    ) -> CorruptedClips:
        """Return the split as the model reads it, corrupted or not; do not load streams that the model does not read."""
        return CorruptedClips(
            self.shards,
            self.model.inputs,
            corruptions=corruptions,
            frames=self.captioner.frames,
            seed=seed,
            limit=limit,
        )

    def clip(self, name: str | None = None) -> Batch:
        """Return one clip as a batch on the model's device; the first of the split if none is named."""
        return move(one_clip(self.clips(), name), self.model.device)

    def batches(self, clips: CorruptedClips, *, batch_size: int, num_workers: int) -> Iterator[Batch]:
        """Yield the clips in order, on the model's device."""
        sampler = ClipBatchSampler(len(clips), batch_size, shuffle=False)
        for batch in ClipLoader(clips, sampler, num_workers=num_workers):
            yield move(batch, self.model.device)


def one_clip(clips: ClipDataset, name: str | None) -> Batch:
    """Return one clip of a split as a batch.

    Args:
        clips: The whole split, every clip once.
        name: The clip's id; None: the first.

    Raises:
        ValueError: if the split has no such clip.
    """
    ids = clips.shards.ids
    if name is not None and name not in ids:
        raise ValueError(f"{clips.shards.folder} has no clip {name}; the first ones are {', '.join(ids[:3])}.")
    return collate([clips[ids.index(name) if name else 0]])


def run_folder(ckpt_path: Path) -> Path:
    """Return the run folder of a checkpoint (``<run>/checkpoints/best.ckpt``)."""
    return ckpt_path.parent.parent


def shards_of(config: Path) -> Path:
    """Return the folder of shards that a config names.

    Raises:
        FileNotFoundError: if there is no such config.
        ValueError: if it names no shards.
    """
    named = data_settings(config).get("shards")
    if not isinstance(named, str):
        raise ValueError(f"{config} names no shards (data.init_args.shards); say where they are with --shards.")
    return Path(named)


def data_settings(config: Path) -> Mapping[str, Any]:
    """Return the settings of the data module that a config names; none where it names none.

    Raises:
        FileNotFoundError: if there is no such config.
        ValueError: if it is no YAML mapping.
    """
    if not config.is_file():
        raise FileNotFoundError(f"There is no config {config}; say where the clips are with --shards or --config.")
    settings: Any = whole_config(config)
    for key in ("data", "init_args"):
        settings = settings.get(key)
        settings = settings if isinstance(settings, Mapping) else {}
    return settings
