"""One split of shards with its clips spoilt."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from avcap.data.collate import Framing, Sample, to_sample
from avcap.data.corruptions.base import Corruption, Source
from avcap.data.dataset import AUDIO, VIDEO, ClipDataset
from avcap.data.frame_sampling import FrameSampling, frame_choice
from avcap.data.item import Item
from avcap.data.shards import Shards
from avcap.data.transforms import generator_for


class CorruptedClips(ClipDataset):
    """Evaluation samples of a split, each spoilt in a way that depends on the seed and the clip's id alone.

    Not on the batch, the worker or the rank it lies in, nor on ``limit``: a clip's partner for a swap is the next of the whole
    split in an order drawn by the seed (one cycle through all clips), so no clip keeps its own stream.

    Args:
        shards: The split.
        framing: For the spectrograms.
        corruptions: Applied one after the other, on the raw clip with all of its stored pictures; none: the clean clips.
        streams: ``audio`` and ``video``, or one of them.
        frames: Pictures to take then; None takes all, 0 none (features made beforehand are still read).
        frame_sampling: Which ones.
        seed: Seed of all chance.
        limit: Use the first clips only.
    """

    def __init__(
        self,
        shards: Shards,
        framing: Framing,
        *,
        corruptions: Sequence[Corruption] = (),
        streams: Sequence[str] = (AUDIO, VIDEO),
        frames: int | None = None,
        frame_sampling: FrameSampling = "even",
        seed: int = 0,
        limit: int | None = None,
    ) -> None:
        super().__init__(
            shards, framing, streams=streams, frames=frames, frame_sampling=frame_sampling, seed=seed, limit=limit
        )
        self.corruptions = tuple(corruptions)
        self.front_end = shards.front_end()
        order = sorted(range(len(shards)), key=lambda index: _draw(seed, shards.ids[index]))
        self._next = dict(zip(order, [*order[1:], order[0]], strict=True))

    def __getitem__(self, key: tuple[int, int] | int) -> Sample:
        """A sample; the epoch of ``key`` has no meaning here. See :meth:`ClipDataset.__getitem__`."""
        index = key[1] if isinstance(key, tuple) else key
        item = self.shards.item(index, streams=self._blobs)
        for corruption in self.corruptions:
            source = Source(
                generator=generator_for(self.seed, 0, item.id),
                front_end=self.front_end,
                other=lambda stream: self.partner(index, stream),
            )
            item = corruption(item, source)
        if self.frames is not None:
            item.take_frames(frame_choice(self.frame_sampling), self.frames)
        caption = item.captions[0] if item.captions else None
        return to_sample(item, self.framing, caption=caption, references=item.captions)

    def partner(self, index: int, stream: str) -> Item:
        """The next clip of the split, in the drawn order, that has the stream.

        Raises:
            ValueError: if no other clip has it.
        """
        blobs = {AUDIO: ("fbank",), VIDEO: ("frames", "visual_features")}[stream]
        wanted = tuple(blob for blob in blobs if blob in self._blobs)
        other = self._next[index]
        while other != index:
            item = self.shards.item(other, streams=wanted)
            if any(getattr(item, blob) is not None for blob in wanted):
                return item
            other = self._next[other]
        raise ValueError(f"No other clip of {self.shards.folder} has {stream} to swap with {self.shards.ids[index]}.")


def _draw(seed: int, clip_id: str) -> str:
    return hashlib.sha256(f"{seed}/{clip_id}/swap".encode()).hexdigest()
