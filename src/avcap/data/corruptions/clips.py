"""One split of shards with its clips corrupted."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from avcap.data.collate import Sample, to_sample
from avcap.data.corruptions.base import Corruption, CorruptionSource
from avcap.data.dataset import ALL_FRAMES, EVERYTHING, WAVEFORM, ClipDataset
from avcap.data.frame_sampling import FrameChoice
from avcap.data.transforms import generator_for
from avcap.frontends import Inputs
from avcap.frontends.inputs import FEATURES, FRAMES
from avcap.shards.derived import DerivedColumn
from avcap.shards.item import Item
from avcap.shards.reader import Shards


class CorruptedClips(ClipDataset):
    """Evaluation samples of a split, each corrupted in a way that depends on the seed and the clip's id alone.

    Not on the batch, the worker or the rank it lies in, nor on ``limit``: a clip's partner for a swap is the next of the whole
    split in an order drawn by the seed (one cycle through all clips), so no clip keeps its own stream.

    Args:
        shards: The split.
        inputs: What is read of a clip, and the front end of its sound.
        corruptions: Applied one after the other, on the raw clip with all of its stored frames; none: the clean clips.
        frames: Which of the frames are taken then.
        seed: Seed of all random choices.
        limit: Use the first clips only.
        clips: Places of the clips that count, as partners too; None: all.
    """

    def __init__(
        self,
        shards: Shards,
        inputs: Inputs = EVERYTHING,
        *,
        corruptions: Sequence[Corruption] = (),
        frames: FrameChoice = ALL_FRAMES,
        seed: int = 0,
        limit: int | None = None,
        clips: Sequence[int] | None = None,
    ) -> None:
        self.corruptions = tuple(corruptions)
        super().__init__(shards, inputs, frames=frames, seed=seed, limit=limit, clips=clips)
        order = sorted(range(len(shards)) if clips is None else clips, key=lambda index: _draw(seed, shards.ids[index]))
        self._next = dict(zip(order, [*order[1:], order[0]], strict=True))

    def __getitem__(self, key: tuple[int, int] | int) -> Sample:
        """Return a sample and ignore the epoch in ``key``; see :meth:`ClipDataset.__getitem__`."""
        index = self._examples[key[1] if isinstance(key, tuple) else key].clip
        item = self._item(index)
        for corruption in self.corruptions:
            source = CorruptionSource(
                generator=generator_for(self.seed, 0, item.id), other=lambda stream: self.partner(index, stream)
            )
            item = corruption(item, source)
        if self.frames.count is not None:
            item.take_frames(self.frames.choose(), self.frames.count)
        caption = item.captions[0] if item.captions else None
        return to_sample(item, self.inputs.frontend, caption=caption, references=item.captions)

    def partner(self, index: int, stream: str) -> Item:
        """Return the next clip, in the drawn order of the split, that has the stream.

        Raises:
            ValueError: if no other clip has it.
        """
        blobs = {"audio": (WAVEFORM,), "video": (FRAMES, FEATURES)}[stream]
        wanted = tuple(blob for blob in blobs if blob in self._blobs)
        other = self._next[index]
        while other != index:
            item = self.shards.item(other, streams=wanted)
            if any(getattr(item, blob) is not None for blob in wanted):
                return item
            other = self._next[other]
        raise ValueError(f"No other clip of {self.shards.folder} has {stream} to swap with {self.shards.ids[index]}.")

    def _find_column(self) -> DerivedColumn | None:
        """Return None if the audio is corrupted, since the derived column comes from clean audio."""
        corrupted = any(corruption.stream == "audio" for corruption in self.corruptions)
        return None if corrupted else super()._find_column()


def _draw(seed: int, clip_id: str) -> str:
    return hashlib.sha256(f"{seed}/{clip_id}/swap".encode()).hexdigest()
