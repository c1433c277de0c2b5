"""A checkpoint and the clips that its run was made of: for the analysis of a trained captioner."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from avcap.config_files import layered_configs
from avcap.data.collate import collate, move
from avcap.data.corruptions import Corruption
from avcap.data.corruptions.clips import CorruptedClips
from avcap.data.dataset import ClipDataset
from avcap.data.loader import ClipLoader
from avcap.data.provided import require_provided
from avcap.data.sampler import ClipBatchSampler
from avcap.models import CaptionModel
from avcap.shards.reader import Shards
from avcap.trained.files import FileCaptioner, load
from avcap.types import Batch


class CheckpointClips(NamedTuple):
    """A captioner and a split of shards."""

    captioner: FileCaptioner
    shards: Shards

    @classmethod
    def open(
        cls,
        ckpt_path: str | Path,
        *,
        shards: str | Path | None,
        config: Sequence[Path] = (),
        weights: Sequence[Path] = (),
        weights_root: Path | None = None,
        split: str,
    ) -> CheckpointClips:
        """Load the checkpoint, or a config with released weights, and find the clips.

        Args:
            ckpt_path: Checkpoint of a trained captioner; not read where ``weights`` are given.
            shards: Folder of the shards; None: the one that the config names.
            config: The config of the run, or several, each laid over those before it; none: ``config.yaml`` in its folder.
            weights: Released weights of the captioner that ``config`` describes.
            weights_root: See :func:`avcap.trained.files.load`.
            split: train, val or test.

        Raises:
            FileNotFoundError: if the checkpoint, its config or the shards are not there.
            ValueError: if the checkpoint is none of a captioner, the config names no shards, or these lack what it reads.
        """
        configs = [*config] or [run_folder(Path(ckpt_path)) / "config.yaml"]
        if weights:
            captioner = load(config=config, weights=weights, weights_root=weights_root)
        else:
            captioner = load(ckpt_path, weights_root=weights_root)
        folder = shards or shards_of(*configs)
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


def shards_of(*configs: Path) -> Path:
    """Return the folder of shards that a config names, or the last of several.

    Raises:
        FileNotFoundError: if there is no such config.
        ValueError: if it names no shards.
    """
    named = data_settings(*configs).get("shards")
    if not isinstance(named, str):
        raise ValueError(
            f"{' + '.join(map(str, configs))} names no shards (data.init_args.shards); say where they are with --shards."
        )
    return Path(named)


def data_settings(*configs: Path) -> Mapping[str, Any]:
    """Return the settings of the data module that configs name, each laid over those before it; none where they name none.

    Raises:
        FileNotFoundError: if there is no such config.
        ValueError: if it is no YAML mapping.
    """
    for config in configs:
        if not config.is_file():
            raise FileNotFoundError(f"There is no config {config}; say where the clips are with --shards or --config.")
    settings: Any = layered_configs(configs)
    for key in ("data", "init_args"):
        settings = settings.get(key)
        settings = settings if isinstance(settings, Mapping) else {}
    return settings
