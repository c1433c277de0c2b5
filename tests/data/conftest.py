"""Shards made once for the tests of the data pipeline."""

from __future__ import annotations

from pathlib import Path

import pytest

from avcap.data.prepare import prepare
from tests.data.media_files import small_set


@pytest.fixture(scope="session")
def small_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """26 train and 5 val clips of half a second with their captions, in the AudioCaps layout."""
    return small_set(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def small_shards(small_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their shards: 4 train shards, 2 pictures of 16 pixels."""
    out = tmp_path_factory.mktemp("shards")
    prepare(small_root, out, frames=2, size=16, clips_per_shard=8, num_workers=1, progress=False)
    return out
