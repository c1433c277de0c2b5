"""The order of clips."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avcap.data.sampler import ClipBatchSampler


def _steps(clips: int, batch_size: int, world: int, epoch: int, *, shuffle: bool = True) -> list[list[list[int]]]:
    """rank -> steps -> indices."""
    out = []
    for rank in range(world):
        sampler = ClipBatchSampler(clips, batch_size, shuffle=shuffle, seed=3, rank=rank, world_size=world)
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert {e for batch in batches for e, _ in batch} == {epoch}
        assert len(batches) == len(sampler)
        out.append([[i for _, i in batch] for batch in batches])
    return out


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 7), st.integers(1, 4), st.integers(0, 3), st.booleans())
def test_every_clip_comes_once_and_ranks_have_equal_numbers_of_batches(
    clips: int, batch_size: int, world: int, epoch: int, shuffle: bool
) -> None:
    ranks = _steps(clips, batch_size, world, epoch, shuffle=shuffle)
    assert len({len(steps) for steps in ranks}) == 1
    assert all(1 <= len(batch) <= batch_size for steps in ranks for batch in steps)
    seen = sorted(i for steps in ranks for batch in steps for i in batch)
    assert set(seen) == set(range(clips))
    repeated = len(seen) - clips
    left_over = clips % (batch_size * world)
    assert repeated == (world - left_over if 0 < left_over < world else 0)


def test_a_step_holds_the_same_clips_on_any_number_of_ranks() -> None:
    one, two = _steps(26, 4, 1, 5)[0], _steps(26, 2, 2, 5)
    assert [set(s) for s in one] == [set(a) | set(b) for a, b in zip(*two, strict=True)]


def test_epochs_and_seeds_have_their_own_orders() -> None:
    orders = {tuple(_steps(20, 20, 1, epoch)[0][0]) for epoch in range(5)}
    assert len(orders) == 5
    assert _steps(20, 20, 1, 3) == _steps(20, 20, 1, 3)


def test_other_data_or_batches_are_refused_in_mid_epoch() -> None:
    state = ClipBatchSampler(26, 4, shuffle=True).state_dict(2)
    with pytest.raises(ValueError, match=r"step_size was 4 and is 8 .*restore these settings"):
        ClipBatchSampler(26, 8, shuffle=True).load_state_dict(state)
    with pytest.raises(ValueError, match="clips was 26 and is 27"):
        ClipBatchSampler(27, 4, shuffle=True).load_state_dict(state)


def test_a_state_at_the_end_of_an_epoch_begins_the_next() -> None:
    sampler = ClipBatchSampler(26, 4, shuffle=True)
    sampler.load_state_dict(sampler.state_dict(7))
    assert (sampler.epoch, sampler.start) == (1, 0)
