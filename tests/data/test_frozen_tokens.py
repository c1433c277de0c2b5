"""Tokens of frozen encoders, made once: training from them is training from the recordings and pictures."""

from __future__ import annotations

import copy
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch import Callback, Trainer
from torch import Tensor

from avcap.cli import main
from avcap.data import AudioCapsDataModule, FrameChoice, SpecAugment
from avcap.encoders import CEDEncoder, CLIPVisual
from avcap.frontends import KaldiFbank
from avcap.fusion import TokenConcat
from avcap.layers.lora import LoRA
from avcap.layers.vit import ViTSize
from avcap.models.frozen import is_frozen, token_name
from avcap.shards.reader import Shards
from avcap.shards.verify import verify
from avcap.systems import Captioner
from avcap.types import Tokens
from avcap.weights.writing import save_weights
from tests.systems.parts import WordDecoder

SOUND = {"size": ViTSize(16, 1, 2), "frozen": True}
SIGHT = {
    "config": {"image_size": 16, "patch_size": 8, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
}
SIGHT["config"] |= {"num_attention_heads": 2, "projection_dim": 16}


def sound(**changes: Any) -> CEDEncoder:
    return CEDEncoder(**{**SOUND, "frontend": KaldiFbank(16, 64), "mask_padding": True, **changes})


def sight(**changes: Any) -> CLIPVisual:
    return CLIPVisual(**{**SIGHT, "max_frames": 4, **changes})


class Reader(WordDecoder):
    """Learns the length of any caption from the mean of the tokens that are real."""

    def logits(self, tokens: Tokens) -> Tensor:
        mask = tokens.full_mask()[..., None]
        return self.head((tokens.x * mask).sum(1) / mask.sum(1).clamp(min=1))

    def loss(self, tokens: Tokens, captions: list[str], *, prompts: object = None) -> Tensor:
        target = torch.tensor([len(caption) % 3 for caption in captions])
        return torch.nn.functional.cross_entropy(self.logits(tokens), target)


class Losses(Callback):
    def __init__(self) -> None:
        self.values: list[float] = []
        self.keys: set[str] = set()

    def on_train_batch_start(self, trainer: Trainer, module: object, batch: dict, batch_idx: int) -> None:
        self.keys |= set(batch)

    def on_train_batch_end(self, trainer: Trainer, *args: object) -> None:
        self.values.append(float(trainer.callback_metrics["train/loss"]))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of both encoders, and a config that names them."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    for encoder in (sound(), sight()):
        name = type(encoder).__name__
        save_weights(encoder.state_dict(), folder / f"{name}.safetensors", {"component": name, "part": name})
    settings = {
        "audio_encoder": {
            "class_path": "CEDEncoder",
            "init_args": {
                "size": {"width": 16, "depth": 1, "heads": 2},
                "frozen": True,
                "mask_padding": True,
                "frontend": {"class_path": "KaldiFbank", "init_args": {"mels": 16, "target_length": 64}},
                "pretrained": str(folder / "CEDEncoder.safetensors"),
            },
        },
        "visual_encoder": {
            "class_path": "CLIPVisual",
            "init_args": {**SIGHT, "max_frames": 4, "pretrained": str(folder / "CLIPVisual.safetensors")},
        },
    }
    content = {"model": {"class_path": "Captioner", "init_args": settings}}
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    return folder


@pytest.fixture
def shards(small_shards: Path, tmp_path: Path) -> Path:
    return shutil.copytree(small_shards, tmp_path / "shards")


def _derive(shards: Path, weights: Path, *options: str) -> None:
    main(
        [
            "data",
            "derive",
            str(shards),
            f"--config={weights / 'config.yaml'}",
            "--encoders=true",
            "--num_workers=0",
            "--device=cpu",
            *options,
        ]
    )


def _train(shards: Path, weights: Path, **settings: Any) -> Losses:
    torch.manual_seed(1)
    model = Captioner(
        sound(pretrained=str(weights / "CEDEncoder.safetensors")),
        sight(pretrained=str(weights / "CLIPVisual.safetensors")),
        TokenConcat,
        Reader,
        metrics=["bleu_4"],
    )
    losses = Losses()
    trainer = Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        callbacks=[losses],
        default_root_dir=shards.parent,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        limit_val_batches=0,
    )
    trainer.fit(model, AudioCapsDataModule(shards, **{"batch_size": 4, "num_workers": 0, **settings}))
    return losses


