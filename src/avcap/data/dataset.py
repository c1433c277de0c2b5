"""One split as a map-style data set over its shards."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial

import torch
from torch.utils.data import Dataset

from avcap.data.caption_rows import Example, choose_pairs
from avcap.data.collate import Framing, Sample, to_sample
from avcap.data.frame_sampling import FrameChoice, FrameSampling, frame_choice, index_at
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
        limit: Use the first examples only.
        examples: What counts as one, with captions of its own; None: each clip with the captions of the shards.
        pairs: Use so many of them, drawn at random, each with one caption for all epochs; None: all.
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
        examples: Sequence[Example] | None = None,
        pairs: int | None = None,
    ) -> None:
        self.shards = shards
        self.framing = framing
        self.frames = frames
        self.frame_sampling = frame_sampling
        self.training = training
        self.transforms = tuple(transforms) if training else ()
        self.seed = seed
        self.streams = tuple(streams)
        pictures = () if frames == 0 else ("frames",)
        blobs = {AUDIO: ("fbank",), VIDEO: (*pictures, "visual_features")}
        self._blobs = tuple(blob for stream in streams for blob in blobs[stream])
        if examples is None:
            examples = [Example(clip, place) for place, clip in enumerate(shards.ids)]
        self._examples = list(examples[:limit])
        self._one_caption = pairs is not None
        if pairs is not None:
            self._examples = choose_pairs(self._examples, pairs, seed=seed, whole=self._is_whole)

    @property
    def ids(self) -> list[str]:
        """Ids of the examples, in order: those of their clips, but for a clip's second, third, ... example."""
        return [example.id for example in self._examples]

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, key: tuple[int, int] | int) -> Sample:
        """A sample.

        Args:
            key: ``(epoch, index)``, or an index alone for epoch 0.

        Raises:
            ValueError: if its shard cannot be read; the message names the file.
        """
        epoch, index = key if isinstance(key, tuple) else (0, key)
        example = self._examples[index]
        item = self.shards.item(
            example.clip, frames=self.frames, choose=self._choice(epoch, example), streams=self._blobs
        )
        item.id, item.captions = example.id, list(example.captions or item.captions)
        caption = item.captions[0] if item.captions else None
        generator: torch.Generator | None = None
        if self.training:
            generator = generator_for(self.seed, epoch, item.id)
            if len(item.captions) > 1:
                drawn_in = 0 if self._one_caption else epoch
                caption = random.Random(f"{self.seed}/{drawn_in}/{item.id}").choice(item.captions)
        return to_sample(
            item,
            self.framing,
            transforms=self.transforms,
            generator=generator,
            caption=caption,
            prompt=example.prompt,
            references=None if self.training else item.captions,
        )

    def _choice(self, epoch: int, example: Example) -> FrameChoice:
        """Which of the stored pictures are taken."""
        if example.time is None:
            return frame_choice(
                self.frame_sampling, f"{self.seed}/{epoch}/{example.id}/frames" if self.training else None
            )
        seconds = self.shards.meta(example.clip)["duration"]
        if seconds is None:
            raise ValueError(
                f"The caption of {example.id} is of second {example.time:g}, but the length of that clip is not known, so "
                "that no picture can be chosen; leave the time out of data.captions."
            )
        return partial(index_at, time=example.time, seconds=seconds)

    def _is_whole(self, example: Example) -> bool:
        """Whether an example has a caption and all streams that are read."""
        meta = self.shards.meta(example.clip)
        return bool(example.captions or meta["captions"]) and all(meta[f"has_{stream}"] for stream in self.streams)
