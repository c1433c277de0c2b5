"""Text as tensors, so that torchmetrics and torch.distributed can carry it between processes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def pack_rows(rows: Sequence[Any], *, device: torch.device | str = "cpu") -> Tensor:
    """Write each row as one line of JSON, as UTF-8 bytes ``[n]`` uint8 on a device; join rows by concatenating tensors."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return torch.tensor(list(text.encode()), dtype=torch.uint8, device=device)


def unpack_rows(parts: Tensor | Sequence[Tensor]) -> list[Any]:
    """Read the rows from one or several tensors of ``pack_rows``."""
    tensors = [parts] if isinstance(parts, Tensor) else list(parts)
    text = b"".join(part.cpu().numpy().tobytes() for part in tensors).decode()
    return [json.loads(line) for line in text.split("\n") if line]


def on_first_process(compute: Callable[[], T]) -> T:
    """Run a slow function on the first process only, and return its (picklable) result, or raise its error, on all.

    Raises:
        RuntimeError: On the other processes, with the text of the fault, if it failed on the first.
    """
    import torch.distributed as dist

    box: list[Any] = [None, None]
    fault: Exception | None = None
    if dist.get_rank() == 0:
        try:
            box[0] = compute()
        except Exception as error:
            fault, box[1] = error, f"{type(error).__name__}: {error}"
    dist.broadcast_object_list(box, src=0)
    if fault is not None:
        raise fault
    if box[1] is not None:
        raise RuntimeError(f"the first process failed: {box[1]}")
    return box[0]
