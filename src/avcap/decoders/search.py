"""Caption search of a causal language model that starts from embeddings instead of ids."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from avcap.decoders.language_model import positions
from avcap.decoders.text import SpecialIds
from avcap.types import Generation

if TYPE_CHECKING:
    from avcap.decoders.language_model import LanguageModel


def check_settings(settings: Mapping[str, object]) -> None:
    """Refuse decoding settings that :class:`avcap.types.Generation` does not have.

    Raises:
        ValueError: if there are any.
    """
    known = sorted(Generation.__optional_keys__ | Generation.__required_keys__)
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ValueError(f"Unknown decoding settings {', '.join(unknown)}; the known ones are {', '.join(known)}.")


def check_ranges(settings: Mapping[str, Any], *, positions: int) -> None:
    """Refuse numbers of beams or tokens that a decoder with so many ``positions`` cannot keep.

    Raises:
        ValueError: if a number is out of range.
    """
    if settings["num_beams"] < 1:
        raise ValueError(f"num_beams is {settings['num_beams']}; choose at least 1.")
    if not 1 <= settings["max_new_tokens"] <= positions:
        raise ValueError(
            f"max_new_tokens is {settings['max_new_tokens']}; choose 1 to {positions} (decoder.size.positions)."
        )


def check_nbest(beams: int, *, count: int) -> None:
    """Refuse fewer beams than the best ``count`` texts of a clip need.

    Raises:
        ValueError: if there are fewer than 2 beams or fewer beams than ``count``.
    """
    if beams < max(2, count):
        raise ValueError(
            f"The best {count} captions need at least {max(2, count)} beams, not {beams}; raise num_beams."
        )


def by_clip(captions: Sequence[str], scores: Tensor) -> list[list[tuple[str, float]]]:
    """Return captions, one row per clip, with their scores ``[B, R]``; minus infinity means that there is no caption."""
    pairs, count = list(zip(captions, scores.flatten().tolist(), strict=True)), scores.shape[1]
    rows = [pairs[i : i + count] for i in range(0, len(pairs), count)]
    return [[(caption, score) for caption, score in row if score > -math.inf] for row in rows]


def search(
    model: LanguageModel, context: Tensor, mask: Tensor | None, special: SpecialIds, settings: Mapping[str, object]
) -> Any:
    """Run beam search, greedy search or sampling with Hugging Face ``generate``.

    Every clip is decoded to its own end; finished rows are padded with ``special.pad``. (The official LAVCap code ends
    the whole batch with its first row.)

    Args:
        model: The language model.
        context: Embeddings ``[B, S, C]`` to go on from; the last position is real in every row.
        mask: ``[B, S]``, True where the context is real; None: everywhere.
        special: Ids that end and fill a row.
        settings: Arguments of ``GenerationConfig``.

    Returns:
        Hugging Face's output object; ``sequences`` holds the new ids alone.
    """
    from transformers import GenerationConfig

    if mask is None:
        mask = torch.ones(context.shape[:2], dtype=torch.bool, device=context.device)
    config = GenerationConfig(
        **settings,
        bos_token_id=special.bos,
        eos_token_id=list(special.eos),
        pad_token_id=special.pad,
        return_dict_in_generate=True,
    )
    start = {"past_key_values": read_once(model, context, mask, config.num_beams)} if config.num_beams > 1 else {}
    return model.generate(inputs_embeds=context, attention_mask=mask.long(), generation_config=config, **start)


def read_once(model: LanguageModel, context: Tensor, mask: Tensor, beams: int) -> Any:
    """Compute keys and values of the context ``[B, S, C]`` except its last position, once per clip; copy them for its beams."""
    from transformers import DynamicCache

    cache = DynamicCache(config=model.config)
    mask = mask[:, :-1]
    model(
        inputs_embeds=context[:, :-1],
        attention_mask=mask,
        position_ids=positions(mask),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    cache.batch_repeat_interleave(beams)
    return cache
