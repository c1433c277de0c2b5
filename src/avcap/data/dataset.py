"""One split as a map-style data set over its shards."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch.utils.data import Dataset

from avcap.captions.rows import Example, choose_pairs
from avcap.data.collate import Sample, to_sample
from avcap.data.frame_sampling import FrameChoice, index_at
from avcap.data.transforms import Transform, generator_for
from avcap.frontends import Inputs
from avcap.frontends.inputs import AUDIO, FEATURES, FRAMES
from avcap.media import even_indices
from avcap.shards.derived import DerivedColumn
from avcap.shards.item import Choose, Item
from avcap.shards.reader import Shards, UnreadableClip

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
        clips: Places of the clips that count; None: all.
        examples: What counts as one, with captions of its own; None: each clip with the captions of the shards.
        pairs: Number of examples to use, drawn at random, each with one caption for all epochs; None: all.

    Attributes:
        order: Epoch -> the examples in the order of training, by which an unreadable one is replaced; None: theirs here.
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
        clips: Sequence[int] | None = None,
        examples: Sequence[Example] | None = None,
        pairs: int | None = None,
    ) -> None:
        self.shards = shards
        self.inputs = inputs
        self.frames = frames
        self.training = training
        self.transforms = tuple(transforms) if training else ()
        self.seed = seed
        self.order: Callable[[int], Sequence[int]] | None = None
        if AUDIO in inputs.keys and inputs.frontend is not None:
            shards.require_rate(inputs.frontend)
        self.use_tokens({})
        if examples is None:
            examples = [Example(clip, place) for place, clip in enumerate(shards.ids)]
        if clips is not None:
            counting = set(clips)
            examples = [example for example in examples if example.clip in counting]
            if not examples:
                raise ValueError(
                    f"No clip of {shards.folder} that data.clips takes has a caption in data.captions.path."
                )
        self._examples = list(examples[:limit])
        self._one_caption = pairs is not None
        if pairs is not None:
            self._examples = choose_pairs(self._examples, pairs, seed=seed, whole=self._is_whole)

    @property
    def ids(self) -> list[str]:
        """Ids of the examples, in order: those of their clips, but for a clip's second, third, ... example."""
        return [example.id for example in self._examples]

    @property
    def shard_numbers(self) -> list[int]:
        """Number of the shard of each example."""
        return [self.shards.shard_number(example.clip) for example in self._examples]

    @property
    def facts(self) -> dict[str, str]:
        """What makes an order of these examples that of others: their ids in order, and the frames that are read."""
        info, frames = self.shards.info, self.frames
        ids = hashlib.sha256("\n".join(self.ids).encode()).hexdigest()[:12]
        if not {FRAMES, FEATURES} & set(self.inputs.keys):
            return {"hash_of_ids": ids}
        taken = f"{frames.count or info.frames} of {info.frames} at {info.size} pixels ({frames.sampling})"
        return {"hash_of_ids": ids, "frames": taken}

    @property
    def timed(self) -> bool:
        """Whether an example takes a frame of its own, at the time of its caption."""
        return any(example.time is not None for example in self._examples)

    def use_tokens(self, columns: Mapping[str, DerivedColumn]) -> None:
        """Give the tokens of encoders, ``<key>_tokens``, in place of what these read, by its key."""
        self._tokens = dict(columns)
        raw = [key for key in self.inputs.keys if key not in columns]
        heard = AUDIO in raw and self.inputs.frontend is not None
        self._column: DerivedColumn | None = self._find_column() if heard else None
        self._blobs = tuple(key for key in (FRAMES, FEATURES) if key in raw)
        if heard and self._column is None:
            self._blobs += (WAVEFORM,)

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, key: tuple[int, int] | int) -> Sample:
        """Return a sample. In training a clip that cannot be read is replaced by the next readable one in the epoch's order.

        Args:
            key: ``(epoch, index)``, or an index alone for epoch 0.

        Returns:
            The sample; ``unreadable`` of a replacement says what it stands for.

        Raises:
            UnreadableClip: in evaluation, if the clip cannot be read, and in training, if none can; the message names clip and file.
        """
        epoch, index = key if isinstance(key, tuple) else (0, key)
        try:
            return self._sample(epoch, index)
        except UnreadableClip as error:
            if not self.training:
                raise
            return self._replacement(epoch, index, error)

    def _replacement(self, epoch: int, index: int, error: UnreadableClip) -> Sample:
        """Return the next readable sample in the order of the epoch, from the start again behind the end."""
        order = range(len(self)) if self.order is None else self.order(epoch)
        place, lost = order.index(index), {error.clip: str(error)}
        for other in (*order[place + 1 :], *order[:place]):
            try:
                return Sample(**self._sample(epoch, other), unreadable=lost)
            except UnreadableClip as another:
                lost[another.clip] = str(another)
        raise error

    def _sample(self, epoch: int, index: int) -> Sample:
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
        sample = to_sample(
            item,
            self.inputs.frontend,
            transforms=self.transforms,
            generator=generator,
            caption=caption,
            prompt=example.prompt,
            references=None if self.training else item.captions,
        )
        for key, column in self._tokens.items():
            if (row := column.row(example.clip)) is not None:
                fields = zip((f"{key}_tokens", f"{key}_tokens_mask", f"{key}_tokens_time"), row, strict=True)
                cast(dict[str, Any], sample).update((name, field) for name, field in fields if field is not None)
        return sample

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
