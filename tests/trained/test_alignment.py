"""A checkpoint and its clips, looked at again."""

from __future__ import annotations

from pathlib import Path

import pytest

from avcap.frontends import KaldiFbank
from avcap.trained.alignment import AlignmentClips
from avcap.trained.clips import one_clip
from tests.served import served


def test_a_run_that_is_not_there_is_told(tmp_path: Path):
    checkpoint = tmp_path / "checkpoints" / "best.ckpt"
    with pytest.raises(FileNotFoundError, match=r"There is no checkpoint .*best\.ckpt"):
        AlignmentClips.open(checkpoint)
    checkpoint.parent.mkdir()
    checkpoint.touch()
    with pytest.raises(ValueError, match=r"best\.ckpt is empty"):
        AlignmentClips.open(checkpoint)


def test_one_clip_is_found_by_its_id(demo_root: Path):
    clips = served(demo_root / "shards", frontend=KaldiFbank(target_length=512)).dataset("test")
    ids = clips.shards.ids
    assert one_clip(clips, None)["id"] == ids[:1]
    batch = one_clip(clips, ids[4])
    assert batch["id"] == [ids[4]]
    assert batch["audio"].shape == (1, 512, 64)
    with pytest.raises(ValueError, match=f"has no clip nobody; the first ones are {ids[0]}"):
        one_clip(clips, "nobody")
