"""Single images of scenes with image captions, as shards, to train an image captioner."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avcap.lock import locked
from avcap.scenes import dataset
from avcap.scenes.compose import compose
from avcap.scenes.drawings.looks import PHASES
from avcap.scenes.image_captions import image_captions
from avcap.scenes.pictures import SMALLEST, draw
from avcap.scenes.scene import SEEDS, Scene
from avcap.shards.item import Item
from avcap.shards.reader import ShardInfo
from avcap.shards.writer import WrittenSplit, write_split

VERSION = 1
"""Raised whenever the same scene would give another still."""

FIRST_SEED = 2 * SEEDS
"""Stills take their scenes from here on: data sets have those below SEEDS, texts those from SEEDS on."""


@dataclass(frozen=True)
class Stills:
    """The settings that determine the content of the shards.

    Args:
        count: Images in the training split.
        val: Images in the validation split.
        size: Side of the square images in pixels.
        seed: Seed of the scenes.

    Raises:
        ValueError: if one of them is out of range.
    """

    count: int = 24_000
    val: int = 240
    size: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        faults = []
        if min(self.count, self.val) < 1:
            faults.append("count and val must be at least 1")
        if self.size < SMALLEST:
            faults.append(f"size must be at least {SMALLEST}")
        if not 0 <= self.seed < SEEDS:
            faults.append(f"seed must be from 0 to {SEEDS - 1}")
        if faults:
            raise ValueError(f"Stills cannot be made like this: {'; '.join(faults)}.")

    def scene(self, index: int, split: str) -> Scene:
        """Return the scene of a still, which is in no data set and no text."""
        return compose(FIRST_SEED + self.seed, index, split)

    def item(self, index: int, *, split: str) -> Item:
        """Return a still as a clip of one frame without sound and of unknown length."""
        scene = self.scene(index, split)
        image, caption = still(scene, size=self.size)
        return Item(scene.id, [caption], frames=torch.from_numpy(image).permute(2, 0, 1)[None].contiguous())


def still(scene: Scene, *, size: int = 64) -> tuple[np.ndarray, str]:
    """Draw a scene at one of the moments that have an image caption; return uint8 [size, size, 3] and that caption.

    The place looks as it does in the rendered clip. No sound is made that would move an object: each is at rest or in one
    of its moving phases by chance.
    """
    rng = scene.rng("still")
    moments = image_captions(scene)
    moment = moments[rng.integers(len(moments))]
    phases = rng.integers(PHASES, size=(len(scene.events), 1))
    (image,) = draw(scene, scene.rng("frames"), times=np.array([moment["time"]]), phases=list(phases), size=size)
    return image, moment["caption"]


def write_stills(
    *,
    out: Path = Path("data/demo/stills"),
    num_workers: int = 2,
    overwrite: bool = False,
    progress: bool = True,
    **settings: Any,
) -> list[WrittenSplit]:
    """Write shards of single images of scenes with image captions, to train an image captioner.

    The scenes are drawn without sound, and none of them is a clip of a data set or told by a text. Shards that exist are
    kept, so an interrupted run continues where it stopped, and a second run does nothing.

    Args:
        out: Where the shards go: a folder for train and one for val.
        num_workers: Processes that draw.
        overwrite: Make finished splits again.
        progress: Show a progress bar.
        **settings: Those of :class:`Stills`.

    Returns:
        The splits, validation first: once the training split is there, everything is.

    Raises:
        ValueError: if a finished split holds other stills and ``overwrite`` is off.
        BlockingIOError: if another process writes into the same folder.
    """
    stills = Stills(**settings)
    if num_workers < 0:
        raise ValueError(f"num_workers must not be negative, got {num_workers}.")
    with locked(out):
        return [
            write_split(
                out,
                _info(stills, split, count),
                range(count),
                partial(stills.item, split=split),
                num_workers=num_workers,
                overwrite=overwrite,
                progress=progress,
            )
            for split, count in (("val", stills.val), ("train", stills.count))
        ]


def _info(stills: Stills, split: str, count: int) -> ShardInfo:
    """Return the facts of a split before it is written."""
    plan = json.dumps([split, count, stills.size, stills.seed, dataset.VERSION, VERSION])
    return ShardInfo(
        split=split, frames=1, size=stills.size, clips=count, plan=hashlib.sha256(plan.encode()).hexdigest()[:16]
    )
