"""Answers drawn from a language model: each to its own caption, by the seed, and never an empty one."""

from __future__ import annotations

import pytest
import torch

from avcap.commands.dali_instructions import draw_answers
from avcap.decoders import LlavaDecoder
from avcap.systems import LanguageModelling
from tests.llava_parts import CAPTIONS, WIDTH, save_tokenizer, settings

DRAWN = {"do_sample": True, "temperature": 1.0, "top_k": 50, "max_new_tokens": 8}


class Echo:
    """Says what it is asked; to some captions nothing, or only when it does not draw."""

    def __init__(self, silent: str = "", hesitant: str = "") -> None:
        self.silent, self.hesitant = silent, hesitant
        self.batches: list[list[str]] = []

    def __call__(self, batch: dict, **generation: object) -> list[str]:
        self.batches.append(batch["prompt_text"])
        quiet = {self.silent, self.hesitant if generation["do_sample"] else ""}
        return ["" if text in quiet else f"{batch['task'][0]}: {text}" for text in batch["prompt_text"]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModelling:
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(folder)
    torch.manual_seed(0)
    return LanguageModelling(LlavaDecoder(WIDTH, config=settings(), tokenizer=str(folder), attention="eager"))


def test_each_caption_gets_its_own_answer_though_they_are_read_by_length():
    echo = Echo()
    captions = ["a dog barks", "a bell", "rain", "an engine idles", "wind"]
    assert draw_answers(echo, captions, task="hear", generation=DRAWN, batch_size=2) == [f"hear: {c}" for c in captions]
    assert echo.batches == [["rain", "wind"], ["a bell", "a dog barks"], ["an engine idles"]]


def test_where_nothing_was_drawn_the_likeliest_answer_is_taken():
    assert draw_answers(Echo(hesitant="rain"), ["rain", "wind"], task="see", generation=DRAWN) == [
        "see: rain",
        "see: wind",
    ]
    with pytest.raises(ValueError, match="The language model has no answer to 'rain'; train it for longer"):
        draw_answers(Echo(silent="rain"), ["rain", "wind"], task="see", generation=DRAWN)


def test_answers_are_those_of_the_seed_and_leave_the_global_one(model: LanguageModelling):
    captions = CAPTIONS * 2

    def drawn(**changes: int) -> list[str]:
        return draw_answers(model, captions, task="hear", generation=DRAWN, **{"batch_size": 4, **changes})

    torch.manual_seed(7)
    before = torch.get_rng_state()
    answers = drawn()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(8)
    assert drawn() == answers
    assert drawn(seed=1) != answers
    assert len(set(answers)) == 6  # the same caption is answered in more than one way


def test_a_batch_is_drawn_by_a_seed_of_its_own(model: LanguageModelling):
    """What the captions before it are answered, and for how long, changes nothing."""
    long, settings = [CAPTIONS[2]] * 2, {"task": "hear", "generation": DRAWN, "batch_size": 2}
    (*_, one, two), (*_, other, another) = (
        draw_answers(model, [*short, *long], **settings) for short in (["rain"] * 2, ["a bell rings"] * 2)
    )
    assert (one, two) == (other, another)
