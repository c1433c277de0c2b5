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
from avcap.data.collate import row_times
from avcap.encoders import CAVMAEAudio
from avcap.frontends import KaldiFbank
from avcap.layers.vit import ViTSize
from avcap.metrics import mass_on_pairs
from avcap.scenes.events import SceneEvents, beside_the_shards, read_scenes
from avcap.scenes.truth import SceneTruth, nearness
from avcap.systems import Captioner
from avcap.types import AssignmentMap, Tokens
from tests.systems.parts import Concat, LinearAudio, MeanVisual, WordDecoder, batch

EVENTS = [{"audio": [0.0, 0.08], "visual": [0.0, 0.06]}, {"audio": [0.08, 0.16], "visual": None}]


class Diagonal(Concat):
    """Its map says that the first frame belongs to the first half of the sound, as the visual tokens' own sign has it."""

    def forward(self, audio, video):
        out = super().forward(audio, video)
        early = torch.zeros(video.x.shape[1], audio.x.shape[1])
        early[0, : audio.x.shape[1] // 2] = 1.0
        early[1:, audio.x.shape[1] // 2 :] = 1.0
        own = (video.x.mean((1, 2)) > 0)[:, None, None]
        plan = torch.where(own, early, early.flip(1)) + 1e-3
        return out._replace(maps={"plan": AssignmentMap.of(plan, visual=video, audio=audio)})


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


def measured(
    tmp_path: Path, callback: MeasureMaps, *, fusion: type = Diagonal, known: bool = True, data: dict | None = None
) -> dict[str, float]:
    rows = [{"id": name, "duration": 0.12, "events": EVENTS} for name in clips()["id"][::2]]
    if known:
        (tmp_path / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False, callbacks=[callback]
    )
    system = model(fusion)
    # without a LightningDataModule: the callback reads one of its attributes alone
    callback.on_validation_start(SimpleNamespace(datamodule=SimpleNamespace(shards=tmp_path / "shards")), system)
    callback.on_validation_start = lambda *_: None
    (values,) = trainer.validate(system, DataLoader([data or clips()], batch_size=None), verbose=False)
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


def test_tokens_at_unknown_times_are_told(tmp_path: Path):
    untimed = {name: value for name, value in clips().items() if not name.endswith("_time")}
    with pytest.warns(UserWarning, match="the times of their tokens are unknown"):
        assert measured(tmp_path, MeasureMaps(), data=untimed) == {}


def test_a_run_logs_and_keeps_them(tiny_run: Path):
    results = json.loads((tiny_run / "results.json").read_text())
    assert {"map_mass", "map_uniform", "map_gain", "map_skill", "map_clips", "map_gain_shuffled"} == set(
        results["maps"]
    )
    assert 0.9 < results["maps"]["map_gain"] < 1.2  # two epochs teach nothing


# -- true pairs ---------------------------------------------------------------------------------------------------


SOUND, SIGHT = [0.02, 0.06, 0.10, 0.14], [0.03, 0.09]  # the clip is 0.12 s long, its sound is padded to 0.16 s


def of(plan: torch.Tensor, visual: list[float] = SIGHT, audio: list[float] = SOUND) -> AssignmentMap:
    return AssignmentMap(plan, *(torch.tensor(times).expand(len(plan), -1) for times in (visual, audio)))


def truth(events: list[dict], visual: list[float] = SIGHT, audio: list[float] = SOUND) -> torch.Tensor:
    found = of(torch.zeros(1, len(visual), len(audio)), visual, audio)
    return SceneTruth({"a": SceneEvents(0.12, events)})(["a"], found)[0].int()


def test_each_stream_has_its_own_times():
    assert truth([{"audio": [0.0, 0.12], "visual": [0.06, 0.12]}]).tolist() == [[0, 0, 0, 0], [1, 1, 1, 0]]
    assert truth([{"audio": [0.05, 0.07], "visual": [0.0, 0.06]}, {"audio": [0, 1], "visual": None}]).tolist() == [
        [0, 1, 0, 0],
        [0] * 4,
    ]


def test_the_map_that_knows_the_time_alone():
    found = of(torch.zeros(2, 2, 4))
    near = nearness(found._replace(visual_time=torch.tensor([SIGHT, [0.03, torch.nan]])), sigma=0.02)
    apart = torch.tensor([[0.01, 0.03, 0.07, 0.11], [0.07, 0.03, 0.01, 0.05]])
    torch.testing.assert_close(near[0], (-0.5 * (apart / 0.02) ** 2).exp())
    assert near[1, 0].all()
    assert not near[1, 1].any()


def test_patches_of_a_picture_share_its_time():
    paired = [{"audio": [0.0, 0.04], "visual": [0.06, 0.12]}]
    assert truth(paired, [0.03] * 3 + [0.09] * 3).tolist() == [[0] * 4] * 3 + [[1, 0, 0, 0]] * 3


def test_bands_of_sound_run_through_time_again():
    paired = [{"audio": [0.0, 0.04], "visual": [0.0, 0.06]}]
    assert truth(paired, audio=SOUND * 2).tolist() == [[1, 0, 0, 0] * 2, [0] * 8]


def test_the_truth_of_an_encoder_with_a_grid_of_patches():
    encoder = CAVMAEAudio(ViTSize(16, 0, 1), frontend=KaldiFbank(32, target_length=64))
    sound = encoder(torch.zeros(1, 64, 32), None, row_times(64, 0.01)[None])  # 2 bands of 4 tokens, 0.16 s each
    sight = Tokens(torch.zeros(1, 2, 16), None, torch.tensor([[0.1, 0.3]]))
    found = AssignmentMap.of(torch.zeros(1, 2, 8), visual=sight, audio=sound)
    scene = SceneEvents(0.64, [{"audio": [0.16, 0.48], "visual": [0.2, 0.4]}])
    assert SceneTruth({"a": scene})(["a"], found)[0].int().tolist() == [[0] * 8, [0, 1, 1, 0] * 2]


def test_the_order_of_tokens_says_nothing():
    generator = torch.Generator().manual_seed(0)
    plan = torch.rand(1, 6, 8, generator=generator)
    events = [{"audio": [0.0, 0.08], "visual": [0.06, 0.12]}]
    found, scenes = of(plan, [0.03] * 3 + [0.09] * 3, SOUND * 2), SceneTruth({"a": SceneEvents(0.12, events)})
    rows, columns = torch.randperm(6, generator=generator), torch.randperm(8, generator=generator)
    mixed = AssignmentMap(plan[:, rows][:, :, columns], found.visual_time[:, rows], found.audio_time[:, columns])
    shares = [mass_on_pairs(one.plan, scenes(["a"], one)).item() for one in (found, mixed)]
    assert shares[0] == pytest.approx(shares[1], rel=1e-12)


def test_events_are_found_beside_the_shards(tmp_path: Path):
    assert beside_the_shards(tmp_path / "shards") is None
    assert beside_the_shards(None) is None
    assert read_scenes(None) == {}
    (tmp_path / "events.jsonl").write_text(json.dumps({"id": "a", "duration": 5.0, "events": EVENTS}) + "\n")
    assert read_scenes(beside_the_shards(tmp_path / "shards")) == {"a": SceneEvents(5.0, EVENTS)}
