from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp

from avcap.metrics import CaptionScores, evaluate
from avcap.metrics.tokenise import PlainTokenizer
from avcap.metrics.wire import pack_rows, unpack_rows

CLIPS = [(f"clip{i}_0", f"a {word} sounds", [f"the {word} sounds", f"a {word} is heard"])
         for i, word in enumerate(["dog", "cat", "bell", "rain", "siren", "wind", "café"])]  # fmt: skip


def feed(metric: CaptionScores, clips: list) -> None:
    metric.update([c[0] for c in clips], [c[1] for c in clips], [c[2] for c in clips])


@pytest.fixture
def expected() -> dict[str, float]:
    metrics = ["cider_d", "unique_ratio", "vocab", "length"]
    return evaluate({c[0]: c[1] for c in CLIPS}, {c[0]: c[2] for c in CLIPS}, metrics=metrics,
                    tokenizer=PlainTokenizer()).corpus  # fmt: skip


def test_one_process(expected):
    metric = CaptionScores()
    feed(metric, CLIPS[:3])
    feed(metric, CLIPS[3:])
    assert metric.compute() == expected
    row = metric.rows()[-1]
    assert (row["id"], row["caption"], row["references"]) == CLIPS[-1]
    assert row["scores"]["cider_d"] > 0
    assert len(metric.rows()) == metric.scores.clip_count == 7


def test_a_repeated_clip_counts_once_and_its_first_caption(expected):
    metric = CaptionScores()
    feed(metric, CLIPS)
    feed(metric, [(CLIPS[0][0], "something else", CLIPS[0][2])])
    assert metric.compute() == expected
    assert metric.rows()[0]["caption"] == CLIPS[0][1]


def test_reset_and_copy():
    metric = CaptionScores()
    feed(metric, CLIPS)
    assert copy.deepcopy(metric).compute() == metric.compute()
    metric.reset()
    with pytest.raises(RuntimeError, match=r"call compute\(\)"):
        metric.rows()
    feed(metric, CLIPS[:2])
    assert metric.compute()["length"] == 3


def test_no_clip_at_all_is_an_error():
    with pytest.warns(UserWarning, match="before the ``update``"), pytest.raises(ValueError, match="no references"):
        CaptionScores().compute()


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="2 ids, 1 predictions and 1 lists"):
        CaptionScores().update(["a", "b"], ["x"], [["y"]])


def test_state_is_bytes_that_travel():
    rows = [["a\nb", "café", ["\u2028"]], {"k": 1}]
    packed = pack_rows(rows)
    assert packed.dtype == torch.uint8
    assert unpack_rows([packed, pack_rows([]), packed]) == rows + rows


def worker(rank: int, world: int, folder: str, shares: list[list[int]]) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world)
    metric = CaptionScores()
    for index in shares[rank]:
        feed(metric, [CLIPS[index]])
    result = metric.compute(), [row["id"] for row in metric.rows()]
    torch.save(result, Path(folder) / f"{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize(
    "shares",
    [[[0, 2, 4, 6], [1, 3, 5, 0]], [[0, 1, 2, 3, 4, 5, 6], []], [[], [6, 5, 4, 3, 2, 1, 0, 3]]],
    ids=["padded", "second process empty", "first process empty"],
)
@pytest.mark.filterwarnings("ignore")
def test_two_processes_score_every_clip_once(shares, expected, tmp_path):
    mp.start_processes(worker, args=(2, str(tmp_path), shares), nprocs=2, start_method="fork")
    for rank in range(2):
        scores, ids = torch.load(tmp_path / f"{rank}.pt")
        assert scores == expected
        assert ids == sorted(c[0] for c in CLIPS)


def failing_worker(rank: int, world: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world)
    metric = CaptionScores(metrics=["no such metric"])
    feed(metric, CLIPS)
    try:
        metric.compute()
    except (ValueError, RuntimeError) as error:
        torch.save(f"{type(error).__name__}: {error}", Path(folder) / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def test_a_fault_in_the_first_process_reaches_all(tmp_path):
    mp.start_processes(failing_worker, args=(2, str(tmp_path)), nprocs=2, start_method="fork")
    assert torch.load(tmp_path / "0.pt").startswith("ValueError: unknown metric")
    assert "the first process failed: ValueError: unknown metric" in torch.load(tmp_path / "1.pt")
