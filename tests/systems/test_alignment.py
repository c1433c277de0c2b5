"""The alignment system, with small parts."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, LightningDataModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from avcap.losses import AlignmentObjective, AlignmentOutput, AttentiveOTAlignment, MMDAlignment, OTAlignment
from avcap.losses.dali_objective import mean_over_clips
from avcap.systems import Alignment, WarmupCosine
from avcap.types import Batch, Tokens
from tests.systems.parts import LinearAudio, MeanVisual, batch

SCORERS_BEGIN = 2  # epoch


class MeanDistance(AlignmentObjective):
    """Squared distance of the mean tokens; a scorer with a loss of its own, from the second epoch on."""

    def __init__(self, width: int = 6, factor: float = 1.0) -> None:
        super().__init__()
        self.scorer = nn.Linear(width, 1)
        self.factor = factor

    def forward(self, audio: Tokens, image: Tokens, *, epoch: int) -> AlignmentOutput:
        per_clip = (_mean(audio) - _mean(image)).square().sum(1)  # [B]
        loss, per_clip = mean_over_clips(per_clip, audio, image)
        scorer_loss = None
        if self.training and epoch >= SCORERS_BEGIN:
            scorer_loss = self.factor * self.scorer(_mean(audio).detach()).square().mean()
        return AlignmentOutput(loss, per_clip, {"epoch": torch.tensor(float(epoch))}, scorer_loss)

    def scorer_parameters(self) -> list[nn.Parameter]:
        return list(self.scorer.parameters())


def _mean(tokens: Tokens) -> Tensor:
    mask = tokens.full_mask().unsqueeze(-1)
    return (tokens.x * mask).sum(1) / mask.sum(1).clamp_min(1)


def make(**changes) -> Alignment:
    torch.manual_seed(0)
    arguments = {
        "audio_encoder": LinearAudio(),
        "visual_encoder": MeanVisual(),
        "objective": MeanDistance(),
        "optimizer": lambda p: torch.optim.Adam(p, lr=1e-2),
        **changes,
    }
    return Alignment(**arguments)


def trainer(folder: Path, **changes) -> Trainer:
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    return Trainer(**{"default_root_dir": folder, "max_epochs": 1, "accelerator": "cpu", **quiet, **changes})


def uncaptioned(**changes) -> Batch:
    return {name: value for name, value in batch(**changes).items() if name not in ("caption", "references")}


def loader(batches: int = 4) -> DataLoader:
    torch.manual_seed(1)
    return DataLoader([uncaptioned() for _ in range(batches)], batch_size=None)


def state(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def changed(before: dict[str, Tensor], module: nn.Module) -> set[str]:
    return {name for name, value in module.state_dict().items() if not torch.equal(before[name], value)}


class Watch(Callback):
    """The scorers' state after each epoch."""

    def __init__(self) -> None:
        self.scorers: list[dict[str, Tensor]] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Alignment) -> None:
        self.scorers.append(state(pl_module.objective.scorer))


def test_no_caption_is_read_and_the_picture_stays_as_it_is(tmp_path: Path):
    model = make()
    picture, sound = state(model.visual_encoder), state(model.audio_encoder)
    run = trainer(tmp_path, num_sanity_val_steps=0)
    run.fit(model, loader(), loader(2))
    run.test(model, loader(2), verbose=False)
    assert not changed(picture, model.visual_encoder)
    assert "proj.weight" in changed(sound, model.audio_encoder)
    assert not model.visual_encoder.training


