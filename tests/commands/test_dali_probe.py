"""What an alignment's tokens tell, on clips and towers that are made so that the answer is known."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from avcap.commands.dali_probe import Means, mean_tokens, probe
from avcap.trained import alignment
from avcap.trained.alignment import AlignmentClips
from avcap.types import Batch, Tokens

HEARD = {"a": ["bark"], "b": ["bark", "rain"], "c": ["rain"]}
SPLITS = {"train": 120, "val": 30, "test": 60}


class Model:
    """Sound tells two of the four channels of a picture, one of them with half of its size."""

    def __init__(self) -> None:
        self.audio_encoder = torch.nn.Linear(4, 4, bias=False)
        self.audio_encoder.load_state_dict({"weight": torch.diag(torch.tensor([1.0, 0.5, 0.0, 0.0]))})

    def tokens(self, batch: Batch) -> tuple[Tokens, Tokens]:
        image = batch["image"].unsqueeze(1) + torch.tensor([[-1.0], [1.0], [0.0]])  # [B, 3, 4]
        audio = self.audio_encoder(batch["image"])  # [B, 4]
        audio = torch.stack([audio, torch.full_like(audio, torch.nan)], dim=1)  # [B, 2, 4]
        real = torch.tensor([True, False]).expand(len(audio), 2)
        return Tokens(audio, real & batch["heard"].unsqueeze(1)), Tokens(image)


class Clips(list):
    """Clips of a split, beside their events."""

    def __init__(self, root: Path, split: str) -> None:
        draw = torch.Generator().manual_seed(len(split))
        names = sorted(HEARD)
        for i in range(SPLITS[split]):
            kind = names[i % 3]
            image = torch.randn(4, generator=draw)
            image[0] += 6 * ("bark" in HEARD[kind])
            image[1] += 6 * ("rain" in HEARD[kind])
            self.append({"id": f"{split}{i}{kind}", "image": image, "heard": torch.tensor(i != 1)})
        self.shards = SimpleNamespace(folder=root / "shards" / split)


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A name that opens as the model above."""

    data = SimpleNamespace(dataset=lambda split: Clips(tmp_path, split))

    def stacked(items: list[dict]) -> dict:
        tensors = {name: torch.stack([item[name] for item in items]) for name in ("image", "heard")}
        return {"id": [item["id"] for item in items], **tensors}

    opened = AlignmentClips(Model(), data.dataset("test"), data)
    monkeypatch.setattr(AlignmentClips, "open", lambda *_, **__: opened)
    monkeypatch.setattr(alignment, "collate", stacked)
    return tmp_path / "best.ckpt"


def write_events(path: Path, *, known: float = 1.0) -> None:
    scenes = [
        {
            "id": f"{split}{i}{'abc'[i % 3]}",
            "duration": 5.0,
            "events": [{"kind": kind, "audio": [0.0, 1.0]} for kind in HEARD["abc"[i % 3]]],
        }
        for split, count in SPLITS.items()
        for i in range(int(count * known))
    ]
    path.write_text("".join(json.dumps(scene) + "\n" for scene in scenes))


def test_mean_tokens_leave_padding_and_deaf_clips_out(checkpoint: Path):
    found = mean_tokens(AlignmentClips.open(checkpoint).of("val"), batch_size=7)
    assert isinstance(found, Means)
    assert found.ids == [f"val{i}{'abc'[i % 3]}" for i in range(30) if i != 1]
    assert found.audio.shape == found.image.shape == (29, 4)
    torch.testing.assert_close(found.audio, found.image * torch.tensor([1.0, 0.5, 0.0, 0.0], dtype=torch.float64))


def test_the_shares_are_those_of_the_channels(checkpoint: Path, capsys: pytest.CaptureFixture[str]):
    found = probe(checkpoint)
    assert set(found) == {"variance_audio", "variance_image", "explained", "explainable"}
    pictures = mean_tokens(AlignmentClips.open(checkpoint)).image
    variance = pictures.var(dim=0)
    assert found["variance_image"] == pytest.approx(float(variance.sum()))
    assert found["variance_audio"] == pytest.approx(float(variance[0] + variance[1] / 4))
    told = float(variance[:2].sum() / variance.sum())  # all that two channels hold, none of the others
    assert found["explainable"] == pytest.approx(told, abs=0.03)
    assert found["explained"] < found["explainable"]
    said = capsys.readouterr().out
    assert "59 clips of test; probes fitted to 119 of train, chosen by 29 of val" in said
    assert f"{found['explained']:.3f} as they are, {found['explainable']:.3f} by the best linear map" in said
    assert "kinds" not in said


def test_kinds_are_found_where_the_channels_tell_them(checkpoint: Path, tmp_path: Path):
    write_events(tmp_path / "events.jsonl")  # beside the shards
    found = probe(checkpoint)
    assert found["kinds_audio"] > 0.99
    assert found["kinds_image"] > 0.99
    assert found["kinds_chance"] == pytest.approx(2 / 3, abs=0.02)


def test_another_encoder_is_measured_in_its_place(checkpoint: Path, tmp_path: Path):
    first = probe(checkpoint)
    save_file(
        {"weight": 0.5 * torch.eye(4)},
        tmp_path / "whole.safetensors",
        metadata={"avcap": json.dumps({"part": "audio"})},
    )
    whole = probe(checkpoint, encoder=tmp_path / "whole.safetensors")
    assert whole["variance_audio"] == pytest.approx(whole["variance_image"] / 4)
    assert whole["explainable"] == pytest.approx(1, abs=1e-3)
    assert first["explainable"] < 0.97
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors"):
        probe(checkpoint, encoder=tmp_path / "none.safetensors")


def test_what_is_missing_is_told(checkpoint: Path, tmp_path: Path):
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        probe(checkpoint, batch_size=0)
    write_events(tmp_path / "few.jsonl", known=0.5)
    with pytest.raises(ValueError, match="The events lack clip train60a; give those of the same data set"):
        probe(checkpoint, events=tmp_path / "few.jsonl")
