from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from avcap.cli import main
from avcap.data import AudioCapsDataModule
from avcap.encoders import TimmVisual

SMALL = {"channels": [8, 8, 8, 16], "stem_width": 4}


def folder_of(demo_root: Path, tmp_path: Path) -> Path:
    """Captions of the test split beside the media of the tiny set."""
    (tmp_path / "test.csv").write_text((demo_root / "test.csv").read_text())
    return tmp_path


def run(root: Path, demo_root: Path, *more: str) -> None:
    main(
        [
            *("data", "features", str(root), f"--media={demo_root / 'videos'}", "--frames=3", "--size=32"),
            *("--encoder=TimmVisual", "--encoder.model=resnet10t", "--encoder.image_size=32", "--num_workers=0"),
            *(f"--encoder.model_args={SMALL}", *more),
        ]
    )


def test_features_are_made_once_and_reach_the_shards(demo_root, tmp_path, capsys):
    root = folder_of(demo_root, tmp_path)
    torch.manual_seed(0)
    run(root, demo_root)
    files = sorted((root / "visual_feature").glob("*.npy"))
    assert len(files) == 9
    assert np.load(files[0]).shape == (3, TimmVisual("resnet10t", image_size=32, model_args=SMALL).width)
    before = files[0].stat().st_mtime_ns
    run(root, demo_root)
    assert files[0].stat().st_mtime_ns == before
    assert "0 clips written" in capsys.readouterr().out

    main(
        ["data", "prepare", str(root), f"--media={demo_root / 'videos'}", f"--features={files[0].parent}", "--frames=0"]
    )
    data = AudioCapsDataModule(root / "shards", batch_size=9, num_workers=0)
    data.setup("test")
    batch = next(iter(data.test_dataloader()))
    assert batch["visual_features"].shape == (9, 3, 16)
    row = batch["id"].index(files[0].stem)
    assert np.array_equal(batch["visual_features"][row].numpy(), np.load(files[0]).astype(np.float32))


def test_no_caption_file_is_said(tmp_path, demo_root, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(tmp_path, demo_root)
    assert stopped.value.code == 1
    assert "train.csv" in capsys.readouterr().err
