"""Clips that are parts of a whole recording: what is heard and seen of each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avcap.shards.prepare import prepare
from avcap.shards.reader import Shards
from tests.media_files import tone, write_csv, write_media

pytest.importorskip("avcap.shards.reading")  # which cuts


def test_each_clip_gets_its_own_part(tmp_path: Path) -> None:
    """In the recordings the tone is 300, 600, 900, 1200 Hz, ten seconds each, and pictures grow lighter by the second."""
    wave = np.concatenate([tone(10, hz=hz) for hz in (300, 600, 900, 1200)])
    pictures = [np.full((48, 64, 3), 20 + 5 * k, np.uint8) for k in range(40)]
    for name in ("several", "alone"):
        write_media(tmp_path / f"{name}.mp4", wave=wave, pictures=pictures, fps=1)
    write_media(tmp_path / "clip.mp4", wave=tone(10, hz=500), pictures=pictures[:10], fps=1)
    starts = [("several", 10), ("several", 30), ("several", 90), ("alone", 20), ("clip", 70)]
    write_csv(tmp_path / "test.csv", ("youtube_id", "start_time", "caption"), [(*key, "x") for key in starts])
    (info,) = prepare(tmp_path, frames=2, size=16, num_workers=0, progress=False).splits
    assert info.ids == ["several_10", "several_30", "alone_20", "clip_70"]
    assert [broken["id"] for broken in info.broken] == ["several_90"]
    items = [Shards(tmp_path / "shards/test").item(k) for k in range(4)]
    assert [_pitch(item.waveform.numpy()) for item in items] == pytest.approx([600, 1200, 900, 500], abs=2)
    seen = [picture for item in items for picture in item.frames.float().mean((1, 2, 3)).tolist()]
    times = [12.5, 17.5, 32.5, 37.5, 22.5, 27.5, 2.5, 7.5]
    assert seen == pytest.approx([20 + 5 * int(time) for time in times], abs=3)


def _pitch(wave: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(wave)).argmax() * 16_000 / len(wave))
