"""Weights that the parts of a model name: whether they are on this machine, whole, and of this model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import nn

from avcap.checkpoints.hugging_face import Source
from avcap.checkpoints.loading import load_weights, without_values
from avcap.checkpoints.places import NAMES
from avcap.checkpoints.source import find_source, pretrained_config
from avcap.foreign import in_words
from avcap.machine import Finding
from avcap.mappings import read_json
from avcap.types import Pretrainable

FILES = (".safetensors", ".pth", ".pt", ".bin")  # endings of a weights file; other names are Hugging Face models
WEIGHTS = (
    "model.safetensors",
    "pytorch_model.bin",
)  # of a Hugging Face folder, in the order in which they are looked for
NAMING = frozenset(NAMES) - {"config"}  # settings that name weights
COMPARED = ("model_type", "hidden_size", "num_hidden_layers")  # of a language model
OWN_FILES = {
    "prefix_file": "prefix",
    "pretrained_audio": "audio_projector",
}  # attribute of a part -> the module it fills


def weights_needs(name: str, part: nn.Module) -> Iterator[Finding]:
    """Yield one finding for each file, folder or hub model that a part reads; no weights are read.

    Args:
        name: The part's name in the model.
        part: The part, built under ``torch.device("meta")``.
    """
    own = {path: module for key, module in OWN_FILES.items() if (path := getattr(part, key, None)) is not None}
    place = getattr(part, "pretrained", None)
    if place is not None and place not in own and place != "timm":
        yield Finding("weights", name, place, _of_file(part) if place.endswith(FILES) else _of_model(place, part))
    for path, module in own.items():
        yield Finding("weights", f"{name}.{module}", path, _of_own(part, module, path, name))


def named_needs(settings: Any, name: str = "model") -> Iterator[Finding]:
    """Yield one finding for each file and model that settings name, where the parts themselves could not be built.

    Args:
        settings: Of a part, or of a model with its parts.
        name: What they are settings of.
    """
    if not isinstance(settings, Mapping):
        return
    for key, value in settings.items():
        if key in NAMING and isinstance(value, str) and not _is_timm(settings, key, value):
            if value.endswith(FILES):
                problem = (
                    ""
                    if Path(value).is_file()
                    else f"there is no file {value}; `avcap weights import` or `part` makes it."
                )
            else:
                problem = _not_here(find_source(value).name, "tokenizer.json" if key == "tokenizer" else "config.json")
            yield Finding("weights", name, value, problem)
        yield from named_needs(value, name if key in ("init_args", "class_path") else key)


def _is_timm(settings: Mapping, key: str, value: str) -> bool:
    return value == "timm" or (key == "model" and "pooling" in settings)


def tokenizer_need(decoder: nn.Module) -> Iterator[Finding]:
    """Yield what became of reading the tokenizer of a decoder, without the network."""
    from huggingface_hub import constants

    if not hasattr(type(decoder), "codec"):
        return
    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        found: Any = decoder.codec
        yield Finding("weights", "tokenizer", f"{len(found.tokenizer):,} tokens")
    except (OSError, ValueError, ImportError) as error:
        yield Finding("weights", "tokenizer", "not there", in_words(error))
    finally:
        constants.HF_HUB_OFFLINE = before


def _of_file(part: nn.Module) -> str:
    """Return what is wrong with the weights file of a part: names and shapes are compared, values are not read."""
    if not isinstance(part, Pretrainable):
        return ""
    try:
        with without_values():
            part.load_pretrained()
    except (OSError, ValueError) as error:
        return in_words(error)
    return ""


def _of_own(part: nn.Module, module: str, path: str, name: str) -> str:
    try:
        with without_values():
            load_weights(getattr(part, module), path, component=f"{name}.{module}")
    except (OSError, ValueError) as error:
        return in_words(error)
    return ""


def _of_model(name: str, part: nn.Module) -> str:
    """Return what is wrong with a Hugging Face model: it must be on this machine, whole, and of the size of the part."""
    try:
        source = find_source(name)
        if source.gguf_file is not None:
            return ""
        return _not_here(source.name) or _wrong_size(source, part) or wrong_files(source.name)
    except (OSError, ValueError) as error:
        return in_words(error)


def _not_here(name: str, file: str = "config.json") -> str:
    """Return how to get a Hugging Face model that is not on this machine; empty if it is."""
    if _local(name, file) is not None or list(Path(name).glob("*.gguf")):
        return ""
    if Path(name).is_dir():
        return f"{name} has no {file}; name the folder of a whole model."
    if name.count("/") != 1:
        return f"there is no folder {name}; make it, or name another."
    fetch = f"fetch it with `hf download {name}` (a gated model asks you to accept its licence first)"
    return f"{name} is not on this machine; {fetch}, or name a folder that holds it."


def _wrong_size(source: Source, part: nn.Module) -> str:
    config = getattr(getattr(part, "lm", None), "config", None)
    if config is None:
        return ""
    found = pretrained_config(source)
    found = getattr(found, "text_config", found)
    for key in COMPARED:
        own, wanted = getattr(found, key, None), getattr(config, key, None)
        if own != wanted:
            return f"{source.name} has {key} {own} and the config of the run {wanted}; it is another model."
    return ""


def wrong_files(name: str) -> str:
    """Return what is wrong with the weights files of a folder or cached hub model, in one sentence; empty: all are whole.

    A safetensors file must have as many bytes as its header says, and hold the tensors that the index places in it.

    Args:
        name: Folder or hub name.

    Raises:
        ValueError: if the index is damaged.
    """
    for whole in WEIGHTS:
        index = _local(name, f"{whole}.index.json")
        if index is not None:
            places: dict[str, set[str]] = {}
            content = read_json(index, remedy="fetch it again")
            for tensor, file in content.get("weight_map", {}).items():
                places.setdefault(file, set()).add(tensor)
        elif _local(name, whole) is not None:
            places = {whole: set()}
        else:
            continue
        for file, tensors in places.items():
            path = _local(name, file)
            if path is None:
                return f"{name} lacks {file}, which its index names; fetch it again."
            if problem := _damage(path, tensors):
                return problem
        return ""
    return f"{name} holds no weights ({' or '.join(WEIGHTS)}, or an index of shards); fetch it again."


def _damage(path: Path, tensors: set[str]) -> str:
    if path.suffix != ".safetensors":
        return "" if path.stat().st_size else f"{path} is empty; fetch it again."
    try:
        with safe_open(path, framework="pt") as file:  # compares the header with the length
            missing = tensors.difference(file.keys())
    except (SafetensorError, json.JSONDecodeError) as error:
        return f"{path} is cut short or damaged ({error}); fetch it again."
    return f"{path} lacks {min(missing)}, which the index places in it; fetch it again." if missing else ""


def _local(name: str, file: str) -> Path | None:
    """Return a file of a folder or of the local cache of the hub; None if it is not on this machine."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    if Path(name).is_dir():
        return Path(name, file) if Path(name, file).is_file() else None
    try:
        found = try_to_load_from_cache(name, file)
    except HFValidationError:  # a path, where there is no folder
        return None
    return Path(found) if isinstance(found, str) else None
