"""Clotho's layout: sound alone, five captions in one row; a captioner of both streams is tested on it as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
from lightning.pytorch import Trainer

from avcap.shards.prepare import prepare
from avcap.systems import Captioner
from tests.media_files import tone, write_csv
from tests.served import served
from tests.systems.parts import Concat, LinearAudio, MeanVisual, WordDecoder

NAMES = ("Bees & birds (2).wav", "20100422.waterfall.wav", "train 01.wav", "gone.wav")


@pytest.fixture
def clotho(tmp_path: Path) -> Path:
    """A test split of four recordings, one of them lost; 44.1 kHz in two channels, as Clotho's are."""
    columns = ("file_name", *(f"caption_{k}" for k in range(1, 6)))
    rows = [(name, *(f"Caption {k}, of {name}." for k in range(1, 6))) for name in NAMES]
    write_csv(tmp_path / "test.csv", columns, rows)
    (tmp_path / "evaluation").mkdir()
    for name in NAMES[:-1]:
        wave = tone(0.4, 44_100)
        soundfile.write(tmp_path / "evaluation" / name, [[level, level] for level in wave], 44_100)
    return tmp_path


def test_a_captioner_is_tested_on_clotho_without_training(clotho: Path, tmp_path: Path) -> None:
    (info,) = prepare(clotho, frames=0, num_workers=1).splits
    assert (info.split, info.clips, len(info.missing), len(info.broken), len(info.ids)) == ("test", 4, 1, 0, 3)
    data = served(clotho / "shards", batch_size=2, reads=("audio",))
    batches = list(data.test_dataloader())
    assert [name for b in batches for name in b["id"]] == [name.removesuffix(".wav") for name in NAMES[:-1]]
    assert batches[0]["references"][1] == [f"Caption {k}, of {NAMES[1]}." for k in range(1, 6)]
    assert batches[0]["audio_mask"].sum(1).tolist() == [38, 38]  # 0.4 s: a row of 25 ms every 10 ms
    assert "frames" not in batches[0]
    model = Captioner(LinearAudio(), MeanVisual(), Concat, WordDecoder, metrics=["bleu_4", "cider_d"])
    settings = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    (scores,) = Trainer(default_root_dir=tmp_path, **settings).test(model, data, verbose=False)
    assert {"test/bleu_4", "test/cider_d"} <= set(scores)
    assert [len(row["references"]) for row in model.test_scores.rows()] == [5, 5, 5]
