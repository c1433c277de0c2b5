"""Shared fixtures."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from avcap.shards.prepare import prepare
from tests.media_files import small_set

PATIENCE = 300.0  # seconds to wait for another worker's folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The optional folder of real recordings and caption files beside the checkout; tests that need it skip without it."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(
            "real recordings and AudioCaps captions are not distributed; put them in ../shared/data to run this"
        )
    return folder


@pytest.fixture(scope="session")
def common_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of one test session share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Let ``make`` fill ``folder``, in whichever worker comes first; the others wait for it."""
    done, lock = folder.with_suffix(".done"), folder.with_suffix(".lock")
    deadline = time.monotonic() + PATIENCE
    while not done.exists():
        try:
            lock.mkdir()
        except FileExistsError:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{folder} was not made by another worker in {PATIENCE:.0f} s") from None
            time.sleep(0.2)
            continue
        try:
            if not done.exists():
                make(folder)
                done.touch()
        finally:
            lock.rmdir()
    return folder


@pytest.fixture(scope="session")
def demo_root(common_folder: Path) -> Path:
    """The embedded data set, tiny (32, 6 and 9 clips), with its shards (4 pictures of 64 pixels, a column of 64 mel bins). Not to be changed."""

    def make(folder: Path) -> None:
        from avcap.commands.derive import derive
        from avcap.frontends import KaldiFbank
        from avcap.scenes.dataset import build_dataset
        from avcap.shards.prepare import prepare

        build_dataset(folder, train=32, val=6, test=9, num_workers=1)
        prepare(folder, frames=4, size=64, num_workers=1)
        derive(folder / "shards", frontend=KaldiFbank(), num_workers=1)

    return made_once(common_folder / "tiny_demo", make)


@pytest.fixture(scope="session")
def tiny_run(common_folder: Path, demo_root: Path) -> Path:
    """The folder of a finished run of the tiny system: two epochs, then a test of its last checkpoint. Not to be changed."""

    def make(folder: Path) -> None:
        from avcap.cli import main
        from tests.end_to_end.program import options

        main(["fit", *options(demo_root, folder)])
        main(["test", *options(demo_root, folder, "--ckpt_path", str(folder / "checkpoints" / "last.ckpt"))])

    return made_once(common_folder / "tiny_run", make)


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
