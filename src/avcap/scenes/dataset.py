"""Write the embedded data set: clips, tables, events, image captions, tokenizer, manifest."""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from avcap.atomic import write_atomically
from avcap.jsonl import write_json_lines
from avcap.scenes.compose import MIN_SECONDS, compose
from avcap.scenes.grammar import captions
from avcap.scenes.image_captions import image_captions
from avcap.scenes.mp4 import write_mp4
from avcap.scenes.pictures import SMALLEST
from avcap.scenes.render import render
from avcap.scenes.scene import SEEDS, Scene
from avcap.scenes.tokenizer import train_tokenizer

log = logging.getLogger(__name__)

VERSION = 1
"""Raised whenever the same arguments would give other clips or captions."""

REFERENCES = {"train": 1, "val": 5, "test": 5}
"""Captions a clip in each split."""

_TOKENIZER = tuple(f"tokenizer/{name}.json" for name in ("tokenizer", "tokenizer_config", "special_tokens_map"))
_TABLES = (*(f"{split}.csv" for split in REFERENCES), "events.jsonl", "image_captions.jsonl", *_TOKENIZER)
_CHUNK = 16
_FIRST_AUDIOCAP_ID = 1


@dataclass(frozen=True)
class Settings:
    """The settings that determine the content of the data set.

    Args:
        train: Clips in the training split (one caption each).
        val: Clips in the validation split (five captions each).
        test: Clips in the test split (five captions each).
        seconds: Length of each clip.
        size: Side of the square frames in pixels, even.
        fps: Frames a second.
        seed: Seed of everything; the same seed gives the same scenes and captions.
    """

    train: int = 2400
    val: int = 120
    test: int = 240
    seconds: float = 5.0
    size: int = 64
    fps: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        faults = []
        if min(self.train, self.val, self.test) < 0 or self.train < 1:
            faults.append("train must be at least 1, val and test at least 0")
        if self.seconds < MIN_SECONDS:
            faults.append(f"seconds must be at least {MIN_SECONDS}")
        if self.size < SMALLEST or self.size % 2:
            faults.append(f"size must be an even number from {SMALLEST}")
        if self.fps < 1:
            faults.append("fps must be at least 1")
        if not 0 <= self.seed < SEEDS:
            faults.append(f"seed must be from 0 to {SEEDS - 1}")
        if faults:
            raise ValueError(f"The demo data set cannot be made like this: {'; '.join(faults)}.")

    def scenes(self) -> Iterator[Scene]:
        """Compose all clips, split by split."""
        for split in REFERENCES:
            for index in range(getattr(self, split)):
                yield compose(self.seed, index, split, seconds=self.seconds)


def build_dataset(
    root: Path = Path("data/demo"), *, num_workers: int = 2, overwrite: bool = False, **arguments: Any
) -> None:
    """Make the embedded data set: procedural scenes as mp4 files in the AudioCaps layout.

    Clips that exist are kept, so an interrupted run continues where it stopped, and a second run does nothing.

    Args:
        root: Folder of the data set.
        num_workers: Processes that render; 0 renders in the main one.
        overwrite: Delete a demo data set of other arguments in the same folder first.
        **arguments: Those of :class:`Settings`.

    Raises:
        ValueError: If the folder holds a set made with other arguments, or data of another origin.
    """
    settings = Settings(**arguments)
    wanted = {"version": VERSION, "arguments": asdict(settings)}
    made = _check(root, wanted, overwrite=overwrite)
    videos = root / "videos"
    scenes = list(settings.scenes())
    present = {path.name for path in videos.glob("*.mp4")} if videos.is_dir() else set()
    todo = [scene for scene in scenes if f"{scene.id}.mp4" not in present]
    if made.get("complete") and not todo and all((root / name).is_file() for name in _TABLES):
        log.info("%s is complete: %d clips, captions %s.", root, len(scenes), made["captions_sha256"][:12])
        return
    videos.mkdir(parents=True, exist_ok=True)
    for part in videos.glob(".*.part"):
        part.unlink()
    write_atomically(root / "manifest.json", json.dumps({**wanted, "complete": False}, indent=2) + "\n")
    _render(videos, todo, settings, num_workers=num_workers)
    digest = _write_tables(root, scenes)
    write_atomically(
        root / "manifest.json", json.dumps({**wanted, "complete": True, "captions_sha256": digest}, indent=2) + "\n"
    )
    log.info("%s: %d clips made, %d kept, captions %s.", root, len(todo), len(scenes) - len(todo), digest[:12])


