"""The first differences between two folders, two checkpoints, and two records of steps."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from avcap.drill.moments import State


def files_that_differ(whole: Path, other: Path) -> Iterator[str]:
    """Yield a sentence for each file that one folder lacks, or that has other bytes."""
    names = sorted({path.relative_to(folder) for folder in (whole, other) for path in folder.rglob("*")})
    for name in names:
        one, two = whole / name, other / name
        if not one.exists() or not two.exists():
            yield f"{two if one.exists() else one} is not there, {one if one.exists() else two} is."
        elif one.is_file() and one.read_bytes() != two.read_bytes():
            yield f"{two} has other bytes than {one}."


def checkpoints_that_differ(whole: Path, other: Path, *, roots: tuple[Path, Path]) -> Iterator[str]:
    """Yield a sentence for each entry of two checkpoints that differs; paths count from the folders of their runs.

    Args:
        whole: A checkpoint.
        other: Another.
        roots: The folders that their runs lie in.

    Raises:
        ValueError: if one cannot be read.
    """
    for path in (whole, other):
        if not path.is_file():
            yield f"{path} is not there."
            return
    one, two = (dict(_entries(_load(path), str(root))) for path, root in zip((whole, other), roots, strict=True))
    for name in dict.fromkeys([*one, *two]):
        if one.get(name) != two.get(name):
            yield f"{other} differs from {whole} in {name}."


def steps_that_differ(whole: Path, other: Path) -> Iterator[str]:
    """Yield a sentence for each step that one record lacks, or that was another; a step done twice must be the same twice.

    Args:
        whole: A folder that ``LogSteps`` wrote.
        other: Another; its run may have been interrupted.
    """
    for path in sorted(whole.glob("*.jsonl")):
        wanted, found = list(_read(path)), list(_read(other / path.name))
        expected = dict(wanted)
        for key, value in found:
            if key not in expected:
                yield f"{other / path.name}: {_name(key)} does not belong to the undisturbed run."
            elif not _same(value, expected[key]):
                yield f"{other / path.name}: {_name(key)} gave {value}, undisturbed {expected[key]}."
        missing = expected.keys() - {key for key, _ in found}
        yield from (f"{other / path.name}: {_name(key)} was never done." for key, _ in wanted if key in missing)


def steps_done_again(folder: Path) -> int:
    """Return the most training steps that a restart went back."""
    most = 0
    for path in folder.glob("*.jsonl"):
        steps = [key[1] for key, _ in _read(path) if key[2] == "train"]
        most = max([most, *(before - after + 1 for before, after in pairwise(steps))])
    return most


def shards_done_again(folder: Path, states: Sequence[State]) -> int:
    """Return the most whole shards that a start wrote anew.

    Args:
        folder: Of the shards.
        states: What ``state`` gave after each start; the last is of the finished shards.
    """
    shards = [_shards(folder, state) for state in states]
    sizes = {key: {size for _, size in found} for key, found in shards[-1].items()}
    whole = [
        {key: {time for time, size in found if {size} == sizes.get(key)} for key, found in s.items()} for s in shards
    ]
    pairs = pairwise(whole)
    return max(
        (sum(bool(times - after.get(key, set())) for key, times in before.items()) for before, after in pairs),
        default=0,
    )


def _shards(folder: Path, state: State) -> dict[tuple[str, str], set[tuple[int, int]]]:
    """Return time and size of the files of each shard (split and name), wherever they lie."""
    found: dict[tuple[str, str], set[tuple[int, int]]] = {}
    for name, (time, size, _) in state.items():
        path = Path(name)
        if path.suffix == ".bin":
            split = path.relative_to(folder).parts[0].partition(".")[0]
            found.setdefault((split, path.name), set()).add((time, size))
    return found


def _read(path: Path) -> Iterator[tuple[tuple[int, int, str, str], Any]]:
    """Yield what was done (epoch, step, kind, ids) and what it gave."""
    if path.is_file():
        for line in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
            yield (line["epoch"], line["step"], line["kind"], " ".join(line["id"] or [])), line["value"]


def _name(key: tuple[int, int, str, str]) -> str:
    epoch, step, kind, ids = key
    return f"{kind} at step {step} of epoch {epoch}" + (f" ({ids})" if ids else "")


def _same(one: Any, two: Any) -> bool:
    if isinstance(one, float) and isinstance(two, float):
        return one == two or (math.isnan(one) and math.isnan(two))
    return one == two


def _load(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{path} cannot be read ({' '.join(str(error).split())[:200]}).") from error


def _entries(content: Any, root: str, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield name and value of all that a checkpoint holds; a tensor as its bytes, type and shape."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from _entries(value, root, f"{name}.{_plain(key, root)}" if name else str(_plain(key, root)))
    elif isinstance(content, list | tuple):
        yield f"{name}#", len(content)
        for place, value in enumerate(content):
            yield from _entries(value, root, f"{name}[{place}]")
    elif isinstance(content, torch.Tensor):
        flat = content.detach().contiguous().reshape(-1)
        yield name, (flat.view(torch.uint8).numpy().tobytes(), str(content.dtype), tuple(content.shape))
    else:
        yield name, str(_plain(content, root))


def _plain(value: Any, root: str) -> Any:
    return value.replace(root, "") if isinstance(value, str) else value
