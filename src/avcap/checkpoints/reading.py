"""Reading torch and safetensors files without running anything that they hold."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from avcap.checkpoints.carried_files import FILES_KEY
from avcap.checkpoints.loading import LEFT_OUT

STATE, SETTINGS = "state_dict", "hyper_parameters"  # entries of a Lightning checkpoint
WRAPPERS = ("model", "state_dict", "model_state_dict", "module")  # where training code puts the state dict
PREFIXES = ("module.", "_orig_mod.")  # what DistributedDataParallel and torch.compile put before every key
RELEASED = "give it by --weights, with the model's --config"
MOST_SETTINGS = 100_000  # values in the settings of a checkpoint
DEEPEST = 50  # mappings and lists inside one another


def read_state(file: Path) -> dict[str, Tensor]:
    """Read the state dict of a safetensors or torch file onto the CPU, without its usual wrappers.

    Raises:
        OSError: if the file cannot be opened.
        ValueError: if it is neither, is damaged, or holds Python objects beside tensors.
    """
    content = _read_safetensors(file) if _is_safetensors(file) else read_torch(file)
    state = {key: value for key, value in _unwrap(content).items() if isinstance(value, Tensor)}
    if not state:
        raise ValueError(f"{file} holds no named tensors; give a file made by torch.save(model.state_dict(), ...).")
    require_tensors(state, file)
    for prefix in PREFIXES:
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def is_run(file: Path) -> bool:
    """Return whether a file that can be read is a checkpoint of `avcap fit`."""
    content = None if _is_safetensors(file) else read_torch(file)
    settings = content.get(SETTINGS) if isinstance(content, Mapping) else None
    return isinstance(settings, Mapping) and "_class_path" in settings


def read_torch(file: Path) -> object:
    """Read a torch file onto the CPU; unpickle only tensors and plain containers.

    Raises:
        OSError: if the file cannot be opened.
        ValueError: if it is no torch file, is damaged, holds Python objects beside tensors, or would take more memory than it
            has bytes.
    """
    if file.is_dir():
        raise ValueError(f"{file} is a folder; name a file.")
    with file.open("rb") as stream:
        begin = stream.read(1)
    archive = zipfile.is_zipfile(file)
    if not archive and begin != b"\x80":  # a bare pickle, as before torch 1.6, begins with the protocol
        what = {b"": "is empty", b"P": "is cut short or damaged"}.get(
            begin, "is neither a safetensors file nor a torch file"
        )
        raise ValueError(f"{file} {what}; check what was downloaded or copied.")
    try:
        if archive:
            _require_stored(file)
        return torch.load(file, map_location="cpu", weights_only=True, mmap=archive)
    except Exception as error:  # whatever a reader trips over, the file is at fault
        if "Unsupported" in str(error) or "Weights only load failed" in str(error):
            raise ValueError(
                f"{file} is damaged, or holds Python objects beside tensors, which could run code (nothing was run); where you "
                "trust its maker, load it there and save model.state_dict() alone."
            ) from error
        raise ValueError(f"{file} is a damaged torch file; fetch it again, or name another.") from error


def read_checkpoint(path: Path, *, rebuild: bool = True) -> dict[str, Any]:
    """Read a checkpoint of `avcap fit` and see that each of its entries is what it should be.

    Args:
        path: The checkpoint.
        rebuild: Whether a model is to be built of it, for which it needs ``hyper_parameters``.

    Returns:
        The checkpoint. Our other entries are there or not.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it cannot be read, or is no checkpoint of `avcap fit`.
    """
    if not path.exists():
        raise FileNotFoundError(f"There is no checkpoint {path}; train one with `make demo` or `avcap fit`.")
    if path.is_file() and _is_safetensors(path):
        raise ValueError(f"{path} is no checkpoint of `avcap fit`, it holds weights alone; {RELEASED}.")
    content = read_torch(path)
    if not isinstance(content, dict) or not isinstance(content.get(STATE), Mapping):
        raise ValueError(
            f"{path} is no checkpoint of `avcap fit`; name one, such as runs/demo/checkpoints/best.ckpt, or, if it is a released "
            f"model, {RELEASED}."
        )
    if (rebuild or SETTINGS in content) and not isinstance(content.get(SETTINGS), Mapping):
        raise ValueError(
            f"{path} does not say how its model is built, so it is no checkpoint of `avcap fit`; if it is a released model, {RELEASED}."
        )
    require_tensors(content[STATE], path)
    _require_plain(content.get(SETTINGS), path)
    files, inputs, left_out = (content.get(key) for key in (FILES_KEY, "avcap_inputs", LEFT_OUT))
    carried = files is None or (
        isinstance(files, Mapping)
        and all(isinstance(k, str) and isinstance(v, Mapping) for k, v in files.items())
        and all(isinstance(n, str) and isinstance(b, bytes) for v in files.values() for n, b in v.items())
    )
    names = left_out is None or (isinstance(left_out, list) and all(isinstance(name, str) for name in left_out))
    if not (carried and names and (inputs is None or isinstance(inputs, Mapping))):
        raise ValueError(f"{path} is damaged: its {FILES_KEY}, avcap_inputs or {LEFT_OUT} is of another type.")
    return content


def require_tensors(state: Mapping[Any, Any], file: Path) -> None:
    """Refuse a state dict that holds something else than plain tensors, or one that is larger than its storage.

    Raises:
        ValueError: naming the file and the entry.
    """
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise ValueError(f"{file} is damaged: its state dict has {name!r}, which names no tensor.")
        plain = tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
        if not plain or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise ValueError(f"{file} is damaged: {name} has no value for each of its {tensor.numel():,} numbers.")


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


def _unwrap(content: object) -> Mapping[Any, object]:
    """Find the mapping that holds the tensors."""
    while isinstance(content, Mapping):
        inner = next((content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            return content
        content = inner
    return {}


def _require_stored(file: Path) -> None:
    """Refuse an archive that unpacks to more than it has bytes; torch compresses nothing."""
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ValueError("compressed")
    if sum(entry.file_size for entry in entries) > file.stat().st_size:
        raise ValueError("larger than its file")


def _require_plain(settings: Any, file: Path) -> None:
    """Refuse settings that are not a tree of plain values, or have no end."""
    for count, (value, depth) in enumerate(_values(settings, 0)):
        known = value is None or isinstance(value, str | int | float | bytes | list | tuple | dict)
        if count > MOST_SETTINGS or depth > DEEPEST or not known:
            raise ValueError(f"{file} is damaged: its hyper_parameters are no settings of a model.")


def _values(settings: Any, depth: int) -> Iterator[tuple[Any, int]]:
    """Yield a value and those inside it; the caller stops before a circle ends in a recursion error."""
    yield settings, depth
    inside: Any = settings.values() if isinstance(settings, Mapping) else settings
    for value in inside if isinstance(settings, Mapping | list | tuple) else ():
        yield from _values(value, depth + 1)
