"""CONTRIBUTING.md, "Add a data set in four steps": its tables, its config and its commands work as they stand."""

from __future__ import annotations

import csv
import json
import shlex
from pathlib import Path

import pytest

from avcap.cli import main
from avcap.shards.reader import SPLITS, Shards
from tests.end_to_end.program import HERE
from tests.guide import blocks_of
from tests.media_files import grey_ramp, tone, write_media
from tests.systems.dali_place import make_place

TINY = ("--config", str(HERE / "tiny.yaml"), "--model.init_args.decoder.init_args.config", str(HERE / "tiny_llm.json"))
SHORT = ("--trainer.max_steps", "2", "--trainer.logger", "false")


def write_file(path: Path) -> None:
    """A video with sound, or a sound, whatever the name says."""
    if path.suffix == ".wav":
        write_media(path, wave=tone(0.5), codec="pcm_s16le")
    else:
        write_media(path, wave=tone(0.5), pictures=grey_ramp(3))


@pytest.mark.slow
def test_the_four_steps_work(
    demo_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    place = make_place(tmp_path / "place", demo_root)
    monkeypatch.chdir(place)
    blocks = blocks_of("Add a data set in four steps")
    tables = [code for language, code in blocks if language == "csv"]
    Path("my_clips").mkdir()
    for split, table in zip(("train", "val", "test"), tables, strict=True):
        Path(f"my_clips/{split}.csv").write_text(table)
        for row in csv.DictReader(table.splitlines()):
            write_file(place / "my_clips" / row["file_name"])
    (config,) = (code for language, code in blocks if language == "yaml")
    Path("my_clips.yaml").write_text(config)

    commands = [shlex.split(line)[1:] for language, code in blocks if not language for line in code.splitlines()]
    assert [words[0] for words in commands] == ["data", "data", "check", "fit", "test", "caption"]
    for words in commands:
        small = {"check": TINY, "fit": (*TINY, *SHORT), "test": (*TINY, *SHORT)}.get(words[0], ())
        main([*words, *small])

    shards = {split: Shards(Path("my_clips/shards") / split) for split in SPLITS}
    assert {split: len(one.ids) for split, one in shards.items()} == {"train": 4, "val": 2, "test": 2}
    assert shards["test"].info.captions == {"2": 2}
    rows = [json.loads(line) for line in Path("runs/my_clips/predictions.jsonl").read_text().splitlines()]
    assert {tuple(row["references"]) for row in rows} == {
        ("A church bell rings", "A bell tolls in a tower"),
        ("Waves crash on a beach", "The sea roars"),
    }
    assert "No fault found." in capsys.readouterr().out
