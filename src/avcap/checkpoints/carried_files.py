"""Small files that a checkpoint carries with it: tokenizers, configurations and prompts that the parts name by a path."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

FILES_KEY = "avcap_files"  # entry of a checkpoint: path -> {file name: content}
CARRIED = ("tokenizer", "config", "prompts")  # arguments that name such a file or folder
LARGEST = 32 * 2**20  # bytes; a tokenizer has a few MB, weights have more


def carry_files(checkpoint: dict[str, Any]) -> None:
    """Put the files that the hyper-parameters name into the checkpoint, so that it can be used anywhere.

    Args:
        checkpoint: A Lightning checkpoint that is about to be written.
    """
    named = {str(path) for path in _paths(checkpoint.get("hyper_parameters", {})) if Path(path).exists()}
    files = {path: _read(Path(path)) for path in sorted(named)}
    if files:
        checkpoint[FILES_KEY] = files


def unpack_files(checkpoint: dict[str, Any]) -> tempfile.TemporaryDirectory[str]:
    """Write the carried files to a new folder and let the hyper-parameters name them there.

    The files of the checkpoint go before those at the original paths, which may have changed since.

    Args:
        checkpoint: A checkpoint that :func:`avcap.checkpoints.reading.read_checkpoint` gave; its hyper-parameters are replaced.

    Returns:
        The folder, which has to stay as long as the model is used.

    Raises:
        ValueError: if a file has a name that would lie elsewhere.
    """
    folder = tempfile.TemporaryDirectory(prefix="avcap_")
    places: dict[str, str] = {}
    for number, (path, contents) in enumerate(checkpoint.get(FILES_KEY, {}).items()):
        place = Path(folder.name, str(number))
        place.mkdir()
        for name, content in contents.items():
            if not name.strip(". ") or {"/", "\\", "\0"} & set(name):
                raise ValueError(f"The checkpoint carries a file with the name {name!r}, which is none; it is damaged.")
            (place / name).write_bytes(content)
        alone = len(contents) == 1 and Path(path).name in contents
        places[path] = str(place / Path(path).name if alone else place)
    checkpoint["hyper_parameters"] = _replace(checkpoint["hyper_parameters"], lambda path: places.get(str(path), path))
    return folder


def _paths(settings: Any) -> Iterator[str | Path]:
    """Return the values of the arguments that name a carried file, at any depth."""
    for name, value in settings.items() if isinstance(settings, Mapping) else ():
        if name in CARRIED and isinstance(value, str | Path):
            yield value
        yield from _paths(value)


def _replace(settings: Any, change: Callable[[Any], Any]) -> Any:
    """Return a copy with new values for the arguments that :func:`_paths` finds."""
    if not isinstance(settings, Mapping):
        return settings
    return {
        name: change(value) if name in CARRIED and isinstance(value, str | Path) else _replace(value, change)
        for name, value in settings.items()
    }


def _read(path: Path) -> dict[str, bytes]:
    files = [path] if path.is_file() else sorted(file for file in path.iterdir() if file.is_file())
    return {file.name: file.read_bytes() for file in files if file.stat().st_size <= LARGEST}
