"""Reading foreign checkpoint files without running anything that they hold."""

from __future__ import annotations

import hashlib
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

FOLDER_FILES = ("model.safetensors", "pytorch_model.bin")  # a Hugging Face folder, in order of preference
WRAPPERS = ("model", "state_dict", "model_state_dict", "module")  # where training code puts the state dict
LONGEST_PATH = 255  # characters; a longer setting is a text
PREFIXES = ("module.", "_orig_mod.")  # what DistributedDataParallel and torch.compile put before every key


def find_file(source: Path) -> Path:
    """Return the weights file: ``source``, or the one inside a Hugging Face folder.

    Raises:
        FileNotFoundError: if there is neither.
    """
    if source.is_dir():
        for name in FOLDER_FILES:
            if (source / name).is_file():
                return source / name
        raise FileNotFoundError(
            f"the folder {source} has none of {', '.join(FOLDER_FILES)}; name the weights file itself."
        )
    if not source.is_file():
        raise FileNotFoundError(f"there is no checkpoint {source}; download it, then give its path.")
    return source


def read_state(file: Path) -> dict[str, Tensor]:
    """Read the state dict of a safetensors or torch file onto the CPU, without its usual wrappers.

    Torch files are read with ``weights_only=True``: nothing but tensors and plain containers is ever unpickled.

    Raises:
        ValueError: if the file is neither, is damaged, or holds Python objects beside tensors.
    """
    content = _read_safetensors(file) if _is_safetensors(file) else read_torch(file)
    state = {key: value for key, value in _unwrap(content).items() if isinstance(value, Tensor)}
    if not state:
        raise ValueError(f"{file} holds no named tensors; give a file made by torch.save(model.state_dict(), ...).")
    for prefix in PREFIXES:
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def sha256(file: Path) -> str:
    """Compute the sha256 of a file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fingerprints(settings: Any) -> dict[str, str]:
    """Compute the sha256 of every file that settings name, and of every file in a folder that they name."""
    found: dict[str, str] = {}
    queue = [settings]
    while queue:
        value = queue.pop()
        if isinstance(value, dict):
            queue += value.values()
        elif isinstance(value, list | tuple):
            queue += value
        elif isinstance(value, str | Path) and value and len(str(value)) <= LONGEST_PATH:
            path = Path(value)
            files = sorted(path.rglob("*")) if path.is_dir() else [path]
            found.update((str(file), sha256(file)) for file in files if file.is_file())
    return dict(sorted(found.items()))


def _is_safetensors(file: Path) -> bool:
    """Recognise a safetensors file, which begins with the length of a JSON header, then the header."""
    with file.open("rb") as stream:
        return stream.read(9)[8:] == b"{"


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except SafetensorError as error:
        raise ValueError(f"{file} is a damaged safetensors file ({error}); fetch it again.") from error


def read_torch(file: Path) -> object:
    """Read a torch file onto the CPU; unpickle only tensors and plain containers.

    Raises:
        ValueError: if it is no torch file, is damaged, or holds Python objects beside tensors.
    """
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if _is_pickle(file):
            raise ValueError(
                f"{file} holds Python objects beside tensors, which could run code when read; where you trust its maker, "
                "load it there and save model.state_dict() alone."
            ) from error
        raise ValueError(
            f"{file} is neither a safetensors file nor a torch file; check what was downloaded."
        ) from error
    except (RuntimeError, EOFError, OSError) as error:
        raise ValueError(f"{file} is a damaged torch file; fetch it again.") from error


def _is_pickle(file: Path) -> bool:
    """Recognise a torch file: a zip archive, or (before torch 1.6) a bare pickle, which begins with the protocol byte."""
    if zipfile.is_zipfile(file):
        return True
    with file.open("rb") as stream:
        return stream.read(1) == b"\x80"


def _unwrap(content: object) -> Mapping[str, object]:
    """Find the mapping that holds the tensors."""
    while isinstance(content, Mapping):
        inner = next((content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            return content
        content = inner
    return {}
