"""What a language model is told around the fused tokens: instructions and the template that holds them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from avcap.decoders.text import Ids, TextCodec

TOKENS = "{tokens}"
PROMPT = "{prompt}"

PLAIN_TEMPLATE = "USER: <Speech>{tokens}</Speech> {prompt}\nASSISTANT:"
"""The layout that LAVCap's official code feeds to LLaMA-2-chat."""

CHAT_TEMPLATE = "<Speech>{tokens}</Speech> {prompt}"
"""The user's turn where the tokenizer's own chat template writes the roles."""

CAPTION_PROMPTS: tuple[str, ...] = (
    "Describe the audio.",
    "Describe what can be heard in one sentence.",
    "Write a caption for this sound recording.",
    "Which sounds occur, and in what order?",
    "Summarise the sound events of this clip.",
    "Tell me what you hear.",
    "Give a short description of the recording.",
    "What is happening in this audio clip?",
    "Put the soundscape into words.",
    "Name the sources that make the sounds and what they do.",
    "Caption the audio briefly.",
    "Explain in a sentence what is sounding.",
    "Listen to the clip and describe it.",
    "Report the events that can be heard.",
    "How would you describe this recording to someone who cannot hear it?",
)
"""Fifteen instructions, as many as LAVCap trains with; the wording is avcap's own. The first one is used in evaluation."""


class Halves(NamedTuple):
    """The text on both sides of the fused tokens."""

    before: str
    after: str


def read_prompts(prompts: Sequence[str] | Path | str | None) -> tuple[str, ...]:
    """The instructions to train with.

    Args:
        prompts: A list of them, a text file with one a line, or None for :data:`CAPTION_PROMPTS`.

    Raises:
        FileNotFoundError: if the file is not there.
        ValueError: if there is no instruction in it.
    """
    if prompts is None:
        return CAPTION_PROMPTS
    lines: Sequence[str]
    if isinstance(prompts, (str, Path)):
        path = Path(prompts)
        if not path.is_file():
            raise FileNotFoundError(
                f"decoder.prompts: there is no file {path}; name a text file with one prompt a line."
            )
        lines = path.read_text(encoding="utf-8").splitlines()
    else:
        lines = prompts
    found = tuple(line.strip() for line in lines if line.strip())
    if not found:
        raise ValueError("decoder.prompts holds no prompt; give at least one, or null for the built-in list.")
    return found


def check_template(template: str) -> str:
    """The template itself, if ``{tokens}`` is in it once and ``{prompt}`` at most once.

    Raises:
        ValueError: otherwise.
    """
    if template.count(TOKENS) != 1 or template.count(PROMPT) > 1:
        raise ValueError(
            f"decoder.template must hold {TOKENS} exactly once and {PROMPT} at most once, not {template!r}."
        )
    return template


def fill_template(template: str, prompt: str, tokenizer: object | None = None) -> Halves:
    """The text before and after the fused tokens.

    Args:
        template: Text with ``{tokens}`` and ``{prompt}``.
        prompt: The instruction.
        tokenizer: A Hugging Face tokenizer whose chat template wraps the text as one turn of the user, or None.

    Raises:
        ValueError: if the tokenizer has no chat template, or its chat template loses the placeholder.
    """
    text = template.replace(PROMPT, prompt)
    if tokenizer is not None:
        if not getattr(tokenizer, "chat_template", None):
            raise ValueError("decoder.chat_template is true, but the tokenizer has no chat template; set it to false.")
        turn = [{"role": "user", "content": text}]
        text = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        if text.count(TOKENS) != 1:
            raise ValueError(
                "The tokenizer's chat template does not keep the user's text; set decoder.chat_template: false."
            )
    before, after = text.split(TOKENS)
    return Halves(before, after)


def require_text(after: Ids) -> None:
    """Refuse a template with nothing after the fused tokens.

    Raises:
        ValueError: if a row of ``after`` is empty.
    """
    if not after.mask.any(1).all():
        raise ValueError(
            "decoder.template ends with {tokens}; put some text behind it, from which the caption goes on."
        )


class PromptTable:
    """Every instruction inside its template, as token ids, ready to be drawn from.

    Row 0 is the prompt of the evaluation, the others are those of the training.

    Args:
        codec: Encodes the texts.
        template: Text with ``{tokens}`` and ``{prompt}``.
        prompts: Instructions of the training.
        evaluation: Instruction of the evaluation.
        chat: Let the tokenizer's chat template write the roles; it also writes the opening token.
    """

    def __init__(self, codec: TextCodec, *, template: str, prompts: Sequence[str], evaluation: str, chat: bool) -> None:
        tokenizer = codec.tokenizer if chat else None
        halves = [fill_template(template, prompt, tokenizer) for prompt in (evaluation, *prompts)]
        self.before = codec.encode([half.before for half in halves], bos=not chat)  # [1 + P, L]
        self.after = codec.encode([half.after for half in halves], padding_side="left")  # [1 + P, L]
        require_text(self.after)

    def draw(self, clips: int) -> Tensor:
        """A training prompt for each clip, ``[B]``, by torch's global generator on the CPU."""
        return torch.randint(1, len(self.after.ids), (clips,), device="cpu")

    def rows(self, choice: Tensor) -> tuple[Ids, Ids]:
        """Ids before the fused tokens (padded right) and after them (padded left) of the chosen rows ``[B]``."""
        before, after = (Ids(side.ids[choice], side.mask[choice]) for side in (self.before, self.after))
        width_before, width_after = (int(side.mask.sum(1).max()) for side in (before, after))
        cut = after.ids.shape[1] - width_after
        return (
            Ids(before.ids[:, :width_before], before.mask[:, :width_before]),
            Ids(after.ids[:, cut:], after.mask[:, cut:]),
        )
