"""Captions that replace those of the shards: one row per caption, optionally with a time in the clip or an instruction."""

from __future__ import annotations

import logging
import math
import random
import re
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from avcap.ids import id_hash, name_some
from avcap.jsonl import is_text, parse_json, read_json_lines, write_json_lines
from avcap.text_file import read_text

log = logging.getLogger(__name__)

PROVENANCE = "provenance"
_CLIP = re.compile(r"(.{11})_\d+(?:\.\d+)?")  # YouTube id and start


class CaptionRow(NamedTuple):
    """One line of the file."""

    id: str  # of the clip
    caption: str
    time: float | None = None  # seconds; None: the caption is of the whole clip
    prompt: str | None = None  # what it answers; None: the decoder's own instruction


class Example(NamedTuple):
    """One example of a data set."""

    id: str  # of the clip; from its second example on followed by "#2", "#3", ...
    clip: int  # its place in the shards
    captions: tuple[str, ...] | None = None  # in place of the clip's own
    time: float | None = None  # second at which its frame is taken
    prompt: str | None = None  # in place of the decoder's own, in training


@dataclass(frozen=True)
class CaptionRows:
    """A file of captions.

    Attributes:
        path: Where it was read from.
        rows: Its rows, in order.
        provenance: The file's record of how it was made; empty without one.
    """

    path: Path
    rows: tuple[CaptionRow, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def split(self) -> str | None:
        """The split that the file was made from, by its own record; None without one."""
        return self.provenance.get("split")

    @classmethod
    def read(cls, path: Path) -> CaptionRows:
        """Read JSON lines ``{"id", "caption", "time"?, "prompt"?}``; the first may be ``{"provenance": {..., "split"}}``.

        A ``.json`` file is read as LLaVA's training data, ``[{"id", "conversations": [{"from", "value"}, ...]}, ...]``: the
        caption is what ``gpt`` says last (DALI's ``prefixDS.json`` and ``pseudoCap.json``).

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if a line is not such a row, or there is none.
        """
        path = Path(path)
        provenance, rows = {}, []
        if path.suffix.lower() == ".json" and path.is_file():
            return cls(path, read_conversations(path))
        for number, content in read_json_lines(path):
            if number == 1 and isinstance(content.get(PROVENANCE), dict):
                provenance = content[PROVENANCE]
            else:
                rows.append(_row(f"{path}, line {number}", content))
        if not rows:
            raise ValueError(f"{path} holds no caption.")
        return cls(path, tuple(rows), provenance)

    def examples(self, ids: Sequence[str], *, split: str, training: bool, timed: bool) -> list[Example] | None:
        """Return the examples of a split that these rows give, in the order of its clips; a clip without a row gives none.

        In training each row is an example. In evaluation all rows of one clip (and, where ``timed``, of one moment) are
        one example with several references, those with a prompt left out.

        Args:
            ids: Ids of the split's clips, in order.
            split: Its name.
            training: Whether to train on them.
            timed: Whether frames are taken at the rows' times.

        Returns:
            The examples; None where an evaluation split has no row here, so that its own captions count.

        Raises:
            ValueError: if there is no row for a training split, or the file was made of another one.
        """
        if self.split not in (None, split):
            if not training:
                return None
            raise ValueError(
                f"{self.path} was made of the split {self.split} and cannot caption {split}; name a file made of {split}."
            )
        places = {clip: place for place, clip in enumerate(ids)}
        groups: dict[Hashable, list[CaptionRow]] = {}
        rows = self._of_clips(ids)
        for number, row in enumerate(rows):
            if row.id in places and (training or row.prompt is None):
                moment = (row.id, row.time if timed else None)
                groups.setdefault(number if training else moment, []).append(row)
        if not groups:
            if not training:
                return None
            others = list(dict.fromkeys(row.id for row in self.rows))
            raise ValueError(
                f"None of the {len(others)} clips in {self.path} ({name_some(others, at_most=2)}) is among the {len(ids)} "
                f"clips of {split}; name a file of captions of that split."
            )
        found = _numbered(sorted(groups.values(), key=lambda group: places[group[0].id]), places, timed=timed)
        clips = len({example.clip for example in found})
        left_out = len(ids) - clips
        log.info("%s: %d examples of %s, %d clips without a row left out.", self.path, len(found), split, left_out)
        absent = list(dict.fromkeys(row.id for row in rows if row.id not in places))
        if absent and training:
            log.warning(
                "%s: %d of its clips are not in %s: %s.", self.path, len(absent), split, name_some(absent, at_most=3)
            )
        return found

    def _of_clips(self, ids: Sequence[str]) -> list[CaptionRow]:
        """Return the rows under the ids of the clips; a row may name the only clip of a video by the YouTube id alone."""
        known = set(ids)
        videos = [(match[1], clip) for clip in ids if (match := _CLIP.fullmatch(clip))]
        times = Counter(video for video, _ in videos)
        clips = {video: clip for video, clip in videos if times[video] == 1}
        return [row if row.id in known else row._replace(id=clips.get(row.id, row.id)) for row in self.rows]


def read_conversations(path: Path) -> tuple[CaptionRow, ...]:
    """Read the captions of a file in the form of LLaVA's training data; see :meth:`CaptionRows.read`.

    Raises:
        ValueError: if it has another form, or no conversation.
    """
    content = parse_json(read_text(path), str(path))
    if not isinstance(content, list) or not content:
        raise ValueError(
            f'{path} holds no conversations; write [{{"id": ..., "conversations": [...]}}], or JSON lines.'
        )
    rows = []
    for number, entry in enumerate(content, start=1):
        try:
            said = [turn["value"] for turn in entry["conversations"] if turn["from"] == "gpt"]
            rows.append(_row(f"{path}, entry {number}", {"id": entry["id"], "caption": said[-1]}))
        except (TypeError, KeyError, IndexError):
            raise ValueError(
                f"{path}, entry {number}: it needs an id, and conversations in which gpt says the caption."
            ) from None
    return tuple(rows)


def write_caption_rows(path: Path, rows: Sequence[Mapping[str, Any]], *, provenance: Mapping[str, Any]) -> None:
    """Write a file that :meth:`CaptionRows.read` reads, in one step.

    Args:
        path: The file; folders are made.
        rows: ``{"id", "caption", "time"?, "prompt"?}``.
        provenance: How they were made; ``clips`` and ``id_hash`` are added.
    """
    ids = {row["id"] for row in rows}
    write_json_lines(path, [{PROVENANCE: {**provenance, "clips": len(ids), "id_hash": id_hash(ids)}}, *rows])


def choose_pairs(
    examples: Sequence[Example], count: int, *, seed: int, whole: Callable[[Example], bool]
) -> list[Example]:
    """Draw a few examples at random, and return them in the order of the clips.

    Args:
        examples: To choose from.
        count: How many.
        seed: Seed of the choice; a smaller ``count`` gives a part of the same examples.
        whole: Whether an example has a caption and all streams; others are passed over.

    Raises:
        ValueError: if there are fewer.
    """
    order = random.Random(f"{seed}/pairs").sample(range(len(examples)), len(examples))
    chosen: list[int] = []
    for place in order:
        if len(chosen) == count:
            break
        if whole(examples[place]):
            chosen.append(place)
    if len(chosen) < count:
        raise ValueError(
            f"data.captions.pairs is {count}, but only {len(chosen)} of {len(examples)} examples have a caption and all streams."
        )
    return [examples[place] for place in sorted(chosen)]


def _numbered(groups: Sequence[Sequence[CaptionRow]], places: dict[str, int], *, timed: bool) -> list[Example]:
    """Turn groups of rows into examples with ids of their own."""
    seen: Counter[str] = Counter()
    found = []
    for group in groups:
        clip, _, time, prompt = group[0]
        seen[clip] += 1
        name = clip if seen[clip] == 1 else f"{clip}#{seen[clip]}"
        captions = tuple(row.caption for row in group)
        found.append(Example(name, places[clip], captions, time if timed else None, prompt))
    return found


def _row(where: str, content: dict[str, Any]) -> CaptionRow:
    clip, caption, time, prompt = (content.get(name) for name in ("id", "caption", "time", "prompt"))
    if not is_text(clip) or not is_text(caption):
        raise ValueError(f"{where}: a row needs an id and a caption; it has {name_some([*content])}.")
    if prompt is not None and not is_text(prompt):
        raise ValueError(f"{where}: prompt {prompt!r} is not a text; leave it out for the decoder's own.")
    if time is None:
        return CaptionRow(clip, caption, prompt=prompt)
    if isinstance(time, bool) or not isinstance(time, (int, float)) or not (math.isfinite(time) and time >= 0):
        raise ValueError(f"{where}: time {time!r} is not a number of seconds.")
    return CaptionRow(clip, caption, float(time), prompt)
