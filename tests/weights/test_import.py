"""Published checkpoints: every key table of every size, files in all their wrappings, and faults that must stop."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from avcap.checkpoints.loading import METADATA
from avcap.commands.weights import formats, import_
from avcap.encoders import CEDEncoder
from avcap.frontends import KaldiFbank
from avcap.layers.lora import LoRA
from avcap.layers.vit import ViTSize
from avcap.weights import FORMATS, ImportOptions, find_format, import_checkpoint
from avcap.weights.ced import fit_time_positions
from tests.golden import golden

SMALL = {"size": ViTSize(48, 2, 4)}
SHORT = KaldiFbank(target_length=512)


def checkpoint(case: str = "ced_encoder_load_1012") -> dict[str, torch.Tensor]:
    """A small official-looking checkpoint by formula, buffers of the front end and all."""
    manifest, _ = golden.load(case)
    state = {key: torch.from_numpy(value.copy()) for key, value in golden.state_dict(manifest).items()}
    if "official" in manifest["source"] or "load" in case:
        state |= {
            "front_end.0.spectrogram.window": torch.hann_window(512),
            "front_end.0.mel_scale.fb": torch.zeros(257, 64),
        }
    return state


def name_table(name: str) -> dict[str, torch.Tensor]:
    """All names of a real-size checkpoint, as tensors without data."""
    manifest, _ = golden.load("ced_names")
    entry = manifest["tables"][name]
    shapes = {**entry["table"], **entry.get("buffers", {})}
    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


def hugging_face(official: dict[str, torch.Tensor], *, batch_norm: str) -> dict[str, torch.Tensor]:
    """The port's names: `encoder.` before all but the head, no front end."""
    kept = {key.replace("init_bn.1", batch_norm): v for key, v in official.items() if not key.startswith("front_end.")}
    return {key if key.startswith("outputlayer.") else f"encoder.{key}": v for key, v in kept.items()}


def shapes(state: dict[str, torch.Tensor]) -> dict[str, list[int]]:
    return {key: list(value.shape) for key, value in state.items()}


@pytest.mark.parametrize("size", ["tiny", "mini", "small", "base"])
@pytest.mark.parametrize("kind", ["ced_official", "ced_lavcap", "ced_hf", "ced_hf_sequential"])
def test_every_published_size_imports_with_nothing_missing(size, kind):
    state = name_table(f"{'lavcap' if kind == 'ced_lavcap' else 'official'}_{size}")
    if kind.startswith("ced_hf"):
        state = hugging_face(state, batch_norm="init_bn" if kind == "ced_hf" else "init_bn.1")
    found = find_format(state)
    assert found.name == kind.removesuffix("_sequential")
    conversion = found.convert(state, ImportOptions())
    assert conversion.unexpected == ()
    assert set(conversion.state) == conversion.required
    assert all(key.startswith(("front_end.", "outputlayer.", "output_layer.")) for key in conversion.ignored)
    with torch.device("meta"):
        assert shapes(conversion.state) == shapes(CEDEncoder(size).state_dict())
    assert conversion.about["size"] == size


def test_a_lavcap_checkpoint_brings_its_adapters():
    table = name_table("lavcap_base_with_lora")
    first = {key: value for key, value in table.items() if ".blocks.0." in key}
    blocks = {key.replace(".blocks.0.", f".blocks.{i}."): value for i in range(1, 12) for key, value in first.items()}
    state = {f"audio_encoder.{key}": value for key, value in (table | blocks).items()}
    state["llama_proj.weight"] = torch.empty(4, 4, device="meta")
    found = find_format(state)
    conversion = found.convert(state, ImportOptions())
    assert found.name == "ced_lavcap"
    assert conversion.unexpected == ()
    assert "llama_proj.weight" in conversion.ignored
    assert conversion.about["lora_rank"] == "8"
    with torch.device("meta"):
        own = CEDEncoder("base", lora=LoRA()).state_dict()
    assert shapes(conversion.state) == {key.replace(".base_layer.", "."): value for key, value in shapes(own).items()}


