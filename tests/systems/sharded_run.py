"""A tiny LAVCap, trained by `torchrun` on two processes or here on one; what each process saw is written down.

`python -m torch.distributed.run --nproc-per-node 2 -m tests.systems.sharded_run FOLDER`
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from torch.utils.data import DataLoader

from avcap.decoders import CausalLMDecoder
from avcap.decoders.prompts import Prompting
from avcap.encoders import CEDEncoder
from avcap.frontends import KaldiFbank
from avcap.layers.lora import LoRA
from avcap.layers.vit import ViTSize
from avcap.systems import Captioner, ShardedStrategy
from tests.systems.parts import Concat, MeanVisual

BATCHES, CLIPS = 6, 4
LORA = LoRA(rank=2, dropout=0.0)
LM, LARGE = "lm", "large"


class ScaledConcat(Concat):
    """With a weight that is no vector, as LAVCap's temperature, and a vector beside it."""

    def __init__(self, audio_width: int | None, visual_width: int | None) -> None:
        super().__init__(audio_width, visual_width, weight=0.0)
        self.scale = torch.nn.Parameter(torch.tensor(1.0))
        self.shift = torch.nn.Parameter(torch.zeros(self.width))

    def forward(self, audio: Any, video: Any) -> Any:
        fused = super().forward(audio, video)
        return fused._replace(tokens=fused.tokens._replace(x=fused.tokens.x * self.scale + self.shift))


class Notes(Callback):
    """The losses, and how many weights of the decoder this process holds."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.held = 0
        self.memory = 0

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self.memory = anonymous()

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, *_: Any) -> None:
        self.losses.append(outputs["loss"].item())
        weights = pl_module.decoder.parameters()
        self.held = sum((w.to_local() if hasattr(w, "to_local") else w).numel() for w in weights)


def batches(rank: int, world: int) -> list[dict[str, Any]]:
    """The part of a process of each batch; all captions have the same length, and one clip no picture."""
    draw = torch.Generator().manual_seed(0)
    out = []
    for number in range(BATCHES):
        whole = {
            "audio": torch.randn(CLIPS, 32, 16, generator=draw),
            "frames": torch.rand(CLIPS, 2, 3, 4, 4, generator=draw),
        }
        mine = slice(rank, None, world)
        out.append({name: value[mine] * (255 if name == "frames" else 1) for name, value in whole.items()})
        out[-1] |= {"id": [f"{number}_{i}" for i in range(CLIPS)][mine], "caption": ["a dog barks"] * (CLIPS // world)}
        out[-1] |= {"references": [["a dog barks"]] * (CLIPS // world)}
    return out


def anonymous() -> int:
    """The bytes of memory of this process that are of no file: what it shares with no other."""
    line = next(x for x in Path("/proc/self/smaps_rollup").read_text().splitlines() if x.startswith("Anonymous:"))
    return int(line.split()[1]) * 1024


def captioner(lm: Path) -> Captioner:
    torch.manual_seed(0)
    frontend = KaldiFbank(16, target_length=32)
    model = Captioner(
        CEDEncoder(ViTSize(16, 1, 2), frontend=frontend, lora=LORA, frozen=True),
        MeanVisual(16),
        ScaledConcat,
        lambda width: CausalLMDecoder(
            width,
            model=str(lm),
            frozen=True,
            lora=LORA,
            dtype="bfloat16",
            prompting=Prompting(template="{tokens}{prompt}", prompts=["say:"]),
            generation={"max_new_tokens": 3},
        ),
        optimizer=lambda groups: torch.optim.SGD(groups, lr=0.1, momentum=0.9),
        metrics=[],
    )
    model._hparams.clear()  # here they are objects, and no settings as under the program
    return model


def train(
    folder: Path,
    *,
    steps: int,
    rank: int = 0,
    world: int = 1,
    start: Path | None = None,
    name: str | None = None,
    lm: str = LM,
    **settings: Any,
) -> Notes:
    """Train with validations in between, save ``FOLDER/<name or world>.ckpt``, and return the notes."""
    notes = Notes()
    trainer = Trainer(
        accelerator="cpu",
        devices=world,
        max_epochs=-1,
        max_steps=steps,
        val_check_interval=2,
        use_distributed_sampler=False,
        callbacks=[notes],
        **{"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False},
        **{
            "limit_val_batches": 1,
            **({"strategy": ShardedStrategy(), "inference_mode": False} if world > 1 else {}),
            **settings,
        },
    )
    model = captioner(folder / lm)
    loader = DataLoader(batches(rank, world), batch_size=None)
    trainer.fit(model, loader, loader, ckpt_path=start, weights_only=True)
    trainer.save_checkpoint(folder / f"{name or world}.ckpt")
    return notes


if __name__ == "__main__":
    import os

    here, number = Path(sys.argv[1]), int(os.environ["RANK"])
    plain = train(here, steps=4, rank=number, world=2, name="four")
    clipped = train(here, steps=3, rank=number, world=2, gradient_clip_val=0.05)
    again = train(here, steps=6, rank=number, world=2, start=here / "four.ckpt")
    before = anonymous()
    whole = train(here, steps=1, rank=number, world=2, lm=LARGE, strategy="ddp", limit_val_batches=0)
    found = {
        "grown": whole.memory - before,
        "losses": plain.losses,
        "held": plain.held,
        "clipped": clipped.losses,
        "again": again.losses,
    }
    (here / f"{number}.json").write_text(json.dumps(found))
