"""Frozen weights in the number format that they are computed in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import torch
from torch import nn

MIXED = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}  # Lightning's precision -> format of the products
MATRICES = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def store_as_computed(module: nn.Module, names: Collection[str], dtype: torch.dtype) -> None:
    """Convert the frozen float32 weights of linear and convolutional layers to ``dtype``, in place.

    Autocast converts them in every step to compute with, so that the results stay equal; half of their memory is saved, and
    the conversion. A weight with two owners (tied embeddings) stays as it is.

    Args:
        module: What is trained under autocast.
        names: Names of the weights in ``module`` that may be converted; others stay.
        dtype: The format of autocast.
    """
    owners = Counter(weight for owner in module.modules() for weight in owner.parameters(recurse=False))
    for path, layer in module.named_modules():
        if isinstance(layer, MATRICES):
            for name, weight in layer.named_parameters(recurse=False):
                if f"{path}.{name}" in names and weight.dtype == torch.float32 and owners[weight] == 1:
                    weight.data = weight.data.to(dtype)
