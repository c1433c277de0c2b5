"""The data module: shards of AudioCaps, or of anything prepared like it -> batches."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from avcap.captions.rows import CaptionRows, Example
from avcap.data.choices import TEST, TRAIN, VAL, Captions, ClipChoice
from avcap.data.corruptions import Corruption
from avcap.data.corruptions.clips import CorruptedClips
from avcap.data.dataset import ALL_FRAMES, ClipDataset
from avcap.data.frame_sampling import FrameChoice
from avcap.data.loader import ClipLoader
from avcap.data.provided import require_provided
from avcap.data.sampler import ClipBatchSampler
from avcap.data.splits import Splits, Validation
from avcap.data.token_columns import tokens_for
from avcap.data.transforms import Transform
from avcap.frontends import Inputs
from avcap.shards.reader import SPLITS, ShardInfo, Shards

log = logging.getLogger(__name__)
_tell = rank_zero_only(log.warning)

NO_VALIDATION = (
    "%s has no val split: nothing tells which state of this training is the best. To validate, cut clips from train by "
    "--data.init_args.clips.val (a list such as AudioCaps' val.csv, or a share such as 0.02), or select on the test split as the "
    "papers' code does, by --data.init_args.clips.paper_protocol true."
)


SHARDS_CAPTIONS = Captions()
ALL_CLIPS = ClipChoice()


class AudioCapsDataModule(LightningDataModule):
    """Batches from the shards that `avcap data prepare` made.

    What is read of a clip, and which front end makes ``audio`` of its sound, follows from the model that is trained; without
    a trainer, set it with :meth:`serve`.

    The Trainer needs ``use_distributed_sampler=False``: this module distributes the clips over ranks. Training resumes exactly, in
    the middle of an epoch too. In evaluation every clip comes at least once; a few are repeated so that all ranks have equally many, and ids identify them.

    Args:
        shards: Folder of the shards, with one folder a split; or its address in an S3-compatible store, ``s3://BUCKET/PREFIX``.
        batch_size: Clips a process takes in a training step.
        eval_batch_size: The same in evaluation; None: as in training.
        num_workers: Worker processes of each loader.
        frames: Which of the stored frames are taken.
        captions: Which captions are trained on.
        clips: Which clips are read.
        transforms: Augmentation of the input of the audio encoder in training, in order.
        corruptions: Corrupt the clips of every split that is evaluated, in order (``avcap robustness`` tries many).
        seed: Seed of order, caption choice and augmentation.

    Raises:
        ValueError: if a number is out of range, or ``corruptions`` meet captions of another file.
    """

    def __init__(
        self,
        shards: str | Path,
        *,
        batch_size: int = 16,
        eval_batch_size: int | None = None,
        num_workers: int = 2,
        frames: FrameChoice = ALL_FRAMES,
        captions: Captions = SHARDS_CAPTIONS,
        clips: ClipChoice = ALL_CLIPS,
        transforms: list[Transform] = [],  # noqa: B006 (a schema default; never changed)
        corruptions: list[Corruption] = [],  # noqa: B006
        seed: int = 0,
    ) -> None:
        super().__init__()
        if batch_size < 1 or num_workers < 0:
            raise ValueError(
                f"batch_size must be at least 1 and num_workers not negative, got {batch_size}, {num_workers}."
            )
        if corruptions and captions.path is not None:
            raise ValueError(
                "corruptions and captions.path cannot go together: corrupted clips keep the captions of the shards."
            )
        self._splits = Splits(shards, clips)
        self.shards = self._splits.root
        self.batch_size = batch_size
        self.eval_batch_size = batch_size if eval_batch_size is None else eval_batch_size
        self.num_workers = num_workers
        self.frames = frames
        self.captions = captions
        self.clips = clips
        self.transforms = list(transforms)
        self.corruptions = list(corruptions)
        self.seed = seed
        self.inputs = Inputs()
        self._datasets: dict[tuple[str, bool], ClipDataset] = {}
        self._caption_rows: CaptionRows | None = None

    def serve(self, inputs: Inputs) -> AudioCapsDataModule:
        """Give a model what it reads, from now on.

        Args:
            inputs: Keys of the batches, and the front end of their sound: ``inputs`` of a system. Without a front end there is
                no ``audio``.

        Returns:
            This data module.
        """
        if inputs != self.inputs:
            self.inputs = inputs
            self._datasets.clear()
        return self

    def info(self, split: str | None = None) -> ShardInfo:
        """Return the facts about a split's shards; without a name, about the first split that exists.

        Raises:
            FileNotFoundError: if there are no shards.
        """
        if split is None:
            split = next((s for s in SPLITS if s in self._splits), TRAIN)
        return ShardInfo.load(self._splits.folder(split))

    def input_settings(self) -> dict[str, Any]:
        """Return how a media file's frames are prepared; checkpoints keep this for `avcap caption`."""
        info = self.info()
        return {
            "frames": self.frames.count or info.frames,
            "stored_frames": info.frames,
            "frame_sampling": self.frames.sampling,
            "size": info.size,
        }

    def dataset(self, split: str, *, training: bool = False) -> ClipDataset:
        """Return a split as a data set, opened once.

        Args:
            split: train, val or test.
            training: With a drawn caption and augmentation in place of all references.

        Raises:
            FileNotFoundError: if it has no shards.
            ValueError: if it lacks what is read, or ``captions`` does not fit it.
        """
        if (split, training) not in self._datasets:
            self._datasets[split, training] = self._open(self._splits.shards(split), split, training=training)
        return self._datasets[split, training]

    def _open(self, shards: Shards, split: str, *, training: bool) -> ClipDataset:
        if self.corruptions and not training:
            return CorruptedClips(
                shards,
                self.inputs,
                corruptions=self.corruptions,
                frames=self.frames,
                seed=self.seed,
                limit=self.clips.limit,
                clips=self._splits.clips(split),
            )
        return ClipDataset(
            shards,
            self.inputs,
            frames=self.frames,
            training=training,
            transforms=self.transforms,
            seed=self.seed,
            limit=self.clips.limit,
            clips=self._splits.clips(split),
            examples=self._examples(split, shards, training=training),
            pairs=self.captions.pairs if training else None,
        )

    def setup(self, stage: str) -> None:
        """Ask the model what it reads, and open the splits of a stage, so that a fault shows before the first batch.

        Args:
            stage: fit, validate, test or predict.
        """
        wanted = getattr(getattr(self.trainer, "lightning_module", None), "inputs", None)
        if wanted is not None:
            self.serve(wanted)
        for split in self.splits(stage):
            self.dataset(split, training=stage == "fit" and split == TRAIN)
        if stage == "fit" and VAL not in self._splits:
            _tell(NO_VALIDATION, self.shards)

    def clip_ids(self, stage: str) -> list[str]:
        """Return the ids of the clips that a stage evaluates, in order.

        Args:
            stage: validate, test or predict.
        """
        return self.dataset(self.splits(stage)[0]).ids

    def reading(self) -> dict[str, Any]:
        """Return all that decides what a model is given of a clip in evaluation."""
        corruptions = [(type(corruption).__name__, str(vars(corruption))) for corruption in self.corruptions]
        settings = {"corruptions": corruptions, "seed": self.seed if corruptions else None}
        return {"class": type(self).__qualname__, **self.input_settings(), **settings}

    def splits(self, stage: str) -> list[str]:
        """Return the splits that a stage reads; ``fit`` needs no val split.

        Args:
            stage: fit, validate, test or predict.
        """
        if stage == "fit":
            return [TRAIN, VAL] if VAL in self._splits else [TRAIN]
        return [{"validate": VAL, "test": TEST, "predict": self.clips.predict_split}[stage]]

    def validation(self) -> Validation | None:
        """Return which clips choose the best checkpoint; None without a val split, of which setup tells the ways out."""
        return self._splits.validation()

    def require(self, inputs: Inputs, stage: str = "fit") -> None:
        """Refuse a model that reads what the clips of a stage never have.

        A single clip may lack a stream; see :func:`avcap.data.provided.require_provided`.

        Args:
            inputs: What the model reads.
            stage: fit, validate, test or predict.

        Raises:
            FileNotFoundError: if there are no shards.
            ValueError: naming the shards, what they lack, and the remedy.
        """
        for split in self.splits(stage):
            require_provided(inputs, self.info(split), self._splits.folder(split), training=stage == "fit")

    def train_dataloader(self) -> ClipLoader:
        """Return shuffled batches with one ``caption`` per clip."""
        overfit = bool(getattr(self.trainer, "overfit_batches", 0))
        dataset = self.dataset(TRAIN, training=True)
        dataset.use_tokens(tokens_for(getattr(self.trainer, "lightning_module", None), dataset))
        return self._loader(dataset, self.batch_size, shuffle=not overfit, training=True)

    def val_dataloader(self) -> ClipLoader | list[ClipLoader]:
        """Return batches in order, with ``caption`` and ``references``; none if there is no val split."""
        return self._loader(self.dataset(VAL), self.eval_batch_size) if VAL in self._splits else []

    def test_dataloader(self) -> ClipLoader:
        """Return batches in order, with ``references``."""
        return self._loader(self.dataset(TEST), self.eval_batch_size)

    def predict_dataloader(self) -> ClipLoader:
        """Return batches of ``clips.predict_split`` in order, with ``references`` where there are any."""
        return self._loader(self.dataset(self.clips.predict_split), self.eval_batch_size)

    def _examples(self, split: str, shards: Shards, *, training: bool) -> list[Example] | None:
        """Return the examples that ``captions`` gives for a split, or None if the captions of the shards are used."""
        if self.captions.path is None:
            return None
        if self._caption_rows is None:
            self._caption_rows = CaptionRows.read(self.captions.path)
        return self._caption_rows.examples(shards.ids, split=split, training=training, timed=self.frames.count == 1)

    def training_captions(self, limit: int = 5000) -> list[str]:
        """Return the captions in the shards of the training split; empty without such a split.

        Args:
            limit: Take no more clips than that, at even distances.
        """
        if TRAIN not in self._splits:
            return []
        shards = self._splits.shards(TRAIN)
        clips = self._splits.clips(TRAIN) or range(len(shards))
        chosen = clips[:: max(1, -(-len(clips) // limit))]
        return [caption for captions in shards.captions(chosen) for caption in captions]

    def _loader(
        self, dataset: ClipDataset, batch_size: int, *, shuffle: bool = False, training: bool = False
    ) -> ClipLoader:
        trainer = self.trainer
        processes = 1 if trainer is None else trainer.world_size
        if training and processes > len(dataset):  # in evaluation a repeated clip does no harm
            raise ValueError(
                f"The {processes} processes of this run share {len(dataset)} training clips; use at most {len(dataset)} devices."
            )
        window = self.clips.window if shuffle else None
        sampler = ClipBatchSampler(
            len(dataset),
            batch_size,
            shuffle=shuffle,
            seed=self.seed,
            rank=0 if trainer is None else trainer.global_rank,
            world_size=processes,
            window=window,
            shards=() if window is None else dataset.shard_numbers,
            facts=dataset.facts,
        )
        if shuffle and self._splits.store is not None:
            self._splits.store.require_room(dataset.shards, window)
        dataset.order = sampler.order
        notes = None if trainer is None else Path(trainer.default_root_dir) / "unreadable.jsonl"
        return ClipLoader(dataset, sampler, num_workers=self.num_workers, persistent=training, notes=notes)
