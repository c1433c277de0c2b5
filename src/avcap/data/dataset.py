"""One split as a map-style data set over its shards."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial

import torch
from torch.utils.data import Dataset

from avcap.data.caption_rows import Example, choose_pairs
from avcap.data.collate import Sample, to_sample
from avcap.data.derived import DerivedColumn
from avcap.data.frame_sampling import Choose, FrameChoice, index_at
from avcap.data.item import Item
from avcap.data.media import even_indices
from avcap.data.shards import Shards
from avcap.data.transforms import Transform, generator_for
from avcap.frontends import Inputs
from avcap.frontends.inputs import AUDIO, FEATURES, FRAMES

EVERYTHING = Inputs()
ALL_FRAMES = FrameChoice()
WAVEFORM = "waveform"


class ClipDataset(Dataset):
    """``(epoch, index)`` -> a sample; the result depends only on (seed, epoch, id).

    Args:
        shards: The split.
        inputs: What is read of a clip, and the front end of its sound. What the front end made before is read where it is
            kept beside the shards, and computed here where it is not.
        frames: Which of the stored frames are taken.
        training: One caption drawn from the clip's, and augmentation; else the first caption and all references.
        transforms: Augmentation of ``audio``, in training.
        seed: Seed of all random choices.
        limit: Use the first examples only.
        examples: What counts as one, with captions of its own; None: each clip with the captions of the shards.
        pairs: Number of examples to use, drawn at random, each with one caption for all epochs; None: all.
    """

    def __init__(
        self,
        shards: Shards,
        inputs: Inputs = EVERYTHING,
        *,
        frames: FrameChoice = ALL_FRAMES,
        training: bool = False,
        transforms: Sequence[Transform] = (),
        seed: int = 0,
        limit: int | None = None,
        examples: Sequence[Example] | None = None,
        pairs: int | None = None,
    ) -> None:
        self.shards = shards
        self.inputs = inputs
        self.frames = frames
        self.training = training
        self.transforms = tuple(transforms) if training else ()
        self.seed = seed
        self._column: DerivedColumn | None = None
        self._blobs = tuple(key for key in (FRAMES, FEATURES) if key in inputs.keys)
        if AUDIO in inputs.keys and inputs.frontend is not None:
            shards.require_rate(inputs.frontend)
            self._column = self._find_column()
            if self._column is None:
                self._blobs += (WAVEFORM,)
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
        """Return a sample.

        Args:
            key: ``(epoch, index)``, or an index alone for epoch 0.

        Raises:
            ValueError: if its shard cannot be read; the message names the file.
        """
        epoch, index = key if isinstance(key, tuple) else (0, key)
        example = self._examples[index]
        item = self._item(example.clip, frames=self.frames.count, choose=self._choice(epoch, example))
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
            self.inputs.frontend,
            transforms=self.transforms,
            generator=generator,
            caption=caption,
            prompt=example.prompt,
            references=None if self.training else item.captions,
        )

    def _find_column(self) -> DerivedColumn | None:
        """Return the derived column of the split."""
        return None if self.inputs.frontend is None else DerivedColumn.find(self.shards, self.inputs.frontend)

    def _item(self, clip: int, *, frames: int | None = None, choose: Choose = even_indices) -> Item:
        """Return a clip with the streams that are read; see :meth:`Shards.item`."""
        item = self.shards.item(clip, frames=frames, choose=choose, streams=self._blobs)
        item.audio = None if self._column is None else self._column[clip]
        return item

    def _choice(self, epoch: int, example: Example) -> Choose:
        """Return the indices of the stored frames to read."""
        if example.time is None:
            return self.frames.choose(f"{self.seed}/{epoch}/{example.id}/frames" if self.training else None)
        seconds = self.shards.meta(example.clip)["duration"]
        if seconds is None:
            raise ValueError(
                f"The caption of {example.id} is of second {example.time:g}, but the length of that clip is not known, so "
                "that no frame can be chosen; leave the time out of data.captions.path."
            )
        return partial(index_at, time=example.time, seconds=seconds)

    def _is_whole(self, example: Example) -> bool:
        """Return whether an example has a caption and every stream that is read."""
        meta = self.shards.meta(example.clip)
        heard = self.inputs.frontend is None or AUDIO not in self.inputs.keys or meta["has_audio"]
        seen = not {FRAMES, FEATURES} & set(self.inputs.keys) or meta["has_video"]
        return bool(example.captions or meta["captions"]) and heard and seen