@pytest.mark.parametrize(
    "objective",
    [MeanDistance(), MMDAlignment(), OTAlignment(), AttentiveOTAlignment(6, heads=2)],
    ids=lambda o: type(o).__name__,
)
def test_the_distance_falls(objective: AlignmentObjective, tmp_path: Path):
    model = make(objective=objective)
    data = loader()
    run = trainer(tmp_path, max_epochs=30)
    before = run.validate(model, data, verbose=False)[0]
    run.fit(model, data)
    after = run.validate(model, data, verbose=False)[0]
    assert after["val/loss"] < 0.7 * before["val/loss"]
    assert after["val/sinkhorn_divergence"] < 0.7 * before["val/sinkhorn_divergence"]
    assert set(after) == {"val/loss", "val/mmd", "val/sinkhorn_divergence", "val/recall_1"}


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_scorers_rest_in_the_first_epoch_and_learn_by_their_own_loss_then(precision: str, tmp_path: Path):
    model, watch = make(), Watch()
    start = state(model.objective.scorer)
    trainer(tmp_path, max_epochs=2, precision=precision, callbacks=[watch]).fit(model, loader())
    first, second = watch.scorers
    assert all(torch.equal(start[name], first[name]) for name in start)
    assert not any(torch.equal(first[name], second[name]) for name in start)
    steps = {model.optimizers().state[p]["step"].item() for p in model.objective.scorer_parameters()}
    assert steps == {4}  # those of the second epoch: rest is not a step with a gradient of zeros


def test_the_encoder_is_the_same_with_and_without_a_loss_of_scorers(tmp_path: Path):
    states = []
    for factor in (0.0, 1e6):
        model = make(objective=MeanDistance(factor=factor))
        trainer(tmp_path, max_epochs=3, gradient_clip_val=0.5).fit(model, loader())
        states.append(state(model.audio_encoder))
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, rtol=0, atol=0)


def test_gradients_of_scorers_and_encoder_are_clipped_apart(tmp_path: Path):
    norms = []

    class Norms(Callback):
        def on_before_zero_grad(self, trainer: Trainer, pl_module: Alignment, optimizer: torch.optim.Optimizer) -> None:
            parts = (pl_module.audio_encoder, pl_module.objective)
            grads = [[p.grad for p in part.parameters() if p.grad is not None] for part in parts]
            norms.append([float(nn.utils.get_total_norm(g)) if g else 0.0 for g in grads])

    model = make(objective=MeanDistance(factor=1e4))
    trainer(tmp_path, max_epochs=2, gradient_clip_val=1e-3, callbacks=[Norms()]).fit(model, loader(2))
    assert norms[-1] == pytest.approx([1e-3, 1e-3], rel=1e-2)


def test_accumulated_batches_step_once(tmp_path: Path):
    model = make()
    trainer(tmp_path, max_epochs=2, accumulate_grad_batches=2).fit(model, loader(4))
    optimizer = model.optimizers()
    assert {optimizer.state[p]["step"].item() for p in model.audio_encoder.parameters()} == {4}
    assert {optimizer.state[p]["step"].item() for p in model.objective.parameters()} == {2}


def test_learning_rates_follow_schedule_and_scales(tmp_path: Path):
    model = make(schedule=WarmupCosine(warmup=0.5), lr_scales={"objective": 0.1})
    seen = []

    class Rates(Callback):
        def on_before_zero_grad(self, trainer: Trainer, pl_module: Alignment, optimizer: torch.optim.Optimizer) -> None:
            seen.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[-1]["lr"]))

    trainer(tmp_path, callbacks=[Rates()]).fit(model, loader(4))
    assert [rate for rate, _ in seen] == pytest.approx([0, 0.005, 0.01, 0.005])
    assert [rate for _, rate in seen] == pytest.approx([0, 0.0005, 0.001, 0.0005])
    with pytest.raises(ValueError, match="fusion"):
        make(lr_scales={"fusion": 1.0})


def test_a_resumed_run_ends_where_one_without_a_stop_does(tmp_path: Path):
    whole = make()
    trainer(tmp_path, max_epochs=3).fit(whole, loader())
    first = make()
    run = trainer(tmp_path, max_epochs=2)
    run.fit(first, loader())
    run.save_checkpoint(tmp_path / "stopped.ckpt")
    again = make()
    trainer(tmp_path, max_epochs=3).fit(again, loader(), ckpt_path=tmp_path / "stopped.ckpt", weights_only=False)
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("audio", "video"), [(False, True), (True, False)])
def test_a_batch_without_a_stream_teaches_nothing_and_does_no_harm(audio: bool, video: bool, tmp_path: Path):
    model = make()
    output = model(uncaptioned(audio=audio, video=video))
    assert output.loss.item() == 0
    loss = model.training_step(uncaptioned(audio=audio, video=video), 0)
    loss.backward()
    trained = [*model.audio_encoder.parameters(), *model.objective.parameters()]
    assert all(p.grad is not None and not p.grad.any() for p in trained)


