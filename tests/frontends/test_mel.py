"""Both front ends against the reference outputs, and Kaldi's against an independent implementation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avcap.frontends import CEDMelSpectrogram, KaldiFbank
from tests.golden import golden


@pytest.mark.parametrize("wave", ["wave_10s", "wave_7_3s", "wave_11s"])
@pytest.mark.parametrize("mels", [64, 128])
def test_kaldi_matches_the_official_features(wave: str, mels: int) -> None:
    manifest, npz = golden.load("fbank")  # tolerance 1e-4 relative + 1e-3 absolute
    frontend = KaldiFbank(mels)
    padded, _ = frontend.pad(frontend.features(torch.from_numpy(golden.inputs(manifest)[wave])))
    golden.check(manifest, npz, f"{wave}_mel{mels}", frontend.normalise(padded).numpy())


@pytest.mark.parametrize("wave", ["wave_10s", "wave_3_1s"])
def test_ced_matches_the_official_features(wave: str) -> None:
    manifest, npz = golden.load("ced_frontend")  # tolerance 1e-4 relative + 1e-3 absolute, in decibels
    decibels = CEDMelSpectrogram(64).features(torch.from_numpy(golden.inputs(manifest)[wave]))
    golden.check(manifest, npz, f"{wave}_db", decibels.T[None].numpy())


@pytest.mark.parametrize("mels", [64, 80, 128])
def test_kaldi_matches_kaldi_native_fbank(mels: int) -> None:
    """An independent C++ implementation; 2e-3 absolute in the logarithm (float32 spectra differ by that at 128 bins)."""
    native = pytest.importorskip("kaldi_native_fbank", reason="kaldi-native-fbank is a development extra")
    wave = torch.from_numpy(golden.waveform("native", 40_000, 16_000, [[0.3, 440.0, 0.0], [0.1, 3000.0, 1.0]], 0.05))
    options = native.FbankOptions()
    options.frame_opts.dither = 0.0
    options.frame_opts.window_type = "hanning"
    options.frame_opts.samp_freq = 16_000
    options.mel_opts.num_bins = mels
    options.use_energy = False
    options.htk_compat = True
    computer = native.OnlineFbank(options)
    computer.accept_waveform(16_000, (wave - wave.mean()).tolist())
    computer.input_finished()
    expected = np.stack([computer.get_frame(i) for i in range(computer.num_frames_ready)])
    np.testing.assert_allclose(KaldiFbank(mels).features(wave).numpy(), expected, atol=2e-3)


@pytest.mark.parametrize("frontend", [KaldiFbank(64), CEDMelSpectrogram(64)])
def test_a_batch_equals_its_clips(frontend) -> None:
    waves = torch.randn(3, 8_000, generator=torch.Generator().manual_seed(0)) * torch.tensor([[0.01], [0.1], [1.0]])
    torch.testing.assert_close(
        frontend.features(waves), torch.stack([frontend.features(w) for w in waves]), atol=1e-4, rtol=1e-5
    )


@pytest.mark.parametrize(("samples", "rows"), [(160_000, 998), (4_800, 28), (100, 1)])
def test_number_of_rows(samples: int, rows: int) -> None:
    out = KaldiFbank(64).features(torch.zeros(samples))
    assert out.shape == (rows, 64)
    assert out.isfinite().all()


def test_an_empty_waveform_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        KaldiFbank(64).features(torch.zeros(0))
