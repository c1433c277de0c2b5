"""Configs proved on the meta device."""

from __future__ import annotations

import pytest

from avcap.cli import main
from avcap.commands.check import build_report
from tests.end_to_end.program import REPOSITORY

LAVCAP = ["--config", str(REPOSITORY / "configs" / "lavcap.yaml")]
LLM = f"--model.init_args.decoder.init_args.config={REPOSITORY / 'configs' / 'llm' / 'llama2_7b.json'}"


@pytest.fixture(scope="module")
def lavcap():
    """The report on LAVCap at paper size."""
    return build_report([*LAVCAP, LLM])


def test_lavcap_has_the_parameters_of_the_paper(lavcap):
    parts = {part.part: part for part in lavcap.parts}
    assert parts["audio_encoder"].trainable == 294_912  # LoRA: 12 layers x 2 matrices x 2 x 768 x 8
    assert parts["fusion"].trainable == 1  # the temperature
    lora, projection = 32 * 2 * 2 * 4096 * 8, 768 * 4096 + 4096
    assert parts["decoder"].trainable == lora + projection == 4_194_304 + 3_149_824 == 7_344_128
    assert parts["decoder"].frozen == 6_738_415_616  # LLaMA-2-7B


def test_lavcap_fuses_64_audio_and_20_visual_tokens(lavcap):
    shapes = {part.part: part.tokens for part in lavcap.parts}
    assert shapes["audio_encoder"] == "64 x 768"
    assert shapes["visual_encoder"] == "20 x 768"
    assert shapes["fusion"] == "84 x 768"


def test_lavcap_fits_a_gpu_of_24_gib(lavcap):
    memory = lavcap.memory
    assert memory.weights / 2**30 == pytest.approx(12.7, abs=0.1)
    trainable = sum(part.trainable for part in lavcap.parts)
    assert memory.gradients == 4 * trainable
    assert memory.optimiser == pytest.approx(2 * memory.gradients, rel=1e-3)  # and a counter for each weight
    assert 1 < memory.activations / 2**30 < 10


def test_frozen_matrices_of_a_trained_part_take_two_bytes_each(lavcap):
    """Under mixed precision they are computed in that format; what is in no matrix stays as it is."""
    frozen = {part.part: part.frozen for part in lavcap.parts}
    assert lavcap.memory.weights < 2 * sum(frozen.values()) + 4 * 7_639_041 + 2 * 0.02 * frozen["audio_encoder"]


def test_eight_devices_share_out_the_language_model(lavcap):
    """Each has an eighth of the blocks, two gathered blocks of 32, and the embeddings whole while they are used."""
    shared = build_report([*LAVCAP, LLM, "--devices", "8", "--strategy", "fsdp"]).memory
    block, around = 202_375_168 * 2, 262_410_240 * 2  # bytes: a layer of LLaMA-2-7B, embeddings and head
    expected = lavcap.memory.weights / 8 + (2 * block + around) * 7 / 8
    assert shared.weights == pytest.approx(expected, rel=0.1)
    assert shared.activations == lavcap.memory.activations
    whole = build_report([*LAVCAP, LLM, "--devices", "8", "--strategy", "ddp"]).memory
    assert whole.weights == lavcap.memory.weights
    assert whole.gradients == 2 * lavcap.memory.gradients


def test_activations_grow_with_the_batch(lavcap):
    twice = build_report([*LAVCAP, LLM, "--clips", "8"])
    assert twice.memory.activations == pytest.approx(2 * lavcap.memory.activations, rel=0.02)
    assert twice.memory.weights == lavcap.memory.weights


def test_the_report_is_printed_as_a_table(capsys):
    main(["check", *LAVCAP, LLM])
    out = capsys.readouterr().out
    assert "6,738,415,616" in out
    assert "84 x 768" in out
    assert "GiB" in out


def test_shards_that_lack_what_an_encoder_reads_are_told(capsys, demo_root):
    shards = ("--data.init_args.shards", str(demo_root / "shards"))
    with pytest.raises(SystemExit) as stop:
        main(["check", *LAVCAP, LLM, *shards])
    assert stop.value.code == 1
    error = capsys.readouterr().err
    assert f"The shards in {demo_root / 'shards' / 'train'} hold no visual_features, which the model reads" in error
    assert "run `avcap data features`" in error


@pytest.mark.parametrize(
    "words",
    [
        ["--model.init_args.decoder.init_args.gradient_checkpointing=true"],
        ["--config", str(REPOSITORY / "configs" / "strategy" / "recompute.yaml")],
    ],
)
def test_what_is_recomputed_takes_less_memory(lavcap, words):
    assert build_report([*LAVCAP, LLM, *words]).memory.activations < 0.95 * lavcap.memory.activations
