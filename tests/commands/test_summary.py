"""`avcap summary` of a finished run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from avcap.cli import main


def test_a_summary_has_the_table_captions_files_and_what_to_try_next(tiny_run: Path, capsys):
    main(["summary", str(tiny_run)])
    out = capsys.readouterr().out
    results = json.loads((tiny_run / "results.json").read_text())
    assert results["id_hash"] in out
    assert results["name"] in out
    assert "human" in out.lower()
    assert f"{results['scores']['unique_ratio']:.0%} of the captions are unique" in out
    assert f"{results['scores']['vocab']:.0f} words are used" in out
    speed = json.loads((tiny_run / "speed.json").read_text())
    assert results["training"] == speed
    assert f"Trained at {speed['clips_per_second']:.1f} clips/s, {speed['tokens_per_second']:,.0f} tokens/s" in out
    assert out.count("reference: ") == 5
    for path in [*(tiny_run / "maps").glob("*.png"), tiny_run / "predictions.jsonl", tiny_run / "results.json"]:
        assert str(path) in out
    assert f"avcap caption your_clip.mp4 --ckpt_path {tiny_run}/checkpoints/best.ckpt" in out


def test_captions_in_a_summary_are_those_of_the_file(tiny_run: Path, capsys):
    main(["summary", str(tiny_run), "--examples", "2"])
    out = capsys.readouterr().out
    rows = [json.loads(line) for line in (tiny_run / "predictions.jsonl").read_text().splitlines()]
    assert out.count("reference: ") == 2
    assert f"  {rows[0]['id']}  {rows[0]['caption']}\n" in out
    assert rows[0]["references"][0] in out


def test_captions_without_scores_are_shown(tiny_run: Path, tmp_path: Path, capsys):
    """After `avcap predict` alone, and beside those of a test."""
    rows = [{"id": f"clip_{place}", "caption": f"sound {place}"} for place in range(3)]
    (tmp_path / "captions_val.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    main(["summary", str(tmp_path)])
    out = capsys.readouterr().out
    assert "clip_1  sound 1" in out
    assert "reference" not in out
    for name in ("results.json", "predictions.jsonl"):
        shutil.copy(tiny_run / name, tmp_path / name)
    main(["summary", str(tmp_path)])
    out = capsys.readouterr().out
    assert "clip_1  sound 1" in out
    assert out.count("reference: ") == 5
    assert f"  {tmp_path / 'captions_val.jsonl'}\n" in out


def test_a_folder_without_results_is_refused(tmp_path: Path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["summary", str(tmp_path)])
    assert stop.value.code == 1
    assert "avcap test" in capsys.readouterr().err
