"""Prove a config on the meta device: shapes, parameters and memory, without weights, data or a GPU."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import CheckpointError

from avcap.footprint import Footprint, autocast_on_meta
from avcap.layers.attention import plan_for_cpu
from avcap.layers.blocks import transformer_blocks
from avcap.systems import System
from avcap.systems.frozen_format import MIXED
from avcap.systems.sharding import NOT_SHARED
from avcap.types import Batch, Tokens

TEXT = "text"

Shared = Literal["nothing", "gradients", "weights"]


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
    activations: int  # what autograd keeps from the forward pass, and the workspace at the highest point

    @property
    def total(self) -> int:
        """The sum."""
        return sum(self)


class Plan(NamedTuple):
    """How a step is made.

    Args:
        precision: Lightning's name for it.
        devices: Processes in all.
        shared: What of the decoder is shared out over them: the ``weights`` with all that belongs to them, the ``gradients``
            and the optimiser's state, or nothing.
        cpu: Whether they are CPUs.
    """

    precision: str = "bf16-mixed"
    devices: int = 1
    shared: Shared = "nothing"
    cpu: bool = False

    def __str__(self) -> str:
        """Name the plan in a few words."""
        place = "CPU" if self.cpu else "device"
        how = (
            ""
            if self.devices == 1
            else ", each with a whole model"
            if self.shared == "nothing"
            else f", the decoder's {self.shared} shared out"
        )
        return f"{self.precision}, {self.devices} {place}{'s' if self.devices > 1 else ''}{how}"


PLAN = Plan()


class Report(NamedTuple):
    """The report on a config: shapes, parameters and memory."""

    parts: list[PartSize]
    memory: Memory
    clips: int
    text_tokens: int
    plan: Plan

    def __str__(self) -> str:
        """Format the report as a table for the terminal."""
        lines = [f"{'part':<16}{'class':<22}{'trainable':>14}{'frozen':>16}   tokens"]
        lines += [f"{p.part:<16}{p.name:<22}{p.trainable:>14,}{p.frozen:>16,}   {p.tokens}" for p in self.parts]
        trainable, frozen = sum(p.trainable for p in self.parts), sum(p.frozen for p in self.parts)
        lines += [f"{'sum':<16}{'':<22}{trainable:>14,}{frozen:>16,}", ""]
        text = f", {self.text_tokens} text tokens" if any(p.tokens == TEXT for p in self.parts) else ""
        kind = "a training step" if trainable else "a forward pass (nothing is trained)"
        lines.append(f"memory of {kind} on each device: {self.clips} clips{text}, {self.plan}:")
        lines += [f"  {name:<12}{value / 2**30:>8.2f} GiB" for name, value in self.memory._asdict().items()]
        lines.append(
            f"  {'total':<12}{self.memory.total / 2**30:>8.2f} GiB  (an estimate; Python and CUDA take about 1 more)"
        )
        return "\n".join(lines)


def check_system(
    model: System, *, frames: int = 20, clips: int = 4, text_tokens: int = 40, plan: Plan = PLAN
) -> Report:
    """Run two training steps on the meta device, which computes nothing, and count what is alive at the highest point.

    Args:
        model: A system built under ``torch.device("meta")``; it is used up.
        frames: Frames of a clip.
        clips: Batch size of a device.
        text_tokens: Text tokens a clip, prompt and caption together, where the system reads text.
        plan: How the step is made.

    Raises:
        ValueError: if the parts do not fit together, or the system has no such step.
    """
    sizes = {name: _count(getattr(model, name)) for name in model.parts}
    model = model.to("meta").train()
    model.store_frozen_as_computed(plan.precision)
    if plan.precision.endswith("-true") and not plan.precision.startswith(("32", "64")):
        model.to(torch.bfloat16 if plan.precision.startswith("bf16") else torch.float16)
    batch: dict[str, Tensor] = {}
    for name in ("audio_encoder", "visual_encoder"):
        encoder = getattr(model, name, None)
        if encoder is not None:
            shape = (clips, *encoder.input_shape(frames))
            batch[encoder.input] = torch.empty(shape, device="meta")
            batch[f"{encoder.input}_time"] = torch.empty(shape[:2], device="meta")
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = model.configure_optimizers() if trained else None
    spared = sum(getattr(getattr(model, name), "bytes_spared", 0) for name in model.parts)
    if spared and plan.shared != "nothing":
        raise ValueError(NOT_SHARED)
    weights = _bytes([*model.parameters(), *model.buffers()]) - spared
    mixed = MIXED.get(plan.precision)
    with plan_for_cpu(plan.cpu), Footprint(model) as alive:
        for _ in range(2):  # the second finds gradients and the optimiser's state
            with _watched(model) as shapes, autocast_on_meta(mixed):
                loss = model.dry_loss(cast(Batch, batch), text_tokens=text_tokens)
            if optimizer is not None:
                optimizer.zero_grad()
                try:
                    loss.backward()
                except (
                    CheckpointError
                ):  # what is recomputed differs outside of autocast_on_meta; what is kept was counted
                    for parameter in trained:
                        parameter.grad = torch.zeros_like(parameter)
                optimizer.step()
            del loss
    states = [] if optimizer is None else [v for s in optimizer.state.values() for v in s.values()]
    optimiser = _bytes([value for value in states if isinstance(value, Tensor)])
    parts = [
        PartSize(name, type(getattr(model, name)).__name__, *sizes[name], shapes.get(name, TEXT))
        for name in model.parts
        if getattr(model, name) is not None
    ]
    gradients = _bytes(trained)
    memory = Memory(weights, gradients, optimiser, alive.peak - gradients - optimiser)
    return Report(parts, _divided(memory, model, plan), clips, text_tokens, plan)


def _divided(memory: Memory, model: System, plan: Plan) -> Memory:
    """Return the memory of one device of several."""
    if plan.devices == 1:
        return memory
    if plan.shared == "nothing":  # DDP keeps the gradients a second time, in the buckets that it sends
        return memory._replace(gradients=2 * memory.gradients)
    share = 1 - 1 / plan.devices
    decoders = [getattr(model, name) for name in model.shared_out]
    blocks = [_bytes(block.parameters()) for part in decoders for block in transformer_blocks(part)]
    held = sum(_bytes(part.parameters()) for part in decoders)
    trained = sum(_bytes([p for p in part.parameters() if p.requires_grad]) for part in decoders)
    everything = max(1, memory.gradients)
    # two blocks are gathered at a time, and what stands around them
    gathered = held if plan.shared == "gradients" else held - sum(blocks) + 2 * max(blocks, default=0)
    return Memory(
        memory.weights - int(share * held) + int(gathered * share),
        memory.gradients - int(share * trained),
        memory.optimiser - int(share * memory.optimiser * trained / everything),
        memory.activations,
    )


@contextmanager
def _watched(model: System) -> Iterator[dict[str, str]]:
    """Record what each part returns inside the block: the shape of its tokens, or that it is a loss."""
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


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _count(module: nn.Module | None) -> tuple[int, int]:
    """Count trainable and frozen parameters."""
    parameters = [] if module is None else list(module.parameters())
    trainable = sum(p.numel() for p in parameters if p.requires_grad)
    return trainable, sum(p.numel() for p in parameters) - trainable