def _check(root: Path, wanted: dict[str, Any], *, overwrite: bool) -> dict[str, Any]:
    """Read the manifest of an earlier run; refuse or delete what was made with other arguments."""
    manifest = root / "manifest.json"
    if not manifest.is_file():
        if root.is_dir() and any(root.iterdir()):
            raise ValueError(
                f"{root} holds files that are not of a demo data set (no manifest.json); name an empty root."
            )
        return {}
    made = json.loads(manifest.read_text(encoding="utf-8"))
    if {key: made.get(key) for key in wanted} == wanted:
        return made
    if not overwrite:
        raise ValueError(
            f"{root} holds a demo data set made with other arguments ({_differences(made, wanted)}); "
            "name another root, or pass --overwrite true to delete it and make this one."
        )
    for name in ("videos", "tokenizer"):
        shutil.rmtree(root / name, ignore_errors=True)
    for name in (*_TABLES, "manifest.json"):
        (root / name).unlink(missing_ok=True)
    return {}


def _differences(made: dict[str, Any], wanted: dict[str, Any]) -> str:
    old = {"version": made.get("version"), **made.get("arguments", {})}
    new = {"version": wanted["version"], **wanted["arguments"]}
    return ", ".join(f"{key} {old.get(key)} instead of {value}" for key, value in new.items() if old.get(key) != value)


def _render(videos: Path, scenes: list[Scene], settings: Settings, *, num_workers: int) -> None:
    """Render and encode clips in several processes, with a progress bar."""
    work = partial(_render_chunk, videos, size=settings.size, fps=settings.fps)
    chunks = [scenes[start : start + _CHUNK] for start in range(0, len(scenes), _CHUNK)]
    with tqdm(total=len(scenes), desc="clips", unit="clip", disable=None) as bar:
        if num_workers == 0:
            for chunk in chunks:
                bar.update(work(chunk))
            return
        with ProcessPoolExecutor(num_workers) as pool:
            jobs = [pool.submit(work, chunk) for chunk in chunks]
            try:
                for job in as_completed(jobs):
                    bar.update(job.result())
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _render_chunk(videos: Path, scenes: list[Scene], *, size: int, fps: int) -> int:
    for scene in scenes:
        audio, frames = render(scene, size=size, fps=fps)
        write_mp4(videos / f"{scene.id}.mp4", audio, frames=frames, fps=fps)
    return len(scenes)


def _write_tables(root: Path, scenes: list[Scene]) -> str:
    """Write the CSVs, the JSON lines and the tokenizer; return the hash of all captions."""
    digest = hashlib.sha256()
    rows: dict[str, list[tuple[int, str, int, str]]] = {split: [] for split in REFERENCES}
    number = _FIRST_AUDIOCAP_ID
    for scene in scenes:
        for sentence in captions(scene, REFERENCES[scene.split]):
            rows[scene.split].append((number, scene.youtube_id, scene.start_time, sentence))
            digest.update(f"{scene.id}\t{sentence}\n".encode())
            number += 1
    for split, lines in rows.items():
        with (root / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("audiocap_id", "youtube_id", "start_time", "caption"))
            writer.writerows(lines)
    images = [row for scene in scenes for row in image_captions(scene)]
    write_json_lines(root / "events.jsonl", (scene.to_dict() for scene in scenes))
    write_json_lines(root / "image_captions.jsonl", images)
    seen = {scene.id for scene in scenes if scene.split == "train"}
    texts = [line[-1] for line in rows["train"]] + [row["caption"] for row in images if row["id"] in seen]
    train_tokenizer(root / "tokenizer", texts)
    return digest.hexdigest()
