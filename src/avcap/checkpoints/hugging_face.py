"""Sources on Hugging Face: their location, their configuration, and whether a download is needed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

PATIENCE = 10  # seconds in which the hub must answer


class Source(NamedTuple):
    """A source that ``from_pretrained`` can read."""

    name: str  # folder or hub name
    gguf_file: str | None = None  # file inside it, if the weights are in the GGUF format


def read_config(config: Path | str | Mapping[str, Any], *, field: str = "decoder.config") -> dict[str, Any]:
    """Return a model's configuration, read from a JSON file if a path is given.

    Args:
        config: The file or the settings.
        field: The setting that named it, for messages.

    Raises:
        FileNotFoundError: if the file is not there.
        ValueError: if it is no JSON object or names no ``model_type``.
    """
    if isinstance(config, Mapping):
        settings, where = dict(config), field
    else:
        path = Path(config)
        if not path.is_file():
            raise FileNotFoundError(f"{field}: there is no file {path}; name a Hugging Face config.json.")
        try:
            settings, where = json.loads(path.read_text(encoding="utf-8")), str(path)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} is not JSON ({error}); {field} wants a Hugging Face config.json.") from error
    if not isinstance(settings, dict) or "model_type" not in settings:
        raise ValueError(
            f"{where} has no model_type; add the Hugging Face name of the architecture, for example llama."
        )
    return settings


def make_config(settings: Mapping[str, Any], *, field: str = "decoder.config") -> Any:
    """Build a Hugging Face configuration object from its settings.

    Args:
        settings: What :func:`read_config` gives.
        field: The setting that named it, for messages.

    Raises:
        ValueError: if the architecture is unknown.
    """
    from transformers import AutoConfig

    rest = {key: value for key, value in settings.items() if key not in ("model_type", "architectures", "torch_dtype")}
    try:
        return AutoConfig.for_model(settings["model_type"], **rest)
    except ValueError as error:
        raise ValueError(f"{field}: transformers knows no model_type {settings['model_type']!r}.") from error


def fetch(factory: Any, source: Source, **settings: Any) -> Any:
    """Call ``factory.from_pretrained``, which downloads only what is not on this machine.

    Args:
        factory: One of transformers' ``Auto`` classes.
        source: Where to read.
        **settings: Further arguments of ``from_pretrained``.

    Raises:
        FileNotFoundError: if there is nothing at ``source``.
        OSError: if the hub has no such model, or cannot be reached; told after one attempt.
    """
    from huggingface_hub import model_info
    from huggingface_hub.errors import HFValidationError

    if factory.__module__.startswith("transformers.models.auto."):  # no code of a model's own, and no question about it
        settings["trust_remote_code"] = False
    settings |= {} if source.gguf_file is None else {"gguf_file": source.gguf_file}
    is_folder = Path(source.name).is_dir()
    if not is_folder and _looks_like_a_path(source.name):
        raise FileNotFoundError(f"there is no folder {source.name}")
    try:
        return factory.from_pretrained(source.name, local_files_only=True, **settings)
    except HFValidationError as error:
        raise FileNotFoundError(f"{source.name!r} is neither a folder nor a hub name") from error
    except OSError:
        if is_folder:
            raise
    model_info(source.name, timeout=PATIENCE)  # one request: from_pretrained would try each file five times over
    return factory.from_pretrained(source.name, **settings)


def is_empty(model: nn.Module) -> bool:
    """Return whether the model has no weights yet: its parameters lie on the meta device."""
    return any(parameter.is_meta for parameter in model.parameters())


def _looks_like_a_path(name: str) -> bool:
    """Return whether a name looks like the path of a folder: more than two parts, or a start that only paths have."""
    parts = Path(name).parts
    if name.startswith(("./", "../", "/", "~")) or len(parts) > 2:
        return True
    return len(parts) == 2 and Path(parts[0]).is_dir()
