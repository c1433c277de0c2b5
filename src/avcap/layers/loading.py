"""Strict loading of a safetensors file, made by ``avcap weights import``, into a module."""

from __future__ import annotations

import logging
from pathlib import Path

from torch import Tensor, nn

logger = logging.getLogger(__name__)


def load_weights(module: nn.Module, path: str | Path, *, component: str) -> dict[str, str]:
    """Copy every tensor of the file into ``module``, and find every weight of ``module`` in the file.

    Layers that carry LoRA adapters are found under their plain names; adapters that the file lacks stay as they are.

    Args:
        module: What is loaded.
        path: A safetensors file.
        component: Class name that the file must be made for (its metadata say so).

    Returns:
        The file's metadata.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no safetensors file, is made for another component, or a key or a shape does not fit.
    """
    path = Path(path)
    state, metadata = _read(path)
    if metadata.get("component", component) != component:
        raise ValueError(f"{path} holds weights of {metadata['component']}, not of {component}; choose another file.")
    own = module.state_dict()
    state = {_with_adapter(name, own): tensor for name, tensor in state.items()}
    missing = [name for name in own if name not in state and not _is_adapter(name)]
    unexpected = [name for name in state if name not in own]
    if missing or unexpected:
        raise ValueError(
            f"{path} does not fit {component}: {len(missing)} keys are missing ({_some(missing)}) and {len(unexpected)} "
            f"unexpected ({_some(unexpected)}); check the sizes of the component."
        )
    wrong = [
        f"{name} {list(state[name].shape)} (needed {list(own[name].shape)})"
        for name in state
        if state[name].shape != own[name].shape
    ]
    if wrong:
        raise ValueError(
            f"{path} does not fit {component}: {_some(wrong)}; check its sizes, or import again with other options."
        )
    module.load_state_dict(state, strict=False)
    logger.info(
        "loaded %d tensors into %s from %s (%s)", len(state), component, path, metadata.get("format", "no format")
    )
    return metadata


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise FileNotFoundError(f"there is no weights file {path}; make it with `avcap weights import SOURCE {path}`.")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"{path} is no safetensors file; convert it with `avcap weights import {path} OUT.safetensors`."
        ) from error


def _with_adapter(name: str, own: dict[str, Tensor]) -> str:
    """The name of a plain weight in a module whose layer may carry an adapter."""
    layer, _, leaf = name.rpartition(".")
    adapted = f"{layer}.base_layer.{leaf}"
    return adapted if name not in own and adapted in own else name


def _is_adapter(name: str) -> bool:
    return bool({"lora_A", "lora_B"} & set(name.split(".")))


def _some(items: list[str], limit: int = 3) -> str:
    """The first few items, for an error message."""
    return ", ".join(items[:limit]) + (", ..." if len(items) > limit else "") or "none"
