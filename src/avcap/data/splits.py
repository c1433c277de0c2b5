"""The splits of a data set: the folders of shards they lie in, and which clips of these they take."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning.pytorch.utilities.rank_zero import rank_zero_only

from avcap.data.choices import TEST, TRAIN, VAL, ClipChoice
from avcap.data.id_list import read_ids
from avcap.ids import name_some
from avcap.shards.reader import SPLITS, ShardInfo, Shards
from avcap.shards.store import ShardStore

log = logging.getLogger(__name__)

CUT = "cut from train"
_tell = rank_zero_only(log.warning)


@dataclass(frozen=True)
class Validation:
    """The clips that choose the best checkpoint.

    Attributes:
        split: ``val``, ``test``, or "cut from train".
        ids: Their ids, in order.
        on_test: Whether some of them are in the test split, too.
    """

    split: str
    ids: list[str]
    on_test: bool


class Splits:
    """The splits in a folder of shards or in a store.

    Args:
        address: The folder, or ``s3://BUCKET/PREFIX``.
        choice: Which clips are read.
    """

    def __init__(self, address: str | Path, choice: ClipChoice) -> None:
        self.choice = choice
        remote = str(address).startswith("s3:/")
        self.store = ShardStore(str(address), choice.cache, int(choice.cache_gigabytes * 1e9)) if remote else None
        self.root = Path(address) if self.store is None else self.store.folder
        self._lists: dict[Path, dict[str, None]] = {}
        self._taken: dict[str, list[int] | None] = {}

    def source(self, split: str) -> str:
        """Return the name of the folder that the clips of a split lie in."""
        if split == VAL and self.choice.paper_protocol:
            return TEST
        return TRAIN if split == VAL and self.choice.val is not None else split

    def __contains__(self, split: str) -> bool:
        source = self.source(split)
        return (self.root / source).is_dir() if self.store is None else source in self.store.splits

    def folder(self, split: str) -> Path:
        """Return the folder of a split; of one in a store, that of the copy of what describes it."""
        return self.root / self.source(split) if self.store is None else self.store.open(self.source(split))

    def shards(self, split: str) -> Shards:
        """Open the shards that hold a split.

        Raises:
            FileNotFoundError: if there are none.
        """
        folder = self.folder(split)
        return Shards(folder) if self.store is None else Shards(folder, self.store.locate)

    def clips(self, split: str) -> list[int] | None:
        """Return the places in the shards of the clips that a split takes; None for all.

        Raises:
            FileNotFoundError: if there are no shards, or no such list of clips.
            ValueError: if none of the listed clips is there, or none is left to train on.
        """
        if split not in self._taken:
            self._taken[split] = self._take(split, ShardInfo.load(self.folder(split)).ids)
        return self._taken[split]

    def ids(self, split: str) -> list[str]:
        """Return the ids of the clips that a split takes, in order, without ``limit``."""
        ids, taken = ShardInfo.load(self.folder(split)).ids, self.clips(split)
        return ids if taken is None else [ids[place] for place in taken]

    def validation(self) -> Validation | None:
        """Return what chooses the best checkpoint; None without a val split."""
        if VAL not in self:
            return None
        ids = self.ids(VAL)[: self.choice.limit]
        tested = set(self.ids(TEST)) if TEST in self else set()
        split = CUT if self.choice.val is not None else self.source(VAL)
        return Validation(split, ids, not tested.isdisjoint(ids))

    def _take(self, split: str, ids: Sequence[str]) -> list[int] | None:
        if unknown := [name for name in self.choice.ids if name not in SPLITS and name not in self]:
            raise ValueError(
                f"clips.ids lists clips of {unknown[0]}, which is no split of {self.root}; name one of its folders."
            )
        source = self.source(split)
        places = list(range(len(ids)))
        if (file := self.choice.ids.get(source)) is not None:
            listed = self._listed(file, source, ids)
            places = [place for place in places if ids[place] in listed]
        if source != TRAIN or self.choice.val is None:
            return None if len(places) == len(ids) else places
        held = self._held(self.choice.val, [ids[place] for place in places])
        if len(held) in (0, len(places)):
            raise ValueError(
                f"clips.val {self.choice.val} takes {len(held)} of the {len(places)} clips of {self.root / TRAIN}; give another "
                "share or list, so that clips are left to train and to validate on."
            )
        return [place for place in places if (ids[place] in held) == (split == VAL)]

    def _held(self, val: float | Path, ids: Sequence[str]) -> set[str]:
        """Return the ids of train that are validated on."""
        if isinstance(val, int | float):
            return {clip for clip in ids if _number(clip) < val}
        return set(ids) & self._listed(val, TRAIN, ids).keys()

    def _listed(self, file: Path, split: str, ids: Sequence[str]) -> dict[str, None]:
        """Read a list once, and tell how many of its clips are not in the shards."""
        if file not in self._lists:
            listed = self._lists[file] = read_ids(file)
            present = set(ids)
            missing = [clip for clip in listed if clip not in present]
            where = f"{file} are not in the shards of {self.root / split}: {name_some(missing, at_most=3)}"
            if len(missing) == len(listed):
                raise ValueError(f"All {len(listed)} clips of {where}; give a list of clips of these shards.")
            if missing:
                _tell(
                    "%d of the %d clips of %s. They are left out; bring their media and run `avcap data prepare` again to have them.",
                    *(len(missing), len(listed), where),
                )
        return self._lists[file]


def _number(clip: str) -> float:
    """Return a number from 0 to 1 that follows from the id alone."""
    return int.from_bytes(hashlib.sha256(f"{clip}/val".encode(errors="surrogatepass")).digest()[:8], "big") / 2**64
