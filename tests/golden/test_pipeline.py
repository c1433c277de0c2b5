"""From the recording and pictures of a clip to AVCap's caption ids and LAVCap's fused tokens, as the official code computes them.

The first tests show that the written-out reference (``pipeline.py``) gives the official outputs step by step; the others
compare ``avcap`` with what the reference gave, in the official layout of files and through shards.
"""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from avcap.data import AudioCapsDataModule, FrameChoice
from avcap.encoders import PrecomputedVisual
from avcap.frontends import Inputs
from avcap.fusion import OTAttention
from avcap.media.reading import read_media
from avcap.models.parts import encode, inputs_of
from avcap.shards.prepare import prepare
from avcap.systems import Captioner
from avcap.types import Batch, Tokens
from avcap.weights import import_checkpoint
from tests.encoders.cav_mae_golden import official_state
from tests.encoders.test_ced import from_golden
from tests.golden import golden, pipeline
from tests.weights.test_avcap_official import captioner

CLIPS = list(pipeline.TONES)
STORED = np.load(pipeline.FILE)


# -- the reference is the official code -------------------------------------------------------------------------------


@pytest.mark.parametrize("mels", [64, 128])
def test_the_reference_gives_the_official_spectrograms(mels: int) -> None:
    manifest, arrays = golden.load("fbank")
    for name, samples in golden.inputs(manifest).items():
        found = pipeline.fbank(samples.astype(np.float64), mels)[0]
        golden.check(manifest, arrays, f"{name}_mel{mels}", found.numpy())


def test_the_reference_gives_the_official_projected_tokens_and_caption() -> None:
    manifest, arrays = golden.load("avcap_captioner")
    inputs, reference = golden.inputs(manifest), pipeline.AVCapReference()
    projected = reference.projected(torch.from_numpy(inputs["audio"]), torch.from_numpy(inputs["visual"]))
    golden.check(manifest, arrays, "projected", projected.numpy())
    assert reference.caption(projected[1:2]) == arrays["beam_tokens"][1].tolist()