def _columns(shards: Path, split: str = "train") -> list[Path]:
    return sorted((shards / split / "derived").glob("*_tokens-*"))


def test_training_from_tokens_has_the_losses_of_training_from_the_recordings(
    shards: Path, weights: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    raw = _train(shards, weights)
    assert {"audio", "frames"} <= raw.keys
    _derive(shards, weights, "--splits=[train]")
    assert capsys.readouterr().out.count("written") == 2
    assert [folder.name.split("-")[0] for folder in _columns(shards)] == ["ced_encoder_tokens", "clip_visual_tokens"]
    assert verify(shards, progress=False).ok
    caplog.set_level(logging.INFO)
    made = _train(shards, weights)
    assert {"audio_tokens", "frames_tokens"} <= made.keys
    assert not {"audio", "frames"} & made.keys
    assert len(made.values) == len(raw.values) == 7
    assert made.values == pytest.approx(raw.values, rel=1e-6)
    assert sum("Training reads the tokens of" in r.getMessage() for r in caplog.records) == 2
    _derive(shards, weights, "--splits=[train]")
    assert capsys.readouterr().out.count("was there") == 2


def test_bfloat16_is_stored_where_it_is_asked_for(shards: Path, weights: Path) -> None:
    raw = _train(shards, weights)
    _derive(shards, weights, "--dtype=bfloat16")
    half = _train(shards, weights)
    assert {"audio_tokens", "frames_tokens"} <= half.keys
    assert half.values == pytest.approx(raw.values, rel=2**-7)
    assert half.values != raw.values
    sizes = [sum(file.stat().st_size for file in folder.glob("*.bin")) for folder in _columns(shards)]
    shutil.rmtree(shards / "train" / "derived")
    _derive(shards, weights, "--splits=[train]")
    assert all(
        4 * a / 2 > b > a
        for a, b in zip(sizes, [sum(f.stat().st_size for f in d.glob("*.bin")) for d in _columns(shards)], strict=True)
    )


@pytest.mark.parametrize(
    ("settings", "raw"),
    [
        ({"transforms": [SpecAugment(4, 20)]}, {"audio"}),
        ({"frames": FrameChoice(1, "random")}, {"frames"}),
        ({"frames": FrameChoice(1)}, {"frames"}),
        ({"frames": FrameChoice(2)}, set()),
    ],
    ids=["augmented", "random frames", "other frames", "all frames"],
)
def test_what_changes_from_epoch_to_epoch_is_encoded_each_time(
    shards: Path, weights: Path, settings: dict[str, Any], raw: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    _derive(shards, weights, "--splits=[train]")
    caplog.set_level(logging.INFO)
    keys = _train(shards, weights, **settings).keys
    assert {"audio", "frames"} & keys == raw
    assert {"audio_tokens", "frames_tokens"} & keys == {f"{key}_tokens" for key in {"audio", "frames"} - raw}
    told = [r.getMessage() for r in caplog.records if "Training encodes the" in r.getMessage()]
    assert len(told) == len(raw)


def test_chosen_frames_have_tokens_of_their_own(shards: Path, weights: Path) -> None:
    _derive(shards, weights, "--splits=[train]", "--frames.count=1", "--frames.sampling=centre")
    assert "frames_tokens" in _train(shards, weights, frames=FrameChoice(1, "centre")).keys
    assert "frames" in _train(shards, weights).keys


def test_no_tokens_are_kept_of_frames_that_change(
    shards: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _derive(shards, weights, "--splits=[train]", "--frames.count=1", "--frames.sampling=random")
    assert "no tokens of CLIPVisual can be kept" in capsys.readouterr().out
    assert [folder.name.split("-")[0] for folder in _columns(shards)] == ["ced_encoder_tokens"]


def test_evaluation_reads_the_recordings(shards: Path, weights: Path) -> None:
    _derive(shards, weights)
    assert "audio" in next(iter(AudioCapsDataModule(shards, num_workers=0).serve(sound_inputs()).val_dataloader()))


def sound_inputs() -> Any:
    from avcap.models.parts import inputs_of

    return inputs_of([sound()])


def test_the_name_tells_weights_settings_and_front_end_apart() -> None:
    one = sound()
    same = copy.deepcopy(one)
    same.eval()
    same.pretrained = "elsewhere.safetensors"
    assert token_name(same) == token_name(one)
    others = [copy.deepcopy(one) for _ in range(4)]
    with torch.no_grad():
        others[0].norm.bias[0] += 1e-6
    others[1].mask_padding = False
    others[2].frontend = KaldiFbank(16, 64, mean=0.0)
    others[3].init_bn.running_mean += 1
    assert len({token_name(encoder) for encoder in (one, *others)}) == 5


def test_only_what_stays_the_same_is_frozen() -> None:
    assert is_frozen(sound())
    assert is_frozen(sight())
    assert is_frozen(sight().train())
    assert not is_frozen(sound(frozen=False))
    assert not is_frozen(sound(lora=LoRA(rank=2, targets=["q_proj"])))
    assert not is_frozen(sight(time_embedding="learned"))
    dropping = sound(frozen=False).requires_grad_(False)
    assert not is_frozen(dropping)  # its BatchNorm learns statistics
    assert is_frozen(dropping.eval())


def test_processes_share_the_work_and_go_on_after_a_stop(
    shards: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from avcap.data import token_columns

    whole = shutil.copytree(shards, shards.parent / "whole")
    small = token_columns.TokenJob
    monkeypatch.setattr(
        "avcap.data.token_columns.TokenJob", lambda *args, **more: small(*args, **more, clips_per_file=5)
    )
    _derive(whole, weights, "--splits=[train]")
    write, calls = token_columns._write_piece, []

    def interrupted(*args: Any) -> None:
        if calls:
            raise KeyboardInterrupt
        calls.append(write(*args))

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setattr(token_columns, "_write_piece", interrupted)
    with pytest.raises(SystemExit, match="130"):  # as the program ends after Ctrl-C
        _derive(shards, weights, "--splits=[train]")
    assert [folder.suffix for folder in _columns(shards)] == [".partial"]
    monkeypatch.setattr(token_columns, "_write_piece", lambda *args: calls.append(write(*args)))
    capsys.readouterr()
    for rank, said in (("0", "other processes have work left"), ("1", "written")):
        monkeypatch.setenv("RANK", rank)
        _derive(shards, weights, "--splits=[train]")
        assert capsys.readouterr().out.count(said) == 2
    assert len(calls) == 2 * 6  # 26 clips: six files for each encoder, none of them twice
    one, two = ({p.relative_to(f): p.read_bytes() for d in _columns(f) for p in d.glob("*")} for f in (whole, shards))
    assert one == two


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frozen": False}, "has no encoder that is frozen and pretrained (CEDEncoder)"),
        ({"pretrained": None}, "has no encoder that is frozen and pretrained (CEDEncoder)"),
        ({"pretrained": "nowhere.safetensors"}, "nowhere.safetensors"),
    ],
)
def test_bad_input_is_told(
    shards: Path,
    weights: Path,
    tmp_path: Path,
    change: dict[str, Any],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    content = yaml.safe_load((weights / "config.yaml").read_text())
    del content["model"]["init_args"]["visual_encoder"]
    content["model"]["init_args"]["audio_encoder"]["init_args"] |= change
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(SystemExit, match="1"):
        _derive(shards, tmp_path)
    assert message in capsys.readouterr().err


def test_a_clip_that_cannot_be_read_stops_derive(
    shards: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split = Shards(shards / "train")
    content = bytearray(split.shard_of(0).read_bytes())
    sound = bytes(split.record(0)["waveform"])
    content[content.index(sound) + len(sound) // 2] ^= 0x10
    split.shard_of(0).write_bytes(content)
    with pytest.raises(SystemExit, match="1"):
        _derive(shards, weights, "--splits=[train]")
    assert f"at the clip {split.ids[0]}" in capsys.readouterr().err
