"""GIT's weights: both namings, AVCap's, the way back, and Hugging Face's own GIT as a witness."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from avcap.decoders.git import GITCaptions, GITDecoder
from avcap.decoders.git_text import GITSize
from avcap.types import Tokens
from avcap.weights import ImportOptions, export_checkpoint, find_format, import_checkpoint
from avcap.weights.git import AVCAP, HUGGING_FACE, OFFICIAL, decoder_to_ours, decoder_to_theirs
from tests.golden import golden

SIZE = GITSize(width=24, depth=2, heads=4, mlp_ratio=2.0, vocab_size=60, positions=32)
VISION = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 32,
    "patch_size": 16, "projection_dim": 16,
}  # fmt: skip


@pytest.fixture(scope="module")
def hugging_face() -> torch.nn.Module:
    """A small GIT of Hugging Face with random weights, far from uniform; output and word embeddings are equal."""
    from transformers import GitConfig, GitForCausalLM

    torch.manual_seed(0)
    config = GitConfig(
        vocab_size=60,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=32,
        vision_config=VISION,
        attn_implementation="eager",
    )
    model = GitForCausalLM(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    model.output.weight.data = model.git.embeddings.word_embeddings.weight.data.clone()
    return model


def official(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Hugging Face's names -> those of the authors' files."""
    changes = {
        "git.embeddings.word_embeddings": "textual.embedding.words",
        "git.embeddings.position_embeddings": "textual.embedding.positions",
        "git.embeddings.LayerNorm": "textual.embedding.layer_norm",
        "git.encoder.layer": "textual.transformer.encoder.layer",
        "git.visual_projection.visual_projection": "textual.visual_projection",
        "git.image_encoder": "image_encoder",
    }
    out = {}
    for name, value in state.items():
        for theirs, ours in changes.items():
            name = name.replace(theirs, ours)
        out[f"textual.{name}" if name.startswith("output.") else name] = value
    return out


def loaded(file: Path, *, tied: bool = True) -> GITDecoder:
    captions = GITCaptions(max_tokens=20)
    model = GITDecoder(16, size=replace(SIZE, tied=tied), captions=captions, pretrained=str(file)).eval()
    model.load_pretrained()
    return model