@pytest.mark.parametrize("wrap", ["plain", "model", "ddp", "safetensors", "legacy"])
def test_a_file_loads_into_the_encoder_and_gives_the_official_tokens(tmp_path, wrap):
    manifest, npz = golden.load("ced_encoder_load_1012")
    state = checkpoint()
    source, out = tmp_path / "official.pt", tmp_path / "new" / "ced.safetensors"
    if wrap == "safetensors":
        save_file(state, source)
    else:
        content = {"plain": state, "legacy": state, "model": {"model": state, "epoch": 3}}.get(wrap)
        content = content or {"state_dict": {f"module.{key}": value for key, value in state.items()}}
        torch.save(content, source, _use_new_zipfile_serialization=wrap != "legacy")
    report = import_checkpoint(source, out)
    assert len(report.missing) == len(report.unexpected) == 0
    assert len(report.ignored) == 6
    encoder = CEDEncoder(**SMALL, frequency_mean=False, pretrained=str(out), frozen=True, lora=LoRA(rank=2)).eval()
    encoder.load_pretrained()
    with torch.no_grad():
        tokens = encoder(torch.from_numpy(golden.inputs(manifest)["spec"])).x
    golden.check(manifest, npz, "tokens", tokens.numpy())
    golden.check(manifest, npz, "time_pos_embed", encoder.time_pos_embed.detach().numpy())


def test_metadata_hold_the_fingerprint_and_the_bytes_are_the_same_again(tmp_path):
    source = tmp_path / "a.pt"
    torch.save(checkpoint(), source)
    report = import_checkpoint(source, tmp_path / "1.safetensors")
    import_checkpoint(source, tmp_path / "2.safetensors")
    assert (tmp_path / "1.safetensors").read_bytes() == (tmp_path / "2.safetensors").read_bytes()
    with safe_open(tmp_path / "1.safetensors", framework="pt") as file:
        metadata = json.loads(file.metadata()[METADATA])
    assert metadata["source_sha256"] == report.sha256
    assert (metadata["format"], metadata["component"], metadata["width"]) == ("ced_official", "CEDEncoder", "48")
    assert {path.name for path in tmp_path.iterdir()} == {"a.pt", "1.safetensors", "2.safetensors"}


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_hugging_face_folder_imports(tmp_path, name):
    folder = tmp_path / "ced-small"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "ced"}))
    state = hugging_face(checkpoint(), batch_norm="init_bn")
    if name.endswith("bin"):
        torch.save(state, folder / name)
    else:
        save_file(state, folder / name)
    assert import_checkpoint(folder, tmp_path / "out.safetensors").format == "ced_hf"
    official = tmp_path / "official.pt"
    torch.save(checkpoint(), official)
    import_checkpoint(official, tmp_path / "same.safetensors")
    with safe_open(tmp_path / "out.safetensors", "pt") as one, safe_open(tmp_path / "same.safetensors", "pt") as two:
        assert set(one.keys()) == set(two.keys())
        assert all(torch.equal(one.get_tensor(key), two.get_tensor(key)) for key in one.keys())  # noqa: SIM118


def test_trained_adapters_come_back(tmp_path):
    encoder = CEDEncoder(**SMALL, lora=LoRA(rank=2))
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    foreign = {"patch_embed.": "patch_embed.proj.", "init_bn.": "init_bn.1."}
    state = {}
    for key, value in encoder.state_dict().items():
        for ours, theirs in foreign.items():
            key = theirs + key.removeprefix(ours) if key.startswith(ours) else key
        state[f"audio_encoder.base_model.model.{key}"] = value
    torch.save(state, tmp_path / "lavcap.pt")
    import_checkpoint(tmp_path / "lavcap.pt", tmp_path / "ced.safetensors")
    again = CEDEncoder(**SMALL, lora=LoRA(rank=2), pretrained=str(tmp_path / "ced.safetensors"))
    again.load_pretrained()
    assert all(torch.equal(value, encoder.state_dict()[key]) for key, value in again.state_dict().items())
    plain = CEDEncoder(**SMALL, pretrained=str(tmp_path / "ced.safetensors"))
    with pytest.raises(ValueError, match=r"8 unexpected .*lora_A.*lora setting"):
        plain.load_pretrained()


