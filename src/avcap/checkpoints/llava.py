"""A LLaVA model in Hugging Face's format: its configuration, and the weights of one of its three parts at a time."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from avcap.checkpoints.hugging_face import Source, fetch, make_config, read_config

if TYPE_CHECKING:
    from transformers import PreTrainedModel

IMAGE_TOKEN = "<image>"  # stands for the image tokens in a prompt

PartNames = Mapping[str, str]  # beginning of a name in the file -> beginning of the name in the part
VISION: PartNames = {"vision_tower.": "", "model.vision_tower.": ""}
PROJECTOR: PartNames = {"multi_modal_projector.": "", "model.multi_modal_projector.": ""}
LANGUAGE: PartNames = {"language_model.": "", "model.language_model.": "model.", "lm_head.": "lm_head."}

Format = Literal["auto", "float32", "bfloat16", "float16"]
Attention = Literal["sdpa", "eager", "flash_attention_2"]

_WHOLE, _INDEX = "model.safetensors", "model.safetensors.index.json"


def llava_settings(config: Path | Mapping[str, Any], *, field: str) -> dict[str, Any]:
    """Return the settings of a LLaVA model, read from a JSON file if a path is given.

    Args:
        config: The file or the settings.
        field: The setting that named it (``decoder.config``), for messages.

    Raises:
        FileNotFoundError: if the file is not there.
        ValueError: if it describes another architecture, or lacks the vision or the text model.
    """
    settings = read_config(config, field=field)
    where = field if isinstance(config, Mapping) else config
    if settings["model_type"] != "llava":
        raise ValueError(
            f"{where} describes a {settings['model_type']}; {field} wants a LlavaConfig (model_type llava)."
        )
    for part in ("vision_config", "text_config"):
        if not isinstance(settings.get(part), dict):
            raise ValueError(f"{where} has no {part}; add it, as in configs/llm/llava_demo.json.")
    return settings


def llava_config(model: str | None, config: Path | Mapping[str, Any] | None, *, owner: str) -> Any:
    """Return the configuration of a LLaVA model; reads no weights.

    Args:
        model: Folder or hub name of the model.
        config: A ``LlavaConfig`` as JSON file or mapping, which goes before that of ``model``.
        owner: The part of the system that asks (``decoder``), for messages.

    Raises:
        FileNotFoundError: if there is no such file or model.
        ValueError: if neither is given, or it is no LLaVA.
    """
    if config is not None:
        return make_config(llava_settings(config, field=f"{owner}.config"), field=f"{owner}.config")
    if model is None:
        raise ValueError(f"No LLaVA model: set {owner}.model (pretrained) or {owner}.config (random weights).")
    from transformers import AutoConfig

    try:
        found = fetch(AutoConfig, Source(model))
    except (OSError, ValueError) as error:
        raise FileNotFoundError(no_llava(model, owner=owner)) from error
    if found.model_type != "llava":
        raise ValueError(f"{owner}.model: {model} holds a {found.model_type}, not a LLaVA; name another folder.")
    return found


def no_llava(model: str, *, owner: str) -> str:
    """Return the error message for a missing model."""
    return (
        f"{owner}.model: no LLaVA model with safetensors weights was found at {model!r}; name a folder that `avcap dali "
        "captioner` wrote, or a hub model such as llava-hf/llava-1.5-7b-hf."
    )


def chosen_format(dtype: Format, state: Mapping[str, Tensor] | None = None) -> torch.dtype:
    """Return the dtype of a part's weights; "auto" takes that of ``state``, or float32 without one."""
    if dtype != "auto":
        return getattr(torch, dtype)
    return torch.float32 if not state else next(iter(state.values())).dtype


def read_llava(model: str, names: PartNames, *, owner: str, wanted: Collection[str] | None = None) -> dict[str, Tensor]:
    """Read the weights of one part; open (or download from the hub) only the files that hold some of them.

    Args:
        model: Folder or hub name.
        names: Which tensors, and how the part calls them: :data:`VISION`, :data:`PROJECTOR` or :data:`LANGUAGE`.
        owner: The part of the system that asks, for messages.
        wanted: Names in the part that are read; None: all.

    Raises:
        FileNotFoundError: if there is no such model.
        ValueError: if it has no such weights.
    """
    from safetensors import safe_open

    state: dict[str, Tensor] = {}
    for path in _files(model, names, owner=owner):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118
                begin = _beginning(name, names)
                own = None if begin is None else names[begin] + name.removeprefix(begin)
                if own is not None and (wanted is None or own in wanted):
                    state[own] = file.get_tensor(name)
    if not state:
        raise ValueError(f"{model} has no weights named {next(iter(names))}*; it is no complete LLaVA model.")
    return state


def load_pretrained_part(
    part: PreTrainedModel, model: str, names: PartNames, *, owner: str, dtype: Format
) -> PreTrainedModel:
    """Build a part of a transformers model and load its pretrained weights.

    Args:
        part: A model of the right sizes, which may be empty (on the meta device); it is left as it is.
        model: Folder or hub name.
        names: Which tensors.
        owner: The part of the system that asks, for messages.
        dtype: Number format.

    Raises:
        FileNotFoundError: if there is no such model.
        ValueError: if weights are missing or of another shape.
    """
    with torch.device("meta"):
        wanted = type(part)(part.config).state_dict().keys()
    state = read_llava(model, names, owner=owner, wanted=wanted)
    settings = {"config": part.config, "dtype": chosen_format(dtype, state)}
    settings["attn_implementation"] = part.config._attn_implementation
    try:
        loaded, info = type(part).from_pretrained(None, state_dict=state, output_loading_info=True, **settings)
    except RuntimeError as error:
        raise ValueError(f"{model} does not fit {owner}.config ({error}); leave {owner}.config out.") from error
    require_all(info["missing_keys"], model)
    return loaded


def require_all(missing: Any, model: str) -> None:
    """Raise where a part of ``model`` lacks weights.

    Raises:
        ValueError: naming the first ones.
    """
    if missing:
        first = ", ".join(sorted(missing)[:3])
        raise ValueError(f"{model} lacks {len(missing)} weights ({first}); it is no complete LLaVA model of this size.")


def _files(model: str, names: PartNames, *, owner: str) -> list[str]:
    """Return the safetensors files that hold the part."""
    index = _cached(model, _INDEX)
    if index is not None:
        places = json.loads(Path(index).read_text(encoding="utf-8"))["weight_map"]
        found = [_cached(model, file) for file in sorted({f for n, f in places.items() if _beginning(n, names)})]
    else:
        found = [_cached(model, _WHOLE)]
    paths = [path for path in found if path is not None]
    if len(paths) < len(found):
        raise FileNotFoundError(no_llava(model, owner=owner))
    return paths


def _cached(model: str, file: str) -> str | None:
    """Return the path of a model's file, downloading it only if it is not on this machine; None if the model has no such file."""
    from transformers.utils import cached_file

    quiet = {"_raise_exceptions_for_missing_entries": False, "_raise_exceptions_for_connection_errors": False}
    if Path(model).is_dir():
        return cached_file(model, file, **quiet)
    return cached_file(model, file, local_files_only=True, **quiet) or cached_file(model, file, **quiet)


def _beginning(name: str, names: PartNames) -> str | None:
    return next((begin for begin in names if name.startswith(begin)), None)
