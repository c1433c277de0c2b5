"""The order of clips: a function of (seed, epoch), cut into steps that are shared out over the ranks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Sampler


class ClipBatchSampler(Sampler[list[tuple[int, int]]]):
    """Batches of ``(epoch, index)``, the same number on every rank, and able to begin in the middle of an epoch.

    A step takes the next ``batch_size * world_size`` clips of the epoch's order and deals them out to the ranks, so the
    clips of a step do not depend on how many ranks share it. In an epoch each clip comes exactly once, also where the
    last step is short: then ranks differ by one clip at most. Only if the last step has fewer clips than there are ranks do the
    ranks left empty-handed repeat a clip.

    A window makes the order read shard files in blocks, for files that are far away: the shards are shuffled, and the clips
    of each ``window`` shards in a row are shuffled among themselves. So the files of one window are read at a time, each once in an epoch.

    Args:
        clips: Number of clips.
        batch_size: Clips a rank takes in a step.
        shuffle: A new order every epoch; else the order of the shards.
        seed: Seed of the orders.
        rank: This process.
        world_size: Number of processes.
        window: Shards of a window; None: all clips are shuffled as one.
        shards: Number of the shard that holds each clip; needed with a window.
        facts: What the clips are, by name; a state of other facts is refused.

    Raises:
        ValueError: if a number is out of range, or the shards are not one number a clip.
    """

    def __init__(
        self,
        clips: int,
        batch_size: int,
        *,
        shuffle: bool,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        window: int | None = None,
        shards: Sequence[int] = (),
        facts: Mapping[str, str] | None = None,
    ) -> None:
        if batch_size < 1 or clips < 1:
            raise ValueError(f"batch_size and the number of clips must be at least 1, got {batch_size} and {clips}.")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank must be below world_size, got {rank} of {world_size}.")
        if window is not None and (window < 1 or len(shards) != clips):
            raise ValueError(
                f"window must be at least 1, with a shard for each clip, got {window}, {len(shards)} shards."
            )
        self.window = window
        self.facts = dict(facts or {})
        self._shards = np.asarray(shards, dtype=np.int64)
        self.clips = clips
        self.shuffle = shuffle
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.step_size = batch_size * world_size
        self.epoch = 0
        self.start = 0  # the step at which the next iteration begins

    @property
    def sampler(self) -> ClipBatchSampler:
        """Itself: where Lightning looks for ``set_epoch``."""
        return self

    def __len__(self) -> int:
        return -(-self.clips // self.step_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch, start = self.epoch, self.start
        self.start = 0
        order = self.order(epoch)
        for step in range(start, len(self)):
            dealt = order[step * self.step_size : (step + 1) * self.step_size]
            mine = dealt[self.rank :: self.world_size] or [order[self.rank % self.clips]]
            yield [(epoch, index) for index in mine]

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration; a step to begin at is dropped unless it belongs to that epoch."""
        if epoch != self.epoch:
            self.epoch, self.start = epoch, 0

    def order(self, epoch: int) -> list[int]:
        """Return the clips of an epoch in order, a function of the seed and the epoch alone."""
        if not self.shuffle:
            return list(range(self.clips))
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + epoch) & (2**63 - 1))
        if self.window is None:
            return torch.randperm(self.clips, generator=generator).tolist()
        by_shard = np.argsort(self._shards, kind="stable")  # clips, those of a shard in a row
        files = np.split(by_shard, np.flatnonzero(np.diff(self._shards[by_shard])) + 1)
        drawn = [files[i] for i in torch.randperm(len(files), generator=generator)]
        windows = [np.concatenate(drawn[first : first + self.window]) for first in range(0, len(drawn), self.window)]
        return [int(i) for clips in windows for i in clips[torch.randperm(len(clips), generator=generator).numpy()]]

    def state_dict(self, step: int) -> dict[str, Any]:
        """Return the state after ``step`` batches of the current epoch."""
        return {
            "epoch": self.epoch,
            "step": step,
            "clips": self.clips,
            "step_size": self.step_size,
            "seed": self.seed,
            "shuffle": self.shuffle,
            "window": self.window,
            **self.facts,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state``; what a state of an earlier version does not tell is not compared.

        Raises:
            ValueError: if clips, what is read of them, clips a step, seed or order have changed since: the place has no meaning then.
        """
        now, state = self.state_dict(0), {"window": None, **state}
        changed = [key for key in now if key in state and key not in ("epoch", "step") and state[key] != now[key]]
        if changed:
            raise ValueError(
                "Cannot resume in the middle of this epoch: "
                + ", ".join(f"{key} was {state[key]} and is {now[key]}" for key in changed)
                + " (step_size is batch_size times the number of processes); restore these settings and data."
            )
        finished = state["step"] >= len(self)
        self.epoch, self.start = (state["epoch"] + 1, 0) if finished else (state["epoch"], state["step"])