@pytest.mark.parametrize(("target", "places"), [(1008, 63), (512, 32), (1024, 64), (2048, 128)])
def test_time_positions_are_cut_or_interpolated(target, places):
    positions = torch.linspace(0, 1, 63).expand(1, 4, 1, 63)
    fitted = fit_time_positions(positions, target // 16)
    assert fitted.shape == (1, 4, 1, places)
    if places <= 63:
        assert torch.equal(fitted, positions[..., :places])
    else:
        assert (fitted.diff(dim=-1) >= 0).all()


def test_a_missing_or_unknown_key_stops_and_writes_nothing(tmp_path):
    source, out = tmp_path / "a.pt", tmp_path / "out.safetensors"
    state = checkpoint()
    del state["blocks.1.norm2.bias"]
    torch.save(state, source)
    with pytest.raises(ValueError, match=r"1 missing \(blocks\.1\.norm2\.bias\); 0 unexpected"):
        import_checkpoint(source, out)
    torch.save(checkpoint() | {"blocks.0.gate.weight": torch.zeros(1)}, source)
    with pytest.raises(ValueError, match=r"1 unexpected \(blocks\.0\.gate\.weight\)"):
        import_checkpoint(source, out)
    assert not out.exists()


class Payload:
    """An object that would leave a trace when unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return (Path.touch, (self.trace,))


def test_pickled_objects_are_never_run(tmp_path):
    source, trace = tmp_path / "bad.pt", tmp_path / "trace"
    torch.save({"model": checkpoint(), "args": Payload(trace)}, source)
    with pytest.raises(ValueError, match="Python objects beside tensors"):
        import_checkpoint(source, tmp_path / "out.safetensors")
    assert not trace.exists()


def test_damaged_and_foreign_files_are_named(tmp_path):
    out = tmp_path / "out.safetensors"
    good = tmp_path / "good.pt"
    torch.save(checkpoint(), good)
    cases = {
        "cut.pt": (good.read_bytes()[:5000], "cut.pt is"),
        "page.pt": (b"<html>404</html>", "page.pt is neither"),
        "empty.pt": (b"", "empty.pt is"),
        "cut.safetensors": (struct.pack("<Q", 500) + b'{"a":', "damaged safetensors"),
    }
    for name, (content, message) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=message):
            import_checkpoint(tmp_path / name, out)
    torch.save({"epoch": 3}, good)
    with pytest.raises(ValueError, match="no named tensors"):
        import_checkpoint(good, out)
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        import_checkpoint(tmp_path / "absent.pt", out)
    with pytest.raises(FileNotFoundError, match="has none of"):
        import_checkpoint(tmp_path, out)


def test_formats_are_recognised_or_named(tmp_path):
    with pytest.raises(ValueError, match="fit no format; name the right one"):
        find_format(["encoder.weight", "decoder.weight"])
    with pytest.raises(ValueError, match="--format ced is unknown"):
        find_format([], "ced")
    for name in FORMATS:
        assert find_format([], name).name == name
    source = tmp_path / "a.safetensors"
    save_file(checkpoint(), source)
    with pytest.raises(ValueError, match="source itself"):
        import_checkpoint(source, source)


def test_loading_faults_are_named(tmp_path):
    source, out = tmp_path / "a.pt", tmp_path / "ced.safetensors"
    torch.save(checkpoint(), source)
    with pytest.raises(FileNotFoundError, match="avcap weights import"):
        CEDEncoder(**SMALL, pretrained=str(out)).load_pretrained()
    with pytest.raises(ValueError, match="avcap weights import"):
        CEDEncoder(**SMALL, pretrained=str(source)).load_pretrained()
    import_checkpoint(source, out)
    with pytest.raises(ValueError, match=r"time_pos_embed \[1, 48, 1, 64\] \(needed \[1, 48, 1, 32\]\)"):
        CEDEncoder(**SMALL, frontend=SHORT, pretrained=str(out)).load_pretrained()
    with pytest.raises(ValueError, match="16 keys are missing"):
        CEDEncoder(ViTSize(48, 3, 4), pretrained=str(out)).load_pretrained()
    save_file({"x": torch.zeros(1)}, out, metadata={METADATA: json.dumps({"component": "CAVMAE"})})
    with pytest.raises(ValueError, match="weights of CAVMAE, not of CEDEncoder"):
        CEDEncoder(**SMALL, pretrained=str(out)).load_pretrained()
    CEDEncoder(**SMALL).load_pretrained()


def test_the_command_prints_the_counts(tmp_path, capsys):
    torch.save(checkpoint(), tmp_path / "a.pt")
    import_(tmp_path / "a.pt", tmp_path / "out.safetensors", target_length=512)
    printed = capsys.readouterr().out
    assert "ced_official -> CEDEncoder: 43 loaded, 0 missing, 0 unexpected, 6 ignored" in printed
    encoder = CEDEncoder(**SMALL, frontend=SHORT, pretrained=str(tmp_path / "out.safetensors"))
    encoder.load_pretrained()
    formats()
    assert all(name in capsys.readouterr().out for name in ("ced_official",))
