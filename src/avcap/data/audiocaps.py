"""The data module: shards of AudioCaps, or of anything prepared like it -> batches."""

from __future__ import annotations

from pathlib import Path

from lightning.pytorch import LightningDataModule

from avcap.data.caption_rows import CaptionRows, Example
from avcap.data.collate import Framing
from avcap.data.corruptions import CorruptedClips, Corruption
from avcap.data.dataset import AUDIO, VIDEO, ClipDataset
from avcap.data.frame_sampling import FrameSampling
from avcap.data.front_end import make_front_end
from avcap.data.loader import ClipLoader
from avcap.data.sampler import ClipBatchSampler
from avcap.data.shards import SPLITS, ShardInfo, Shards
from avcap.data.transforms import Transform


class AudioCapsDataModule(LightningDataModule):
    """Batches from the shards that `avcap data prepare` made.

    The Trainer needs ``use_distributed_sampler=False``: ranks are dealt their clips here. Training resumes exactly, in
    the middle of an epoch too. In evaluation every clip comes at least once; the few repeated to fill ranks are told by id.

    Args:
        shards: Folder of the shards, with one folder a split.
        batch_size: Clips a process takes in a training step.
        eval_batch_size: The same in evaluation; None: as in training.
        num_workers: Worker processes of each loader.
        frames: Pictures to take of the stored ones; None takes all, 0 none (stored features are still read).
        frame_sampling: Which ones: "even", each from the middle of an equal part of the clip; "centre", those in a row at its
            middle; "random", in a row from a random start, drawn anew each epoch, and the centre ones in evaluation (AVCap).
        target_length: Spectrogram rows of 10 ms.
        streams: ``audio`` and ``video``, or one of them; the other is not read.
        mean: Subtracted from the spectrogram; None: the front end's own (Kaldi -4.346, CED 0).
        std: Divided by then; None: the front end's own (Kaldi 4.332, CED 1).
        transforms: Augmentation of training spectrograms, in order.
        corruptions: Spoil the clips of every split that is evaluated, one after the other (``avcap robustness`` tries many).
        seed: Seed of order, caption choice and augmentation.
        limit: Use the first clips of each split only.
        captions: JSON lines ``{"id", "caption", "time"?, "prompt"?}`` in place of the captions of the training split, and of
            the others where their ids are there: captions of pictures, or pseudo-captions. In training a row is an example,
            perhaps with an instruction of its own; a clip without one is left out. With ``frames: 1`` the picture is the one
            at ``time`` seconds.
        pairs: Train on so many examples only, drawn at random and each with one caption (DALI's prefix tuning).
        predict_split: The split that `avcap predict` reads.
    """

    def __init__(
        self,
        shards: Path,
        *,
        batch_size: int = 16,
        eval_batch_size: int | None = None,
        num_workers: int = 2,
        frames: int | None = None,
        frame_sampling: FrameSampling = "even",
        target_length: int = 1024,
        streams: list[str] = [AUDIO, VIDEO],  # noqa: B006 (a schema default; never changed)
        mean: float | None = None,
        std: float | None = None,
        transforms: list[Transform] = [],  # noqa: B006
        corruptions: list[Corruption] = [],  # noqa: B006
        seed: int = 0,
        limit: int | None = None,
        captions: Path | None = None,
        pairs: int | None = None,
        predict_split: str = "test",
    ) -> None:
        super().__init__()
        if not streams or set(streams) - {AUDIO, VIDEO}:
            raise ValueError(f"streams must be {AUDIO}, {VIDEO} or both, got {streams}.")
        if (frames is not None and frames < 0) or (limit is not None and limit < 1):
            raise ValueError(
                f"frames must be null or at least 0 and limit null or at least 1, got {frames} and {limit}."
            )
        if pairs is not None and pairs < 1:
            raise ValueError(f"pairs must be null or at least 1, got {pairs}.")
        if batch_size < 1 or num_workers < 0:
            raise ValueError(
                f"batch_size must be at least 1 and num_workers not negative, got {batch_size}, {num_workers}."
            )
        if corruptions and captions is not None:
            raise ValueError(
                "corruptions and captions cannot go together: spoilt clips keep the captions of the shards."
            )
        self.shards = Path(shards)
        self.batch_size = batch_size
        self.eval_batch_size = batch_size if eval_batch_size is None else eval_batch_size
        self.num_workers = num_workers
        self.frames = frames
        self.frame_sampling = frame_sampling
        self.target_length = target_length
        self.streams = list(streams)
        self.mean = mean
        self.std = std
        self.transforms = list(transforms)
        self.corruptions = list(corruptions)
        self.seed = seed
        self.limit = limit
        self.captions = captions
        self.pairs = pairs
        self.predict_split = predict_split
        self._datasets: dict[tuple[str, bool], ClipDataset] = {}
        self._caption_rows: CaptionRows | None = None

    def info(self, split: str | None = None) -> ShardInfo:
        """The facts about a split's shards; about the first split there is, where none is named.

        Raises:
            FileNotFoundError: if there are no shards.
        """
        if split is None:
            split = next((s for s in SPLITS if (self.shards / s).is_dir()), SPLITS[0])
        return ShardInfo.load(self.shards / split)

    @property
    def mels(self) -> int:
        """Mel bins of the shards' spectrograms."""
        return self.info().mels

    @property
    def front_end(self) -> str:
        """Short name of the front end that made them."""
        return self.info().front_end

    @property
    def framing(self) -> Framing:
        """How a raw spectrogram becomes the encoder's input."""
        front_end = make_front_end(self.front_end, self.mels)
        return Framing(
            self.target_length,
            front_end.mean if self.mean is None else self.mean,
            front_end.std if self.std is None else self.std,
            front_end.pad_value,
        )

    def input_settings(self) -> dict[str, str | int | float]:
        """What a loose file needs to become the same input: kept in checkpoints for `avcap caption`."""
        info, framing = self.info(), self.framing
        return {
            "front_end": info.front_end,
            "mels": info.mels,
            "frames": self.frames or info.frames,
            "stored_frames": info.frames,
            "frame_sampling": self.frame_sampling,
            "size": info.size,
            "target_length": framing.target_length,
            "mean": framing.mean,
            "std": framing.std,
        }

    def dataset(self, split: str, *, training: bool = False) -> ClipDataset:
        """A split as a data set; opened once.

        Args:
            split: train, val or test.
            training: With a drawn caption and augmentation in place of all references.

        Raises:
            FileNotFoundError: if it has no shards.
            ValueError: if ``captions`` does not fit it, or has fewer examples than ``pairs``.
        """
        if (split, training) not in self._datasets:
            self._datasets[split, training] = self._open(Shards(self.shards / split), split, training=training)
        return self._datasets[split, training]

    def _open(self, shards: Shards, split: str, *, training: bool) -> ClipDataset:
        common = {
            "streams": self.streams,
            "frames": self.frames,
            "frame_sampling": self.frame_sampling,
            "seed": self.seed,
            "limit": self.limit,
        }
        if self.corruptions and not training:
            return CorruptedClips(shards, self.framing, corruptions=self.corruptions, **common)
        return ClipDataset(
            shards,
            self.framing,
            training=training,
            transforms=self.transforms,
            examples=self._examples(split, shards, training=training),
            pairs=self.pairs if training else None,
            **common,
        )

    def setup(self, stage: str) -> None:
        """Open the splits that a stage reads, so that a fault shows before the first batch.

        Args:
            stage: fit, validate, test or predict.
        """
        if stage == "fit":
            self.dataset("train", training=True)
        split = {"fit": "val", "validate": "val", "test": "test", "predict": self.predict_split}[stage]
        if stage != "fit" or self._has(split):
            self.dataset(split)

    def train_dataloader(self) -> ClipLoader:
        """Shuffled batches with one ``caption`` a clip."""
        overfit = bool(getattr(self.trainer, "overfit_batches", 0))
        dataset = self.dataset("train", training=True)
        return self._loader(dataset, self.batch_size, shuffle=not overfit, persistent=True)

    def val_dataloader(self) -> ClipLoader | list[ClipLoader]:
        """Batches in order, with ``caption`` and ``references``; none where there is no val split."""
        return self._loader(self.dataset("val"), self.eval_batch_size) if self._has("val") else []

    def test_dataloader(self) -> ClipLoader:
        """Batches in order, with ``references``."""
        return self._loader(self.dataset("test"), self.eval_batch_size)

    def predict_dataloader(self) -> ClipLoader:
        """Batches of ``predict_split`` in order, with ``references`` where there are any."""
        return self._loader(self.dataset(self.predict_split), self.eval_batch_size)

    def _examples(self, split: str, shards: Shards, *, training: bool) -> list[Example] | None:
        """The examples that ``captions`` gives for a split; None where the clips and captions of its shards count."""
        if self.captions is None:
            return None
        if self._caption_rows is None:
            self._caption_rows = CaptionRows.read(self.captions)
        return self._caption_rows.examples(shards.ids, split=split, training=training, timed=self.frames == 1)

    def training_captions(self, limit: int = 5000) -> list[str]:
        """The captions that the shards of the training split hold; none where there is no such split.

        Args:
            limit: Take no more clips than that, at even distances.
        """
        if not self._has("train"):
            return []
        shards = Shards(self.shards / "train")
        chosen = range(0, len(shards), max(1, -(-len(shards) // limit)))
        return [caption for captions in shards.captions(chosen) for caption in captions]

    def _has(self, split: str) -> bool:
        return (self.shards / split).is_dir()

    def _loader(
        self, dataset: ClipDataset, batch_size: int, *, shuffle: bool = False, persistent: bool = False
    ) -> ClipLoader:
        trainer = self.trainer
        sampler = ClipBatchSampler(
            len(dataset),
            batch_size,
            shuffle=shuffle,
            seed=self.seed,
            rank=0 if trainer is None else trainer.global_rank,
            world_size=1 if trainer is None else trainer.world_size,
        )
        return ClipLoader(dataset, sampler, num_workers=self.num_workers, persistent=persistent)
