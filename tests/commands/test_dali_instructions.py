"""`avcap dali instructions`: its rows, what they are made of, and when a file is kept, refused or written anew."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from avcap.captions.rows import CaptionRows
from avcap.cli import main
from avcap.data import AudioCapsDataModule, Captions, FrameChoice
from avcap.decoders import LlavaDecoder
from avcap.decoders.llava import SOUND_PROMPT
from avcap.scenes.stills import write_stills
from avcap.shards.reader import Shards
from avcap.systems import LanguageModelling
from avcap.weights.reading import sha256
from tests.llava_parts import WIDTH, save_tokenizer, settings


@pytest.fixture(scope="module")
def stills(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five pictures to train on and two to validate."""
    out = tmp_path_factory.mktemp("stills")
    write_stills(out=out, count=5, val=2, size=32, num_workers=0, progress=False)
    return out


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model of random weights, as a run of configs/dali/0a_language.yaml leaves one."""
    folder = tmp_path_factory.mktemp("language")
    save_tokenizer(folder / "tokenizer")
    torch.manual_seed(0)
    LanguageModelling(LlavaDecoder(WIDTH, config=settings(), tokenizer=str(folder / "tokenizer"))).save(folder / "lm")
    return folder / "lm"


@pytest.fixture
def run(model: Path, stills: Path, tmp_path: Path):
    def write(*options: str) -> Path:
        out = tmp_path / "instructions.jsonl"
        main(
            [
                "dali",
                "instructions",
                "--language_model",
                str(model),
                "--shards",
                str(stills),
                "--out",
                str(out),
                *options,
            ]
        )
        return out

    return write


def test_each_caption_gives_itself_and_an_answer(run, stills: Path, model: Path):
    found = CaptionRows.read(run("--batch_size", "2", "--seed", "3"))
    shards = Shards(stills / "train")
    captions = [texts[0] for texts in shards.captions(range(5))]
    assert [row.id for row in found.rows] == [clip for clip in shards.ids for _ in range(2)]
    assert [(row.caption, row.prompt) for row in found.rows[::2]] == [(caption, None) for caption in captions]
    answers = found.rows[1::2]
    assert {row.prompt for row in answers} == {SOUND_PROMPT}
    assert not {row.caption for row in answers} & set(captions)
    about = found.provenance
    assert (about["split"], about["seed"], about["batch_size"], about["clips"]) == ("train", 3, 2, 5)
    assert about["generation"] == {"num_beams": 1, "do_sample": True, "temperature": 1.0, "top_k": 50}
    assert about["files"][str(model / "model.safetensors")] == sha256(model / "model.safetensors")


def test_the_data_module_trains_on_both_and_evaluates_on_the_shards(run, stills: Path):
    data = AudioCapsDataModule(stills, captions=Captions(run()), frames=FrameChoice(1), batch_size=10, num_workers=0)
    (batch,) = data.train_dataloader()
    assert sorted(batch["prompt"], key=str) == [SOUND_PROMPT] * 5 + [None] * 5
    assert batch["frames"].shape == (10, 1, 3, 32, 32)
    (evaluated,) = data.val_dataloader()
    assert "prompt" not in evaluated
    assert evaluated["references"] == Shards(stills / "val").captions(range(2))


def test_the_instruction_and_the_split_can_be_chosen(run, stills: Path):
    found = CaptionRows.read(run("--prompt", "What is it?", "--split", "val"))
    assert found.split == "val"
    assert [row.id for row in found.rows[::2]] == Shards(stills / "val").ids
    assert {row.prompt for row in found.rows[1::2]} == {"What is it?"}


def test_the_same_file_is_kept_and_another_refused_unless_told(run, capsys: pytest.CaptureFixture[str]):
    out = run()
    assert capsys.readouterr().out == f"5 captions and as many answers: {out}\n"
    written, stamp = out.read_text(), out.stat().st_mtime_ns
    run()
    assert capsys.readouterr().out == f"{out} was made before and is kept\n"
    with pytest.raises(SystemExit, match="1"):
        run("--seed", "1", "--temperature", "0.5")
    assert f"{out} was made otherwise (generation, seed); add --overwrite" in capsys.readouterr().err
    assert out.stat().st_mtime_ns == stamp
    run("--overwrite")
    assert out.read_text() == written  # the same draw
    assert out.stat().st_mtime_ns > stamp
    run("--seed", "1", "--overwrite")
    assert out.read_text() != written
    out.write_text(json.dumps({"id": "a", "caption": "not ours"}))
    with pytest.raises(SystemExit, match="1"):
        run()
    assert [path.name for path in out.parent.iterdir()] == [out.name]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--temperature", "0"), "temperature must be positive, top_k at least 0, batch_size at least 1, got 0.0"),
        (("--top_k=-1",), "got 1.0, -1, 256"),
        (("--batch_size", "0"), "got 1.0, 50, 0"),
        (("--split", "test"), "only of train and val"),
        (("--language_model", "runs/none"), "runs/none"),
        (("--prompt", "Look at <image>."), "The prompt 'Look at <image>.' must not hold <image>"),
    ],
)
def test_mistakes_are_told_and_nothing_is_written(
    run, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], sentence: str
):
    with pytest.raises(SystemExit, match="1"):
        run(*options)
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
