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


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 4), st.integers(0, 3), st.integers(0, 200))
def test_a_window_reads_each_shard_in_one_piece_of_the_epoch(
    clips: int, per_shard: int, window: int, epoch: int, stop: int
) -> None:
    shards = [index // per_shard for index in range(clips)]
    sampler = ClipBatchSampler(clips, 4, shuffle=True, seed=1, window=window, shards=shards)
    order = sampler.order(epoch)
    assert sorted(order) == list(range(clips))
    left = [shards[index] for index in order]
    while left:  # the first window takes all clips of its shards, and so on
        opened = list(dict.fromkeys(left))[:window]
        count = sum(shard in opened for shard in left)
        assert set(left[:count]) == set(opened)
        left = left[count:]
    sampler.set_epoch(epoch)
    whole = list(sampler)
    again = ClipBatchSampler(clips, 4, shuffle=True, seed=1, window=window, shards=shards)
    again.set_epoch(epoch)
    step = stop % len(whole)
    sampler.load_state_dict(again.state_dict(step))
    assert list(sampler) == whole[step:]


def test_windows_are_shuffled_anew_in_each_epoch() -> None:
    sampler = ClipBatchSampler(64, 4, shuffle=True, window=2, shards=[index // 8 for index in range(64)])
    orders = [sampler.order(epoch) for epoch in range(4)]
    assert len({tuple(order) for order in orders}) == 4
    assert len({tuple(sorted(order[:16])) for order in orders}) > 1  # other shards together
    assert any(order[:16] != sorted(order[:16]) for order in orders)


def test_other_clips_of_the_same_number_are_refused_in_mid_epoch() -> None:
    def sampler(**changed: str | int) -> ClipBatchSampler:
        facts = {"ids": "aaa", "frames": "4 of 20", **{k: v for k, v in changed.items() if k != "window"}}
        window = changed.get("window")
        return ClipBatchSampler(26, 4, shuffle=True, facts=facts, window=window, shards=[0] * 26 if window else ())

    state = sampler().state_dict(2)
    sampler().load_state_dict(state)
    for change, words in (
        ({"ids": "bbb"}, "ids was aaa and is bbb"),
        ({"frames": "8 of 20"}, "frames was 4 of 20 and is 8 of 20"),
    ):
        with pytest.raises(ValueError, match=f"Cannot resume in the middle of this epoch: {words} "):
            sampler(**change).load_state_dict(state)
    earlier = {key: value for key, value in state.items() if key not in ("ids", "frames", "window")}
    sampler(ids="bbb").load_state_dict(earlier)  # a state of an earlier version tells neither
    for before in (state, earlier):
        with pytest.raises(ValueError, match="window was None and is 1"):
            sampler(window=1).load_state_dict(before)
