"""Checking shards: readable, unchanged, and no clip in two splits."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from avcap.shards.derived import INDEX, DerivedColumn
from avcap.shards.reader import DERIVED, SPLITS, ShardInfo, Shards
from avcap.shards.unfinished import proof


@dataclass
class VerifyReport:
    """The findings.

    Attributes:
        splits: The facts of each split.
        errors: One sentence for each fault; shards are fit for use if there is none.
    """

    splits: list[ShardInfo] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether no fault was found."""
        return not self.errors


def verify(shards: Path, *, quick: bool = False, progress: bool = True) -> VerifyReport:
    """Check shards: every file whole, every clip readable and unchanged, no clip in two splits.

    The files of a split are compared with the lengths and checksums in info.json. Every clip, and what front ends made of it, is read
    and compared with its checksum; a fault is reported once for each shard file.

    Args:
        shards: The folder that holds the splits.
        quick: Compare only the lengths of files, and read only the first and the last clip of each shard file.
        progress: Show a progress bar.

    Raises:
        FileNotFoundError: if there is no split in the folder.
    """
    from tqdm import tqdm

    shards = Path(shards)
    names = [name for name in SPLITS if (shards / name).is_dir()]
    names += sorted(p.parent.name for p in shards.glob("*/info.json") if p.parent.name not in names)
    names = [name for name in names if not name.endswith(".partial") and not name.startswith(".")]
    if not names:
        raise FileNotFoundError(f"There are no shards in {shards}; make them with `avcap data prepare`.")
    report = VerifyReport()
    places: dict[str, list[str]] = defaultdict(list)
    for name in names:
        try:
            split = Shards(shards / name)
        except (FileNotFoundError, ValueError) as error:
            report.errors.append(str(error))
            continue
        report.splits.append(split.info)
        columns = _columns(split, report)
        for clip in split.ids:
            places[clip].append(name)
        faulty = _changed_files(split, report, quick=quick)
        for index in tqdm(_places(split, quick), desc=name, unit="clip", disable=not progress):
            if split.shard_of(index) in faulty:
                continue
            try:
                split.check(index)
            except ValueError as error:
                faulty.add(split.shard_of(index))
                report.errors.append(str(error))
            for column in [column for column in columns if column.folder not in faulty]:
                try:
                    column.check(index)
                except ValueError as error:
                    faulty.add(column.folder)
                    report.errors.append(str(error))
    report.errors.extend(_double(places))
    return report


def _columns(split: Shards, report: VerifyReport) -> list[DerivedColumn]:
    """Return the derived columns of a split; report those that cannot be opened."""
    columns = []
    for index in sorted((split.folder / DERIVED).glob(f"*/{INDEX}")):
        try:
            columns.append(DerivedColumn(index.parent, split))
        except ValueError as error:
            report.errors.append(str(error))
    return columns


def _changed_files(split: Shards, report: VerifyReport, *, quick: bool) -> set[Path]:
    """Compare the files of a split with their lengths and checksums; report and return those that differ."""
    changed = set()
    for name, expected in split.info.files.items():
        file = split.folder / name
        try:
            same = (
                file.stat().st_size == expected["bytes"] if quick else proof(file, int(expected["bytes"])) == expected
            )
            fault = "" if same else "is not as it was written: its length or its checksum has changed"
        except OSError as error:
            fault = f"cannot be read ({error.strerror})"
        if fault:
            changed.add(file)
            report.errors.append(f"{file} {fault}; make the split again with `avcap data prepare --overwrite`.")
    return changed


def _places(split: Shards, quick: bool) -> list[int]:
    everything = range(len(split))
    if not quick:
        return list(everything)
    files = [split.shard_of(index) for index in everything]
    return [i for i in everything if i in (0, len(split) - 1) or files[i] != files[i - 1] or files[i] != files[i + 1]]


def _double(places: dict[str, list[str]]) -> list[str]:
    pairs: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for clip, names in places.items():
        if len(names) > 1:
            pairs[tuple(names)].append(clip)
    return [
        f"{len(clips)} clips are in more than one of {' and '.join(dict.fromkeys(names))} (the first: {clips[0]});"
        " a clip in two splits makes the scores invalid; remove it from one caption file."
        if len(set(names)) > 1
        else f"{len(clips)} clips are in {names[0]} twice (the first: {clips[0]}); make the split again."
        for names, clips in pairs.items()
    ]
