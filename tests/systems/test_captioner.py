from __future__ import annotations

import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader

from avcap.systems import Captioner, WarmupCosine
from tests.systems.parts import Concat, LinearAudio, MeanVisual, OnlySound, WordDecoder, batch


def make(**changes) -> Captioner:
    arguments = {
        "audio_encoder": LinearAudio(),
        "visual_encoder": MeanVisual(),
        "fusion": Concat,
        "decoder": WordDecoder,
        "metrics": ["bleu_4", "cider_d"],
        **changes,
    }
    return Captioner(**arguments)


def trainer(folder, **changes) -> Trainer:
    defaults = {
        "max_epochs": 1,
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return Trainer(default_root_dir=folder, **{**defaults, **changes})


def loader(batches: int = 4, **changes) -> DataLoader:
    return DataLoader([batch(**changes) for _ in range(batches)], batch_size=None)


def test_losses_are_the_caption_loss_and_what_the_fusion_names():
    model = make()
    assert set(model.model.losses(batch())) == {"caption", "size"}


def test_the_decoder_is_told_the_prompts_of_the_batch():
    model = make()
    model.model.losses(batch())
    assert model.decoder.prompts is None
    model.model.losses({**batch(), "prompt": [None, "What is heard?", None]})
    assert model.decoder.prompts == [None, "What is heard?", None]


@pytest.mark.parametrize(("audio", "video"), [(True, False), (False, True)])
def test_a_batch_without_a_stream_is_captioned_from_the_other(audio, video):
    captions = make()(batch(audio=audio, video=video))
    assert len(captions) == 3


def test_an_encoder_that_the_fusion_does_not_read_is_not_kept():
    model = make(fusion=OnlySound)
    assert model.visual_encoder is None
    assert not [n for n, _ in model.named_parameters() if n.startswith("visual_encoder")]
    assert len(model(batch())) == 3


def test_no_encoder_for_the_fusion_is_refused():
    with pytest.raises(ValueError, match="audio_encoder"):
        make(fusion=OnlySound, audio_encoder=None)


def test_unknown_part_in_lr_scales_is_refused():
    with pytest.raises(ValueError, match="encoder_of_audio"):
        make(lr_scales={"encoder_of_audio": 0.1})


def test_learning_rate_follows_schedule_and_scales(tmp_path):
    model = make(
        lr_scales={"decoder": 0.1}, schedule=WarmupCosine(warmup=0.5), optimizer=lambda p: torch.optim.SGD(p, lr=1.0)
    )
    seen = []

    original = model.on_train_batch_start

    def watch(data, index):
        original(data, index)
        groups = model.optimizers().param_groups
        seen.append((groups[0]["lr"], groups[-1]["lr"]))

    model.on_train_batch_start = watch
    trainer(tmp_path).fit(model, loader(8))
    rates = [rate for rate, _ in seen]
    assert rates == pytest.approx([0, 0.25, 0.5, 0.75, 1.0, 0.853553, 0.5, 0.146447], abs=1e-5)
    assert [d for _, d in seen] == pytest.approx([0.1 * r for r in rates])


def test_biases_and_norms_have_no_weight_decay():
    model = make(optimizer=lambda p: torch.optim.AdamW(p, lr=1e-3, weight_decay=0.3))
    decayed = [p for g in model.configure_optimizers().param_groups if g["weight_decay"] > 0 for p in g["params"]]
    assert decayed
    assert all(p.ndim > 1 for p in decayed)


def test_nothing_trainable_is_refused():
    model = make()
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="frozen"):
        model.configure_optimizers()


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_clips(tmp_path):
    bad = batch()
    bad["audio"][1] = torch.nan
    with pytest.raises(ValueError, match=r"clip0000000_0, clip0000001_0"):
        trainer(tmp_path).fit(make(), DataLoader([bad], batch_size=None))


def test_validation_and_test_score_every_id_once(tmp_path):
    model = make()
    run = trainer(tmp_path)
    run.validate(model, loader(2), verbose=False)  # both batches hold the same ids
    assert "val/cider_d" in run.callback_metrics
    run.test(model, loader(2), verbose=False)
    assert len(model.test_scores.rows()) == 3
    assert 0 <= run.callback_metrics["test/bleu_4"] <= 1


def test_validation_decodes_greedily_and_test_with_the_decoders_own_settings(tmp_path):
    model = make()
    run = trainer(tmp_path)
    run.validate(model, loader(1), verbose=False)
    run.test(model, loader(1), verbose=False)
    assert model.decoder.settings == [{"num_beams": 1}, {}]


def test_labels_do_not_leak_into_captions():
    model = make()
    data = batch()
    before = model(data)
    data["caption"] = list(reversed(data["caption"]))
    data["references"] = [["nothing"]] * 3
    assert model(data) == before


# -- checkpoints ---------------------------------------------------------------------------------------------------


def saved(model: Captioner) -> dict:
    checkpoint = {"state_dict": dict(model.state_dict())}
    model.on_save_checkpoint(checkpoint)
    return checkpoint["state_dict"]


def test_frozen_pretrained_weights_are_left_out_and_frozen_random_ones_are_kept():
    pretrained = saved(make(audio_encoder=LinearAudio(pretrained="somewhere", frozen=True)))
    assert not [name for name in pretrained if name.startswith("audio_encoder")]
    assert [name for name in pretrained if name.startswith("decoder")]
    random = saved(make(audio_encoder=LinearAudio(frozen=True)))
    assert "audio_encoder.proj.weight" in random
    assert "audio_encoder.norm.running_mean" in random
    trained = saved(make(audio_encoder=LinearAudio(pretrained="somewhere")))
    assert "audio_encoder.norm.running_mean" in trained


def test_pretrained_weights_are_loaded_once():
    model = make(audio_encoder=LinearAudio(pretrained="somewhere"))
    model.configure_model()
    model.configure_model()
    assert model.audio_encoder.loads == 1
    assert torch.all(model.audio_encoder.proj.weight == 0.5)


def test_what_a_checkpoint_brings_is_not_read_and_is_saved_again():
    model = make(audio_encoder=LinearAudio(pretrained="somewhere", frozen=True))
    brought = {name: torch.ones_like(tensor) for name, tensor in model.model.state_dict().items()}
    model.held = frozenset(brought)
    model.configure_model()
    model.load_state_dict(brought)
    assert model.audio_encoder.loads == 0
    assert torch.all(saved(model)["audio_encoder.proj.weight"] == 1)


def test_state_round_trip_and_another_architecture():
    model, twin = make(), make()
    twin.load_state_dict(saved(model))
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), twin.state_dict().values(), strict=True))
    other = make(audio_encoder=LinearAudio(width=9), visual_encoder=MeanVisual(width=9))
    with pytest.raises(ValueError, match=r"another architecture.*differ in shape.*9"):
        other.load_state_dict(saved(model))
    with pytest.raises(ValueError, match="not in the model"):
        make(fusion=OnlySound).load_state_dict(saved(model))