def test_a_clip_without_sound_takes_no_part():
    model = make().eval()
    data = uncaptioned()
    data["fbank_mask"][1] = False
    alone = {name: value[[0, 2]] if isinstance(value, Tensor) else value[::2] for name, value in data.items()}
    masked = model(data)
    assert masked.per_clip[1] == 0
    torch.testing.assert_close(masked.loss, model(alone).loss)


def test_a_clip_whose_distance_is_not_finite_stops_the_run_and_is_named(tmp_path: Path):
    bad = uncaptioned()
    bad["frames_mask"][2] = False
    model = make(audio_encoder=_Rowwise())
    bad["fbank"][1] = torch.nan
    with pytest.raises(ValueError, match=r"clips clip0000001_0 \(nan\); "):
        trainer(tmp_path).fit(model, DataLoader([bad], batch_size=None))


class _Rowwise(LinearAudio):
    """Without the statistics of a batch, which would spread what is not finite."""

    def forward(self, x: Tensor, mask: Tensor | None = None, time: Tensor | None = None) -> Tokens:
        return Tokens(self.proj(x) + 0 * self.norm.weight, mask)


def test_widths_that_differ_are_told_at_once():
    with pytest.raises(ValueError, match=r"audio tokens have 9 channels and the image tokens 6; .*output_width"):
        make(audio_encoder=LinearAudio(width=9))


def test_a_checkpoint_leaves_a_tower_out_that_can_be_read_again():
    tower = MeanVisual()
    tower.pretrained = "somewhere"
    kept = {}
    for name, encoder in (("read again", tower), ("random", MeanVisual())):
        model = make(visual_encoder=encoder)
        checkpoint = {"state_dict": dict(model.state_dict())}
        model.on_save_checkpoint(checkpoint)
        kept[name] = {key.split(".")[0] for key in checkpoint["state_dict"]}
        make(visual_encoder=encoder).load_state_dict(checkpoint["state_dict"])
    assert kept == {
        "read again": {"audio_encoder", "objective"},
        "random": {"audio_encoder", "objective", "visual_encoder"},
    }


def test_kept_image_tokens_are_those_of_the_tower_which_runs_once():
    plain, keeping = make(), make(cache_images=True)
    keeping.load_state_dict(plain.state_dict())
    calls = []
    keeping.visual_encoder.register_forward_hook(lambda *_: calls.append(1))
    first, second = uncaptioned(), {**uncaptioned(), "id": ["x", "y", "z"]}
    mixed = {name: value.flip(0) if isinstance(value, Tensor) else value[::-1] for name, value in first.items()}
    for data in (first, second, mixed, first):
        for found, wanted in zip(keeping.eval().tokens(data), plain.eval().tokens(data), strict=True):
            torch.testing.assert_close(found.x, wanted.x, rtol=0, atol=0)
            assert torch.equal(found.full_mask(), wanted.full_mask())
    assert len(calls) == 2  # for the first two batches


@pytest.mark.parametrize("sampling", ["even", "random"])
def test_pictures_that_change_are_not_kept(sampling: str, tmp_path: Path):
    class Drawn(LightningDataModule):
        def train_dataloader(self) -> DataLoader:
            return loader(1)

        def input_settings(self) -> dict[str, str]:
            return {"frame_sampling": sampling}

    refused = pytest.raises(ValueError, match=r"set model\.init_args\.cache_images to false")
    with refused if sampling == "random" else nullcontext():
        trainer(tmp_path).fit(make(cache_images=True), datamodule=Drawn())
