"""Distances between the audio and the image tokens of clips."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp

from avcap.metrics import TokenDistance
from avcap.transport import mmd, sinkhorn_divergence
from avcap.types import Tokens

# relative; geomloss anneals from the extent of all points of a batch, so that a clip's value depends on it a little
ANNEALING = 1e-3


def sets(B: int = 6, N: int = 5, M: int = 4, C: int = 3) -> tuple[list[str], Tokens, Tokens]:
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(B, M, C, generator=generator) + 4 * torch.randn(B, 1, C, generator=generator)
    audio = image[:, :1] + torch.randn(B, N, C, generator=generator)
    return [f"clip{i}" for i in range(B)], Tokens(audio), Tokens(image)


def measured(*batches: tuple[list[str], Tokens, Tokens]) -> TokenDistance:
    metric = TokenDistance(3)
    for batch in batches:
        metric.update(*batch)
    return metric


def test_is_the_mean_over_clips_of_the_distances_of_their_sets() -> None:
    ids, audio, image = sets()
    found = measured((ids, audio, image)).compute()
    assert found["mmd"] == pytest.approx(mmd(audio.x, image.x).mean().item(), rel=1e-5)
    assert found["sinkhorn_divergence"] == pytest.approx(
        sinkhorn_divergence(audio.x, image.x, mask_x=audio.mask, mask_y=image.mask).mean().item(), rel=1e-5
    )


def test_equal_sets_are_at_no_distance_and_each_sound_finds_its_picture() -> None:
    ids, _, image = sets()
    found = measured((ids, image, image)).compute()
    assert found == {
        "mmd": pytest.approx(0, abs=1e-5),
        "sinkhorn_divergence": pytest.approx(0, abs=1e-5),
        "recall_1": 1.0,
    }


def test_recall_counts_the_clips_that_are_nearest_to_their_own_picture() -> None:
    ids, _, image = sets()
    swapped = Tokens(image.x[[1, 0, 2, 3, 4, 5]])
    assert measured((ids, swapped, image)).compute()["recall_1"] == pytest.approx(4 / 6)


def test_cutting_into_batches_and_repeating_clips_changes_nothing() -> None:
    ids, audio, image = sets()
    whole = measured((ids, audio, image)).compute()
    first, last = ((ids[part], Tokens(audio.x[part]), Tokens(image.x[part])) for part in (slice(0, 4), slice(2, 6)))
    parts = measured(first, last)
    assert parts.compute() == pytest.approx(whole, rel=ANNEALING)
    assert parts.found.ids == ids
    torch.testing.assert_close(parts.found.image, image.x.mean(1))


def test_padding_and_clips_that_lack_a_stream_take_no_part() -> None:
    ids, audio, image = sets()
    mask = torch.ones(6, 7, dtype=torch.bool)
    mask[:, 5:] = False
    mask[5] = False
    padded = Tokens(torch.cat([audio.x, torch.full((6, 2, 3), torch.nan)], dim=1), mask)
    metric = measured((ids, padded, image))
    alone = measured((ids[:5], Tokens(audio.x[:5]), Tokens(image.x[:5])))
    assert metric.compute() == pytest.approx(alone.compute(), rel=ANNEALING)
    assert metric.found.ids == ids[:5]


def test_no_clip_with_both_is_told() -> None:
    ids, audio, image = sets()
    nothing = Tokens(audio.x, torch.zeros(6, 5, dtype=torch.bool))
    with pytest.raises(ValueError, match="No clip has both"):
        measured((ids, nothing, image)).compute()


def _on_one_of_three(rank: int, folder: str) -> None:
    """The third process sees no clip at all; the first two share the clips, one of them twice."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=3)
    ids, audio, image = sets()
    metric = TokenDistance(3)
    part = (slice(0, 4), slice(3, 6), slice(0, 0))[rank]
    if ids[part]:
        metric.update(ids[part], Tokens(audio.x[part]), Tokens(image.x[part]))
    torch.save((metric.compute(), sorted(metric.found.ids)), Path(folder) / f"{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_three_processes_find_what_one_does(tmp_path: Path) -> None:
    mp.spawn(_on_one_of_three, (str(tmp_path),), nprocs=3)
    expected = measured(sets()).compute()
    for rank in range(3):
        values, ids = torch.load(tmp_path / f"{rank}.pt", weights_only=False)
        assert values == pytest.approx(expected, rel=ANNEALING)
        assert ids == sets()[0]
