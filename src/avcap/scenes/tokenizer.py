"""A byte-level BPE tokenizer trained on the captions of the data set, saved as a Hugging Face folder."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}

PROMPTS = (
    "USER: <Speech></Speech> Describe the audio.\nASSISTANT:",
    "USER: <Speech></Speech> Describe the audio and the video.\nASSISTANT:",
    "USER: <image>\nDescribe the image.\nASSISTANT:",
    "Describe what you hear and see in one sentence.",
)
"""Frames of instructions that the tokenizer learns besides the captions, so that they cost few tokens."""

_PROMPT_REPEATS = 40


def train_tokenizer(folder: Path, texts: Iterable[str], *, vocab_size: int = 1000) -> None:
    """Train a tokenizer and write ``tokenizer.json``, ``tokenizer_config.json`` and ``special_tokens_map.json``.

    All 256 bytes are in the vocabulary, so any text can be encoded without ``<unk>``. Encoding adds no special token.

    Args:
        folder: Where to write; made if it does not exist.
        texts: Captions.
        vocab_size: Largest size, special tokens included; a small set of captions may need fewer.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token=SPECIAL["unk_token"]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL.values()),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*texts, *PROMPTS * _PROMPT_REPEATS], trainer)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": 2048,
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        "padding_side": "right",
        **SPECIAL,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (folder / "special_tokens_map.json").write_text(json.dumps(SPECIAL, indent=2) + "\n", encoding="utf-8")
