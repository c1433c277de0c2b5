"""Augmentation: what it changes, by how much, and that chance comes from the generator alone."""

from __future__ import annotations

import pytest
import torch

from avcap.data.collate import audio_input
from avcap.data.transforms import NoiseRoll, SpecAugment, generator_for
from avcap.frontends import KaldiFbank


def _seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_generator_depends_on_seed_epoch_and_id_alone() -> None:
    def draw(*key) -> float:
        return float(torch.rand((), generator=generator_for(*key)))

    assert draw(0, 1, "a") == draw(0, 1, "a")
    assert len({draw(s, e, i) for s in (0, 1) for e in (0, 1) for i in "ab"}) == 8


def test_spec_augment_masks_one_band_and_one_stretch() -> None:
    ones, mask = torch.ones(1024, 128), torch.ones(1024, dtype=torch.bool)
    widths, lengths = [], []
    for seed in range(200):
        out, _ = SpecAugment(48, 192)(ones, mask, _seeded(seed))
        band, stretch = (out == 0).all(dim=0), (out == 0).all(dim=1)
        assert torch.equal(out == 0, band[None, :] | stretch[:, None])
        assert int(band.int().diff().abs().sum()) <= 2  # contiguous
        widths.append(int(band.sum()))
        lengths.append(int(stretch.sum()))
    assert max(widths) <= 47
    assert max(lengths) <= 191
    assert sum(widths) / 200 == pytest.approx(23.5, abs=3)  # uniform in [0, 48), rounded down
    assert sum(lengths) / 200 == pytest.approx(95.5, abs=12)
    assert float(ones.min()) == 1.0  # the input is left as it is


def test_masked_and_padded_cells_become_1_00323() -> None:
    out, mask = audio_input(torch.full((60, 64), -10.0), KaldiFbank(64, 100), [SpecAugment(20, 20)], _seeded(3))
    values = out.unique()
    assert len(values) == 2
    assert float(values[1]) == pytest.approx(1.00323, abs=1e-5)
    assert mask.tolist() == [True] * 60 + [False] * 40


def test_noise_roll_adds_noise_and_turns_the_clip_with_its_mask() -> None:
    fbank = torch.arange(50.0)[:, None].expand(50, 8) * 10
    mask = torch.arange(50) < 30
    shifts = set()
    for seed in range(100):
        out, turned = NoiseRoll(0.1)(fbank, mask, _seeded(seed))
        shift = int(out[:, 0].argmin())
        noise = out - fbank.roll(shift, 0)
        assert 0 <= float(noise.min()) <= float(noise.max()) < 0.1 + 1e-4
        assert torch.equal(turned, mask.roll(shift))
        shifts.add(shift)
    assert len(shifts) > 30
    still, unturned = NoiseRoll(0.0, roll=False)(fbank, mask, _seeded())
    assert torch.equal(still, fbank)
    assert torch.equal(unturned, mask)


def test_a_mask_wider_than_the_spectrogram() -> None:
    out, _ = SpecAugment(48, 192)(torch.ones(10, 8), torch.ones(10, dtype=torch.bool), _seeded())
    assert out.shape == (10, 8)
    with pytest.raises(ValueError, match="must not be negative"):
        SpecAugment(-1, 2)


def test_transforms_without_a_source_of_chance_are_refused() -> None:
    with pytest.raises(ValueError, match="NoiseRoll needs a source of chance; pass a generator"):
        audio_input(torch.zeros(6, 2), KaldiFbank(2, target_length=4), [NoiseRoll()])


def test_features_are_cut() -> None:
    out, mask = audio_input(torch.arange(12.0).reshape(6, 2), KaldiFbank(2, target_length=4, mean=0.0, std=1.0))
    assert out[:, 0].tolist() == [0, 2, 4, 6]
    assert mask.all()
