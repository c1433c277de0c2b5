"""One split as a map-style data set over its shards."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch.utils.data import Dataset

from avcap.data.collate import Framing, Sample, to_sample
from avcap.data.frame_sampling import FrameSampling, frame_choice
from avcap.data.shards import Shards
from avcap.data.transforms import Transform, generator_for

AUDIO, VIDEO = "audio", "video"


class ClipDataset(Dataset):
    """``(epoch, index)`` -> a sample; what comes out depends on nothing but (seed, epoch, id).

    Args:
        shards: The split.
        framing: For the spectrograms.
        streams: ``audio`` and ``video``, or one of them.
        frames: Pictures to take of the stored ones; None takes all, 0 none (features made beforehand are still read).
        frame_sampling: Which ones; "random" is the centre ones in evaluation.
        training: One caption drawn from the clip's, and augmentation; else the first caption and all references.
        transforms: Augmentation of the spectrograms, in training.
        seed: Seed of all chance.
        limit: Use the first clips only.
    """

    def __init__(
        self,
        shards: Shards,
        framing: Framing,
        *,
        streams: Sequence[str] = (AUDIO, VIDEO),
        frames: int | None = None,
        frame_sampling: FrameSampling = "even",
        training: bool = False,
        transforms: Sequence[Transform] = (),
        seed: int = 0,
        limit: int | None = None,
    ) -> None:
        self.shards = shards
        self.framing = framing
        self.frames = frames
        self.frame_sampling = frame_sampling
        self.training = training
        self.transforms = tuple(transforms) if training else ()
        self.seed = seed
        self._length = len(shards) if limit is None else min(limit, len(shards))
        pictures = () if frames == 0 else ("frames",)
        blobs = {AUDIO: ("fbank",), VIDEO: (*pictures, "visual_features")}
        self._blobs = tuple(blob for stream in streams for blob in blobs[stream])

    @property
    def ids(self) -> list[str]:
        """Clip ids, in order."""
        return self.shards.ids[: self._length]

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, key: tuple[int, int] | int) -> Sample:
        """A sample.

        Args:
            key: ``(epoch, index)``, or an index alone for epoch 0.

        Raises:
            ValueError: if its shard cannot be read; the message names the file.
        """
        epoch, index = key if isinstance(key, tuple) else (0, key)
        key_of_frames = f"{self.seed}/{epoch}/{self.shards.ids[index]}/frames" if self.training else None
        choose = frame_choice(self.frame_sampling, key_of_frames)
        item = self.shards.item(index, frames=self.frames, choose=choose, streams=self._blobs)
        caption = item.captions[0] if item.captions else None
        generator: torch.Generator | None = None
        if self.training:
            generator = generator_for(self.seed, epoch, item.id)
            if len(item.captions) > 1:
                caption = random.Random(f"{self.seed}/{epoch}/{item.id}").choice(item.captions)
        return to_sample(
            item,
            self.framing,
            transforms=self.transforms,
            generator=generator,
            caption=caption,
            references=None if self.training else item.captions,
        )
