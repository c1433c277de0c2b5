"""What `avcap data prepare` makes of a clip: its item or the reason why there is none, where it comes from, and the plan of a split."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avcap.media import MediaError
from avcap.shards.item import Item
from avcap.shards.job import Broken, Origin
from avcap.shards.manifest import Clip, settled
from avcap.shards.reader import ShardInfo
from avcap.shards.reading import read_item

WIDTHS = 64  # files of visual features by which their usual width is found


def plan_of(info: ShardInfo, clips: list[Clip]) -> str:
    """Hash everything that determines the content of a split, except the paths and contents of the files."""
    names = [[_without_paths(getattr(clip, name.name)) for name in fields(clip)] for clip in clips]
    text = json.dumps([repr(info), names], ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _without_paths(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_without_paths(one) for one in value]
    return "file" if isinstance(value, Path) else value


def origin_of(clip: Clip, *, root: Path) -> Origin:
    """Tell where a clip comes from: its files with length and time of change, and which part of them it is."""
    facts = {
        name.name: _stamped(getattr(clip, name.name), root)
        for name in fields(clip)
        if name.name not in ("id", "captions")
    }
    return Origin(clip.id, str(_main_file(clip)), json.loads(json.dumps(facts, default=str)), list(clip.captions))


def _stamped(value: Any, root: Path) -> Any:
    """Replace each path by ``[path, bytes, time of change in ns]``."""
    if isinstance(value, tuple | list):
        return [_stamped(one, root) for one in value]
    if not isinstance(value, Path):
        return value
    name = (value.relative_to(root) if value.is_relative_to(root) else value).as_posix()
    try:
        state = value.stat()
    except OSError:  # it is gone, which reading it tells
        return [name, None, None]
    return [name, state.st_size, state.st_mtime_ns]


def _main_file(clip: Clip) -> Path | None:
    return clip.audio or next(iter(clip.frames), clip.features)


def usual_width(clips: list[Clip]) -> int | None:
    """Return the most common number of channels of visual features, in a sample of the files that is always the same."""
    files = [clip.features for clip in clips if clip.features is not None]
    widths: Counter[int] = Counter()
    for file in files[:: max(1, len(files) // WIDTHS)]:
        try:
            array = np.load(file, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            continue
        widths.update(array.shape[1:2])
    return widths.most_common(1)[0][0] if widths else None


def make_clip(clip: Clip, *, info: ShardInfo) -> Item | Broken:
    """Decode a clip."""
    try:
        item = read_item(
            settled(clip),
            frames=info.frames,
            size=info.size,
            sample_rate=info.sample_rate,
            max_seconds=info.max_seconds,
        )
        _require_usable(item, clip, info)
    except (MediaError, FileNotFoundError) as error:
        return Broken(clip.id, str(_main_file(clip)), str(error))
    except Exception as error:  # of a decoder: the other clips go on
        reason = "there is not enough memory" if _lacks_memory(error) else f"{type(error).__name__}: {error}"
        return Broken(clip.id, str(_main_file(clip)), f"{_main_file(clip)} cannot be read ({reason}).")
    return item


def _require_usable(item: Item, clip: Clip, info: ShardInfo) -> None:
    """Refuse a clip that no model can learn from.

    Raises:
        MediaError: if a stream holds NaN or infinity, or the visual features have another width than the data set's.
    """
    for stream, file in ((item.waveform, clip.audio), (item.visual_features, clip.features)):
        if stream is not None and not torch.isfinite(stream).all():
            raise MediaError(f"{file} holds numbers that are not finite (NaN or infinity).")
    if item.visual_features is not None and item.visual_features.shape[1] != info.visual_width:
        raise MediaError(
            f"{clip.features} has {item.visual_features.shape[1]} channels, and the data set's features have {info.visual_width}."
        )


def _lacks_memory(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, MemoryError):
        error = error.__cause__
    return error is not None
