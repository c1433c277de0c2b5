"""Strict loading of a safetensors file, made by ``avcap weights import`` or ``avcap weights part``, into a module."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

logger = logging.getLogger(__name__)

METADATA = "avcap"  # key of a safetensors file's metadata that holds ours, as JSON
PART = "part"  # entry of our metadata in a file of one component: what a file of several puts before its names
LEFT_OUT = "avcap_left_out"  # entry of a run's checkpoint: names of the frozen weights that it does not hold

_BLOCK = re.compile(r"blocks\.(\d+)\.")
_WITHOUT_VALUES: ContextVar[bool] = ContextVar("without_values", default=False)
_FILLED_LATER: ContextVar[frozenset[int]] = ContextVar("filled_later", default=frozenset())


@contextmanager
def without_values() -> Iterator[None]:
    """Inside the block, loading into a module on the meta device compares names and shapes and reads no values."""
    token = _WITHOUT_VALUES.set(True)
    try:
        yield
    finally:
        _WITHOUT_VALUES.reset(token)


@contextmanager
def filled_later(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Inside the block, :func:`load_weights` reads no file for these modules: a checkpoint brings their weights."""
    token = _FILLED_LATER.set(frozenset(map(id, modules)))
    try:
        yield
    finally:
        _FILLED_LATER.reset(token)


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
    if id(module) in _FILLED_LATER.get():
        return {}
    path = Path(path)
    state, metadata = _read(path)
    if metadata.get("component", component) != component:
        raise ValueError(f"{path} holds weights of {metadata['component']}, not of {component}; choose another file.")
    _copy(module, state, path, component=component)
    logger.info(
        "loaded %d tensors into %s from %s (%s)", len(state), component, path, metadata.get("format", "no format")
    )
    return metadata


def load_part(
    module: nn.Module,
    path: str | Path,
    *,
    part: str,
    component: str,
    depth: str = "depth",
    adapt: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None,
) -> dict[str, str]:
    """Load what a file of several components holds for one of them: the names that begin with ``<part>.``.

    Args:
        module: What is loaded; as strict as :func:`load_weights`.
        path: A safetensors file whose names begin with their part (``audio.``, ``visual.``, ``joint.``, ``decoder.``), or a
            file of one component whose metadata say which part it is.
        part: The part.
        component: Class name of ``module``, for messages.
        depth: The argument of that class that says how many blocks it has, for messages.
        adapt: Fits the tensors (their names without the part) to ``module`` before they are checked.

    Returns:
        The file's metadata.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no safetensors file, has no such part, or a key, a shape or the number of blocks does not fit.
    """
    path = Path(path)
    state, metadata = _read(path)
    if PART in metadata:
        state = {f"{metadata[PART]}.{name}": tensor for name, tensor in state.items()}
    mine = {name.removeprefix(f"{part}."): tensor for name, tensor in state.items() if name.startswith(f"{part}.")}
    if not mine:
        parts = sorted({name.partition(".")[0] for name in state})
        raise ValueError(f"{path} has no {part} weights for {component}, only {_some(parts)}; name another file.")
    _require_blocks(module, mine, path, component=component, depth=depth)
    if adapt is not None:
        mine = adapt(mine)
    _copy(module, mine, path, component=component)
    logger.info(
        "loaded %d tensors into %s from %s (%s)", len(mine), component, path, metadata.get("format", "no format")
    )
    return metadata


def parts_of(path: str | Path) -> frozenset[str]:
    """Return the parts that a file holds weights of (``audio``, ``joint``), without reading the weights.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no safetensors file.
    """
    with _opened(Path(path)) as (file, metadata):
        if PART in metadata:
            return frozenset({metadata[PART]})
        return frozenset(name.partition(".")[0] for name in file.keys())  # noqa: SIM118


def metadata_of(path: Path) -> dict[str, str] | None:
    """Return what avcap wrote into a file of weights beside the tensors; None for a file that is not avcap's."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            about = (file.metadata() or {}).get(METADATA)
    except SafetensorError:
        return None
    return None if about is None else json.loads(about)


def is_component(path: str | Path) -> bool:
    """Return whether this is a file of one component, as ``avcap weights part`` writes it, and not a folder or another file."""
    path = Path(path)
    if path.suffix != ".safetensors" or not path.is_file():
        return False
    with _opened(path) as (_, metadata):
        return PART in metadata


def block_count(names: Iterable[str]) -> int:
    """Count the blocks that the names ``blocks.<i>.*`` refer to."""
    return 1 + max((int(found[1]) for name in names if (found := _BLOCK.match(name))), default=-1)


def _require_blocks(module: nn.Module, state: dict[str, Tensor], path: Path, *, component: str, depth: str) -> None:
    """Refuse another number of transformer blocks, which would otherwise be a long list of keys."""
    present, needed = block_count(state), block_count(module.state_dict())
    if present != needed:
        raise ValueError(f"{path} holds {present} blocks for {component}, which has {needed}; set {depth}: {present}.")


def _copy(module: nn.Module, state: dict[str, Tensor], path: Path, *, component: str) -> None:
    """Copy all of ``state`` into ``module``, or raise."""
    own = module.state_dict()
    state = {with_adapter(name, own): tensor for name, tensor in state.items()}
    missing = [name for name in own if name not in state and not _is_adapter(name)]
    unexpected = [name for name in state if name not in own]
    if missing or unexpected:
        raise ValueError(
            f"{path} does not fit {component}: {len(missing)} keys are missing ({_some(missing)}) and {len(unexpected)} "
            f"unexpected ({_some(unexpected)}); check its sizes and its lora setting."
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


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata of a safetensors file."""
    with _opened(path) as (file, metadata):
        if _WITHOUT_VALUES.get():
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
            return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}, metadata
        return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, dict[str, str]]]:
    """Read a safetensors file and the metadata that avcap wrote into it."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise FileNotFoundError(f"there is no weights file {path}; make it with `avcap weights import SOURCE {path}`.")
    try:
        with safe_open(path, framework="pt") as file:
            yield file, json.loads((file.metadata() or {}).get(METADATA, "{}"))
    except SafetensorError as error:
        raise ValueError(
            f"{path} is no safetensors file; convert it with `avcap weights import {path} OUT.safetensors`."
        ) from error


def with_adapter(name: str, own: Collection[str]) -> str:
    """Return the name that a plain weight has in a module whose layer may have an adapter."""
    layer, _, leaf = name.rpartition(".")
    adapted = f"{layer}.base_layer.{leaf}"
    return adapted if name not in own and adapted in own else name


def _is_adapter(name: str) -> bool:
    return bool({"lora_A", "lora_B"} & set(name.split(".")))


def _some(items: list[str], limit: int = 3) -> str:
    """Join the first few items for an error message."""
    return ", ".join(items[:limit]) + (", ..." if len(items) > limit else "") or "none"
