"""AVCap's configs: the paper's numbers, and every variant built on the meta device."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from lightning.pytorch import LightningDataModule, LightningModule

from avcap.check import Report
from avcap.commands.check import MetaCLI, build_report
from avcap.data import FrameChoice, NoiseRoll, SpecAugment
from avcap.decoders.git import GITCaptions
from avcap.frontends import Inputs, KaldiFbank
from avcap.scenes.tokenizer import train_tokenizer
from avcap.study.ablation.matrix import read_matrix

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs"
PAPER, DEMO = ("avcap.yaml",), ("demo/avcap_vit.yaml",)

# value of the ablation matrix -> fused tokens at paper size and in the demo; None: not tried at that size (the same classes)
VARIANTS = {
    "layers/l0": (904, None),
    "layers/l6": (904, None),
    "layers/l11": (904, None),
    "layers/l12": (904, None),
    "layers_demo/l0": (None, 64),
    "layers_demo/l1": (None, 64),
    "layers_demo/l3": (None, 64),
    "layers_demo/l4": (None, 64),
    "frozen/none": (904, 64),
    "frozen/decoder": (904, None),
    "frozen/decoder_projected": (904, None),
    "frozen/encoder": (904, None),
    "streams/both": (904, 64),
    "streams/audio": (512, 32),
    "streams/video": (392, 32),
    "frames/1": (708, 48),
    "frames/4": (512 + 2 * 196, 64),
    "frames/8": (512 + 4 * 196, 96),
    "frames_tuned/1": (708, None),
    "frames_tuned/4": (904, None),
    "frames_tuned/8": (512 + 4 * 196, None),
}
KERNEL, POSITIONS = 3 * 16 * 16 * 768, 196 * 768  # of the frames, for one frame
VISUAL = 78_708_480 + KERNEL + POSITIONS  # of 4 frames: a kernel two frames deep, and positions of two pairs
CASES = [
    (base, name, tokens[i]) for i, base in enumerate((PAPER, DEMO)) for name, tokens in VARIANTS.items() if tokens[i]
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small tokenizer and no shards."""
    folder = tmp_path_factory.mktemp("avcap_configs")
    train_tokenizer(folder / "tokenizer", ["a dog barks while rain falls", "a bell rings"], vocab_size=300)
    return folder


@pytest.fixture(autouse=True)
def _from_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # configs name files from there


def arguments(names: tuple[str, ...], place: Path) -> list[str]:
    """Options that name a config and, after it, a value of the ablation matrix."""
    overlay = replace(
        read_matrix("paper"), axes={**read_matrix("paper").axes, **read_matrix("demo").axes}, runs=place
    ).overlay
    configs = [CONFIGS / names[0], *(overlay(name) for name in names[1:])]
    words = [word for config in configs for word in ("--config", str(config))]
    if names[0] != PAPER[0]:
        words += ["--model.init_args.decoder.init_args.tokenizer", str(place / "tokenizer")]
    return [*words, "--data.init_args.shards", str(place / "shards")]


@cache
def report(names: tuple[str, ...], place: Path) -> Report:
    return build_report(arguments(names, place))


def parts(found: Report) -> dict[str, tuple]:
    return {p.part: p for p in found.parts}


@pytest.fixture(scope="module")
def paper(place: Path) -> MetaCLI:
    return MetaCLI(
        LightningModule,
        LightningDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        args=arguments(PAPER, place),
        run=False,
    )


def test_sizes_of_the_paper(place: Path) -> None:
    found = parts(report(PAPER, place))
    assert {name: (p.trainable, p.frozen, p.tokens) for name, p in found.items()} == {
        "audio_encoder": (78_557_952, 0, "512 x 768"),
        "visual_encoder": (VISUAL, 0, "392 x 768"),
        "fusion": (7_098_624, 0, "904 x 768"),
        "decoder": (0, 67_378_746, "text"),  # the projection too, as in the code
    }
    one_frame = parts(report((*PAPER, "frames/1"), place))
    assert sum(p.trainable for p in list(one_frame.values())[:3]) == 164_365_056  # the 164 M of CAV-MAE


