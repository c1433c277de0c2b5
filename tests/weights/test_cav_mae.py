"""Import of CAV-MAE and AVCap checkpoints, and the way back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from avcap.commands import weights as commands
from avcap.decoders import GITDecoder
from avcap.encoders import CAVMAEAudio, CAVMAEVisual
from avcap.fusion import TokenConcat
from avcap.layers.vit import ViTSize
from avcap.weights import FORMATS, ImportOptions, export_checkpoint, find_format, import_checkpoint
from avcap.weights.cav_mae import fit_audio_positions
from tests.encoders.cav_mae_golden import case, official_state
from tests.golden import golden

NAMES = golden.load("avcap_full_names")[0]
ENCODER = "av_encoder."


def light(table: dict[str, list[int]]) -> dict[str, Tensor]:
    """Tensors of these shapes that take no memory."""
    return {name: torch.zeros((), dtype=torch.int8).expand(shape) for name, shape in table.items()}


def full_table(frames: int) -> dict[str, list[int]]:
    """The official captioner at its real size."""
    changed = NAMES["differences"] if frames == 4 else {}
    return NAMES["table_one_frame"] | {name: shapes["four_frames"] for name, shapes in changed.items()}


def encoder_table() -> dict[str, list[int]]:
    """What a CAV-MAE pre-training checkpoint holds, without ``module.``; shapes of what is not used are made up."""
    absent = NAMES["cav_mae_checkpoint"]["absent_from_checkpoint"]
    table = {name.removeprefix(ENCODER): s for name, s in full_table(1).items() if name.startswith(ENCODER)}
    table = {name: shape for name, shape in table.items() if name not in absent}
    return table | {name: [1] for name in NAMES["cav_mae_checkpoint"]["unused_by_the_captioner"]}


def needed(frames: int = 1) -> dict[str, tuple[int, ...]]:
    """Names and shapes of our parts at the real size."""
    with torch.device("meta"):
        parts = {
            "audio": CAVMAEAudio(),
            "visual": CAVMAEVisual(frames=frames),
            "joint": TokenConcat(768, 768).joint,
            "decoder": GITDecoder(768),
        }
    return {f"{p}.{n}": tuple(v.shape) for p, module in parts.items() for n, v in module.state_dict().items()}


def shapes(state: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """The small official encoder, saved as a CAV-MAE checkpoint is."""
    manifest, _ = golden.load("avcap_encoder_f1")
    path = tmp_path / "audio_model.pth"
    torch.save({f"module.{name}": value for name, value in official_state(manifest).items()}, path)
    return path


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118


# -- full size ----------------------------------------------------------------------------------------------------


def test_the_full_cav_mae_table_fills_three_components() -> None:
    state = light(encoder_table())
    kind = find_format(state)
    conversion = kind.convert(state, ImportOptions())
    assert kind.name == "cav_mae"
    assert conversion.unexpected == ()
    assert shapes(conversion.state) == {n: s for n, s in needed().items() if not n.startswith("decoder.")}
    assert conversion.required == set(conversion.state)
    assert set(NAMES["cav_mae_checkpoint"]["unused_by_the_captioner"]) <= set(conversion.ignored)
    assert conversion.about == {
        "width": "768",
        "depth": "11",
        "visual_depth": "11",
        "joint_depth": "1",
        "tubelet": "1",
        "target_length": "1024",
    }


@pytest.mark.parametrize("frames", [1, 4])
def test_the_full_captioner_table_fills_four_components_and_comes_back(frames: int) -> None:
    state = light(full_table(frames))
    kind = find_format(state)
    conversion = kind.convert(state, ImportOptions())
    assert kind.name == "avcap_official"
    assert conversion.unexpected == ()
    assert shapes(conversion.state) == needed(frames)
    assert conversion.required == set(conversion.state)
    left = {key.partition(".")[2] for key in conversion.ignored}
    assert all("norm" in key or key.startswith("mlp_head.") for key in left), left
    assert shapes(kind.export(conversion.state)) == {n: tuple(s) for n, s in full_table(frames).items()}


def test_strangers_in_a_captioner_are_reported() -> None:
    state = light(full_table(1)) | light({"ema.decay": [1], "av_encoder.blocks_a.0.attn.gate": [1]})
    unexpected = FORMATS["avcap_official"].convert(state, ImportOptions()).unexpected
    assert set(unexpected) == {"ema.decay", "av_encoder.blocks_a.0.attn.gate"}


# -- small, through files -----------------------------------------------------------------------------------------


def test_the_file_serves_every_part_and_the_outputs_are_the_official_ones(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "cav_mae.safetensors"
    report = import_checkpoint(checkpoint, out)
    assert (report.format, report.missing, report.unexpected) == ("cav_mae", (), ())
    size = {"width": 48, "depth": 11, "heads": 4}
    audio = CAVMAEAudio(ViTSize(**size), pretrained=str(out)).eval()
    visual = CAVMAEVisual(ViTSize(**size), pretrained=str(out)).eval()
    fusion = TokenConcat(48, 48, heads=4, pretrained=str(out)).eval()
    for part in (audio, visual, fusion):
        part.load_pretrained()
    reference = case("avcap_encoder_f1")
    with torch.no_grad():
        reference.check("tokens", fusion(audio(reference.fbank), visual(reference.frames)).tokens.x)


def test_export_is_the_exact_way_back(checkpoint: Path, tmp_path: Path) -> None:
    ours, back, again = (tmp_path / name for name in ("ours.safetensors", "back.pth", "again.safetensors"))
    import_checkpoint(checkpoint, ours)
    export_checkpoint(ours, back, format_name="cav_mae")
    import_checkpoint(back, again)
    official, returned = (torch.load(path, weights_only=True) for path in (checkpoint, back))
    assert set(official) - set(returned) == {
        f"module.mlp_head.{layer}.{leaf}" for layer in (0, 1) for leaf in ("weight", "bias")
    }
    used = {f"module.{p['name']}" for p in golden.load("avcap_encoder_f1")[0]["parameters"] if p["used"]}
    assert all(torch.equal(returned[name], official[name]) for name in used)
    first, second = read(ours)[0], read(again)[0]
    assert set(first) == set(second)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_captioner_checkpoint_is_exported_by_its_parts(checkpoint: Path, tmp_path: Path) -> None:
    ours = tmp_path / "ours.safetensors"
    import_checkpoint(checkpoint, ours)
    own = {"audio.": "audio_encoder.", "visual.": "visual_encoder.", "joint.": "fusion.joint."}
    state = {
        next(o + n.removeprefix(p) for p, o in own.items() if n.startswith(p)): v for n, v in read(ours)[0].items()
    }
    path = tmp_path / "epoch.ckpt"
    torch.save({"state_dict": state | {"decoder.text.words.weight": torch.zeros(3, 3)}, "epoch": 3}, path)
    names = export_checkpoint(path, tmp_path / "out.safetensors", format_name="cav_mae")
    assert len(names) == len(golden.load("avcap_encoder_f1")[0]["parameters"]) - 4
    del state["audio_encoder.blocks.3.attn.k_proj.weight"]
    torch.save({"state_dict": state}, path)
    with pytest.raises(ValueError, match=r"1 weights that cav_mae needs are not in the source \(audio\.blocks\.3"):
        export_checkpoint(path, tmp_path / "out.safetensors", format_name="cav_mae")


def test_wrong_depths_are_one_sentence(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "cav_mae.safetensors"
    import_checkpoint(checkpoint, out)
    with pytest.raises(ValueError, match=r"holds 11 blocks for CAVMAEAudio, which has 6; set size\.depth: 11"):
        CAVMAEAudio(ViTSize(48, 6, 4), pretrained=str(out)).load_pretrained()
    with pytest.raises(ValueError, match="holds 1 blocks for TokenConcat, which has 6; set joint_depth: 1"):
        TokenConcat(48, 48, heads=4, joint_depth=6, pretrained=str(out)).load_pretrained()


def test_a_missing_or_unknown_key_stops_the_import(checkpoint: Path, tmp_path: Path) -> None:
    state = torch.load(checkpoint, weights_only=True)
    del state["module.blocks_v.4.mlp.fc1.bias"]
    state["module.blocks_a.0.adapter.weight"] = torch.zeros(1)
    torch.save(state, checkpoint)
    message = r"1 missing \(visual\.blocks\.4\.mlp\.fc1\.bias\); 1 unexpected \(blocks_a\.0\.adapter\.weight\)"
    with pytest.raises(ValueError, match=message):
        import_checkpoint(checkpoint, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


class _Payload:
    def __reduce__(self) -> tuple:
        return os.system, ("touch executed",)


def test_a_pickle_payload_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"module.modality_a": _Payload()}, tmp_path / "bad.pth")
    with pytest.raises(ValueError, match="holds Python objects beside tensors"):
        import_checkpoint(tmp_path / "bad.pth", tmp_path / "out.safetensors")
    assert not (tmp_path / "executed").exists()


def test_audio_positions_are_cut_and_stretched_in_time() -> None:
    ramp = torch.arange(64.0).expand(8, 64) + 100 * torch.arange(8.0)[:, None]  # value = time + 100 * row
    positions = ramp.reshape(1, 512, 1)
    half = fit_audio_positions(positions, 512).unflatten(1, (8, 32))[0, ..., 0]
    assert torch.equal(half, ramp[:, :32])
    double = fit_audio_positions(positions, 2048).unflatten(1, (8, 128))[0, ..., 0]
    torch.testing.assert_close(double[:, 1:-1], ramp[:, :1] + (torch.arange(128.0) / 2 - 0.25)[1:-1])
    with pytest.raises(ValueError, match="only models of 128 mel bins"):
        fit_audio_positions(torch.zeros(1, 9, 4), 1024)


def test_export_needs_a_format_that_has_a_way_back(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ced_official checkpoints can be imported only"):
        export_checkpoint(checkpoint, tmp_path / "x.pth", format_name="ced_official")
    with pytest.raises(ValueError, match="says nothing about what to write"):
        export_checkpoint(checkpoint, tmp_path / "x.pth", format_name="auto")
    with pytest.raises(ValueError, match="is the source itself"):
        export_checkpoint(checkpoint, checkpoint, format_name="cav_mae")


def test_the_commands_say_what_they_wrote(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    ours, back = tmp_path / "ours.safetensors", tmp_path / "back.pth"
    commands.import_(checkpoint, ours)
    commands.export(ours, back, format="cav_mae")
    said = capsys.readouterr().out
    assert "cav_mae -> CAVMAE" in said
    assert f"wrote 474 tensors to {back}" in said