def test_the_decoder_computes_what_hugging_face_git_computes(hugging_face: torch.nn.Module, tmp_path: Path) -> None:
    torch.save(hugging_face.state_dict(), tmp_path / "pytorch_model.bin")
    report = import_checkpoint(tmp_path, tmp_path / "git.safetensors", options=ImportOptions(projection=True))
    assert report.format == "git_hf"
    model = loaded(tmp_path / "git.safetensors")
    pixels = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    ids = torch.randint(0, 60, (3, 9), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        seen = hugging_face.git.image_encoder(pixels).last_hidden_state  # [B, 5, 16]
        expected = hugging_face(input_ids=ids, pixel_values=pixels).logits[:, -9:]  # [B, 9, V]
        own = model.logits(Tokens(seen), ids)
    torch.testing.assert_close(own, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("naming", ["git", "git_hf"])
@pytest.mark.parametrize("projection", [True, False])
def test_import_and_export_give_the_text_decoder_back(
    hugging_face: torch.nn.Module, tmp_path: Path, naming: str, projection: bool
) -> None:
    state = hugging_face.state_dict()
    state = official(state) if naming == "git" else state
    wrapped = {"model": {f"module.{name}": value for name, value in state.items()}} if naming == "git" else state
    torch.save(wrapped, tmp_path / "model.pt")
    report = import_checkpoint(
        tmp_path / "model.pt", tmp_path / "ours.safetensors", options=ImportOptions(projection=projection)
    )
    assert report.format == naming
    assert any("image_encoder" in key for key in report.ignored)
    export_checkpoint(tmp_path / "ours.safetensors", tmp_path / "back.safetensors", format_name=naming)
    back = load_file(tmp_path / "back.safetensors")
    expected = {
        name: value
        for name, value in state.items()
        if "image_encoder" not in name and (projection or "visual_projection" not in name)
    }
    assert back.keys() == expected.keys()
    assert all(torch.equal(back[name], value) for name, value in expected.items())


def test_gits_projection_stays_out_unless_it_is_asked_for(hugging_face: torch.nn.Module) -> None:
    state = official(hugging_face.state_dict())
    kind = find_format(state)
    plain, chosen = (kind.convert(state, ImportOptions(projection=flag)) for flag in (False, True))
    assert not any(name.startswith("decoder.projection.") for name in plain.state)
    assert plain.about["projection"] == "absent"
    assert "textual.visual_projection.0.weight" in plain.ignored
    assert sum(name.startswith("decoder.projection.") for name in chosen.state) == 4


def test_output_weights_of_their_own_are_kept(hugging_face: torch.nn.Module, tmp_path: Path) -> None:
    state = dict(hugging_face.state_dict())
    state["output.weight"] = state["output.weight"] + 1.0
    torch.save(state, tmp_path / "model.bin")
    import_checkpoint(tmp_path / "model.bin", tmp_path / "o.safetensors", options=ImportOptions(projection=True))
    model = loaded(tmp_path / "o.safetensors", tied=False)
    assert torch.equal(model.text.output_weight, state["output.weight"])
    with pytest.raises(ValueError, match=r"1 unexpected \(output_weight\)"):
        loaded(tmp_path / "o.safetensors", tied=True)
    assert torch.equal(
        decoder_to_theirs(
            {f"decoder.{name}": value for name, value in model.state_dict().items()}, HUGGING_FACE, format_name="git_hf"
        )["output.weight"],
        state["output.weight"],
    )


def test_every_name_and_shape_of_the_real_captioner_has_its_place() -> None:
    manifest, _ = golden.load("avcap_full_names")
    table = {name: shape for name, shape in manifest["table_one_frame"].items() if name.startswith("textual.")}
    with torch.device("meta"):
        model = GITDecoder(768)
    ours = {f"decoder.{name}": list(value.shape) for name, value in model.state_dict().items()}
    names = AVCAP.text_table(AVCAP.depth(table)) | AVCAP.projection_table()
    assert {names[name]: shape for name, shape in table.items() if name != "textual.output.weight"} == ours
    fitting = set(manifest["git_checkpoint"]["names_that_fit"]) - {"textual.output.weight"}
    assert set(OFFICIAL.text_table(6)) == fitting


def test_avcap_names_convert_with_nothing_left_over() -> None:
    manifest, _ = golden.load("avcap_captioner")
    state = {name: torch.from_numpy(value.copy()) for name, value in golden.state_dict(manifest).items()}
    state = {name: value for name, value in state.items() if name.startswith("textual.")}
    conversion = decoder_to_ours(state, AVCAP, projection=True)
    assert conversion.required == set(conversion.state)
    assert not conversion.unexpected
    assert not conversion.ignored
    back = decoder_to_theirs(conversion.state, AVCAP, format_name="avcap_official")
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], value) for name, value in state.items())


def test_faults_stop_the_import_in_one_sentence(hugging_face: torch.nn.Module, tmp_path: Path) -> None:
    state = official(hugging_face.state_dict())
    missing = {name: value for name, value in state.items() if not name.endswith("layer.1.attention.self.value.bias")}
    torch.save(missing, tmp_path / "missing.pt")
    with pytest.raises(ValueError, match=r"1 missing \(decoder.text.blocks.1.attn.v_proj.bias\)"):
        import_checkpoint(tmp_path / "missing.pt", tmp_path / "o.safetensors")
    torch.save(state | {"textual.crossattention.weight": torch.zeros(1)}, tmp_path / "more.pt")
    with pytest.raises(ValueError, match=r"1 unexpected \(textual.crossattention.weight\)"):
        import_checkpoint(tmp_path / "more.pt", tmp_path / "o.safetensors")
    torch.save(state | {"payload": Path("x")}, tmp_path / "payload.pt")
    with pytest.raises(ValueError, match="holds Python objects beside tensors"):
        import_checkpoint(tmp_path / "payload.pt", tmp_path / "o.safetensors")
    assert not (tmp_path / "o.safetensors").exists()


def test_an_incomplete_export_is_refused() -> None:
    with pytest.raises(ValueError, match="weights that git needs are not in the source"):
        find_format((), "git").export({"decoder.text.blocks.0.norm1.weight": torch.ones(2)})
