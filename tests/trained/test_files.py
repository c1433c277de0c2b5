"""Files of a command line, and loose files made into the input that a captioner was trained on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile
import torch

from avcap.data import AudioCapsDataModule
from avcap.data.collate import collate
from avcap.trained.files import FileCaptioner, parse_files
from tests.data.media_files import tone


def test_a_pair_is_two_files_unless_one_has_that_name(tmp_path: Path):
    odd = tmp_path / "a+b.wav"
    odd.touch()
    words = [Path("a.mp4"), Path("a.wav+b.jpg"), odd, Path("a+b+c.wav")]
    assert parse_files(words) == [Path("a.mp4"), (Path("a.wav"), Path("b.jpg")), odd, Path("a+b+c.wav")]


@pytest.fixture(scope="module")
def captioner(tiny_run: Path) -> FileCaptioner:
    return FileCaptioner.from_checkpoint(tiny_run / "checkpoints" / "last.ckpt")


def test_a_loose_file_becomes_the_batch_that_its_shard_gives(captioner: FileCaptioner, demo_root: Path):
    """The shards hold float16 spectrograms, hence the tolerance; pictures are equal."""
    dataset = AudioCapsDataModule(demo_root / "shards", num_workers=0, target_length=512).dataset("test")
    for index in (0, 4):
        stored = collate([dataset[index]])
        (file,) = (demo_root / "videos").rglob(f"*{stored['id'][0]}*")
        loose, found = captioner.load(file)
        torch.testing.assert_close(loose["fbank"].cpu(), stored["fbank"], atol=4e-3, rtol=1e-3)
        assert torch.equal(loose["fbank_mask"].cpu(), stored["fbank_mask"])
        assert torch.equal(loose["frames"].cpu(), stored["frames"])
        assert found.streams == ("audio", "video")


def test_a_loose_file_gets_the_caption_of_the_test(captioner: FileCaptioner, demo_root: Path, tiny_run: Path):
    rows = [json.loads(line) for line in (tiny_run / "predictions.jsonl").read_text().splitlines()]
    for row in rows[:3]:
        (file,) = (demo_root / "videos").rglob(f"*{row['id']}*")
        captions, maps = captioner.caption(captioner.load(file)[0])
        assert captions == [row["caption"]]
        assert maps["plan"].plan.sum().item() == pytest.approx(1, abs=1e-3)


def test_a_file_without_the_only_stream_that_is_read_is_refused(captioner: FileCaptioner, tmp_path: Path):
    soundfile.write(tmp_path / "sound.wav", tone(1), 16_000)
    encoder, captioner.model.audio_encoder = captioner.model.audio_encoder, None
    try:
        with pytest.raises(ValueError, match=r"sound\.wav has no video"):
            captioner.load(tmp_path / "sound.wav")
    finally:
        captioner.model.audio_encoder = encoder
