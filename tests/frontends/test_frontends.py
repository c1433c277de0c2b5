"""What all front ends promise: a fingerprint of the raw features, their shape, padding and normalisation."""

from __future__ import annotations

import pickle

import pytest
import torch

from avcap.frontends import CEDMelSpectrogram, FrontEnd, HuggingFaceFeatures, KaldiFbank, Waveform

WHISPER = {"feature_size": 16, "chunk_length": 2}
AST = {"num_mel_bins": 16, "max_length": 40}
KINDS = [
    KaldiFbank(16, 120),
    CEDMelSpectrogram(16, 120),
    Waveform(20_000),
    HuggingFaceFeatures("WhisperFeatureExtractor", settings=WHISPER),
    HuggingFaceFeatures("ASTFeatureExtractor", settings=AST),
    HuggingFaceFeatures("Wav2Vec2FeatureExtractor", target_length=20_000),
]


def wave(samples: int = 16_000) -> torch.Tensor:
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("frontend", KINDS, ids=lambda frontend: frontend.label)
def test_features_become_an_input_of_the_shape_that_is_told(frontend: FrontEnd) -> None:
    padded, mask = frontend.pad(frontend.features(wave()))
    assert padded.shape == frontend.shape
    assert padded.dtype == torch.float32
    assert mask.shape == frontend.shape[:1]
    real = padded[mask]
    assert real.isfinite().all()
    torch.testing.assert_close(frontend.normalise(real), (real - frontend.mean) / frontend.std)
    assert bool((padded[~mask] == frontend.pad_value).all())
    with pytest.raises(ValueError, match="at least one sample"):
        frontend.features(torch.zeros(0))


@pytest.mark.parametrize("frontend", KINDS, ids=lambda frontend: frontend.label)
def test_a_front_end_survives_pickling(frontend: FrontEnd) -> None:
    """Workers of a loader get it so."""
    again = pickle.loads(pickle.dumps(frontend))
    assert again == frontend
    assert torch.equal(again.features(wave()), frontend.features(wave()))


def test_fingerprints_are_those_of_raw_features_and_stable() -> None:
    """A change of these strings means that every derived column is made again: raise `version` on purpose only."""
    assert KaldiFbank(64).fingerprint == "kaldi_fbank_64-7cf5c71b"
    assert KaldiFbank(64, 512, mean=0.0, std=1.0).fingerprint == KaldiFbank(64).fingerprint
    different = [
        KaldiFbank(64),
        KaldiFbank(128),
        CEDMelSpectrogram(64),
        Waveform(),
        Waveform(sample_rate=8_000),
        *KINDS[3:],
        HuggingFaceFeatures("WhisperFeatureExtractor", settings={**WHISPER, "n_fft": 320}),
    ]
    names = [frontend.fingerprint for frontend in different]
    assert len(set(names)) == len(names)
    assert names[2].startswith("ced_mel_spectrogram_64-")


def test_front_ends_are_equal_by_what_they_do() -> None:
    assert KaldiFbank(64) == KaldiFbank(64, 1024)
    assert hash(KaldiFbank(64)) == hash(KaldiFbank(64))
    assert KaldiFbank(64) != KaldiFbank(64, 512)
    assert KaldiFbank(64) != KaldiFbank(64, mean=0.0)


def test_hops_and_lengths_in_seconds() -> None:
    assert KaldiFbank(64, 512).seconds == pytest.approx(5.12)
    assert Waveform(8_000).seconds == 0.5
    whisper, ast, waves = KINDS[3:]
    assert (whisper.shape, whisper.hop) == ((200, 16), 0.01)
    assert (ast.shape, ast.hop) == ((40, 16), 0.01)
    assert (waves.shape, waves.hop) == ((20_000,), 1 / 16_000)


def test_whisper_is_transposed_and_otherwise_as_transformers_has_it() -> None:
    from transformers import WhisperFeatureExtractor

    expected = WhisperFeatureExtractor(**WHISPER)(wave().numpy(), sampling_rate=16_000, return_tensors="pt")
    assert torch.equal(KINDS[3].features(wave()), expected["input_features"][0].T)


def test_an_extractor_from_a_folder(tmp_path) -> None:
    from transformers import ASTFeatureExtractor

    ASTFeatureExtractor(**AST).save_pretrained(tmp_path)
    assert torch.equal(HuggingFaceFeatures(str(tmp_path)).features(wave()), KINDS[4].features(wave()))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: KaldiFbank(0), "mels must be at least 1"),
        (lambda: KaldiFbank(64, 0), "target_length must be at least 1"),
        (lambda: KaldiFbank(64, std=0.0), "std positive"),
        (lambda: Waveform(sample_rate=0), "sample_rate must be at least 1"),
        (lambda: HuggingFaceFeatures("/no/such/folder"), "'/no/such/folder' is no feature extractor"),
        (
            lambda: HuggingFaceFeatures("WhisperFeatureExtractor", sample_rate=8_000),
            "reads 16000 samples a second, and frontend.sample_rate is 8000",
        ),
    ],
)
def test_bad_settings_are_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