def test_optimisation_of_the_paper(paper: MetaCLI) -> None:
    groups = paper.model.configure_optimizers().param_groups
    assert {group["max_lr"] for group in groups} == {1e-4}
    assert {group["betas"] for group in groups} == {(0.95, 0.999)}
    assert {group["weight_decay"] for group in groups} == {5e-7, 0.0}
    epochs = paper.config.trainer.max_epochs
    rates = [1e-4 * paper.model.schedule(epoch / epochs) for epoch in (0, 0.5, 1, epochs)]
    assert rates == pytest.approx([2e-7, (2e-7 + 1e-4) / 2, 1e-4, 1e-6], rel=1e-5)


def test_data_and_search_of_the_paper(paper: MetaCLI) -> None:
    data, decoder = paper.datamodule, paper.model.decoder
    assert (data.batch_size, data.frames) == (8, FrameChoice(4, "random"))
    assert paper.model.inputs == Inputs(KaldiFbank(128, 1024, mean=-4.346, std=4.332), ("audio", "frames"))
    mask, noise = data.transforms
    assert isinstance(mask, SpecAugment)
    assert isinstance(noise, NoiseRoll)
    assert (mask.frequency, mask.time, noise.amplitude, noise.roll) == (48, 192, 0.1, True)
    assert (decoder.generation["num_beams"], decoder.generation["length_penalty"]) == (4, 0.6)
    assert (decoder.captions, decoder.tokenizer) == (
        GITCaptions(lowercase=True, max_tokens=40, label_smoothing=0.1),
        "bert-base-uncased",
    )


@pytest.mark.parametrize(("base", "name", "tokens"), CASES, ids=[f"{b[0]}-{n}" for b, n, _ in CASES])
def test_variants_build(base: tuple[str, ...], name: str, tokens: int, place: Path) -> None:
    found = parts(report((*base, name), place))
    width = 768 if base == PAPER else 192
    assert found["fusion"].tokens == f"{tokens} x {width}"


@pytest.mark.parametrize(("name", "layers"), [("l0", 0), ("l6", 6), ("l11", 11), ("l12", 12)])
def test_layers_move_between_streams_and_joint(name: str, layers: int, place: Path) -> None:
    found = parts(report((*PAPER, f"layers/{name}"), place))
    block, joint_norms = 7_087_872, 4 * 2 * 768  # a joint block has two LayerNorms more, twice
    outside = {"audio_encoder": 78_557_952 - 11 * block, "visual_encoder": VISUAL - 11 * block}
    for part, rest in outside.items():
        assert found[part].trainable == rest + layers * block
    assert found["fusion"].trainable == (12 - layers) * (block + joint_norms) + 3 * 2 * 768


def test_frozen_variants_train_the_rest(place: Path) -> None:
    decoder = parts(report((*PAPER, "frozen/decoder_projected"), place))["decoder"]
    assert decoder.trainable == 768 * 768 + 3 * 768  # the projection and its norm
    encoder = parts(report((*PAPER, "frozen/encoder"), place))
    assert [encoder[p].trainable for p in ("audio_encoder", "visual_encoder", "fusion")] == [0, 0, 0]
    assert encoder["decoder"].frozen == 0


@pytest.mark.parametrize("stream", ["audio", "video"])
def test_one_stream_reads_and_keeps_one_stream(stream: str, place: Path) -> None:
    found = parts(report((*PAPER, f"streams/{stream}"), place))
    assert ("audio_encoder" in found, "visual_encoder" in found) == (stream == "audio", stream == "video")


@pytest.mark.parametrize(("name", "tokens"), [("avcap", "40 x 192"), ("avcap_vit", "64 x 192")])
def test_the_demos_are_small(name: str, tokens: str, place: Path) -> None:
    found = report((f"demo/{name}.yaml",), place)
    assert sum(p.trainable for p in found.parts) < 6e6
    assert parts(found)["fusion"].tokens == tokens


@pytest.mark.parametrize(
    ("name", "fusion", "decoder", "tokens"),
    [
        ("ot_attention_git", "OTAttention", "GITDecoder", "40 x 192"),
        ("token_concat_causal_lm", "TokenConcat", "CausalLMDecoder", "160 x 192"),
        ("aligned_token_concat", "AlignedFusion", "CausalLMDecoder", "160 x 192"),
    ],
)
def test_mixed_systems_build(name: str, fusion: str, decoder: str, tokens: str, place: Path) -> None:
    found = parts(report((f"mix/{name}.yaml",), place))
    assert (found["fusion"].name, found["decoder"].name, found["fusion"].tokens) == (fusion, decoder, tokens)
