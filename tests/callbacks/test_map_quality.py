"""Assignment maps against the true times of events."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader

from avcap.callbacks import MeasureMaps
from avcap.encoders import CAVMAEAudio, CEDEncoder
from avcap.scenes.events import SceneEvents, beside_the_shards, read_scenes
from avcap.scenes.truth import SceneTruth
from avcap.systems import Captioner
from avcap.types import FusionOutput
from tests.systems.parts import Concat, LinearAudio, MeanVisual, WordDecoder, batch

EVENTS = [
    {"audio": [0.0, 0.08], "visual": [0.0, 0.06]},
    {"audio": [0.08, 0.16], "visual": None},
]


class Diagonal(Concat):
    """Its map says that the first frame belongs to the first half of the sound, as the visual tokens' own sign has it."""

    def forward(self, audio, video):
        out = super().forward(audio, video)
        early = torch.zeros(video.x.shape[1], audio.x.shape[1])
        early[0, : audio.x.shape[1] // 2] = 1.0
        early[1:, audio.x.shape[1] // 2 :] = 1.0
        own = (video.x.mean((1, 2)) > 0)[:, None, None]
        return FusionOutput(out.tokens, out.losses, {"plan": torch.where(own, early, early.flip(1)) + 1e-3})


def model(fusion: type = Diagonal) -> Captioner:
    system = Captioner(LinearAudio(), MeanVisual(), fusion, WordDecoder)
    torch.nn.init.ones_(system.visual_encoder.proj.weight)
    torch.nn.init.constant_(system.visual_encoder.proj.bias, -1.0)
    return system


def clips() -> dict:
    """Four clips of 16 rows (0.16 s of sound); the pictures of the first and the third are bright, the others dark."""
    out = batch(4)
    out["frames"] = torch.zeros(4, 2, 3, 4, 4, dtype=torch.uint8)
    out["frames"][::2] = 255
    return out


class Data(SimpleNamespace):
    """What of a data module the callback reads."""

    def input_settings(self) -> dict:
        return {"stored_frames": 2, "frame_sampling": "even"}


def measured(tmp_path: Path, callback: MeasureMaps, *, fusion: type = Diagonal, known: bool = True) -> dict[str, float]:
    rows = [{"id": name, "duration": 0.12, "events": EVENTS} for name in clips()["id"][::2]]
    if known:
        (tmp_path / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False, callbacks=[callback]
    )
    system = model(fusion)
    # without a LightningDataModule: the callback reads two of its attributes alone
    callback._begin(SimpleNamespace(datamodule=Data(shards=tmp_path / "shards")), system)
    callback._begin = lambda *_: None
    (values,) = trainer.validate(system, DataLoader([clips()], batch_size=None), verbose=False)
    return {name: value for name, value in values.items() if "map" in name}


def test_maps_are_measured_beside_a_uniform_and_a_shuffled_one(tmp_path: Path):
    values = measured(tmp_path, MeasureMaps())
    # true: the first picture (0.03 s) with the first 8 of 16 audio tokens, 8 of 32 pairs. The two clips that are known are
    # bright: 8 of their 16 units of mass are there; with the pictures of their dark neighbours none is
    assert values["val/map_clips"] == 2
    assert values["val/map_uniform"] == pytest.approx(0.25)
    assert values["val/map_mass"] == pytest.approx(0.5, abs=0.01)
    assert values["val/map_gain"] == pytest.approx(2.0, abs=0.02)
    assert values["val/map_skill"] == pytest.approx(1 / 3, abs=0.01)
    assert values["val/map_gain_shuffled"] == pytest.approx(0.0, abs=0.02)


def test_the_control_can_be_left_out(tmp_path: Path):
    assert "val/map_gain_shuffled" not in measured(tmp_path, MeasureMaps(batches=0))


def test_nothing_is_logged_without_true_times_or_without_maps(tmp_path: Path):
    class NoMaps(Concat):
        def forward(self, audio, video):
            return super().forward(audio, video)._replace(maps={})

    assert measured(tmp_path, MeasureMaps(), known=False) == {}
    assert measured(tmp_path, MeasureMaps(), fusion=NoMaps) == {}


def test_a_run_logs_and_keeps_them(tiny_run: Path):
    results = json.loads((tiny_run / "results.json").read_text())
    assert {"map_mass", "map_uniform", "map_gain", "map_skill", "map_clips", "map_gain_shuffled"} == set(
        results["maps"]
    )
    assert 0.9 < results["maps"]["map_gain"] < 1.2  # two epochs teach nothing


# -- true pairs ---------------------------------------------------------------------------------------------------


def truth(
    events: list[dict], *, audio_encoder=None, rows: int = 16, pictures: int = 2, tokens=(2, 4), **inputs
) -> torch.Tensor:
    encoders = SimpleNamespace(audio_encoder=audio_encoder or LinearAudio(), visual_encoder=MeanVisual())
    data = {"id": ["a"], "fbank": torch.zeros(1, rows, 8), "frames": torch.zeros(1, pictures, 3, 4, 4)}
    return SceneTruth({"a": SceneEvents(0.12, events)}, encoders, inputs)(data, torch.zeros(1, *tokens))[0].int()


def test_each_stream_has_its_own_length():
    # pictures at 0.03 and 0.09 s of 0.12 s; audio tokens at 0.02, 0.06, 0.1 and 0.14 s of the padded 0.16 s
    assert truth([{"audio": [0.0, 0.12], "visual": [0.06, 0.12]}]).tolist() == [[0, 0, 0, 0], [1, 1, 1, 0]]
    assert truth([{"audio": [0.05, 0.07], "visual": [0.0, 0.06]}, {"audio": [0, 1], "visual": None}]).tolist() == [
        [0, 1, 0, 0],
        [0] * 4,
    ]


def test_the_map_that_knows_the_time_alone():
    encoders = SimpleNamespace(audio_encoder=LinearAudio(), visual_encoder=MeanVisual())
    data = {"id": ["a", "unknown"], "fbank": torch.zeros(2, 16, 8), "frames": torch.zeros(2, 2, 3, 4, 4)}
    near = SceneTruth({"a": SceneEvents(0.12, [])}, encoders, {}).nearness(data, torch.zeros(2, 2, 4), sigma=0.02)
    # tokens at 0.02, 0.06, 0.1 and 0.14 s, pictures at 0.03 and 0.09 s
    apart = torch.tensor([[0.01, 0.03, 0.07, 0.11], [0.07, 0.03, 0.01, 0.05]])
    torch.testing.assert_close(near[0], (-0.5 * (apart / 0.02) ** 2).exp())
    assert not near[1].any()


def test_patches_of_a_picture_share_its_time():
    paired = [{"audio": [0.0, 0.04], "visual": [0.06, 0.12]}]
    assert truth(paired, tokens=(6, 4)).tolist() == [[0] * 4] * 3 + [[1, 0, 0, 0]] * 3


def test_bands_of_sound_run_through_time_again():
    paired = [{"audio": [0.0, 0.04], "visual": [0.0, 0.06]}]
    banded = LinearAudio()
    banded.bands = 2
    assert truth(paired, audio_encoder=banded, tokens=(2, 8)).tolist() == [[1, 0, 0, 0] * 2, [0] * 8]
    assert CEDEncoder(None, width=8, depth=1, heads=1, frequency_mean=False).bands == 4
    assert CEDEncoder(None, width=8, depth=1, heads=1).bands == 1
    assert CAVMAEAudio(16, depth=1, heads=1).bands == 8


def test_pictures_in_a_row_have_the_times_of_the_stored_ones():
    # 2 of 6 stored ones, from the middle: at 0.05 and 0.07 s
    paired = [{"audio": [0.0, 0.04], "visual": [0.06, 0.12]}]
    assert truth(paired, stored_frames=6, frame_sampling="centre").tolist() == [[0] * 4, [1, 0, 0, 0]]
    assert truth(paired, stored_frames=6, frame_sampling="even").tolist() == [[0] * 4, [1, 0, 0, 0]]
    late = [{"audio": [0.0, 0.04], "visual": [0.08, 0.12]}]
    assert not truth(late, stored_frames=6, frame_sampling="centre").any()
    assert truth(late, stored_frames=6, frame_sampling="even").any()


def test_events_are_found_beside_the_shards(tmp_path: Path):
    assert beside_the_shards(tmp_path / "shards") is None
    assert beside_the_shards(None) is None
    assert read_scenes(None) == {}
    (tmp_path / "events.jsonl").write_text(json.dumps({"id": "a", "duration": 5.0, "events": EVENTS}) + "\n")
    assert read_scenes(beside_the_shards(tmp_path / "shards")) == {"a": SceneEvents(5.0, EVENTS)}
