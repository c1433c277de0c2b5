"""Frozen modules: no gradient for their weights, and evaluation mode whatever ``train()`` says."""

from __future__ import annotations

from typing import Self

import torch
from torch import nn

from avcap.layers.lora import LoRA, add_lora, lora_dropouts


class Freezable(nn.Module):
    """A module that keeps its frozen parts frozen.

    ``nn.Module.train()`` switches every submodule, so that a frozen BatchNorm would begin to use, and to change, batch
    statistics as soon as a trainer calls it (the official LAVCap code does exactly this). Here the parts named by
    :meth:`freeze` stay in evaluation mode; only the dropout of their LoRA adapters follows ``train()``.
    """

    def __init__(self) -> None:
        super().__init__()
        self._frozen: tuple[nn.Module, ...] = ()
        self._no_grad = False

    def freeze(self, *parts: nn.Module) -> None:
        """Freeze ``parts`` (all of this module where none is given) for good; adapters inside remain trainable."""
        frozen = parts or (self,)
        for part in frozen:
            for name, parameter in part.named_parameters():
                if not {"lora_A", "lora_B"} & set(name.split(".")):
                    parameter.requires_grad_(False)
        self._frozen = frozen  # a tuple, so that these modules are not registered a second time
        self.train(self.training)

    def restrict(self, *, frozen: bool, lora: LoRA | None) -> None:
        """Freeze everything, or everything but new adapters; called once all layers are made."""
        if lora is not None:
            add_lora(self, lora)
        self._no_grad = frozen and lora is None
        if frozen or lora is not None:
            self.freeze()

    def grad_mode(self) -> torch.set_grad_enabled:
        """Return a context without graph if nothing of this module is trained."""
        return torch.set_grad_enabled(torch.is_grad_enabled() and not self._no_grad)

    def train(self, mode: bool = True) -> Self:
        """Set the training mode of everything that is not frozen."""
        super().train(mode)
        for part in self._frozen:
            for module in part.modules():
                module.training = False
            for dropout in lora_dropouts(part):
                dropout.training = mode
        return self
