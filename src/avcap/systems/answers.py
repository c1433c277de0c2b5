"""Answers of a language model that reads captions instead of images."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch

from avcap.systems.language import LanguageModelling
from avcap.types import Generation


def draw_answers(
    model: LanguageModelling,
    captions: Sequence[str],
    *,
    task: str,
    generation: Generation,
    batch_size: int = 256,
    seed: int = 0,
    progress: bool = False,
) -> list[str]:
    """Generate one answer per caption as LLaVA's training texts were made: a language model reads the caption, not the image.

    Captions of like length are read together. Each batch is drawn by a seed of its own, so that an answer depends on
    nothing outside its batch; where nothing was said, the likeliest answer is taken. (Liu et al., NeurIPS 2023, section 3.)

    Args:
        model: With its weights.
        captions: What images show.
        task: Which of the model's instructions is asked.
        generation: Decoding settings, over the decoder's own.
        batch_size: Captions that are read at once.
        seed: Seed of the draws.
        progress: Show a progress bar.

    Raises:
        ValueError: if the model has nothing to say to a caption.
    """
    from tqdm import tqdm

    order = sorted(range(len(captions)), key=lambda place: len(captions[place]))
    answers = [""] * len(captions)
    with torch.random.fork_rng(), tqdm(total=len(captions), unit="answer", disable=not progress) as bar:
        for first in range(0, len(order), batch_size):
            places = order[first : first + batch_size]
            torch.manual_seed(random.Random(f"{seed}/answers/{first}").getrandbits(63))
            drawn = _ask(model, [captions[place] for place in places], task, generation)
            for place, answer in zip(places, drawn, strict=True):
                answers[place] = answer
            bar.update(len(places))
    if silent := [place for place, answer in enumerate(answers) if not answer]:
        likeliest = _ask(model, [captions[place] for place in silent], task, {"do_sample": False})
        for place, answer in zip(silent, likeliest, strict=True):
            if not answer:
                raise ValueError(f"The language model has no answer to {captions[place]!r}; train it for longer.")
            answers[place] = answer
    return answers


def _ask(model: LanguageModelling, captions: list[str], task: str, generation: Generation) -> list[str]:
    asked = {"prompt_text": captions, "task": [task] * len(captions), "text": [""] * len(captions)}
    return model(asked, **generation)
