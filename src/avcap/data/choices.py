"""Settings of the data module: which captions are trained on, and which clips are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from avcap.shards.reader import SPLITS

TRAIN, VAL, TEST = SPLITS


@dataclass(frozen=True)
class Captions:
    """Settings of the training captions.

    Args:
        path: JSON lines ``{"id", "caption", "time"?, "prompt"?}`` in place of the captions of the training split, and of the
            others where their ids are there: captions of frames, or pseudo-captions. In training a row is an example,
            perhaps with an instruction of its own; a clip without one is left out. With one frame a clip, it is the one at
            ``time`` seconds.
        pairs: Number of examples to train on, drawn at random, each with one caption (DALI's prefix tuning).

    Raises:
        ValueError: if ``pairs`` is below 1.
    """

    path: Path | None = None
    pairs: int | None = None

    def __post_init__(self) -> None:
        if self.pairs is not None and self.pairs < 1:
            raise ValueError(f"captions.pairs must be null or at least 1, got {self.pairs}.")


@dataclass(frozen=True)
class ClipChoice:
    """Settings of the clips to read.

    Args:
        limit: Number of clips of each split, from the first; None: all.
        predict_split: The split that `avcap predict` reads.
        ids: Split -> a list of the clips that count, the others are not read: a file of captions, or of one id a line.
        val: Cut the validation split from train: a list of its clips (as in ``ids``), or their share of train, chosen by a hash
            of their ids. They are not trained on. None: the shards' own split.
        paper_protocol: Validate on the test split, and so choose the best checkpoint by the clips that it is then tested on, as
            the code of AVCap and LAVCap does. Results and reports say "selected on test".
        window: Training shuffles the shards, then the clips of so many shards in a row, so that only their files are read at
            a time; None: all clips as one. For shards on a slow disk or far away.
        cache: Local folder for shards of a store (``s3://``).
        cache_gigabytes: Size of the shards in it; those used longest ago are deleted first.

    Raises:
        ValueError: if a number is out of range, or two settings give the validation split.
    """

    limit: int | None = None
    predict_split: str = TEST
    ids: Mapping[str, Path] = field(default_factory=dict)
    val: float | Path | None = None
    paper_protocol: bool = False
    window: int | None = None
    cache: Path = Path("~/.cache/avcap/shards")
    cache_gigabytes: float = 50.0

    def __post_init__(self) -> None:
        for name in ("limit", "window"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"clips.{name} must be null or at least 1, got {value}.")
        if not self.cache_gigabytes > 0:
            raise ValueError(f"clips.cache_gigabytes must be positive, got {self.cache_gigabytes}.")
        if isinstance(self.val, int | float) and not 0 < self.val < 1:
            raise ValueError(f"clips.val is {self.val}; give a share of train above 0 and below 1, or a list of clips.")
        if self.val is not None and self.paper_protocol:
            raise ValueError("clips.val cuts a validation split and clips.paper_protocol takes the test's; give one.")
        if VAL in self.ids and (self.val is not None or self.paper_protocol):
            given = "clips.val" if self.val is not None else "clips.paper_protocol"
            raise ValueError(
                f"clips.ids lists the clips of val and {given} says where they come from; give one of them."
            )
