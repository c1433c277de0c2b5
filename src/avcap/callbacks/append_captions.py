"""Write every caption at once, so that a killed run can resume."""

from __future__ import annotations

import json
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

from avcap.callbacks.hooks import EvaluatedBatch, batch_end


class AppendCaptions(Callback):
    """Append the captions of each batch of `avcap predict` to ``<folder>/<rank>.jsonl``, a file for each process.

    Args:
        folder: Where the files go.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @batch_end
    def on_predict_batch_end(self, trainer: Trainer, pl_module: LightningModule, done: EvaluatedBatch) -> None:
        """Write a batch and close the file."""
        outputs = done.outputs
        rows = zip(outputs["id"], outputs["captions"], strict=True)
        lines = [json.dumps({"id": clip, "caption": caption}, ensure_ascii=False) + "\n" for clip, caption in rows]
        with (self.folder / f"{trainer.global_rank}.jsonl").open("a", encoding="utf-8") as file:
            if _is_torn(file.name):
                file.write("\n")  # what a killed process left is a line of its own then, which readers pass over
            file.write("".join(lines))


def read_appended(folder: Path) -> dict[str, str]:
    """Read the captions by clip id from the files of all processes; skip a line that a kill cut short."""
    captions: dict[str, str] = {}
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            captions.setdefault(row["id"], row["caption"])
    return captions


def _is_torn(path: str) -> bool:
    """Return whether a file ends within a line."""
    with Path(path).open("rb") as file:
        if not file.seek(0, 2):
            return False
        file.seek(-1, 2)
        return file.read(1) != b"\n"
