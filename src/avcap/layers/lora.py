"""Low-rank adapters by peft, injected in place so that the model keeps its class and its methods."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn


@dataclass
class LoRA:
    """Low-rank adapters (Hu et al., ICLR 2022): ``y = W x + alpha / rank * B A dropout(x)``, with ``B`` zero at the start.

    Args:
        rank: Rows of ``A``, columns of ``B``.
        alpha: Scale; the update is multiplied by ``alpha / rank``.
        dropout: Dropout on the adapter's input.
        targets: Last part of the names of the linear layers that get an adapter.
    """

    rank: int = 8
    alpha: float = 32.0
    dropout: float = 0.1
    targets: tuple[str, ...] = ("q_proj", "v_proj")


def add_lora(model: nn.Module, lora: LoRA) -> nn.Module:
    """Put adapters into ``model`` in place, and return it; afterwards they alone are trainable.

    A weight ``<layer>.weight`` becomes ``<layer>.base_layer.weight``; the adapters are ``<layer>.lora_A.default.weight``
    and ``<layer>.lora_B.default.weight``, the names that the official LAVCap checkpoints use.

    Raises:
        ValueError: if no layer has one of the target names.
    """
    from peft import LoraConfig, inject_adapter_in_model

    targets = list(lora.targets)
    present = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    absent = [target for target in targets if target not in present]
    if absent:
        linear = sorted({name.rpartition(".")[2] for name, m in model.named_modules() if isinstance(m, nn.Linear)})
        raise ValueError(
            f"lora.targets names {absent}, which {type(model).__name__} lacks; its linear layers are {linear}."
        )
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # a float is as good: peft only divides it
        lora_dropout=lora.dropout,
        target_modules=targets,
        bias="none",
    )
    return inject_adapter_in_model(config, model)


def lora_dropouts(model: nn.Module) -> Iterator[nn.Module]:
    """Return the dropout layers of the adapters in ``model``: the only part of a frozen model that has a training mode."""
    for name, module in model.named_modules():
        if "lora_dropout" in name.split("."):
            yield module
