"""Every config of DALI builds on the meta device, and its stages fit each other."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from lightning.pytorch import LightningDataModule, LightningModule

from avcap.check import Report
from avcap.commands.check import MetaCLI, build_report
from avcap.lightning_cli import AvcapParser
from avcap.losses import AttentiveOTAlignment, ContrastiveAlignment, MMDAlignment, OTAlignment
from avcap.systems import Alignment
from tests.end_to_end.program import REPOSITORY
from tests.systems.dali_place import make_place, write_sizes

FOLDER = REPOSITORY / "configs" / "dali"
# config, or folder of configs -> what it is laid over
AFTER = {
    "0c_instructions.yaml": "0b_image_captioner.yaml",
    "0d_audio_backbone.yaml": "1b_alignment.yaml",
    "distilled.yaml": "inference.yaml",
    "modality": "inference.yaml",
    "objective": "1b_alignment.yaml",
    "pairs": "1a_prefix.yaml",
    "paper/greedy.yaml": "paper/inference.yaml",
    "paper/modality": "paper/inference.yaml",
    "paper/objective": "paper/1b_alignment.yaml",
    "paper/stage1.yaml": "paper/inference.yaml",
}
FILES = {str(path.relative_to(FOLDER)): path.read_text() for path in sorted(FOLDER.rglob("*.yaml"))}
OBJECTIVES = {
    "0d_audio_backbone": ContrastiveAlignment,
    "1b_alignment": OTAlignment,
    "paper/1b_alignment": AttentiveOTAlignment,
    "ot": OTAlignment,
    "mmd": MMDAlignment,
    "attentive_ot": AttentiveOTAlignment,
    "contrastive": ContrastiveAlignment,
}


def _after(name: str) -> list[str]:
    """A config, with the one that it is laid over before it."""
    base = AFTER.get(name, AFTER.get(name.rpartition("/")[0]))
    return [base, name] if base else [name]


def _of(system: str) -> list[str]:
    """The configs of a system."""
    settings = {name: [yaml.safe_load(FILES[part]).get("model", {}) for part in _after(name)] for name in FILES}
    return [name for name, models in settings.items() if any(m.get("class_path") == system for m in models)]


CAPTIONERS, ALIGNMENTS = _of("Captioner"), _of("Alignment")


@pytest.fixture(scope="module")
def place(demo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = make_place(tmp_path_factory.mktemp("dali") / "place", demo_root)
    write_sizes(place)
    return place


@pytest.fixture
def inside(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


def words(name: str) -> list[str]:
    return [word for part in _after(name) for word in ("--config", f"configs/dali/{part}")]


def report(name: str) -> Report:
    return build_report(words(name))


def alignment(name: str) -> Alignment:
    classes = {"parser_class": AvcapParser, "subclass_mode_model": True, "subclass_mode_data": True}
    return MetaCLI(LightningModule, LightningDataModule, args=words(name), run=False, **classes).model


@pytest.mark.usefixtures("inside")
@pytest.mark.parametrize("name", CAPTIONERS)
def test_a_captioner_builds_and_its_parts_fit(name: str):
    found = report(name)
    trainable = {part.part for part in found.parts if part.trainable}
    seeing = {"visual_encoder", "fusion"}
    expected = {"0b": seeing, "0c": seeing, "1a": {"decoder"}, "pa": {"decoder"}, "2_": {"fusion"}}
    stage = name.removeprefix("paper/")
    assert trainable == expected.get(stage[:2], set())


@pytest.mark.usefixtures("inside")
@pytest.mark.parametrize("name", ALIGNMENTS)
def test_an_alignment_builds_with_tokens_of_one_width(name: str):
    model = alignment(name)
    assert type(model.objective) is OBJECTIVES.get(name.removesuffix(".yaml"), OBJECTIVES[Path(name).stem])
    assert model.visual_encoder.width == model.audio_encoder.width
    assert not any(parameter.requires_grad for parameter in model.visual_encoder.parameters())


@pytest.mark.usefixtures("inside")
@pytest.mark.parametrize("name", ALIGNMENTS)
def test_check_proves_an_alignment(name: str):
    found = report(name)
    sizes = {part.part: part for part in found.parts}
    audio, image = sizes["audio_encoder"], sizes["visual_encoder"]
    tokens = ("512 x 1024", "576 x 1024") if name.startswith("paper/") else ("32 x 192", "64 x 192")
    assert (audio.tokens, image.tokens, sizes["objective"].tokens) == (*tokens, "loss")
    assert audio.trainable > 0 == audio.frozen
    assert image.frozen > 0 == image.trainable
    scorers = type(alignment(name).objective) is AttentiveOTAlignment
    assert (sizes["objective"].trainable > 0) == scorers
    assert found.memory.gradients == 4 * (audio.trainable + sizes["objective"].trainable)
    assert found.memory.activations > 0
    assert "text tokens" not in str(found)


@pytest.mark.usefixtures("inside")
@pytest.mark.parametrize(
    ("name", "setting", "message"),
    [
        (
            "1b_alignment",
            "audio_encoder.init_args.output_width=96",
            "audio tokens have 96 channels and the image tokens 192",
        ),
        (
            "objective/attentive_ot",
            "objective.init_args.width=96",
            "has width 96, but the audio tokens have 192 channels",
        ),
    ],
)
def test_check_refuses_an_alignment_of_several_widths(name: str, setting: str, message: str):
    with pytest.raises(ValueError, match=message):
        build_report([*words(f"{name}.yaml"), f"--model.init_args.{setting}"])


@pytest.mark.usefixtures("inside")
def test_check_says_which_systems_it_does_not_know():
    with pytest.raises(ValueError, match="knows captioners and alignments, not LanguageModelling"):
        report("0a_language.yaml")


@pytest.mark.usefixtures("inside")
def test_stages_at_paper_size_have_the_papers_tokens_and_trained_parts():
    sizes = {part.part: part for part in report("paper/pseudo_label.yaml").parts}
    assert sizes["audio_encoder"].tokens == "512 x 1024"
    assert sizes["visual_encoder"].tokens == "576 x 1024"
    assert sizes["fusion"].tokens == "1088 x 4096"
    assert sizes["decoder"].frozen > 6.7e9
    streams = {"paper/inference.yaml": 512, "paper/modality/image.yaml": 576, "paper/modality/both.yaml": 1088}
    for name, tokens in streams.items():
        assert {part.part: part for part in report(name).parts}["fusion"].tokens == f"{tokens} x 4096"
    prefix = report("paper/1a_prefix.yaml").parts[-1]
    assert prefix.trainable == 16 * 4096
    projector = {part.part: part for part in report("paper/2_distillation.yaml").parts}["fusion"]
    assert projector.trainable == 1024 * 4096 + 4096 * 4096 + 2 * 4096


@pytest.mark.usefixtures("inside")
@pytest.mark.parametrize("folder", ["", "paper/"])
def test_the_audio_encoder_is_the_same_in_all_stages(folder: str):
    ours = {n: p.shape for n, p in alignment(f"{folder}1b_alignment.yaml").audio_encoder.named_parameters()}
    for stage in ("inference", "2_distillation"):
        count = sum(shape.numel() for shape in ours.values())
        parts = {part.part: part for part in report(f"{folder}{stage}.yaml").parts}
        assert parts["audio_encoder"].frozen == count


def test_every_config_is_built():
    assert set(CAPTIONERS) | set(ALIGNMENTS) | {"0a_language.yaml"} == set(FILES)  # 0a: tests/test_configs.py
    assert len(ALIGNMENTS) == 10
