"""The speed of a training: clips and tokens a second, padding, use of the device, memory."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.throughput import get_available_flops
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from torch import Tensor

from avcap.atomic import write_atomically
from avcap.operations import peak_memory, step_operations
from avcap.types import Batch, Tokens

log = logging.getLogger(__name__)

SPEED = "speed.json"


class MeasureSpeed(Callback):
    """Logs ``speed/...`` every ``log_every_n_steps`` steps, and writes ``speed.json`` into the folder of the run at the end of training.

    - ``clips_per_second`` of all processes; loading counts, validation does not
    - ``tokens_per_second``: real tokens that the decoder reads (of the streams, prompt and caption) or an alignment compares,
      and ``padding``, the share of its places that hold none
    - ``tflops_per_second`` of a device, from the matrix products of the first batch, forward and backward, and ``mfu``, its share of
      what the device can do at most, where Lightning knows that
    - ``peak_memory_gib`` of the first process: the accelerator's, or on a CPU the resident one

    No step waits for the device; a logging one does. A run that was taken up again tells of its last start alone.
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._window, self._whole = Span(), Span()
        self._mark, self._flops = 0.0, 0.0  # flops: of a clip
        self._handles: list[Any] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count the tokens."""
        self._begin()
        decoder, objective = (getattr(pl_module, name, None) for name in ("decoder", "objective"))
        if decoder is not None:
            decoder.told = self._read
        elif objective is not None:
            self._handles.append(objective.register_forward_pre_hook(self._compared))
        if pl_module.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(pl_module.device)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._mark = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Count the clips and the seconds."""
        first = not self._whole.clips
        now = time.perf_counter()
        for span in (self._window, self._whole):
            span.clips += _rows(batch) * trainer.world_size
            span.seconds += now - self._mark
        self._mark = now
        if first and isinstance(trainer.strategy, (SingleDeviceStrategy, DDPStrategy)):
            self._count(trainer, pl_module, batch)
            self._mark = time.perf_counter()
        if (
            trainer._logger_connector.should_update_logs and not trainer.fit_loop._should_accumulate()
        ):  # a step that is logged
            found = self._found(trainer, pl_module, self._window)
            pl_module.log_dict({f"speed/{name}": value for name, value in found.items()})
            self._window = Span()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restart the clock after a validation inside an epoch."""
        self._mark = time.perf_counter()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the file, on the first process."""
        self._leave(pl_module)
        if trainer.is_global_zero and self._whole.clips:
            facts = {"clips": self._whole.clips, "seconds": self._whole.seconds}
            facts |= self._found(trainer, pl_module, self._whole)
            write_atomically(Path(trainer.default_root_dir, SPEED), json.dumps(facts) + "\n")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Stop counting."""
        self._leave(pl_module)

    def _leave(self, pl_module: LightningModule) -> None:
        if (decoder := getattr(pl_module, "decoder", None)) is not None:
            decoder.told = None
        while self._handles:
            self._handles.pop().remove()

    def _count(self, trainer: Trainer, pl_module: LightningModule, batch: Mapping[str, Any]) -> None:
        """Count the operations of a clip."""
        rows, read = _rows(batch), (self._window, self._whole)
        self._window, self._whole = Span(), Span()  # the copy tells of its tokens, too
        try:
            count = step_operations(pl_module, batch, read[1].places // rows, self, trainer)
            self._flops = count / rows
        except Exception as error:  # whatever a part cannot do without values
            log.debug("The operations of a step are not counted: %s", error)
        self._window, self._whole = read

    def _read(self, places: int, real: Tensor | int) -> None:
        if torch.is_grad_enabled():  # not in a validation
            for span in (self._window, self._whole):
                span.places += places
                span.real = span.real + real

    def _compared(self, _module: torch.nn.Module, sets: tuple[Tokens, ...]) -> None:
        for tokens in sets:
            places = tokens.x.shape[0] * tokens.x.shape[1]
            self._read(places, places if tokens.mask is None else tokens.mask.sum())

    def _found(self, trainer: Trainer, pl_module: LightningModule, span: Span) -> dict[str, float]:
        found = {"clips_per_second": span.clips / span.seconds}
        if span.places:
            real = float(span.real)
            found |= {"tokens_per_second": real * trainer.world_size / span.seconds, "padding": 1 - real / span.places}
        if self._flops:
            speed = self._flops * found["clips_per_second"] / trainer.world_size
            found["tflops_per_second"] = speed / 1e12
            most = device_flops(pl_module.device, str(trainer.precision))
            if most:
                found["mfu"] = speed / most
        return {**found, "peak_memory_gib": peak_memory(pl_module.device) / 2**30}


def _rows(batch: Mapping[str, Any]) -> int:
    """Return how many clips a batch holds, or texts, which have no id."""
    return len(batch["id"] if "id" in batch else next(iter(batch.values())))


class Span:
    """What a stretch of training has done."""

    def __init__(self) -> None:
        self.clips = self.places = 0
        self.seconds = 0.0
        self.real: Tensor | int = 0  # tokens of this process, kept on its device


def read_speed(folder: Path) -> dict[str, float] | None:
    """Read the ``speed.json`` of a run; None where there is none.

    Raises:
        ValueError: if the file is damaged.
    """
    path = folder / SPEED
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ValueError(f"{path} is damaged; delete it.") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} is damaged; delete it.")
    return found


@cache  # Lightning warns at each call of a card that it does not know
def device_flops(device: torch.device, precision: str) -> int | None:
    """Return the most operations a second of a device by its maker, None where Lightning does not know it."""
    if device.type != "cuda":
        return None
    dtype = torch.bfloat16 if "bf16" in precision else torch.float16 if "16" in precision else torch.float32
    try:
        return get_available_flops(device, dtype)
    except ValueError:  # a precision that the card lacks
        return None
