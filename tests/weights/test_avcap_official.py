"""One official AVCap checkpoint, imported, fills the whole captioner, whose outputs are then the official ones.

Tolerances are those of the case file (rtol 1e-4, atol 1e-5).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from avcap.decoders import GITDecoder
from avcap.decoders.git_text import GITSize
from avcap.encoders import CAVMAEAudio, CAVMAEVisual
from avcap.fusion import TokenConcat
from avcap.systems import Captioner
from avcap.weights import export_checkpoint, import_checkpoint
from tests.encoders.cav_mae_golden import official_state, raw_frames, sizes
from tests.golden import golden


def captioner(manifest: dict, pretrained: Path) -> Captioner:
    config, decoder, size = manifest["config"], manifest["config"]["decoder"], sizes(manifest)
    file = str(pretrained)
    return Captioner(
        CAVMAEAudio(**size, pretrained=file),
        CAVMAEVisual(**size, pretrained=file),
        partial(TokenConcat, heads=size["heads"], joint_depth=12 - size["depth"], pretrained=file),
        partial(
            GITDecoder,
            size=GITSize(
                width=config["embed_dim"],
                depth=decoder["num_layers"],
                heads=decoder["attention_heads"],
                mlp_ratio=decoder["feedforward_size"] / decoder["hidden_size"],
                vocab_size=decoder["vocab_size"],
                positions=decoder["max_caption_length"],
            ),
            pretrained=file,
        ),
    ).eval()


def test_one_file_fills_the_captioner_and_comes_back(tmp_path: Path) -> None:
    manifest, arrays = golden.load("avcap_captioner")
    official = official_state(manifest)
    source, ours, back = (tmp_path / name for name in ("best.pth", "avcap.safetensors", "back.pth"))
    torch.save(official, source)
    report = import_checkpoint(source, ours)
    assert (report.format, report.missing, report.unexpected) == ("avcap_official", (), ())

    model = captioner(manifest, ours)
    model.configure_model()
    inputs = {name: torch.from_numpy(value) for name, value in golden.inputs(manifest).items()}
    ids = inputs["caption_tokens"]
    with torch.no_grad():
        fused = model.fuse({"fbank": inputs["audio"], "frames": raw_frames(inputs["visual"])})
        golden.check(manifest, arrays, "projected", model.decoder.projection(fused.tokens.x).numpy())
        loss = model.decoder.loss_of_ids(fused.tokens, ids, (inputs["need_predict"] == 1) & (ids != 0))
        golden.check(manifest, arrays, "loss", loss.numpy())

    checkpoint = tmp_path / "last.ckpt"
    torch.save({"state_dict": model.state_dict()}, checkpoint)
    export_checkpoint(checkpoint, back, format_name="avcap_official")
    returned = torch.load(back, weights_only=True)
    assert set(returned) == set(official)
    used = [p["name"] for p in manifest["parameters"] if p["used"]]
    assert all(torch.equal(returned[name], official[name]) for name in used)
