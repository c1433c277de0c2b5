"""`avcap dali pseudo-label`: every clip once, after a kill too, with a note of where the captions come from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from lightning.pytorch import Trainer

from avcap.captions.rows import CaptionRows
from avcap.cli import main
from avcap.commands import pseudo_label
from avcap.commands.pseudo_label import label
from avcap.data import AudioCapsDataModule
from avcap.systems import Captioner
from avcap.systems.system import adamw
from tests.end_to_end.program import options, program
from tests.end_to_end.test_ddp import TWO
from tests.systems.parts import LinearAudio, OnlySound, WordDecoder

PROVENANCE = {"split": "train", "checkpoint": None, "generation": {"num_beams": 4}}


class Killed(Exception):
    pass


class Mortal(Captioner):
    """Dies after some batches."""

    batches = 0
    dies_after = 1000

    def predict_step(self, batch, batch_idx):
        if self.batches == self.dies_after:
            raise Killed
        self.batches += 1
        return super().predict_step(batch, batch_idx)


def captioner(**changes) -> Mortal:
    model = Mortal(LinearAudio(mels=64), None, OnlySound, WordDecoder)
    for name, value in changes.items():
        setattr(model, name, value)
    return model


def run(demo_root: Path, out: Path, model: Captioner, **changes) -> list[dict]:
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = Trainer(default_root_dir=out.parent, accelerator="cpu", **quiet)
    data = AudioCapsDataModule(demo_root / "shards", batch_size=8, num_workers=0)
    label(trainer, model, data, provenance={**PROVENANCE, **changes}, out=out)
    return lines(out)


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def ids(demo_root: Path, split: str = "train") -> list[str]:
    return json.loads((demo_root / "shards" / split / "info.json").read_text())["ids"]


def test_every_clip_is_captioned_once_and_the_data_module_takes_the_file(demo_root: Path, tmp_path: Path):
    head, *rows = run(demo_root, tmp_path / "pseudo.jsonl", captioner())
    assert [row["id"] for row in rows] == ids(demo_root)
    assert {row["caption"] for row in rows} <= set(WordDecoder.words)
    assert head["provenance"].items() >= PROVENANCE.items()
    assert head["provenance"]["clips"] == 32
    assert len(head["provenance"]["id_hash"]) == 12
    found = CaptionRows.read(tmp_path / "pseudo.jsonl")
    assert found.split == "train"
    assert len(found.rows) == 32
    assert [path.name for path in tmp_path.iterdir()] == ["pseudo.jsonl"]


def test_a_killed_run_goes_on_with_the_clips_that_are_missing(demo_root: Path, tmp_path: Path):
    out = tmp_path / "pseudo.jsonl"
    first = captioner(dies_after=2)
    with pytest.raises(Killed):
        run(demo_root, out, first)
    assert not out.exists()
    part = tmp_path / "pseudo.jsonl.parts" / "0.jsonl"
    assert len(lines(part)) == 16
    part.write_text(part.read_text()[:-9])  # and the last line was not written to its end
    second = captioner()
    rows = run(demo_root, out, second)[1:]
    assert second.batches == 3  # of 8: the 17 that are missing
    assert [row["id"] for row in rows] == ids(demo_root)
    assert all(row["caption"] in WordDecoder.words for row in rows)


def test_captions_of_other_weights_are_not_mixed(demo_root: Path, tmp_path: Path):
    with pytest.raises(Killed):
        run(demo_root, tmp_path / "pseudo.jsonl", captioner(dies_after=1))
    with pytest.raises(ValueError, match=r"pseudo.jsonl.parts was begun with other weights or settings; delete it"):
        run(demo_root, tmp_path / "pseudo.jsonl", captioner(), generation={"num_beams": 1})


def test_no_caption_at_all_is_told(demo_root: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(WordDecoder, "words", ("a dog barks", " ", "rain falls"))
    model = captioner()
    model.decoder.head.bias.data[1] = 1e4
    with pytest.raises(ValueError, match="No clip got a caption"):
        run(demo_root, tmp_path / "pseudo.jsonl", model)
    assert not (tmp_path / "pseudo.jsonl").exists()


def words(demo_root: Path, tiny_run: Path, folder: Path, *more: str) -> list[str]:
    checkpoint = ("--ckpt_path", str(tiny_run / "checkpoints" / "last.ckpt"), "--split", "test")
    out = ("--out", str(folder / "pseudo.jsonl"), "--trainer.logger", "false")
    return ["dali", "pseudo-label", *options(demo_root, folder / "run", *checkpoint, *out, *more)]


def test_the_program_captions_as_test_does_and_notes_weights_and_settings(
    demo_root: Path, tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    main(words(demo_root, tiny_run, tmp_path))
    made = (tmp_path / "pseudo.jsonl").stat().st_mtime_ns
    main(words(demo_root, tiny_run, tmp_path))  # a second call has nothing to do
    assert "holds the captions of this captioner already" in capsys.readouterr().out
    assert (tmp_path / "pseudo.jsonl").stat().st_mtime_ns == made
    head, *rows = lines(tmp_path / "pseudo.jsonl")
    tested = {row["id"]: row["caption"] for row in lines(tiny_run / "predictions.jsonl")}
    assert {row["id"]: row["caption"] for row in rows} == tested
    about = head["provenance"]
    checkpoint = tiny_run / "checkpoints" / "last.ckpt"
    assert about["split"] == "test"
    assert about["files"][str(checkpoint)] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert about["model"]["init_args"]["decoder"]["class_path"].endswith("CausalLMDecoder")
    assert about["generation"]["num_beams"] == 2
    assert not (tmp_path / "run" / "predictions.jsonl").exists()


def test_the_provenance_of_a_default_optimiser_is_the_same_in_every_process():
    assert pseudo_label._name(adamw) == "avcap.systems.system.adamw"


@pytest.mark.slow
def test_two_processes_share_the_clips(demo_root: Path, tiny_run: Path, tmp_path: Path):
    done = program(*words(demo_root, tiny_run, tmp_path, *TWO))
    assert done.returncode == 0, done.stderr[-3000:]
    rows = lines(tmp_path / "pseudo.jsonl")[1:]
    tested = {row["id"]: row["caption"] for row in lines(tiny_run / "predictions.jsonl")}
    assert [row["id"] for row in rows] == ids(demo_root, "test")
    assert {row["id"]: row["caption"] for row in rows} == tested


def test_a_start_that_failed_before_its_first_caption_binds_nobody(demo_root: Path, tmp_path: Path):
    out = tmp_path / "pseudo.jsonl"
    with pytest.raises(Killed):
        run(demo_root, out, captioner(dies_after=0), generation={"num_beams": 1})
    assert len(run(demo_root, out, captioner())) == 33
