"""A working folder in which DALI's configs find what they name: data, configs, a LLaVA folder without weights."""

from __future__ import annotations

import json
from pathlib import Path

from transformers import AutoTokenizer, LlavaConfig

from avcap.checkpoints.llava import IMAGE_TOKEN
from tests.end_to_end.program import REPOSITORY


def make_place(folder: Path, demo_root: Path) -> Path:
    """``folder`` with ``configs``, ``data/demo`` (links) and an empty ``runs``."""
    (folder / "data").mkdir(parents=True)
    (folder / "runs").mkdir()
    (folder / "configs").symlink_to(REPOSITORY / "configs")
    (folder / "data" / "demo").symlink_to(demo_root)
    return folder


def write_sizes(place: Path) -> None:
    """``runs/dali/language/lm`` and both LLaVA folders as far as building needs them: sizes and tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(place / "data" / "demo" / "tokenizer")
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE_TOKEN]})
    settings = json.loads((place / "configs" / "llm" / "llava_demo.json").read_text())
    settings["text_config"]["vocab_size"] = len(tokenizer)
    whole = LlavaConfig(**settings)
    for folder, config in (("language/lm", whole.text_config), ("llava_captions", whole), ("llava", whole)):
        config.save_pretrained(place / "runs" / "dali" / folder)
        tokenizer.save_pretrained(place / "runs" / "dali" / folder)
