"""Files of a command line, and loose files made into the input that a captioner was trained on."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import soundfile
import torch

import avcap
from avcap.data.collate import collate
from avcap.shards.reading import parse_files
from avcap.trained.files import FileCaptioner, load_captioner
from tests.media_files import tone
from tests.served import served


def test_a_pair_is_two_files_unless_one_has_that_name(tmp_path: Path):
    odd = tmp_path / "a+b.wav"
    odd.touch()
    words = [Path("a.mp4"), Path("a.wav+b.jpg"), odd, Path("a+b+c.wav")]
    assert parse_files(words) == [Path("a.mp4"), (Path("a.wav"), Path("b.jpg")), odd, Path("a+b+c.wav")]


@pytest.fixture(scope="module")
def captioner(tiny_run: Path) -> FileCaptioner:
    return FileCaptioner.from_checkpoint(tiny_run / "checkpoints" / "last.ckpt")


def test_a_loose_file_becomes_the_batch_that_its_shard_gives(captioner: FileCaptioner, demo_root: Path):
    """Both read the sound with 16 bits; the derived column of the shards is float16, hence the tolerance. Pictures are equal."""
    dataset = served(demo_root / "shards", frontend=captioner.frontend, frames=captioner.frames).dataset("test")
    for index in (0, 4):
        stored = collate([dataset[index]])
        (file,) = (demo_root / "videos").rglob(f"*{stored['id'][0]}*")
        loose, found = captioner.load(file)
        torch.testing.assert_close(loose["audio"].cpu(), stored["audio"], atol=4e-3, rtol=1e-3)
        assert torch.equal(loose["audio_mask"].cpu(), stored["audio_mask"])
        assert torch.equal(loose["frames"].cpu(), stored["frames"])
        assert found.streams == ("audio", "video")


def test_a_loose_file_gets_the_caption_of_the_test(captioner: FileCaptioner, demo_root: Path, tiny_run: Path):
    rows = [json.loads(line) for line in (tiny_run / "predictions.jsonl").read_text().splitlines()]
    for row in rows[:3]:
        (file,) = (demo_root / "videos").rglob(f"*{row['id']}*")
        found = captioner.caption(str(file))
        assert (found.text, found.file) == (row["caption"], str(file))
        assert found.plan.ndim == 2
        assert found.plan.sum().item() == pytest.approx(1, abs=1e-3)


def test_a_file_without_the_only_stream_that_is_read_is_refused(captioner: FileCaptioner, tmp_path: Path):
    soundfile.write(tmp_path / "sound.wav", tone(1), 16_000)
    encoder, captioner.model.audio_encoder = captioner.model.audio_encoder, None
    try:
        with pytest.raises(ValueError, match=r"sound\.wav has no video"):
            captioner.load(tmp_path / "sound.wav")
    finally:
        captioner.model.audio_encoder = encoder


CAPTION = """
import sys
import avcap
found = avcap.load(sys.argv[1]).caption(sys.argv[2])
assert found.text.strip() and found.plan is not None
print(sorted({"lightning", "pytorch_lightning", "jsonargparse", "litdata", "torchmetrics"} & sys.modules.keys()))
"""


def test_captioning_a_file_from_python_loads_neither_lightning_nor_its_config_parser(tiny_run: Path, demo_root: Path):
    checkpoint, file = tiny_run / "checkpoints" / "last.ckpt", next((demo_root / "videos").rglob("*.mp4"))
    done = subprocess.run(
        [sys.executable, "-c", CAPTION, str(checkpoint), str(file)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_front_door_shows_its_names_and_every_one_of_them_opens():
    assert set(avcap.__all__) <= set(dir(avcap))
    assert all(getattr(avcap, name) is not None for name in avcap.__all__)


def test_the_files_of_a_checkpoint_go_when_its_model_goes(tiny_run: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    model, _ = load_captioner(tiny_run / "checkpoints" / "last.ckpt")
    gc.collect()
    assert len(list(tmp_path.iterdir())) == 1
    del model
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_of_another_system_is_refused(tmp_path: Path):
    torch.save({"hyper_parameters": {"_class_path": "avcap.systems.Alignment"}, "state_dict": {}}, tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=r"a\.ckpt is of avcap\.systems\.Alignment, not of a captioner"):
        avcap.load(tmp_path / "a.ckpt")