@pytest.mark.slow
def test_the_reference_gives_the_stored_file() -> None:
    again = pipeline.outputs()
    assert set(again) == set(STORED.files)
    for name, value in again.items():
        np.testing.assert_allclose(value, STORED[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_the_reference_gives_the_official_ced_tokens_and_fusion() -> None:
    manifest, arrays = golden.load("ced_encoder_lavcap_1024")
    tokens = pipeline.ced_tokens(torch.from_numpy(golden.inputs(manifest)["spec"]))
    golden.check(manifest, arrays, "tokens_mean_over_frequency", tokens.numpy())
    manifest, arrays = golden.load("lavcap_fusion")
    spec, visual = (torch.from_numpy(golden.inputs(manifest)[f"{name}_embeds"]) for name in ("spec", "vis"))
    found = pipeline.fuse(spec.unflatten(1, (4, -1)).mean(dim=1), visual)
    golden.check(manifest, arrays, "fused_ot_tempcat_QAV_add", found["fused"].numpy())
    golden.check(manifest, arrays, "log_Q_eps0.1_iter50", found["log_Q"].numpy())
    for name in ("loss_visual", "loss_audio"):
        golden.check(manifest, arrays, f"{name}_eps0.1_iter50_log_Q", found[name].numpy())


# -- avcap is the reference -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Captioner:
    """AVCap from an official checkpoint, through `avcap weights import`."""
    folder = tmp_path_factory.mktemp("released")
    manifest = golden.load("avcap_captioner")[0]
    torch.save(official_state(manifest), folder / "best.pth")
    import_checkpoint(folder / "best.pth", folder / "avcap.safetensors")
    model = captioner(manifest, folder / "avcap.safetensors")
    model.configure_model()
    return model


@pytest.fixture(scope="module")
def official_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clips in the authors' layout: recordings, 20 JPEG files each, visual features."""
    root = tmp_path_factory.mktemp("audiocaps")
    names = {clip: f"{clip}_20000_30000" for clip in CLIPS}
    for clip, name in names.items():
        write_wav(root / "waveforms" / f"{name}.wav", clip)
        for index in range(pipeline.FRAMES):
            file = root / "frames" / f"frame_{index}" / f"{name}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pipeline.picture(clip, index)).save(file, quality=100, subsampling=0)
        (root / "visual_feature").mkdir(exist_ok=True)
        np.save(root / "visual_feature" / f"{name}.npy", pipeline.features(clip)[0].numpy())
    rows = [
        {"youtube_id": clip, "start_time": "20", "caption": "a tone", "audio_path": f"{names[clip]}.wav"}
        for clip in CLIPS
    ]
    (root / "test.json").write_text(json.dumps(rows), encoding="utf-8")
    return root


def write_wav(path: Path, clip: str) -> None:
    path.parent.mkdir(exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, pipeline.RATE, 0, "NONE", ""))
        file.writeframes(pipeline.recording(clip).tobytes())


def caption_ids(model: Captioner, tokens: Tokens) -> list[list[int]]:
    official = golden.load("avcap_captioner")[0]["config"]["search"]
    found = model.decoder.generate_ids(
        tokens,
        bos=official["sos_index"],
        eos=official["eos_index"],
        num_beams=official["beam_size"],
        max_new_tokens=official["max_steps"] - 1,
        length_penalty=official["length_penalty"],
    )
    return [[official["sos_index"], *row] for row in found.ids.tolist()]


def batch_of(root: Path, out: Path, inputs: Inputs, **settings: Any) -> Batch:
    """The test batch that a model with these inputs gets from shards of ``root``."""
    prepare(root, out, splits=["test"], num_workers=0, progress=False, half=False)
    data = AudioCapsDataModule(str(out), batch_size=len(CLIPS), num_workers=0, **settings)
    data.serve(inputs)
    data.setup("test")
    batch = next(iter(data.test_dataloader()))
    assert batch["id"] == [f"{clip}_20" for clip in CLIPS]
    return batch


def stored(name: str) -> np.ndarray:
    return np.stack([STORED[name.format(clip)] for clip in CLIPS])


def test_avcap_from_recordings_and_pictures_to_caption_ids(released: Captioner, tmp_path: Path) -> None:
    """The pixels are the reference's own, so tokens differ by what float32 spectrograms do (tolerance of ``fbank``)."""
    frontend, sounds, frames = released.audio_encoder.frontend, [], []
    for clip in CLIPS:
        write_wav(tmp_path / f"{clip}.wav", clip)
        Image.fromarray(pipeline.picture(clip, pipeline.FRAMES // 2)).save(tmp_path / f"{clip}.png")
        media = read_media(tmp_path / f"{clip}.wav", [tmp_path / f"{clip}.png"], frames=1, size=pipeline.SIDE)
        sounds.append(frontend.normalise(frontend.pad(frontend.features(media.waveform))[0]))
        frames.append(media.frames)
    with torch.no_grad():
        fused = released.fuse({"audio": torch.stack(sounds), "frames": torch.stack(frames)}).tokens
        projected = released.decoder.projection(fused.x)
    np.testing.assert_allclose(projected[:, ::12].numpy(), stored("avcap/{}/projected"), rtol=1e-3, atol=1e-4)
    assert caption_ids(released, fused) == stored("avcap/{}/ids").tolist()


def test_avcap_through_shards_writes_the_same_caption_ids(
    released: Captioner, official_folder: Path, tmp_path: Path
) -> None:
    """Shards hold JPEG files of quality 95, so tokens are near (another frame is ten times as far), the words the same."""
    frames = FrameChoice(count=1, sampling="random")
    batch = batch_of(official_folder, tmp_path, released.inputs, frames=frames)
    with torch.no_grad():
        fused = released.fuse(batch).tokens
        projected = released.decoder.projection(fused.x)
    error = np.abs(projected[:, ::12].numpy() - stored("avcap/{}/projected"))
    assert np.quantile(error, 0.99) < 0.05
    assert caption_ids(released, fused) == stored("avcap/{}/ids").tolist()


def test_lavcap_through_shards_gives_the_same_fused_tokens_plan_and_losses(
    official_folder: Path, tmp_path: Path
) -> None:
    audio_encoder, visual_encoder = from_golden(golden.load("ced_encoder_lavcap_1024")[0]), PrecomputedVisual(48)
    batch = batch_of(official_folder, tmp_path, inputs_of([audio_encoder, visual_encoder]))
    fusion = OTAttention(48, 48).eval()
    with torch.no_grad():
        audio, visual = (encode(encoder, batch) for encoder in (audio_encoder, visual_encoder))
        fused = fusion(audio, visual)
    tolerance = {"rtol": 1e-3, "atol": 1e-4}
    np.testing.assert_allclose(fused.tokens.x, stored("lavcap/{}/fused")[:, 0], **tolerance)
    np.testing.assert_allclose(fused.maps["plan"].plan.log(), stored("lavcap/{}/log_Q")[:, 0], **tolerance)
    for stream in ("visual", "audio"):
        expected = stored(f"lavcap/{{}}/loss_{stream}").mean()
        np.testing.assert_allclose(fused.losses[f"ot_{stream}"], expected, **tolerance)
