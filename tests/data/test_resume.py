"""Exact resume in mid-epoch, over the following epochs too: a loader alone, under Lightning, and on two ranks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch

from avcap.data import FrameChoice, NoiseRoll, SpecAugment
from avcap.data.loader import ClipLoader
from avcap.shards.reader import Shards
from tests.resume_run import EPOCHS, Stopped, run
from tests.served import served

REPOSITORY = Path(__file__).resolve().parents[2]


def _loader(shards: Path, workers: int) -> ClipLoader:
    transforms = [SpecAugment(4, 20), NoiseRoll()]
    return served(shards, num_workers=workers, transforms=transforms, seed=7).train_dataloader()


def _epochs(loader: ClipLoader, first: int, last: int = EPOCHS) -> list[dict]:
    batches = []
    for epoch in range(first, last):
        loader.set_epoch(epoch)
        batches += list(loader)
    return batches


def _same(one: list[dict], two: list[dict]) -> None:
    assert [b["id"] for b in one] == [b["id"] for b in two]
    assert [b["caption"] for b in one] == [b["caption"] for b in two]
    for a, b in zip(one, two, strict=True):
        assert torch.equal(a["audio"], b["audio"])


@pytest.mark.parametrize(("before", "after"), [(0, 0), (2, 2), (2, 0)])
def test_a_loader_goes_on_where_it_stopped(small_shards: Path, before: int, after: int) -> None:
    whole = _epochs(_loader(small_shards, 0), 0)
    assert len(whole) == 21
    assert all(n == EPOCHS for n in Counter(i for b in whole for i in b["id"]).values())
    for epoch, stop in ((0, 1), (1, 3), (1, 7)):
        killed = _loader(small_shards, before)
        _epochs(killed, 0, epoch)
        killed.set_epoch(epoch)
        read = iter(killed)
        for _ in range(stop):
            next(read)
        state = json.loads(json.dumps(killed.state_dict()))
        read.close()
        again = _loader(small_shards, after)
        again.load_state_dict(state)
        _same(_epochs(again, epoch + (stop == 7)), whole[7 * epoch + stop :])


def test_the_state_before_the_first_batch_of_an_epoch_is_its_beginning(small_shards: Path) -> None:
    loader = _loader(small_shards, 0)
    _epochs(loader, 0, 1)
    loader.set_epoch(1)
    assert (loader.state_dict()["epoch"], loader.state_dict()["step"]) == (1, 0)


def _lines(log: Path, rank: int = 0) -> list[dict]:
    return [json.loads(line) for line in log.with_suffix(f".rank{rank}").read_text().splitlines()]


@pytest.mark.parametrize(("stop", "workers"), [(3, 0), (9, 0), (9, 2), (14, 0)])
@pytest.mark.filterwarnings("ignore")
def test_lightning_goes_on_where_it_stopped(small_shards: Path, tmp_path: Path, stop: int, workers: int) -> None:
    """Seven steps an epoch: stopped in the first epoch, in the second, and after the last step of the second."""
    run(small_shards, tmp_path / "whole")
    whole = [line for line in _lines(tmp_path / "whole") if line["kind"] == "train"]
    with pytest.raises(Stopped):
        run(small_shards, tmp_path / "a", stop_at=stop, checkpoint=tmp_path / "a.ckpt", workers=workers)
    run(small_shards, tmp_path / "b", resume=tmp_path / "a.ckpt", workers=workers)
    before = [line for line in _lines(tmp_path / "a") if line["kind"] == "train"]
    after = [line for line in _lines(tmp_path / "b") if line["kind"] == "train"]
    assert len(whole) == 21
    assert before == whole[:stop]
    assert after == whole[stop:]


@pytest.mark.slow
def test_two_ranks_go_on_where_they_stopped(small_shards: Path, tmp_path: Path) -> None:
    """Both ranks, two workers each, none after the stop; every clip once an epoch over the ranks, and validation complete.

    They learn what one process does with batches of twice the size.
    """
    checkpoint = tmp_path / "a.ckpt"
    _ranks(small_shards, tmp_path / "whole")
    _ranks(small_shards, tmp_path / "a", "--stop-at", "9", "--checkpoint", str(checkpoint), fails=True)
    _ranks(small_shards, tmp_path / "b", "--resume", str(checkpoint), "--workers", "0")
    run(small_shards, tmp_path / "one")
    learnt = [_lines(tmp_path / name, rank)[-1]["value"] for name in ("whole", "b") for rank in (0, 1)]
    assert learnt == pytest.approx(4 * [_lines(tmp_path / "one")[-1]["value"]], rel=1e-6)
    assert abs(learnt[0]) > 0.01
    ids = Shards(small_shards / "train").ids
    epochs = [Counter() for _ in range(EPOCHS)]
    for rank in (0, 1):
        whole, before, after = (
            [line for line in _lines(tmp_path / name, rank) if line["kind"] == "train"] for name in ("whole", "a", "b")
        )
        assert before == whole[:9]
        assert after == whole[9:]
        for line in whole:
            epochs[line["epoch"]].update(line["id"])
    assert all(epoch == Counter(ids) for epoch in epochs)
    seen = {
        i for rank in (0, 1) for line in _lines(tmp_path / "whole", rank) if line["kind"] == "val" for i in line["id"]
    }
    assert seen == set(Shards(small_shards / "val").ids)


def _ranks(shards: Path, log: Path, *options: str, fails: bool = False) -> None:
    command = [sys.executable, "-m", "tests.resume_run", str(shards), str(log), "--devices", "2", "--workers", "2"]
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY / 'src'}:{REPOSITORY}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *options], cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert (done.returncode != 0) == fails, done.stderr[-3000:]


def test_other_clips_or_frames_are_refused_in_mid_epoch(small_shards: Path, tmp_path: Path) -> None:
    def loader(folder: Path, **settings: object) -> ClipLoader:
        return served(folder, **settings).train_dataloader()

    state = loader(small_shards).batch_sampler.state_dict(2)
    loader(small_shards).load_state_dict(state)
    shutil.copytree(small_shards, tmp_path / "shards")
    info = tmp_path / "shards" / "train" / "info.json"
    info.write_text(info.read_text().replace("clip0000007_7", "clip9999999_7"))
    with pytest.raises(
        ValueError, match=r"Cannot resume .*hash_of_ids was \w+ and is \w+ \(.*restore these settings and data"
    ):
        loader(tmp_path / "shards").load_state_dict(state)
    with pytest.raises(
        ValueError, match=r"frames was 2 of 2 at 16 pixels \(even\) and is 1 of 2 at 16 pixels \(even\)"
    ):
        loader(small_shards, frames=FrameChoice(1)).load_state_dict(state)
