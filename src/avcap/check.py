"""Prove a config on the meta device: shapes, parameters and memory, without weights, data or a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from avcap.systems import System
from avcap.types import Batch, Tokens

GRADIENT_BYTES = 4  # float32 gradients of the trainable parameters
OPTIMISER_BYTES = 8  # the two moments of Adam
TEXT = "text"


class PartSize(NamedTuple):
    """Parameters of one part of a system."""

    part: str
    name: str  # its class
    trainable: int
    frozen: int
    tokens: str  # shape of what comes out, without the batch; or what it is, where it is no tokens


class Memory(NamedTuple):
    """An estimate in bytes for one training step on one device."""

    weights: int  # as they are stored
    gradients: int
    optimiser: int
    activations: int  # what autograd keeps from the forward pass

    @property
    def total(self) -> int:
        """The sum; workspace of the kernels comes on top."""
        return sum(self)


class Report(NamedTuple):
    """What a config amounts to."""

    parts: list[PartSize]
    memory: Memory
    clips: int
    text_tokens: int

    def __str__(self) -> str:
        """The report as a table for the terminal."""
        lines = [f"{'part':<16}{'class':<22}{'trainable':>14}{'frozen':>16}   tokens"]
        lines += [f"{p.part:<16}{p.name:<22}{p.trainable:>14,}{p.frozen:>16,}   {p.tokens}" for p in self.parts]
        trainable, frozen = sum(p.trainable for p in self.parts), sum(p.frozen for p in self.parts)
        lines += [f"{'sum':<16}{'':<22}{trainable:>14,}{frozen:>16,}", ""]
        text = f", {self.text_tokens} text tokens" if any(p.tokens == TEXT for p in self.parts) else ""
        lines.append(f"memory of a training step, {self.clips} clips{text}, bf16 activations:")
        lines += [f"  {name:<12}{value / 2**30:>8.2f} GiB" for name, value in self.memory._asdict().items()]
        lines.append(
            f"  {'total':<12}{self.memory.total / 2**30:>8.2f} GiB  (an estimate; kernels' workspace comes on top)"
        )
        return "\n".join(lines)


def check_system(model: System, *, frames: int = 20, clips: int = 4, text_tokens: int = 40) -> Report:
    """Run a training step's forward pass on the meta device and count.

    Args:
        model: A system built under ``torch.device("meta")``; it is used up (converted to bf16).
        frames: Frames of a clip.
        clips: Batch size.
        text_tokens: Text tokens a clip, prompt and caption together, where the system reads text.

    Raises:
        ValueError: if the parts do not fit together, or the system has no such step.
    """
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    weights += sum(b.numel() * b.element_size() for b in model.buffers())
    sizes = {name: _count(getattr(model, name)) for name in model.parts}
    model = model.to("meta").to(torch.bfloat16).train()
    batch: dict[str, Tensor] = {}
    for name in ("audio_encoder", "visual_encoder"):
        encoder = getattr(model, name, None)
        if encoder is not None:
            shape = (clips, *encoder.input_shape(frames))
            batch[encoder.input] = torch.empty(shape, dtype=torch.bfloat16, device="meta")
            batch[f"{encoder.input}_time"] = torch.empty(shape[:2], device="meta")
    with _saved_bytes(model) as kept, _watched(model) as shapes:
        model.dry_loss(cast(Batch, batch), text_tokens=text_tokens)
    trainable = sum(count for count, _ in sizes.values())
    parts = [
        PartSize(name, type(getattr(model, name)).__name__, *sizes[name], shapes.get(name, TEXT))
        for name in model.parts
        if getattr(model, name) is not None
    ]
    memory = Memory(weights, trainable * GRADIENT_BYTES, trainable * OPTIMISER_BYTES, kept["bytes"])
    return Report(parts, memory, clips, text_tokens)


@contextmanager
def _watched(model: System) -> Iterator[dict[str, str]]:
    """Note what each part gives inside the block: the shape of its tokens, or that it is a loss."""
    shapes: dict[str, str] = {}

    def note(name: str) -> Any:
        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            tokens = getattr(output, "tokens", output)  # a fusion gives more than its tokens
            shapes[name] = " x ".join(map(str, tokens.x.shape[1:])) if isinstance(tokens, Tokens) else "loss"

        return hook

    parts = [(name, getattr(model, name)) for name in model.parts]
    handles = [part.register_forward_hook(note(name)) for name, part in parts if part is not None]
    try:
        yield shapes
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _saved_bytes(model: nn.Module) -> Iterator[dict[str, int]]:
    """Count the bytes that autograd keeps inside the block, weights left out, each storage once."""
    known = {tensor.untyped_storage()._cdata for tensor in (*model.parameters(), *model.buffers())}
    alive: list[Tensor] = []  # storages must stay alive, or their addresses are used again
    kept = {"bytes": 0}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in known:
            known.add(storage._cdata)
            alive.append(tensor)
            kept["bytes"] += storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield kept


def _count(module: nn.Module | None) -> tuple[int, int]:
    """Trainable and frozen parameters."""
    parameters = [] if module is None else list(module.parameters())
    trainable = sum(p.numel() for p in parameters if p.requires_grad)
    return trainable, sum(p.numel() for p in parameters) - trainable
